//! Calls by pages: every method against origins that its client has not declared.

use std::sync::Arc;

use axum::body::Body;
use chancery::{
    domain::audit::AuditFilter,
    error::{Error, Reason, Result},
    grpc::HttpRpcService,
    metrics::Metrics,
    secret::ClientSecret,
    service::{
        ACCESS, Access, Act, Admin, ClientCredentials, ClientPatch, HttpRpc, NewClientRequest, Permit, RequestContext,
        Service,
    },
};
use http::Request;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

use super::{PAGE, texts, with_origins};
use crate::{
    support::{App, ISSUER, PASSWORD, login_of, sign_in},
    texts::base::Bases,
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        g16_no_method_is_called_by_a_page_that_its_client_has_not_declared,
        g16_a_page_learns_no_more_of_clients_than_callers_without_an_origin,
        a_change_of_origins_counts_at_once_and_in_every_process,
        a_stream_ends_when_its_page_is_not_declared_any_more,
    }
}

/// A page that another client has declared.
const OTHERS: &str = "https://other.example";
/// A page that nobody has declared.
const NOBODYS: &str = "https://nobody.example";

fn by_page(service: &Service, origin: &str) -> RequestContext {
    RequestContext { origin: Some(origin.to_owned()), ..service.context() }
}

fn declare(origins: &[&str]) -> ClientPatch {
    ClientPatch { cors_origins: Some(texts(origins)), ..ClientPatch::default() }
}

async fn declared(app: &App, id: &str, origins: &[&str]) {
    app.service.clients.update(&Admin::command(), id, &declare(origins), None).await.unwrap();
}

/// A call by a page, with gRPC-Web; the status of its answer as far as the headers have it.
async fn call(app: &App, path: &str, origin: &str, credentials: Option<&str>, message: &[u8]) -> Option<Status> {
    let calls = HttpRpcService::new(app.service.clone(), Arc::new(Metrics::default()), HttpRpc::All);
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    let mut request = Request::post(path).header("content-type", "application/grpc-web+proto").header("origin", origin);
    if let Some(credentials) = credentials {
        request = request.header("authorization", credentials);
    }
    let response = calls.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
}

fn reason(status: Option<Status>) -> String {
    let info = status.and_then(|status| status.get_details_error_info());
    info.map_or_else(|| "none".to_owned(), |info| info.reason)
}

/// Nothing is read, counted or written for a call that is refused, and what it would have used up is there afterwards.
async fn g16_no_method_is_called_by_a_page_that_its_client_has_not_declared(app: &App) {
    let bases = Bases::of(app, &served(app).await).await;
    for id in ["boss", "web", "app", "portal"] {
        declared(app, id, &[PAGE]).await;
    }
    app.service.clients.create(&Admin::command(), with_origins("other", &[OTHERS])).await.unwrap();
    let mut methods = 0;
    for (path, access) in ACCESS.iter().filter(|(path, _)| HttpRpc::All.offers(path)) {
        let (caller, good) = bases.request(path).await;
        let credentials = bases.credentials(caller);
        let call = async |origin: &str| call(app, path, origin, credentials.as_deref(), &good.encoded).await;
        for origin in [NOBODYS, OTHERS, "null", "https://app.example/", "HTTPS://APP.EXAMPLE"] {
            let before = app.service.store().statements();
            let refused = call(origin).await;
            if *access == Access::Anyone {
                assert!(refused.is_none(), "{path} {origin}: {refused:?}");
                continue;
            }
            assert_eq!(refused.as_ref().map(Status::code), Some(Code::PermissionDenied), "{path} {origin}");
            assert_eq!(reason(refused), "ORIGIN_NOT_ALLOWED", "{path} {origin}");
            assert_eq!(app.service.store().statements(), before, "{path} {origin}");
        }
        let answered = call(PAGE).await;
        assert_eq!(answered.as_ref().map(Status::code), good.answer, "{path}: {answered:?}");
        methods += 1;
    }
    assert!(methods > 45, "{methods}");
}

