//! The gRPC edge in process: health, reflection and access control.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::{
        self,
        pb::{
            self, GetJwksRequest, IntrospectRequest, IssueClientTokenRequest, LoginRequest, LogoutRequest,
            RefreshRequest, RevokeRequest, WatchJwksRequest, account_service_client::AccountServiceClient,
            auth_service_client::AuthServiceClient, key_service_client::KeyServiceClient,
            token_service_client::TokenServiceClient,
        },
    },
    metrics::Metrics,
    service::{ACCESS, Access, Admin, ClientCredentials, IMPORT_USERS, NewClientRequest, Service},
};
use chancery_guard::listener::Limits;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::support::{App, ISSUER, PASSWORD, login_of, sign_in};

on_each_engine! {
    #[tokio::test]
    App => {
        p09_a_sign_in_refused_by_a_full_queue_gets_a_retry_delay,
    }
}

/// Serves the app on a free port until the test ends.
pub(crate) async fn served(app: &App) -> Channel {
    serving(app).await.connect().await.unwrap()
}

/// Serves another process of the app.
pub(crate) async fn served_by(service: Service) -> Channel {
    serving_of(service).await.connect().await.unwrap()
}

/// The same, with the address.
pub(crate) async fn served_at(app: &App) -> (Channel, String) {
    let endpoint = serving(app).await;
    let address = endpoint.uri().authority().unwrap().to_string();
    (endpoint.connect().await.unwrap(), address)
}

/// The same, not connected yet.
pub(crate) async fn serving(app: &App) -> Endpoint {
    serving_of(app.service.clone()).await
}

async fn serving_of(service: Service) -> Endpoint {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (health, metrics) = (grpc::Health::default(), Arc::new(Metrics::default()));
    health.handle().set(true).await;
    tokio::spawn(grpc::serve(service, metrics, (listener, Limits::default()), health, std::future::pending()));
    Channel::from_shared(format!("http://{address}")).unwrap()
}

/// The kind of caller.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nobody,
    PublicClient,
    WrongSecret,
    ConfidentialClient,
    UserElsewhere,
    UserHere,
    /// A confidential client with every permission at this server.
    PermittedClient,
    /// A user with every permission at this server.
    PermittedUser,
}

const KINDS: [Kind; 8] = [
    Kind::Nobody,
    Kind::PublicClient,
    Kind::WrongSecret,
    Kind::ConfidentialClient,
    Kind::UserElsewhere,
    Kind::UserHere,
    Kind::PermittedClient,
    Kind::PermittedUser,
];

/// An access token of a user for an audience.
async fn bearer(app: &App, login: &str, audience: &str) -> String {
    let mut request = login_of("portal", login, PASSWORD);
    request.audience = audience.into();
    sign_in(&app.service, request).await.unwrap().access.token.expose().to_owned()
}

struct Callers {
    secret: String,
    token_elsewhere: String,
    token_here: String,
    permitted_secret: String,
    permitted_token: String,
}

impl Callers {
    async fn of(app: &App) -> Self {
        let worker = NewClientRequest {
            id: "worker".into(),
            first_party: true,
            audiences: vec!["api".into(), ISSUER.into()],
            ..NewClientRequest::default()
        };
        let ClientCredentials::Basic { secret, .. } = app.confidential(worker).await else { panic!("no secret") };
        let admin_client = NewClientRequest {
            id: "boss".into(),
            first_party: true,
            audiences: vec!["api".into(), ISSUER.into()],
            roles: vec!["administrator".into()],
            ..NewClientRequest::default()
        };
        let ClientCredentials::Basic { secret: permitted, .. } = app.confidential(admin_client).await else { panic!() };
        app.client("portal", &["api", ISSUER]).await;
        app.user("root").await;
        app.service.users.set_role(&Admin::command(), "root", "administrator", true).await.unwrap();
        Self {
            secret: secret.expose().to_owned(),
            token_elsewhere: bearer(app, "root", "api").await,
            token_here: bearer(app, "ada", ISSUER).await,
            permitted_secret: permitted.expose().to_owned(),
            permitted_token: bearer(app, "root", ISSUER).await,
        }
    }

