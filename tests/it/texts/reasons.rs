//! The reasons that the comment of each method names are those it gives. The other way round, a server built for tests
//! panics when a method gives a reason that its comment does not name (`src/grpc/documented.rs`).

mod administration;
mod data;
mod factors;
mod guests;

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::{COMMON_REASONS, DATABASE_REASONS, documented_reasons, pb},
    secret::Password,
    service::{ACCESS, Access, Act, Admin, ClientTokenRequest, NewClientRequest, NewUserRequest},
    time::Ttl,
};
use prost::Message;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use super::{
    base::{Bases, Caller, bearer},
    messages::{basic, mask},
    raw,
};
use crate::{
    support::{App, ISSUER, PASSWORD, client_token, login_of, refresh, sign_in, token},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        g03_every_reason_that_a_method_documents_is_given,
    }
}

/// What takes more than a call or two. Other tests provoke it, and the panic sees it there.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("/chancery.v1.AuthService/ContinueLogin", "SESSION_REVOKED", "guests"),
    ("/chancery.v1.AuthService/ContinueLogin", "TOO_MANY_ATTEMPTS", "accounts"),
    ("/chancery.v1.AccountService/VerifyEmail", "NEW_PASSWORD_REQUIRED", "confirm"),
    ("/chancery.v1.AccountService/VerifyEmail", "OWN_TOKEN_REQUIRED", "confirm"),
    ("/chancery.v1.AccountService/VerifyEmail", "ALREADY_EXISTS", "confirm"),
    ("/chancery.v1.AccountService/VerifyEmail", "TOKEN_INVALID", "confirm"),
    ("/chancery.v1.AccountService/UpdateMe", "FAILED_PRECONDITION", "unreadable"),
    ("/chancery.v1.AccountService/UpdateMe", "RATE_LIMITED", "people"),
    ("/chancery.v1.AccountService/ChangePassword", "RATE_LIMITED", "people"),
    ("/chancery.v1.AccountService/RevokeMySession", "RATE_LIMITED", "people"),
    ("/chancery.v1.ClientService/AssignClientRole", "FAILED_PRECONDITION", "roles"),
    ("/chancery.v1.AuthService/StartStepUp", "REFRESH_TOKEN_SUPERSEDED", "step_up"),
    ("/chancery.v1.AuthService/StartStepUp", "SESSION_EXPIRED", "step_up"),
    ("/chancery.v1.AuthService/StartStepUp", "SESSION_REVOKED", "step_up"),
    ("/chancery.v1.AuthService/StartStepUp", "SIGN_IN_TOO_OLD", "step_up"),
    ("/chancery.v1.AuthService/StartStepUp", "FAILED_PRECONDITION", "step_up"),
    ("/chancery.v1.AuthService/StartStepUp", "RATE_LIMITED", "step_up"),
    ("/chancery.v1.AuthService/StartPasskeyLogin", "INVALID_ARGUMENT", "passkeys"),
    ("/chancery.v1.AuthService/ContinueLogin", "FAILED_PRECONDITION", "passkeys"),
    ("/chancery.v1.AccountService/EnrollTotp", "SIGN_IN_TOO_OLD", "factors"),
    ("/chancery.v1.AccountService/EnrollTotp", "FAILED_PRECONDITION", "factors"),
    ("/chancery.v1.AccountService/EnrollTotp", "RATE_LIMITED", "factors"),
    ("/chancery.v1.AccountService/ConfirmTotp", "SIGN_IN_TOO_OLD", "factors"),
    ("/chancery.v1.AccountService/ConfirmTotp", "FAILED_PRECONDITION", "factors"),
    ("/chancery.v1.AccountService/ConfirmTotp", "RATE_LIMITED", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "SIGN_IN_TOO_OLD", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "FAILED_PRECONDITION", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "INVALID_CREDENTIALS", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "INVALID_ARGUMENT", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "TOO_MANY_ATTEMPTS", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "RATE_LIMITED", "factors"),
    ("/chancery.v1.AccountService/RemoveMyFactor", "NOT_FOUND", "factors"),
    ("/chancery.v1.AccountService/RegenerateRecoveryCodes", "SIGN_IN_TOO_OLD", "factors"),
    ("/chancery.v1.AccountService/RegenerateRecoveryCodes", "RATE_LIMITED", "factors"),
    ("/chancery.v1.AccountService/StartPasskeyRegistration", "INVALID_ARGUMENT", "passkeys"),
    ("/chancery.v1.AccountService/StartPasskeyRegistration", "SIGN_IN_TOO_OLD", "passkeys"),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", "INVALID_ARGUMENT", "passkeys"),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", "SIGN_IN_TOO_OLD", "passkeys"),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", "FAILED_PRECONDITION", "passkeys"),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", "RATE_LIMITED", "passkeys"),
    ("/chancery.v1.AccountService/ChangePassword", "SIGN_IN_TOO_OLD", "own_factors"),
    ("/chancery.v1.KeyService/WatchJwks", "UNAVAILABLE", "watch"),
    ("/chancery.v1.KeyService/WatchJwks", "WATCHER_TOO_SLOW", "stalled"),
];

