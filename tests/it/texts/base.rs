//! A good request for each method. What a call may use up is made anew for each request.

use std::sync::atomic::{AtomicU32, Ordering};

use chancery::{
    grpc::pb::{
        self, account_service_client::AccountServiceClient, auth_service_client::AuthServiceClient,
        session_data_service_client::SessionDataServiceClient,
    },
    secret::{Password, TicketToken, TypedCode},
    service::{Admin, ClientCredentials, NewClientRequest, NewRoleRequest, NewUserRequest, SignedIn, TokenPair},
    time::Clock,
};
use prost::Message;
use tonic::{Code, Request, transport::Channel};

use super::messages::{basic, client_message, mask, object, role_message};
use crate::{
    factors::Phone,
    import::BCRYPT,
    support::{App, ISSUER, PASSWORD, admit_me, login_of, sign_in, token},
};

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Nobody,
    /// A confidential client with every permission.
    Administrator,
    /// A confidential client whose users may register, and whose word about them counts.
    Client,
    /// A user who is signed in for good.
    User,
    /// A user who is signed in for this call.
    Bearer(String),
}

/// An encoded request, and the code of its answer if that is not a success.
pub(crate) struct Good {
    pub(crate) encoded: Vec<u8>,
    pub(crate) answer: Option<Code>,
}

fn good(message: &impl Message) -> Good {
    Good { encoded: message.encode_to_vec(), answer: None }
}

fn answered(message: &impl Message, code: Code) -> Good {
    Good { encoded: message.encode_to_vec(), answer: Some(code) }
}

pub(crate) struct Bases<'a> {
    app: &'a App,
    channel: Channel,
    administrator: String,
    client: String,
    user: String,
    made: AtomicU32,
}

pub(crate) async fn bearer(app: &App, login: &str) -> String {
    let mut request = login_of("portal", login, PASSWORD);
    request.audience = ISSUER.into();
    format!("Bearer {}", sign_in(&app.service, request).await.unwrap().access.token.expose())
}

impl<'a> Bases<'a> {
    pub(crate) async fn of(app: &'a App, channel: &Channel) -> Self {
        let confidential = |id: &str| NewClientRequest {
            id: id.into(),
            first_party: true,
            audiences: vec!["api".into(), ISSUER.into()],
            scopes: vec!["read".into()],
            algorithm: Some("ES256".into()),
            ..NewClientRequest::default()
        };
        let boss = NewClientRequest { roles: vec!["administrator".into()], ..confidential("boss") };
        let claims = vec!["team=team".to_owned(), "kind=\"x\"".to_owned()];
        let link_template = Some("https://shop.example/{kind}?token={token}".into());
        let web = NewClientRequest {
            trusted_end_user: true,
            registration: true,
            grants: ["client_credentials", "direct_login", "refresh_token", "guest"].map(str::to_owned).to_vec(),
            claims,
            link_template,
            ..confidential("web")
        };
        let administrator = basic(app.confidential(boss).await);
        let client = basic(app.confidential(web).await);
        app.client("portal", &["api", ISSUER]).await;
        for name in ["address_failures", "network_failures", "address_guests", "network_guests"] {
            app.service.instance.set(&Admin::command(), name, "0").await.unwrap();
        }
        let user = bearer(app, "ada").await;
        Self { app, channel: channel.clone(), administrator, client, user, made: AtomicU32::new(0) }
    }

    /// The value of the header `authorization`.
    pub(crate) fn credentials(&self, caller: Caller) -> Option<String> {
        match caller {
            Caller::Nobody => None,
            Caller::Administrator => Some(self.administrator.clone()),
            Caller::Client => Some(self.client.clone()),
            Caller::User => Some(self.user.clone()),
            Caller::Bearer(token) => Some(token),
        }
    }