async fn g16_a_page_learns_no_more_of_clients_than_callers_without_an_origin(app: &App) {
    let worker = NewClientRequest {
        id: "worker".into(),
        audiences: vec![ISSUER.into()],
        roles: vec!["administrator".into()],
        ..NewClientRequest::default()
    };
    let right = app.confidential(worker).await;
    app.service.clients.create(&Admin::command(), with_origins("spa", &[PAGE])).await.unwrap();
    let basic = |id: &str, secret: &str| ClientCredentials::Basic {
        client_id: id.into(),
        secret: ClientSecret::new(secret.into()),
    };
    let callers = [
        ClientCredentials::None,
        basic("worker", "wrong"),
        basic("unknown", "wrong"),
        ClientCredentials::Bearer("nonsense".into()),
        right,
    ];
    let admit = async |ctx: &RequestContext, who: &ClientCredentials, access| {
        let admitted = app.service.callers.admit(ctx, who, access).await;
        admitted.map(|_| ()).map_err(|error| error.reason())
    };
    // Over HTTP or not, every row of the table is decided alike.
    for (path, access) in ACCESS.iter().filter(|(_, access)| *access != Access::Anyone) {
        for (n, who) in callers.iter().enumerate() {
            let before = app.service.store().statements();
            let by_nobody = admit(&by_page(&app.service, NOBODYS), who, *access).await;
            assert_eq!(by_nobody, Err(Reason::OriginNotAllowed), "{path} {n}: whoever it is");
            assert_eq!(app.service.store().statements(), before, "{path} {n}: nobody is looked up for it");
            // Of a client that has not declared the page, only who has its secret learns so.
            let usual = admit(&app.service.context(), who, *access).await;
            let is_known = n == 4 && usual.is_ok() && !matches!(access, Access::Client | Access::ClientOrUser);
            let want = if is_known { Err(Reason::OriginNotAllowed) } else { usual };
            assert_eq!(admit(&by_page(&app.service, PAGE), who, *access).await, want, "{path} {n}");
        }
    }
    // Anybody learns that a public client exists, who names it.
    for (client, want) in [
        ("spa", Reason::InvalidCredentials),
        ("app", Reason::OriginNotAllowed),
        ("worker", Reason::ClientAuthenticationFailed),
        ("unknown", Reason::ClientAuthenticationFailed),
    ] {
        let sign_in = async |ctx: &RequestContext| {
            let request = login_of(client, "ada", "wrong");
            let error = app.service.sign_ins.sign_in(ctx, &ClientCredentials::None, request).await.unwrap_err();
            error.reason()
        };
        assert_eq!(sign_in(&by_page(&app.service, PAGE)).await, want, "{client}");
    }
}

async fn a_change_of_origins_counts_at_once_and_in_every_process(app: &App) {
    let other = app.second_process().await;
    let admin = Admin::command();
    app.service.clients.create(&admin, with_origins("spa", &[PAGE])).await.unwrap();
    let known = async |origin: &str| {
        other.live.confirm().await.unwrap();
        let all = [&app.service, &other].map(|service| service.callers.origin_known(origin));
        assert_eq!(all[0], all[1], "{origin}");
        all[0]
    };
    assert!(known(PAGE).await && !known("https://app.example/").await && !known("null").await);
    declared(app, "app", &[PAGE, OTHERS]).await;
    declared(app, "spa", &[]).await;
    assert!(known(PAGE).await, "another client has it");
    app.service.clients.set_disabled(&admin, "app", true).await.unwrap();
    assert!(!known(PAGE).await, "a disabled client has no pages");
    app.service.clients.set_disabled(&admin, "app", false).await.unwrap();
    assert!(known(PAGE).await && known(OTHERS).await);
    declared(app, "app", &[OTHERS]).await;
    assert!(!known(PAGE).await);
    for (path, origin, allowed) in [
        ("/chancery.v1.AuthService/Login", OTHERS, true),
        ("/chancery.v1.AuthService/Login", PAGE, false),
        ("/chancery.v1.KeyService/GetJwks", PAGE, true),
        ("/chancery.v1.KeyService/GetJwks", "null", true),
        // A page of a known origin is told that there is no such method.
        ("/chancery.v1.KeyService/Unknown", OTHERS, true),
        ("/chancery.v1.KeyService/Unknown", PAGE, false),
    ] {
        assert_eq!(app.service.callers.allows_preflight(path, origin), allowed, "{path} {origin}");
    }
}

async fn a_stream_ends_when_its_page_is_not_declared_any_more(app: &App) {
    app.client("portal", &["api", ISSUER]).await;
    declared(app, "portal", &[PAGE]).await;
    app.user("root").await;
    app.service.users.set_role(&Admin::command(), "root", "administrator", true).await.unwrap();
    let mut login = login_of("portal", "root", PASSWORD);
    login.audience = ISSUER.into();
    let pair = sign_in(&app.service, login).await.unwrap();
    let who = ClientCredentials::Bearer(pair.access.token.expose().to_owned());
    let admit = async |permission| {
        let access = Access::Permission(permission, Act::Read);
        match app.service.callers.admit(&by_page(&app.service, PAGE), &who, access).await.unwrap() {
            Permit::Admin(admin) => admin,
            other => panic!("{other:?}"),
        }
    };
    let mut revocations = app.service.revocations.watch(&admit("revocations.read").await, "").await.unwrap();
    let audit = admit("audit.read").await;
    let mut events = app.service.audit.watch(&app.service.context(), &audit, AuditFilter::default());
    revocations.next().await.unwrap();
    declared(app, "portal", &[PAGE, OTHERS]).await;
    app.service.live.send_heartbeat();
    revocations.next().await.unwrap();
    events.next().await.unwrap();
    declared(app, "portal", &[OTHERS]).await;
    app.service.live.send_heartbeat();
    for ended in
        [end(async || revocations.next().await.map(|_| ())).await, end(async || events.next().await.map(|_| ())).await]
    {
        assert_eq!(ended.reason(), Reason::OriginNotAllowed, "{ended:?}");
    }
}

/// Reads a stream to its end.
async fn end(mut next: impl AsyncFnMut() -> Result<()>) -> Error {
    loop {
        if let Err(error) = next().await {
            return error;
        }
    }
}