/// Reasons that depend on other calls, or on the size of a token, whatever the method.
fn takes_more(reason: &str) -> bool {
    let others =
        ["CONFLICT", "OVERLOADED", "SIGN_IN_IN_PROGRESS", "DEADLINE_EXCEEDED", "WATCHER_TOO_SLOW", "TOKEN_TOO_LARGE"];
    others.contains(&reason)
}

struct World<'a> {
    app: &'a App,
    channel: Channel,
    bases: Bases<'a>,
    /// A confidential client with the grant `client_credentials` and no permission.
    plain: String,
    /// A confidential client with the grants of a back end.
    back_end: String,
    given: BTreeSet<(String, String)>,
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("none: {status:?}"), |info| info.reason)
}

fn full(method: &str) -> String {
    format!("/chancery.v1.{method}")
}

impl<'a> World<'a> {
    async fn of(app: &'a App) -> Self {
        let channel = served(app).await;
        let bases = Bases::of(app, &channel).await;
        let audiences = || vec!["api".to_owned(), ISSUER.to_owned()];
        let plain = NewClientRequest { id: "plain".into(), audiences: audiences(), ..NewClientRequest::default() };
        let back_end = NewClientRequest {
            id: "back-end".into(),
            first_party: true,
            grants: vec!["direct_login".into(), "refresh_token".into()],
            audiences: audiences(),
            ..NewClientRequest::default()
        };
        let (plain, back_end) = (basic(app.confidential(plain).await), basic(app.confidential(back_end).await));
        for (name, subject) in [("twin", "one"), ("other", "twin")] {
            let request = NewUserRequest {
                name: name.into(),
                subject: Some(subject.into()),
                password: Some(Password::new(PASSWORD.into())),
                ..NewUserRequest::default()
            };
            app.service.users.create(&Admin::command(), request).await.unwrap();
        }
        Self { app, channel, bases, plain, back_end, given: BTreeSet::new() }
    }

    async fn answer(&self, path: &str, credentials: Option<&str>, message: Vec<u8>) -> String {
        let streams = path.contains("/Watch");
        match raw::call(&self.channel, path, credentials, message, streams).await {
            Ok(_) => "none".to_owned(),
            Err(status) => reason(&status),
        }
    }

    /// One of these attempts gives the reason.
    async fn one_of(&mut self, path: &str, want: &str, attempts: Vec<(Option<String>, Vec<u8>)>) {
        let mut seen = Vec::new();
        for (credentials, message) in attempts {
            let got = self.answer(path, credentials.as_deref(), message).await;
            if got == want {
                self.given.insert((path.to_owned(), got));
                return;
            }
            seen.push(got);
        }
        panic!("{path} gives {seen:?}, not {want}");
    }

    async fn gives(&mut self, method: &str, want: &str, credentials: Option<&str>, message: impl Message) {
        let attempt = (credentials.map(str::to_owned), message.encode_to_vec());
        self.one_of(&full(method), want, vec![attempt]).await;
    }

    /// As the administrator.
    async fn refuses(&mut self, method: &str, want: &str, message: impl Message) {
        let administrator = self.bases.credentials(Caller::Administrator);
        self.gives(method, want, administrator.as_deref(), message).await;
    }

    /// Gives the reason at the latest after some calls.
    async fn gives_in_the_end(&mut self, method: &str, want: &str, credentials: Option<&str>, message: impl Message) {
        let attempt = (credentials.map(str::to_owned), message.encode_to_vec());
        self.one_of(&full(method), want, vec![attempt; 10]).await;
    }

    async fn user(&self, name: &str) -> String {
        self.app.user(name).await;
        bearer(self.app, name).await
    }