    /// Signs the users in again, because a previous call may have logged them out.
    async fn sign_in_again(&mut self, app: &App) {
        self.token_here = bearer(app, "ada", ISSUER).await;
        self.permitted_token = bearer(app, "root", ISSUER).await;
    }

    /// Builds a request with the client id in its message and with credentials.
    fn request<T>(&self, kind: Kind, message: impl FnOnce(String) -> T) -> Request<T> {
        let client_id = if kind == Kind::PublicClient { "app" } else { "" };
        let mut request = Request::new(message(client_id.to_owned()));
        let authorization = match kind {
            Kind::Nobody | Kind::PublicClient => return request,
            Kind::WrongSecret => format!("Basic {}", STANDARD.encode("worker:wrong")),
            Kind::ConfidentialClient => format!("Basic {}", STANDARD.encode(format!("worker:{}", self.secret))),
            Kind::UserElsewhere => format!("Bearer {}", self.token_elsewhere),
            Kind::UserHere => format!("Bearer {}", self.token_here),
            Kind::PermittedClient => {
                format!("Basic {}", STANDARD.encode(format!("boss:{}", self.permitted_secret)))
            }
            Kind::PermittedUser => format!("Bearer {}", self.permitted_token),
        };
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    }

    /// Calls a method and returns the code and reason.
    async fn call(&self, channel: Channel, method: &str, kind: Kind) -> (Code, String) {
        let mut auth = AuthServiceClient::new(channel.clone());
        let mut keys = KeyServiceClient::new(channel.clone());
        let mut tokens = TokenServiceClient::new(channel);
        let no_token = String::new;
        let result = match method {
            "/chancery.v1.AuthService/Login" => {
                let message = |client_id| LoginRequest {
                    client_id,
                    login: "ada".into(),
                    password: PASSWORD.into(),
                    ..LoginRequest::default()
                };
                auth.login(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/Refresh" => {
                let refresh_token = "chr_nonsense".to_owned();
                let message = |client_id| RefreshRequest { client_id, refresh_token, ..RefreshRequest::default() };
                auth.refresh(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/Logout" => {
                let message = |client_id| LogoutRequest { client_id, refresh_token: no_token() };
                auth.logout(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/IssueClientToken" => {
                let message = |_| IssueClientTokenRequest::default();
                auth.issue_client_token(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.KeyService/GetJwks" => {
                keys.get_jwks(self.request(kind, |_| GetJwksRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.KeyService/WatchJwks" => {
                keys.watch_jwks(self.request(kind, |_| WatchJwksRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.TokenService/Introspect" => {
                let message = |_| IntrospectRequest { token: "x".into(), ..IntrospectRequest::default() };
                tokens.introspect(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.TokenService/Revoke" => {
                let message = |client_id| RevokeRequest { client_id, token: "x".into(), ..RevokeRequest::default() };
                tokens.revoke(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/ContinueLogin" => {
                let message = |client_id| pb::ContinueLoginRequest { client_id, ..Default::default() };
                auth.continue_login(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/StartGuestSession" => {
                let message = |client_id| pb::StartGuestSessionRequest { client_id, ..Default::default() };
                auth.start_guest_session(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/UpgradeGuest" => {
                let message = |client_id| pb::UpgradeGuestRequest { client_id, ..Default::default() };
                auth.upgrade_guest(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/StartPasskeyLogin" => {
                let message = |client_id| pb::StartPasskeyLoginRequest { client_id, ..Default::default() };
                auth.start_passkey_login(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AuthService/StartStepUp" => {
                let message = |client_id| pb::StartStepUpRequest { client_id, ..Default::default() };
                auth.start_step_up(self.request(kind, message)).await.map(|_| ())
            }
            other => panic!("{other} has no expected verdicts"),
        };
        verdict(result)
    }

    /// Calls a method of `AccountService`.
    async fn call_account(&self, channel: Channel, method: &str, kind: Kind) -> (Code, String) {
        let mut account = AccountServiceClient::new(channel);
        let result = match method {
            "/chancery.v1.AccountService/Register" => {
                let message = |client_id| pb::RegisterRequest { client_id, ..Default::default() };
                account.register(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/VerifyEmail" => {
                let message = |client_id| pb::VerifyEmailRequest { client_id, ..Default::default() };
                account.verify_email(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/RequestPasswordReset" => {
                let login = "ada".to_owned();
                let message = |client_id| pb::RequestPasswordResetRequest { client_id, login, ..Default::default() };
                account.request_password_reset(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/ResetPassword" => {
                let new_password = PASSWORD.to_owned();
                let message = |client_id| pb::ResetPasswordRequest { client_id, new_password, ..Default::default() };
                account.reset_password(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/GetMe" => {
                account.get_me(self.request(kind, |_| pb::GetMeRequest {})).await.map(|_| ())
            }
            "/chancery.v1.AccountService/UpdateMe" => {
                account.update_me(self.request(kind, |_| pb::UpdateMeRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/ChangePassword" => {
                account.change_password(self.request(kind, |_| pb::ChangePasswordRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/ListMySessions" => {
                account.list_my_sessions(self.request(kind, |_| pb::ListMySessionsRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/RevokeMySession" => {
                let message = |_| pb::RevokeMySessionRequest::default();
                account.revoke_my_session(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/EnrollTotp" => {
                account.enroll_totp(self.request(kind, |_| pb::EnrollTotpRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/ConfirmTotp" => {
                account.confirm_totp(self.request(kind, |_| pb::ConfirmTotpRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/StartPasskeyRegistration" => {
                let message = |_| pb::StartPasskeyRegistrationRequest::default();
                account.start_passkey_registration(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/FinishPasskeyRegistration" => {
                let message = |_| pb::FinishPasskeyRegistrationRequest::default();
                account.finish_passkey_registration(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/ListMyFactors" => {
                account.list_my_factors(self.request(kind, |_| pb::ListMyFactorsRequest {})).await.map(|_| ())
            }
            "/chancery.v1.AccountService/RemoveMyFactor" => {
                account.remove_my_factor(self.request(kind, |_| pb::RemoveMyFactorRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.AccountService/RegenerateRecoveryCodes" => {
                let message = |_| pb::RegenerateRecoveryCodesRequest {};
                account.regenerate_recovery_codes(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.AccountService/DeleteMe" => {
                account.delete_me(self.request(kind, |_| pb::DeleteMeRequest {})).await.map(|_| ())
            }
            other => panic!("{other} has no expected verdicts"),
        };
        verdict(result)
    }

    /// Opens a call without its message. When this returns, the server has received the call.
    async fn open(&self, channel: Channel, method: &'static str, kind: Kind) -> OpenCall {
        let (message, held) = oneshot::channel();
        let body = futures_util::stream::once(async move { held.await.unwrap() });
        let request = self.request(kind, |_| body);
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let answer = tokio::spawn(async move {
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let path = http::uri::PathAndQuery::from_static(method);
            grpc.streaming(request, path, codec).await.map(|_| ())
        });
        // Requests on one connection arrive in order.
        tokio::task::yield_now().await;
        KeyServiceClient::new(channel).get_jwks(GetJwksRequest {}).await.unwrap();
        OpenCall { message, answer }
    }

    /// Calls a method with an empty message.
    async fn call_permitted(&self, channel: Channel, method: &'static str, kind: Kind) -> Result<(), Status> {
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static(method);
        grpc.server_streaming(self.request(kind, |_| ()), path, codec).await.map(|_| ())
    }
}

/// A call whose message has not been sent.
struct OpenCall {
    message: oneshot::Sender<()>,
    answer: JoinHandle<Result<(), Status>>,
}

impl OpenCall {
    /// Sends the message, which is empty, and waits for the answer.
    async fn finish(self) -> Result<(), Status> {
        self.message.send(()).unwrap();
        self.answer.await.unwrap()
    }
}

fn verdict(result: Result<(), Status>) -> (Code, String) {
    result.map_or_else(|status| (status.code(), reason(&status)), |()| (Code::Ok, String::new()))
}

/// The reason in the status details, which every status must have.
fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "chancery");
    info.reason
}

/// The verdicts of a method that requires a permission, for the same kinds of callers.
const WITHOUT_PERMISSION: [&str; 6] = [
    "TOKEN_INVALID",
    "TOKEN_INVALID",
    "CLIENT_AUTHENTICATION_FAILED",
    "PERMISSION_DENIED",
    "TOKEN_INVALID",
    "PERMISSION_DENIED",
];

/// Verdicts of a method for clients that handle passwords.
const fn client_verdicts(reason: &'static str) -> [&'static str; 6] {
    ["INVALID_ARGUMENT", reason, "CLIENT_AUTHENTICATION_FAILED", reason, "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
}

/// Verdicts of a method for signed-in users.
const fn user_verdicts(reason: &'static str) -> [&'static str; 6] {
    ["TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID", reason]
}

/// Verdicts of a method for sessions and confidential clients, whose message is empty.
const DATA_VERDICTS: [&str; 6] = [
    "TOKEN_INVALID",
    "TOKEN_INVALID",
    "CLIENT_AUTHENTICATION_FAILED",
    "INVALID_ARGUMENT",
    "TOKEN_INVALID",
    "INVALID_ARGUMENT",
];

/// The verdicts on the first six kinds of callers, in the order of [`KINDS`], of methods that require no
/// permission. Having permissions makes no difference there.
const VERDICTS: [(&str, [&str; 6]); 34] = [
    (
        "/chancery.v1.AuthService/Login",
        ["INVALID_ARGUMENT", "", "CLIENT_AUTHENTICATION_FAILED", "", "INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    ),
    ("/chancery.v1.AuthService/ContinueLogin", client_verdicts("CODE_INVALID")),
    ("/chancery.v1.AuthService/StartGuestSession", client_verdicts("CLIENT_NOT_ALLOWED")),
    ("/chancery.v1.AuthService/UpgradeGuest", client_verdicts("CLIENT_NOT_ALLOWED")),
    ("/chancery.v1.AuthService/StartPasskeyLogin", client_verdicts("FAILED_PRECONDITION")),
    ("/chancery.v1.AuthService/StartStepUp", client_verdicts("INVALID_ARGUMENT")),
    (
        "/chancery.v1.AuthService/Refresh",
        [
            "INVALID_ARGUMENT",
            "REFRESH_TOKEN_INVALID",
            "CLIENT_AUTHENTICATION_FAILED",
            "REFRESH_TOKEN_INVALID",
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
        ],
    ),
    (
        "/chancery.v1.AuthService/Logout",
        [
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            "CLIENT_AUTHENTICATION_FAILED",
            "INVALID_ARGUMENT",
            "TOKEN_INVALID",
            "",
        ],
    ),
    (
        "/chancery.v1.AuthService/IssueClientToken",
        [
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
            "",
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
        ],
    ),
    (
        "/chancery.v1.TokenService/Introspect",
        [
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
            "",
            "CLIENT_AUTHENTICATION_FAILED",
            "CLIENT_AUTHENTICATION_FAILED",
        ],
    ),
    (
        "/chancery.v1.TokenService/Revoke",
        ["INVALID_ARGUMENT", "", "CLIENT_AUTHENTICATION_FAILED", "", "INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    ),
    ("/chancery.v1.KeyService/GetJwks", ["", "", "", "", "", ""]),
    ("/chancery.v1.KeyService/WatchJwks", ["", "", "", "", "", ""]),
    ("/chancery.v1.SessionDataService/GetSessionData", DATA_VERDICTS),
    ("/chancery.v1.SessionDataService/PutSessionData", DATA_VERDICTS),
    ("/chancery.v1.SessionDataService/DeleteSessionData", DATA_VERDICTS),
    ("/chancery.v1.SessionDataService/ListSessionData", DATA_VERDICTS),
    ("/chancery.v1.AccountService/Register", client_verdicts("CLIENT_NOT_ALLOWED")),
    ("/chancery.v1.AccountService/VerifyEmail", client_verdicts("CODE_INVALID")),
    ("/chancery.v1.AccountService/RequestPasswordReset", client_verdicts("")),
    ("/chancery.v1.AccountService/ResetPassword", client_verdicts("CODE_INVALID")),
    ("/chancery.v1.AccountService/GetMe", user_verdicts("")),
    ("/chancery.v1.AccountService/UpdateMe", user_verdicts("")),
    ("/chancery.v1.AccountService/ChangePassword", user_verdicts("INVALID_ARGUMENT")),
    ("/chancery.v1.AccountService/ListMySessions", user_verdicts("")),
    ("/chancery.v1.AccountService/RevokeMySession", user_verdicts("")),
    ("/chancery.v1.AccountService/EnrollTotp", user_verdicts("")),
    ("/chancery.v1.AccountService/ConfirmTotp", user_verdicts("INVALID_ARGUMENT")),
    ("/chancery.v1.AccountService/StartPasskeyRegistration", user_verdicts("FAILED_PRECONDITION")),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", user_verdicts("CODE_INVALID")),
    ("/chancery.v1.AccountService/ListMyFactors", user_verdicts("")),
    ("/chancery.v1.AccountService/RemoveMyFactor", user_verdicts("NOT_FOUND")),
    ("/chancery.v1.AccountService/RegenerateRecoveryCodes", user_verdicts("FAILED_PRECONDITION")),
    // Last, because no sign-in works after that.
    ("/chancery.v1.AccountService/DeleteMe", user_verdicts("")),
];

#[tokio::test]
async fn g01_every_method_answers_every_kind_of_caller_according_to_the_table() {
    let app = App::sqlite().await;
    let channel = served(&app).await;
    let mut callers = Callers::of(&app).await;
    let ours = ACCESS.iter().filter(|(m, a)| m.starts_with("/chancery.") && !matches!(a, Access::Permission(..)));
    let ours: Vec<_> = ours.map(|(method, _)| *method).collect();
    assert_eq!(ours, VERDICTS.map(|(method, _)| method), "a method has no expected verdicts");
    for (method, verdicts) in VERDICTS {
        callers.sign_in_again(&app).await;
        let [.., client, _, user] = verdicts;
        for (kind, want) in KINDS.into_iter().zip(verdicts.into_iter().chain([client, user])) {
            let (code, reason) = if method.contains("AccountService") {
                callers.call_account(channel.clone(), method, kind).await
            } else if method.contains("SessionDataService") {
                verdict(callers.call_permitted(channel.clone(), method, kind).await)
            } else {
                callers.call(channel.clone(), method, kind).await
            };
            assert_eq!(reason, want, "{method} called by {kind:?}: {code:?}");
        }
    }
}

#[tokio::test]
async fn g01_methods_with_a_permission_refuse_callers_without_it_and_tokens_for_other_audiences() {
    let app = App::sqlite().await;
    let channel = served(&app).await;
    let callers = Callers::of(&app).await;
    let mut methods = 0;
    for (method, access) in ACCESS {
        let Access::Permission(permission, _) = access else { continue };
        methods += 1;
        for (kind, want) in KINDS.into_iter().zip(WITHOUT_PERMISSION) {
            let refused = callers.call_permitted(channel.clone(), method, kind).await.unwrap_err();
            assert_eq!(reason(&refused), want, "{method} called by {kind:?}: {refused:?}");
            if want == "PERMISSION_DENIED" {
                let lacks = &refused.get_details_error_info().unwrap().metadata["permission"];
                assert_eq!(lacks, permission, "{method} requires another permission than the table says");
            }
        }
        for kind in [Kind::PermittedClient, Kind::PermittedUser] {
            let (code, reason) = verdict(callers.call_permitted(channel.clone(), method, kind).await);
            let admitted = matches!(code, Code::Ok | Code::InvalidArgument | Code::NotFound);
            assert!(admitted, "{method} called by {kind:?}: {code:?} {reason}");
        }
    }
    assert!(methods > 25, "{methods}");
    for permission in chancery::domain::permission::OWN {
        let opens =
            ACCESS.iter().any(|(_, access)| matches!(access, Access::Permission(named, _) if *named == permission));
        assert!(opens, "{permission} gives access to no method");
    }
}

#[tokio::test]
async fn g01_a_permission_removed_after_the_token_was_issued_gives_no_access() {
    let app = App::sqlite().await;
    let channel = served(&app).await;
    let callers = Callers::of(&app).await;
    app.service.users.set_role(&Admin::command(), "root", "administrator", false).await.unwrap();
    app.service.clients.set_role(&Admin::command(), "boss", "administrator", false).await.unwrap();
    for (method, access) in ACCESS {
        let Access::Permission(permission, _) = access else { continue };
        for kind in [Kind::PermittedClient, Kind::PermittedUser] {
            let refused = callers.call_permitted(channel.clone(), method, kind).await.unwrap_err();
            assert_eq!(reason(&refused), "PERMISSION_DENIED", "{method} called by {kind:?}: {refused:?}");
            assert_eq!(refused.get_details_error_info().unwrap().metadata["permission"], *permission, "{method}");
        }
    }
}

#[tokio::test]
async fn g01_a_call_is_authorized_when_its_message_arrives() {
    let app = App::sqlite().await;
    let callers = Callers::of(&app).await;
    let channel = served(&app).await;
    let mut opened = Vec::new();
    for (method, access) in ACCESS {
        let kinds = match access {
            Access::Permission(..) if *method != IMPORT_USERS => &[Kind::PermittedClient, Kind::PermittedUser][..],
            Access::User => &[Kind::UserHere],
            _ => &[],
        };
        for kind in kinds {
            opened.push((*method, *kind, callers.open(channel.clone(), method, *kind).await));
        }
    }
    assert!(opened.len() > 60, "{}", opened.len());
    app.service.users.set_role(&Admin::command(), "root", "administrator", false).await.unwrap();
    app.service.clients.set_role(&Admin::command(), "boss", "administrator", false).await.unwrap();
    app.service.users.end_sessions(&Admin::command(), "ada", &[]).await.unwrap();
    for (method, kind, call) in opened {
        let refused = call.finish().await.unwrap_err();
        let expected = if kind == Kind::UserHere { "TOKEN_INVALID" } else { "PERMISSION_DENIED" };
        assert_eq!(reason(&refused), expected, "{method} called by {kind:?}");
    }
}

#[tokio::test]
async fn a_disabled_client_and_its_users_tokens_are_refused_everywhere() {
    let app = App::sqlite().await;
    let channel = served(&app).await;
    let callers = Callers::of(&app).await;
    for id in ["app", "worker", "portal"] {
        app.service.clients.set_disabled(&Admin::command(), id, true).await.unwrap();
    }
    for (method, kind, want) in [
        ("/chancery.v1.AuthService/Login", Kind::PublicClient, "CLIENT_AUTHENTICATION_FAILED"),
        ("/chancery.v1.AuthService/Login", Kind::ConfidentialClient, "CLIENT_AUTHENTICATION_FAILED"),
        ("/chancery.v1.AuthService/IssueClientToken", Kind::ConfidentialClient, "CLIENT_AUTHENTICATION_FAILED"),
        ("/chancery.v1.AuthService/Logout", Kind::UserHere, "TOKEN_INVALID"),
    ] {
        assert_eq!(callers.call(channel.clone(), method, kind).await.1, want, "{method} by {kind:?}");
    }
}

#[tokio::test]
async fn health_reports_each_service_by_name() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let app = App::sqlite().await;
    let mut health = HealthClient::new(served(&app).await);
    for service in ["", "chancery.v1.AuthService", "chancery.v1.KeyService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nothing".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

async fn p09_a_sign_in_refused_by_a_full_queue_gets_a_retry_delay(app: &App) {
    let _places = crate::storm::take_all_places(&app.service, "127.0.0.1");
    let mut auth = AuthServiceClient::new(served(app).await);
    let request = LoginRequest {
        client_id: "app".into(),
        login: "ada".into(),
        password: PASSWORD.into(),
        ..LoginRequest::default()
    };
    let status = auth.login(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "OVERLOADED");
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay >= std::time::Duration::from_millis(50), "{delay:?}");
}
