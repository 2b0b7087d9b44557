//! The gRPC edge in this process: health, reflection, who may call what.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::{
        self, ACCESS,
        pb::{
            GetJwksRequest, IntrospectRequest, IssueClientTokenRequest, ListSigningKeysRequest, LoginRequest,
            LogoutRequest, RefreshRequest, RevokeRequest, RevokeSigningKeyRequest, RotateSigningKeyRequest,
            WatchJwksRequest, WatchRevocationsRequest, auth_service_client::AuthServiceClient,
            key_service_client::KeyServiceClient, revocation_service_client::RevocationServiceClient,
            token_service_client::TokenServiceClient,
        },
    },
    metrics::Metrics,
    service::{Admin, ClientCredentials, NewClientRequest},
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{App, ISSUER, PASSWORD, engines, login_of, sign_in};

/// Serves the app on a free port; the server ends with the test.
async fn served(app: &App) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (health, metrics) = (grpc::Health::default(), Arc::new(Metrics::default()));
    health.handle().set(true).await;
    tokio::spawn(grpc::serve(app.service.clone(), metrics, listener, health, std::future::pending()));
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nobody,
    PublicClient,
    WrongSecret,
    ConfidentialClient,
    UserElsewhere,
    UserHere,
}

const KINDS: [Kind; 6] = [
    Kind::Nobody,
    Kind::PublicClient,
    Kind::WrongSecret,
    Kind::ConfidentialClient,
    Kind::UserElsewhere,
    Kind::UserHere,
];