    /// What depends on the credentials alone.
    async fn by_credentials(&mut self) {
        let stale = self.stale_administrator().await;
        let wrong = |client: &str| Some(format!("Basic {}", STANDARD.encode(format!("{client}:wrong"))));
        for (path, access) in ACCESS {
            let Some(documented) = documented_reasons().get(*path) else { continue };
            for want in documented {
                let permitted = matches!(access, Access::Permission(..));
                let (_, good) = self.bases.request(path).await;
                let attempts = match *want {
                    "TOKEN_INVALID"
                        if permitted
                            || matches!(access, Access::User | Access::ClientOrUser | Access::SessionOrClient) =>
                    {
                        let nonsense = Some("Bearer nonsense".to_owned());
                        vec![(nonsense.clone(), good.encoded), (nonsense, Vec::new())]
                    }
                    "CLIENT_AUTHENTICATION_FAILED" => {
                        vec![(wrong("web"), good.encoded.clone()), (wrong("app"), good.encoded)]
                    }
                    "GUEST_NOT_ALLOWED" => vec![(Some(self.guest_bearer().await), good.encoded)],
                    "PERMISSION_DENIED" => vec![(Some(self.plain.clone()), good.encoded)],
                    "SIGN_IN_TOO_OLD" if matches!(access, Access::Permission(_, Act::Write)) => {
                        vec![(Some(stale.clone()), good.encoded)]
                    }
                    "CLIENT_NOT_ALLOWED" if *access == Access::Client => vec![(Some(self.plain.clone()), Vec::new())],
                    _ => continue,
                };
                self.one_of(path, want, attempts).await;
            }
        }
        let name = pb::UpdateMeRequest { update_mask: mask(&["name"]), name: "new".into(), ..Default::default() };
        self.gives("AccountService/UpdateMe", "SIGN_IN_TOO_OLD", Some(&stale), name).await;
        self.gives("AccountService/DeleteMe", "SIGN_IN_TOO_OLD", Some(&stale), pb::DeleteMeRequest {}).await;
        let back_end = self.back_end.clone();
        let token = pb::IssueClientTokenRequest::default();
        self.gives("AuthService/IssueClientToken", "CLIENT_NOT_ALLOWED", Some(&back_end), token).await;
    }

    /// A token of an administrator who signed in too long ago for changes.
    async fn stale_administrator(&self) -> String {
        self.app.user("root").await;
        self.app.service.users.set_role(&Admin::command(), "root", "administrator", true).await.unwrap();
        let pair = sign_in(&self.app.service, login_of("portal", "root", PASSWORD)).await.unwrap();
        self.app.pass(Ttl::from_secs(16 * 60)).await;
        let next = refresh(&self.app.service, "portal", &token(&pair), ISSUER, &[], "").await.unwrap();
        format!("Bearer {}", next.access.token.expose())
    }

    async fn sign_ins(&mut self) {
        let web = self.bases.credentials(Caller::Client);
        let web = web.as_deref();
        let login =
            |login: &str| pb::LoginRequest { login: login.into(), password: "wrong".into(), ..Default::default() };
        self.gives("AuthService/Login", "INVALID_ARGUMENT", web, login("")).await;
        self.gives("AuthService/Login", "INVALID_CREDENTIALS", web, login("nobody")).await;
        self.gives_in_the_end("AuthService/Login", "TOO_MANY_ATTEMPTS", web, login("nobody")).await;
        let (_, step) = self.bases.request("/chancery.v1.AuthService/ContinueLogin").await;
        let mut step = pb::ContinueLoginRequest::decode(step.encoded.as_slice()).unwrap();
        step.new_password = "short".into();
        self.gives("AuthService/ContinueLogin", "INVALID_ARGUMENT", None, step).await;
        let nonsense = pb::ContinueLoginRequest { challenge: "x".into(), ..Default::default() };
        self.gives("AuthService/ContinueLogin", "CODE_INVALID", web, nonsense).await;
        self.gives("AuthService/Logout", "INVALID_ARGUMENT", None, pb::LogoutRequest::default()).await;
        let nonsense = pb::LogoutRequest { client_id: "app".into(), refresh_token: "x".into() };
        self.gives("AuthService/Logout", "REFRESH_TOKEN_INVALID", None, nonsense).await;
        let audience = pb::IssueClientTokenRequest { audience: "unknown".into(), ..Default::default() };
        self.gives("AuthService/IssueClientToken", "INVALID_ARGUMENT", web, audience).await;
        self.gives("TokenService/Introspect", "INVALID_ARGUMENT", web, pb::IntrospectRequest::default()).await;
        self.gives("TokenService/Revoke", "INVALID_ARGUMENT", web, pb::RevokeRequest::default()).await;
        let request =
            NewClientRequest { id: "worker".into(), audiences: vec!["api".into()], ..NewClientRequest::default() };
        let worker = self.app.confidential(request).await;
        let own =
            client_token(&self.app.service, &worker, &ClientTokenRequest { scopes: vec![], audience: String::new() })
                .await
                .unwrap();
        let own = pb::RevokeRequest { token: own.token.expose().to_owned(), ..Default::default() };
        self.gives("TokenService/Revoke", "FAILED_PRECONDITION", Some(&basic(worker)), own).await;
    }