    /// A request by the administrator.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.administrator.parse().unwrap());
        request
    }

    fn name(&self, kind: &str) -> String {
        format!("{kind}{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    async fn new_user(&self) -> String {
        let name = self.name("user");
        let request = NewUserRequest {
            name: name.clone(),
            emails: vec![format!("{name}@example.com")],
            password: Some(Password::new(PASSWORD.into())),
            ..NewUserRequest::default()
        };
        self.app.service.users.create(&Admin::command(), request).await.unwrap();
        name
    }

    async fn new_client(&self) -> String {
        let id = self.name("client");
        let request = NewClientRequest { id: id.clone(), audiences: vec!["api".into()], ..NewClientRequest::default() };
        self.app.confidential(request).await;
        id
    }

    async fn new_role(&self) -> String {
        let request = NewRoleRequest { name: self.name("role"), ..NewRoleRequest::default() };
        self.app.service.roles.create(&Admin::command(), request).await.unwrap().name.to_string()
    }

    /// A sign-in of a user of its own: of sign-ins of one user at once some have to wait.
    async fn signed_in(&self) -> TokenPair {
        sign_in(&self.app.service, login_of("app", &self.new_user().await, PASSWORD)).await.unwrap()
    }

    pub(crate) async fn refresh_token(&self) -> String {
        token(&self.signed_in().await)
    }

    /// The refresh token of a guest of the confidential client.
    async fn guest_token(&self) -> String {
        let mut request = Request::new(pb::StartGuestSessionRequest::default());
        request.metadata_mut().insert("authorization", self.client.parse().unwrap());
        let started = AuthServiceClient::new(self.channel.clone()).start_guest_session(request).await.unwrap();
        started.into_inner().tokens.unwrap().refresh_token
    }

    /// The token of a sign-in that wants a new password.
    async fn challenge(&self) -> String {
        let name = self.new_user().await;
        self.app.service.users.require_new_password(&Admin::command(), &name).await.unwrap();
        let request = login_of("app", &name, PASSWORD);
        let service = &self.app.service;
        match service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, request).await.unwrap() {
            SignedIn::Challenge(challenge) => challenge.token.expose().to_owned(),
            SignedIn::Tokens(_) => panic!("no challenge"),
        }
    }

    /// A request that succeeds, or is answered as it says.
    pub(crate) async fn request(&self, path: &str) -> (Caller, Good) {
        let (service, method) = path.trim_start_matches("/chancery.v1.").split_once('/').unwrap();
        match service {
            "AuthService" => self.auth(method).await,
            "AccountService" => self.account(method).await,
            "TokenService" => self.token(method).await,
            "SessionDataService" => self.data(method).await,
            "UserService" => (Caller::Administrator, self.users(method).await),
            "ClientService" => (Caller::Administrator, self.clients(method).await),
            "RoleService" => (Caller::Administrator, self.roles(method).await),
            _ => (Caller::Administrator, others(method)),
        }
    }

    async fn auth(&self, method: &str) -> (Caller, Good) {
        let (app, web) = ("app".to_owned(), "web".to_owned());
        let request = match method {
            "Login" => good(&pb::LoginRequest {
                client_id: web,
                login: self.new_user().await,
                password: PASSWORD.into(),
                scopes: vec!["read".into()],
                audience: "api".into(),
                device_label: "laptop".into(),
                end_user: Some(pb::EndUser { address: "192.0.2.1".into(), user_agent: "x".into() }),
                ..pb::LoginRequest::default()
            }),
            "StartGuestSession" => good(&pb::StartGuestSessionRequest {
                client_id: web,
                audience: "api".into(),
                scopes: vec!["read".into()],
                device_label: "laptop".into(),
                end_user: Some(pb::EndUser { address: "192.0.2.1".into(), user_agent: "x".into() }),
            }),
            "UpgradeGuest" => good(&pb::UpgradeGuestRequest {
                client_id: web,
                guest_refresh_token: self.guest_token().await,
                login: self.new_user().await,
                password: PASSWORD.into(),
                scopes: vec!["read".into()],
                audience: "api".into(),
                device_label: "laptop".into(),
                end_user: Some(pb::EndUser { address: "192.0.2.1".into(), user_agent: "x".into() }),
                policies: [("cart".to_owned(), 2)].into(),
                ..pb::UpgradeGuestRequest::default()
            }),
            "IssueClientToken" => {
                good(&pb::IssueClientTokenRequest { scopes: vec!["read".into()], audience: "api".into() })
            }
            "ContinueLogin" => {
                let (challenge, new_password) = (self.challenge().await, "another good battery".to_owned());
                let request =
                    pb::ContinueLoginRequest { client_id: app, challenge, new_password, ..Default::default() };
                return (Caller::Nobody, good(&request));
            }
            "StartPasskeyLogin" => {
                let request = pb::StartPasskeyLoginRequest {
                    client_id: web,
                    scopes: vec!["read".into()],
                    audience: "api".into(),
                    device_label: "laptop".into(),
                    end_user: Some(pb::EndUser { address: "192.0.2.1".into(), user_agent: "x".into() }),
                };
                // The client has no site.
                answered(&request, Code::FailedPrecondition)
            }
            "StartStepUp" => {
                let (refresh_token, audience) = (self.refresh_token().await, "api".to_owned());
                let (acr, client_id) = ("2".to_owned(), app);
                let request = pb::StartStepUpRequest { client_id, refresh_token, acr, audience, end_user: None };
                return (Caller::Nobody, good(&request));
            }
            "Refresh" => {
                let (refresh_token, scopes) = (self.refresh_token().await, vec!["read".to_owned()]);
                let (audience, request_id) = ("api".to_owned(), "r1".to_owned());
                let request = pb::RefreshRequest { client_id: app, refresh_token, audience, scopes, request_id };
                return (Caller::Nobody, good(&request));
            }
            "Logout" => {
                let refresh_token = self.refresh_token().await;
                return (Caller::Nobody, good(&pb::LogoutRequest { client_id: app, refresh_token }));
            }
            other => panic!("AuthService/{other} has no good request"),
        };
        (Caller::Client, request)
    }

    async fn account(&self, method: &str) -> (Caller, Good) {
        let (client_id, end_user) =
            ("web".to_owned(), Some(pb::EndUser { address: "192.0.2.1".into(), ..Default::default() }));
        let (language, code, token) = ("en".to_owned(), "123456".to_owned(), String::new());
        let request = match method {
            "Register" => good(&self.register()),
            "VerifyEmail" => {
                let ticket = self.registered().await;
                let (name, new_password) = (Some("new-name".to_owned()), "another good battery".to_owned());
                let request = pb::VerifyEmailRequest { client_id, token, ticket, code, new_password, name };
                answered(&request, Code::Unauthenticated)
            }
            "RequestPasswordReset" => {
                let (login, device_token) = (self.new_user().await, String::new());
                good(&pb::RequestPasswordResetRequest { client_id, login, language, end_user, device_token })
            }
            "ResetPassword" => {
                let (ticket, new_password) = (self.registered().await, "another good battery".to_owned());
                let request = pb::ResetPasswordRequest { client_id, token, ticket, code, new_password };
                answered(&request, Code::Unauthenticated)
            }
            _ => return self.me(method).await,
        };
        (Caller::Client, request)
    }

    fn register(&self) -> pb::RegisterRequest {
        let name = self.name("new");
        pb::RegisterRequest {
            client_id: "web".into(),
            email: format!("{name}@example.com"),
            name,
            password: PASSWORD.into(),
            language: "en".into(),
            end_user: Some(pb::EndUser { address: "192.0.2.1".into(), ..Default::default() }),
            guest_refresh_token: String::new(),
        }
    }

    async fn registered(&self) -> String {
        let mut request = Request::new(self.register());
        request.metadata_mut().insert("authorization", self.client.parse().unwrap());
        AccountServiceClient::new(self.channel.clone()).register(request).await.unwrap().into_inner().ticket
    }

    /// A request of a user whose first second factor is being set up, or has been.
    async fn factor(&self, method: &str, name: &str) -> (Caller, Good) {
        let service = &self.app.service;
        let caller = bearer(self.app, name).await;
        let token = caller.strip_prefix("Bearer ").unwrap().to_owned();
        let me = admit_me(service, &ClientCredentials::Bearer(token)).await.unwrap();
        let begun = service.accounts.enrol_totp(&service.context(), &me, "").await.unwrap();
        let code = || Phone::with(begun.setup.secret.expose()).code_at(self.app.clock.now());
        let enrolment = begun.enrolment.expose().to_owned();
        if method == "ConfirmTotp" {
            return (Caller::Bearer(caller), good(&pb::ConfirmTotpRequest { enrolment, code: code() }));
        }
        let (token, typed) = (TicketToken::new(enrolment), TypedCode::new(code()));
        let added = service.accounts.confirm_totp(&service.context(), &me, token, &typed).await.unwrap();
        // As if the factor had been shown when the session was opened.
        self.app.sql(&format!("UPDATE sessions SET acr = '2' WHERE id = '{}'", me.session())).await;
        let (factor_id, password) = (added.factor.id.to_string(), PASSWORD.to_owned());
        let request = match method {
            "RemoveMyFactor" => good(&pb::RemoveMyFactorRequest { factor_id, password }),
            _ => good(&pb::RegenerateRecoveryCodesRequest {}),
        };
        (Caller::Bearer(caller), request)
    }

    async fn me(&self, method: &str) -> (Caller, Good) {
        let name = self.new_user().await;
        let caller = bearer(self.app, &name).await;
        let request = match method {
            "GetMe" => good(&pb::GetMeRequest {}),
            "UpdateMe" => {
                let (email, language) = (format!("{name}@example.org"), "en".to_owned());
                let update_mask = mask(&["name", "profile", "email"]);
                good(&pb::UpdateMeRequest { update_mask, name, profile: object(), email, language })
            }
            "ChangePassword" => good(&pb::ChangePasswordRequest {
                current_password: PASSWORD.into(),
                new_password: "another good battery".into(),
            }),
            // The client has no site.
            "StartPasskeyRegistration" => {
                answered(&pb::StartPasskeyRegistrationRequest { name: "phone".into() }, Code::FailedPrecondition)
            }
            "FinishPasskeyRegistration" => {
                let (enrolment, response_json) = ("chq_x".to_owned(), "{}".to_owned());
                let request = pb::FinishPasskeyRegistrationRequest { enrolment, response_json };
                answered(&request, Code::Unauthenticated)
            }
            "ListMySessions" => good(&pb::ListMySessionsRequest::default()),
            "RevokeMySession" => {
                let other = sign_in(&self.app.service, login_of("app", &name, PASSWORD)).await.unwrap();
                good(&pb::RevokeMySessionRequest { session_id: other.session_id })
            }
            "DeleteMe" => good(&pb::DeleteMeRequest {}),
            "EnrollTotp" => good(&pb::EnrollTotpRequest { name: "telephone".into() }),
            "ListMyFactors" => good(&pb::ListMyFactorsRequest {}),
            "ConfirmTotp" | "RemoveMyFactor" | "RegenerateRecoveryCodes" => return self.factor(method, &name).await,
            other => panic!("AccountService/{other} has no good request"),
        };
        (Caller::Bearer(caller), request)
    }

    async fn token(&self, method: &str) -> (Caller, Good) {
        let token_type_hint = "access_token".to_owned();
        match method {
            "Introspect" => {
                let token = self.signed_in().await.access.token.expose().to_owned();
                (Caller::Client, good(&pb::IntrospectRequest { token, token_type_hint }))
            }
            "Revoke" => {
                let (client_id, token) = ("app".to_owned(), self.refresh_token().await);
                (Caller::Nobody, good(&pb::RevokeRequest { client_id, token, token_type_hint }))
            }
            other => panic!("TokenService/{other} has no good request"),
        }
    }

    async fn data(&self, method: &str) -> (Caller, Good) {
        let caller = bearer(self.app, &self.new_user().await).await;
        let (owner, namespace, session_id) = (pb::DataOwner::User.into(), "cart".to_owned(), String::new());
        let value =
            object().map(|object| prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(object)) });
        let put = pb::PutSessionDataRequest { owner, namespace: namespace.clone(), value, ..Default::default() };
        let mut request = Request::new(put.clone());
        request.metadata_mut().insert("authorization", caller.parse().unwrap());
        SessionDataServiceClient::new(self.channel.clone()).put_session_data(request).await.unwrap();
        let request = match method {
            "GetSessionData" => good(&pb::GetSessionDataRequest { owner, namespace, session_id }),
            "PutSessionData" => good(&put),
            "DeleteSessionData" => {
                good(&pb::DeleteSessionDataRequest { owner, namespace, expected_version: 1, session_id })
            }
            "ListSessionData" => good(&pb::ListSessionDataRequest { owner, session_id }),
            other => panic!("SessionDataService/{other} has no good request"),
        };
        (Caller::Bearer(caller), request)
    }

    async fn users(&self, method: &str) -> Good {
        let (role_id, client_id, etag) = ("auditor".to_owned(), "web".to_owned(), String::new());
        match method {
            "CreateUser" => {
                let (user, request_id) = (self.user_message(), self.name("r"));
                good(&pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), request_id })
            }
            "GetUser" => good(&pb::GetUserRequest { user_id: "ada".into() }),
            "ListUsers" => good(&pb::ListUsersRequest { filter: "disabled = false".into(), ..Default::default() }),
            "UpdateUser" => {
                let user = pb::User { user_id: self.new_user().await, subject: String::new(), ..self.user_message() };
                let update_mask = mask(&["name", "emails", "attributes"]);
                good(&pb::UpdateUserRequest { user: Some(user), update_mask })
            }
            "DeleteUser" => good(&pb::DeleteUserRequest { user_id: self.new_user().await, etag }),
            "DisableUser" => good(&pb::DisableUserRequest { user_id: self.new_user().await }),
            "EnableUser" => good(&pb::EnableUserRequest { user_id: self.new_user().await }),
            "RequestUserPasswordReset" => {
                let (user_id, keep_current) = (self.new_user().await, false);
                good(&pb::RequestUserPasswordResetRequest { user_id, client_id, keep_current })
            }
            "AssignUserRole" => good(&pb::AssignUserRoleRequest { user_id: self.new_user().await, role_id }),
            "UnassignUserRole" => good(&pb::UnassignUserRoleRequest { user_id: self.new_user().await, role_id }),
            "ListUserFactors" => good(&pb::ListUserFactorsRequest { user_id: self.new_user().await }),
            "RemoveUserFactor" => {
                good(&pb::RemoveUserFactorRequest { user_id: self.new_user().await, factor_id: String::new() })
            }
            "ListUserSessions" => good(&pb::ListUserSessionsRequest { user_id: "ada".into(), ..Default::default() }),
            "RevokeUserSessions" => {
                let user_id = self.new_user().await;
                let session = sign_in(&self.app.service, login_of("app", &user_id, PASSWORD)).await.unwrap();
                good(&pb::RevokeUserSessionsRequest { user_id, session_ids: vec![session.session_id] })
            }
            "ImportUsers" => {
                let name = self.name("import");
                let user = pb::ImportedUser {
                    subject: name.clone(),
                    emails: vec![format!("{name}@example.com")],
                    name,
                    attributes_json: "{\"team\":\"x\"}".into(),
                    password_hash: BCRYPT.into(),
                    ..pb::ImportedUser::default()
                };
                good(&pb::ImportUsersRequest { users: vec![user] })
            }
            other => panic!("UserService/{other} has no good request"),
        }
    }

    fn user_message(&self) -> pb::User {
        let name = self.name("user");
        pb::User {
            subject: name.clone(),
            emails: vec![format!("{name}@example.com")],
            name,
            attributes: object(),
            roles: vec!["auditor".into()],
            ..pb::User::default()
        }
    }

    async fn clients(&self, method: &str) -> Good {
        let role_id = "auditor".to_owned();
        match method {
            "CreateClient" => {
                let client_id = self.name("client");
                let client = pb::Client { client_id, ..client_message(self.name("https://serves.example.com/")) };
                good(&pb::CreateClientRequest { client: Some(client), request_id: self.name("r") })
            }
            "GetClient" => good(&pb::GetClientRequest { client_id: "web".into() }),
            "ListClients" => good(&pb::ListClientsRequest { filter: "public = false".into(), ..Default::default() }),
            "UpdateClient" => {
                let client_id = self.new_client().await;
                let client = pb::Client { client_id, first_party: false, ..client_message(String::new()) };
                let fields = ["audiences", "scopes", "permissions", "claims", "link_template"];
                good(&pb::UpdateClientRequest { client: Some(client), update_mask: mask(&fields) })
            }
            "DeleteClient" => {
                answered(&pb::DeleteClientRequest { client_id: self.new_client().await }, Code::FailedPrecondition)
            }
            "DisableClient" => good(&pb::DisableClientRequest { client_id: self.new_client().await }),
            "EnableClient" => good(&pb::EnableClientRequest { client_id: self.new_client().await }),
            "RotateClientSecret" => {
                good(&pb::RotateClientSecretRequest { client_id: self.new_client().await, overlap: None })
            }
            "AssignClientRole" => good(&pb::AssignClientRoleRequest { client_id: self.new_client().await, role_id }),
            "UnassignClientRole" => {
                good(&pb::UnassignClientRoleRequest { client_id: self.new_client().await, role_id })
            }
            other => panic!("ClientService/{other} has no good request"),
        }
    }

    async fn roles(&self, method: &str) -> Good {
        match method {
            "CreateRole" => {
                let role = pb::Role { name: self.name("role"), ..role_message() };
                good(&pb::CreateRoleRequest { role: Some(role), request_id: self.name("r") })
            }
            "GetRole" => good(&pb::GetRoleRequest { role_id: "auditor".into() }),
            "ListRoles" => good(&pb::ListRolesRequest::default()),
            "UpdateRole" => {
                let role = pb::Role { role_id: self.new_role().await, ..role_message() };
                good(&pb::UpdateRoleRequest { role: Some(role), update_mask: mask(&["description", "permissions"]) })
            }
            "DeleteRole" => good(&pb::DeleteRoleRequest { role_id: self.new_role().await }),
            other => panic!("RoleService/{other} has no good request"),
        }
    }
}

fn others(method: &str) -> Good {
    match method {
        "ListAuditEvents" => good(&pb::ListAuditEventsRequest { filter: "actor = ada".into(), ..Default::default() }),
        "WatchAuditEvents" => good(&pb::WatchAuditEventsRequest { filter: "actor = ada".into() }),
        "WatchRevocations" => good(&pb::WatchRevocationsRequest::default()),
        "GetJwks" => good(&pb::GetJwksRequest {}),
        "WatchJwks" => good(&pb::WatchJwksRequest {}),
        "ListSigningKeys" => good(&pb::ListSigningKeysRequest::default()),
        "RotateSigningKey" => good(&pb::RotateSigningKeyRequest::default()),
        "RevokeSigningKey" => answered(&pb::RevokeSigningKeyRequest { kid: "unknown".into() }, Code::NotFound),
        other => panic!("{other} has no good request"),
    }
}