struct Callers {
    secret: String,
    token_elsewhere: String,
    token_here: String,
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
        app.client("portal", &["api", ISSUER]).await;
        let bearer = async |audience: &str| {
            let mut request = login_of("portal", "ada", PASSWORD);
            request.audience = audience.into();
            sign_in(&app.service, request).await.unwrap().access.token.expose().to_owned()
        };
        Self {
            secret: secret.expose().to_owned(),
            token_elsewhere: bearer("api").await,
            token_here: bearer(ISSUER).await,
        }
    }

    /// The user signs in again, since a call before may have been its logout.
    async fn renew(&mut self, app: &App) {
        let mut request = login_of("portal", "ada", PASSWORD);
        request.audience = ISSUER.into();
        let pair = sign_in(&app.service, request).await.unwrap();
        pair.access.token.expose().clone_into(&mut self.token_here);
    }

    /// What the message says of its client, and the request with its credentials.
    fn request<T>(&self, kind: Kind, message: impl FnOnce(String) -> T) -> Request<T> {
        let client_id = if kind == Kind::PublicClient { "app" } else { "" };
        let mut request = Request::new(message(client_id.to_owned()));
        let authorization = match kind {
            Kind::Nobody | Kind::PublicClient => return request,
            Kind::WrongSecret => format!("Basic {}", STANDARD.encode("worker:wrong")),
            Kind::ConfidentialClient => format!("Basic {}", STANDARD.encode(format!("worker:{}", self.secret))),
            Kind::UserElsewhere => format!("Bearer {}", self.token_elsewhere),
            Kind::UserHere => format!("Bearer {}", self.token_here),
        };
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    }

    /// Calls a method; gives its code and reason.
    async fn call(&self, channel: Channel, method: &str, kind: Kind) -> (Code, String) {
        let mut auth = AuthServiceClient::new(channel.clone());
        let mut keys = KeyServiceClient::new(channel.clone());
        let mut tokens = TokenServiceClient::new(channel.clone());
        let mut revocations = RevocationServiceClient::new(channel);
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
            "/chancery.v1.KeyService/ListSigningKeys" => {
                keys.list_signing_keys(self.request(kind, |_| ListSigningKeysRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.KeyService/RotateSigningKey" => {
                keys.rotate_signing_key(self.request(kind, |_| RotateSigningKeyRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.KeyService/RevokeSigningKey" => {
                keys.revoke_signing_key(self.request(kind, |_| RevokeSigningKeyRequest::default())).await.map(|_| ())
            }
            "/chancery.v1.TokenService/Introspect" => {
                let message = |_| IntrospectRequest { token: "x".into(), ..IntrospectRequest::default() };
                tokens.introspect(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.TokenService/Revoke" => {
                let message = |client_id| RevokeRequest { client_id, token: "x".into(), ..RevokeRequest::default() };
                tokens.revoke(self.request(kind, message)).await.map(|_| ())
            }
            "/chancery.v1.RevocationService/Watch" => {
                revocations.watch(self.request(kind, |_| WatchRevocationsRequest::default())).await.map(|_| ())
            }
            other => panic!("{other} has no expected verdicts"),
        };
        result.map_or_else(|status| (status.code(), reason(&status)), |()| (Code::Ok, String::new()))
    }
}

/// The reason in a status's details, which every status has.
fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "chancery");
    info.reason
}

/// Verdicts of a method that needs a permission which none of the callers has.
const NOBODY_MAY: [&str; 6] = [
    "TOKEN_INVALID",
    "TOKEN_INVALID",
    "CLIENT_AUTHENTICATION_FAILED",
    "PERMISSION_DENIED",
    "TOKEN_INVALID",
    "PERMISSION_DENIED",
];

/// What each kind of caller is answered, in the order of [`KINDS`].
const VERDICTS: [(&str, [&str; 6]); 12] = [
    (
        "/chancery.v1.AuthService/Login",
        ["INVALID_ARGUMENT", "", "CLIENT_AUTHENTICATION_FAILED", "", "INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    ),
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
    ("/chancery.v1.RevocationService/Watch", NOBODY_MAY),
    ("/chancery.v1.KeyService/GetJwks", ["", "", "", "", "", ""]),
    ("/chancery.v1.KeyService/WatchJwks", ["", "", "", "", "", ""]),
    ("/chancery.v1.KeyService/ListSigningKeys", NOBODY_MAY),
    ("/chancery.v1.KeyService/RotateSigningKey", NOBODY_MAY),
    ("/chancery.v1.KeyService/RevokeSigningKey", NOBODY_MAY),
];

#[tokio::test]
async fn g01_every_method_answers_every_kind_of_caller_as_the_table_says() {
    let app = engines().await.swap_remove(0);
    let channel = served(&app).await;
    let mut callers = Callers::of(&app).await;
    let ours = ACCESS.iter().map(|(method, _)| *method).filter(|m| m.starts_with("/chancery."));
    assert_eq!(ours.collect::<Vec<_>>(), VERDICTS.map(|(method, _)| method), "every method has its verdicts");
    for (method, verdicts) in VERDICTS {
        callers.renew(&app).await;
        for (kind, want) in KINDS.into_iter().zip(verdicts) {
            let (code, reason) = callers.call(channel.clone(), method, kind).await;
            assert_eq!(reason, want, "{method} called by {kind:?}: {code:?}");
        }
    }
}

#[tokio::test]
async fn a_disabled_client_is_refused_everywhere_and_its_users_tokens_with_it() {
    let app = engines().await.swap_remove(0);
    let channel = served(&app).await;
    let callers = Callers::of(&app).await;
    for id in ["app", "worker", "portal"] {
        app.service.client_set_disabled(&Admin::command(), id, true).await.unwrap();
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
async fn health_tells_of_the_services_by_name() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let app = engines().await.swap_remove(0);
    let mut health = HealthClient::new(served(&app).await);
    for service in ["", "chancery.v1.AuthService", "chancery.v1.KeyService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nothing".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn p09_a_sign_in_without_a_place_is_told_when_to_come_back() {
    for app in engines().await {
        let _places = crate::storm::take_all_places(&app.service, "127.0.0.1");
        let mut auth = AuthServiceClient::new(served(&app).await);
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
}