    async fn refreshes(&mut self) {
        let message = |refresh_token: &str| pb::RefreshRequest {
            client_id: "app".into(),
            refresh_token: refresh_token.into(),
            ..Default::default()
        };
        let refresh = "AuthService/Refresh";
        self.gives(refresh, "INVALID_ARGUMENT", None, message("")).await;
        self.gives(refresh, "REFRESH_TOKEN_INVALID", None, message("x")).await;
        let first = token(&self.app.sign_in().await);
        let second = token(&self.app.refresh(&first, "").await.unwrap());
        self.app.refresh(&second, "").await.unwrap();
        self.gives(refresh, "REFRESH_TOKEN_SUPERSEDED", None, message(&first)).await;
        self.app.pass(Ttl::from_secs(60)).await;
        self.gives(refresh, "REFRESH_TOKEN_REUSED", None, message(&first)).await;
        self.gives(refresh, "SESSION_REVOKED", None, message(&first)).await;
        let idle = token(&self.app.sign_in().await);
        self.app.pass(Ttl::from_days(8)).await;
        self.gives(refresh, "SESSION_EXPIRED", None, message(&idle)).await;
    }

    async fn accounts(&mut self) {
        let web = self.bases.credentials(Caller::Client);
        let web = web.as_deref();
        let register =
            |email: &str| pb::RegisterRequest { email: email.into(), password: PASSWORD.into(), ..Default::default() };
        self.gives("AccountService/Register", "INVALID_ARGUMENT", web, register("x")).await;
        self.gives_in_the_end("AccountService/Register", "TOO_MANY_ATTEMPTS", web, register("many@example.com")).await;
        let reset = |login: &str| pb::RequestPasswordResetRequest { login: login.into(), ..Default::default() };
        let method = "AccountService/RequestPasswordReset";
        self.gives(method, "INVALID_ARGUMENT", web, reset("")).await;
        self.gives_in_the_end(method, "TOO_MANY_ATTEMPTS", web, reset("many-resets")).await;
        self.gives("AccountService/VerifyEmail", "INVALID_ARGUMENT", None, pb::VerifyEmailRequest::default()).await;
        self.gives(
            "AccountService/VerifyEmail",
            "CODE_INVALID",
            web,
            pb::VerifyEmailRequest { token: "x".into(), ..Default::default() },
        )
        .await;
        let method = "AccountService/ResetPassword";
        self.gives(method, "INVALID_ARGUMENT", web, pb::ResetPasswordRequest::default()).await;
        let nonsense =
            pb::ResetPasswordRequest { token: "x".into(), new_password: PASSWORD.into(), ..Default::default() };
        self.gives(method, "CODE_INVALID", web, nonsense).await;

        let me = self.user("grace").await;
        let me = Some(me.as_str());
        let name =
            |name: &str| pb::UpdateMeRequest { update_mask: mask(&["name"]), name: name.into(), ..Default::default() };
        self.gives("AccountService/UpdateMe", "INVALID_ARGUMENT", me, name("a b")).await;
        self.gives("AccountService/UpdateMe", "ALREADY_EXISTS", me, name("twin")).await;
        let email = pb::UpdateMeRequest { email: "grace@example.com".into(), ..Default::default() };
        self.gives_in_the_end("AccountService/UpdateMe", "TOO_MANY_ATTEMPTS", me, email).await;
        let change =
            |new: &str| pb::ChangePasswordRequest { current_password: "wrong".into(), new_password: new.into() };
        self.gives("AccountService/ChangePassword", "INVALID_ARGUMENT", me, change("short")).await;
        let change = change("another good battery");
        self.gives("AccountService/ChangePassword", "INVALID_CREDENTIALS", me, change.clone()).await;
        self.gives_in_the_end("AccountService/ChangePassword", "TOO_MANY_ATTEMPTS", me, change).await;
        let page = pb::ListMySessionsRequest { page_token: "x".into(), ..Default::default() };
        self.gives("AccountService/ListMySessions", "INVALID_ARGUMENT", me, page).await;
        let session = pb::RevokeMySessionRequest { session_id: "x".into() };
        self.gives("AccountService/RevokeMySession", "NOT_FOUND", me, session).await;
    }

    async fn keys_and_streams(&mut self) {
        self.refuses(
            "KeyService/ListSigningKeys",
            "INVALID_ARGUMENT",
            pb::ListSigningKeysRequest { page_token: "x".into(), ..Default::default() },
        )
        .await;
        self.refuses("KeyService/RotateSigningKey", "INVALID_ARGUMENT", pb::RotateSigningKeyRequest { algorithm: 99 })
            .await;
        self.refuses("KeyService/RevokeSigningKey", "NOT_FOUND", pb::RevokeSigningKeyRequest { kid: "x".into() }).await;
        self.refuses(
            "AuditService/ListAuditEvents",
            "INVALID_ARGUMENT",
            pb::ListAuditEventsRequest { filter: "x".into(), ..Default::default() },
        )
        .await;
        self.refuses(
            "AuditService/WatchAuditEvents",
            "INVALID_ARGUMENT",
            pb::WatchAuditEventsRequest { filter: "x".into() },
        )
        .await;
        self.refuses(
            "RevocationService/WatchRevocations",
            "INVALID_ARGUMENT",
            pb::WatchRevocationsRequest { cursor: "x".into() },
        )
        .await;
    }

    /// Nothing can be read any more, so this comes last.
    async fn without_the_database(&mut self) {
        self.app.user("chief").await;
        self.app.service.users.set_role(&Admin::command(), "chief", "administrator", true).await.unwrap();
        let chief = bearer(self.app, "chief").await;
        self.app.service.store().close().await;
        let unknown = format!("Basic {}", STANDARD.encode("nobody:x"));
        for (path, access) in ACCESS {
            if documented_reasons().get(*path).is_none_or(|all| !all.contains("UNAVAILABLE")) {
                continue;
            }
            let credentials = match access {
                Access::User | Access::Permission(..) => chief.clone(),
                Access::Client | Access::ConfidentialClient | Access::ClientOrUser | Access::SessionOrClient => {
                    unknown.clone()
                }
                Access::Anyone => continue,
            };
            self.one_of(path, "UNAVAILABLE", vec![(Some(credentials), Vec::new())]).await;
        }
    }
}

async fn g03_every_reason_that_a_method_documents_is_given(app: &App) {
    let mut world = World::of(app).await;
    world.by_credentials().await;
    world.sign_ins().await;
    world.refreshes().await;
    world.accounts().await;
    world.data().await;
    world.guests().await;
    world.factors().await;
    world.users().await;
    world.clients_and_roles().await;
    world.keys_and_streams().await;
    world.without_the_database().await;
    let elsewhere = |path: &str, reason: &str| ELSEWHERE.iter().any(|(p, r, _)| *p == path && *r == reason);
    let mut missing = Vec::new();
    for (path, reasons) in documented_reasons() {
        for reason in reasons.iter().filter(|r| !takes_more(r) && !elsewhere(path, r)) {
            if !world.given.contains(&(path.clone(), (*reason).to_owned())) {
                missing.push(format!("{path} {reason}"));
            }
        }
    }
    assert!(missing.is_empty(), "documented, but not provoked:\n{}", missing.join("\n"));
    for (path, reason, _) in ELSEWHERE {
        assert!(documented_reasons()[*path].contains(*reason), "{path} {reason} is not documented");
    }
}

#[test]
fn g03_every_method_documents_its_reasons_and_none_that_all_share() {
    assert!(documented_reasons().len() > 50, "{}", documented_reasons().len());
    for (path, reasons) in documented_reasons() {
        let shared = COMMON_REASONS.iter().find(|r| reasons.contains(r.as_str()));
        // These two say when a deadline is to be expected.
        let expected = path.ends_with("/Register") || path.ends_with("/ImportUsers");
        assert!(shared.is_none() || expected, "{path} {shared:?}");
        let writes = ACCESS.iter().any(|(p, access)| p == path && matches!(access, Access::Permission(_, Act::Write)));
        let conflict = DATABASE_REASONS[0].as_str();
        assert!(!writes || reasons.contains(conflict), "{path} changes something, and does not name {conflict}");
    }
}
