//! Guests: sessions without an account, and how they become users, on both engines.

mod browser;
mod factors;
mod upgrade;

use std::collections::BTreeMap;

use chancery::{
    domain::guest::{GuestDataPolicy, GuestPolicies},
    error::{Error, Reason, Result},
    secret::RefreshToken,
    service::{
        Admin, ClientCredentials, ClientPatch, Device, GuestRequest, NewClientRequest, Service, SignedIn,
        SweepProgress, TokenPair, UpgradeRequest,
    },
    time::Ttl,
};

use crate::support::{
    App, ISSUER, PASSWORD, admit_me, claims, first_party, introspect, login_of, refresh, sign_in, token,
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_guest_has_a_session_like_a_user_but_nobody_is_signed_in,
        only_a_client_with_the_grant_has_guests,
        a_client_that_loses_the_grant_keeps_the_guests_it_has,
        a_raised_limit_holds_at_once_for_guests_who_were_counted_before,
        a_confidential_client_has_guests_too,
        a_guest_has_no_account_and_no_permission,
        a_guest_is_idle_for_a_day_at_most_and_is_deleted_afterwards,
        ten_thousand_guests_from_one_address_are_refused_before_anything_is_written,
        a_client_has_only_so_many_guests,
        no_guest_leaves_a_row_in_the_audit_log,
    }
}

/// A client with guests.
pub(crate) fn with_guests(id: &str) -> NewClientRequest {
    let grants = ["direct_login", "refresh_token", "guest"].map(str::to_owned).to_vec();
    NewClientRequest { grants, registration: true, ..first_party(id, &["api", ISSUER]) }
}

pub(crate) async fn shop(app: &App) {
    app.service.clients.create(&Admin::command(), with_guests("shop")).await.unwrap();
}

fn request(audience: &str) -> GuestRequest {
    let device = Device { label: "kiosk".into(), ..Device::default() };
    GuestRequest { client_id: "shop".into(), audience: audience.into(), scopes: Vec::new(), device }
}

pub(crate) async fn start_for(service: &Service, audience: &str) -> Result<TokenPair> {
    service.sign_ins.start_guest(&service.context(), &ClientCredentials::None, request(audience)).await
}

pub(crate) async fn start(service: &Service) -> TokenPair {
    start_for(service, "").await.unwrap()
}

/// From this address.
async fn start_from(service: &Service, address: &str) -> Result<TokenPair> {
    let ctx = chancery::service::RequestContext { peer: address.to_owned(), ..service.context() };
    service.sign_ins.start_guest(&ctx, &ClientCredentials::None, request("")).await
}

pub(crate) fn upgrade_of(guest: &str, login: &str, policies: &[(&str, GuestDataPolicy)]) -> UpgradeRequest {
    let of: BTreeMap<_, _> = policies.iter().map(|(namespace, policy)| ((*namespace).to_owned(), *policy)).collect();
    UpgradeRequest {
        sign_in: login_of("shop", login, PASSWORD),
        guest_token: RefreshToken::new(guest.into()),
        policies: GuestPolicies { of, default: GuestDataPolicy::default() },
    }
}

pub(crate) async fn upgrade(service: &Service, request: UpgradeRequest) -> Result<TokenPair> {
    match service.sign_ins.upgrade_guest(&service.context(), &ClientCredentials::None, request).await? {
        SignedIn::Tokens(pair) => Ok(pair),
        SignedIn::Challenge(challenge) => panic!("unexpected challenge: {challenge:?}"),
    }
}

pub(crate) fn reason<T: std::fmt::Debug>(result: &Result<T>) -> Reason {
    result.as_ref().expect_err("it is refused").reason()
}

async fn rows(app: &App, what: &str) -> i64 {
    app.empty.database.count(what).await
}

async fn a_guest_has_a_session_like_a_user_but_nobody_is_signed_in(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    let said = claims(guest.access.token.expose());
    assert_eq!((&said["acr"], said["sid"].as_str()), (&"0".into(), Some(&*guest.session_id)));
    let subject = said["sub"].as_str().unwrap().to_owned();
    assert!(subject.starts_with("usr_"), "{subject}");
    for empty in ["amr", "roles", "entitlements"] {
        assert!(said.get(empty).is_none_or(|list| list.as_array().unwrap().is_empty()), "{empty}: {said}");
    }
    let next = refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    let again = claims(next.access.token.expose());
    assert_eq!((&again["sub"], &again["sid"], &again["acr"]), (&said["sub"], &said["sid"], &said["acr"]));
    let api = app.confidential(NewClientRequest { serves: vec!["api".into()], ..confidential("api-server") }).await;
    let seen = introspect(&app.service, &api, next.access.token.expose()).await.unwrap().expect("it is active");
    assert!(seen.is_guest() && seen.subject == subject);
    // Each is somebody else.
    assert_ne!(claims(start(&app.service).await.access.token.expose())["sub"], subject);
    let credentials = ClientCredentials::None;
    let out = RefreshToken::new(token(&next));
    app.service.tokens.log_out(&app.service.context(), &credentials, "shop", &out).await.unwrap();
    let ended = refresh(&app.service, "shop", &token(&next), "", &[], "").await;
    assert_eq!(reason(&ended), Reason::SessionRevoked);
    assert!(introspect(&app.service, &api, next.access.token.expose()).await.unwrap().is_none());
}

fn confidential(id: &str) -> NewClientRequest {
    NewClientRequest { public: false, first_party: false, scopes: Vec::new(), ..first_party(id, &["api"]) }
}

async fn only_a_client_with_the_grant_has_guests(app: &App) {
    let plain = NewClientRequest { grants: Vec::new(), ..with_guests("shop") };
    app.service.clients.create(&Admin::command(), plain).await.unwrap();
    assert_eq!(reason(&start_for(&app.service, "").await), Reason::ClientNotAllowed);
    let grants = Some(["refresh_token", "guest"].map(str::to_owned).to_vec());
    let patch = ClientPatch { grants, ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    let guest = start(&app.service).await;
    // Whoever cannot sign users in cannot sign a guest in either.
    let refused = upgrade(&app.service, upgrade_of(&token(&guest), "ada", &[])).await;
    assert_eq!(reason(&refused), Reason::ClientNotAllowed);
}

async fn a_client_that_loses_the_grant_keeps_the_guests_it_has(app: &App) {
    shop(app).await;
    let (guest, registering) = (start(&app.service).await, start(&app.service).await);
    let grants = Some(["direct_login", "refresh_token"].map(str::to_owned).to_vec());
    let patch = ClientPatch { grants, ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    assert_eq!(reason(&start_for(&app.service, "").await), Reason::ClientNotAllowed);
    let next = refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    let user = upgrade(&app.service, upgrade_of(&token(&next), "ada", &[])).await.unwrap();
    assert_ne!(user.session_id, guest.session_id);
    let ended = refresh(&app.service, "shop", &token(&next), "", &[], "").await;
    assert_eq!(reason(&ended), Reason::SessionRevoked);
    // Who has not come back after a day has gone, as ever.
    app.pass(Ttl::from_days(1)).await;
    let expired = upgrade(&app.service, upgrade_of(&token(&registering), "ada", &[])).await;
    assert_eq!(reason(&expired), Reason::SessionExpired);
}

async fn a_raised_limit_holds_at_once_for_guests_who_were_counted_before(app: &App) {
    shop(app).await;
    for _ in 0..60 {
        start_from(&app.service, "192.0.2.7").await.unwrap();
    }
    assert!(start_from(&app.service, "192.0.2.7").await.is_err());
    app.service.instance.set(&Admin::command(), "address_guests", "61").await.unwrap();
    start_from(&app.service, "192.0.2.7").await.unwrap();
    assert!(start_from(&app.service, "192.0.2.7").await.is_err());
    // One a second: what has come before drains as fast.
    app.service.instance.set(&Admin::command(), "address_guests_per_hour", "3600").await.unwrap();
    app.pass(Ttl::from_secs(2)).await;
    for _ in 0..2 {
        start_from(&app.service, "192.0.2.7").await.unwrap();
    }
    assert!(start_from(&app.service, "192.0.2.7").await.is_err());
}

async fn a_confidential_client_has_guests_too(app: &App) {
    let credentials = app.confidential(NewClientRequest { public: false, ..with_guests("shop") }).await;
    let ctx = app.service.context();
    let unauthenticated = app.service.sign_ins.start_guest(&ctx, &ClientCredentials::None, request("")).await;
    assert_eq!(reason(&unauthenticated), Reason::ClientAuthenticationFailed);
    let guest = app.service.sign_ins.start_guest(&ctx, &credentials, request("")).await.unwrap();
    assert_eq!(claims(guest.access.token.expose())["acr"], "0");
}

async fn a_guest_has_no_account_and_no_permission(app: &App) {
    shop(app).await;
    let guest = start_for(&app.service, ISSUER).await.unwrap();
    let bearer = ClientCredentials::Bearer(guest.access.token.expose().to_owned());
    assert_eq!(reason(&admit_me(&app.service, &bearer).await), Reason::GuestNotAllowed);
    let (read, act) = (chancery::domain::permission::USERS_READ, chancery::service::Act::Read);
    let refused = crate::support::admit_admin(&app.service, &bearer, (read, act)).await;
    assert_eq!(reason(&refused), Reason::PermissionDenied);
    // A bearer token ends its own session.
    let out = RefreshToken::new(String::new());
    app.service.tokens.log_out(&app.service.context(), &bearer, "", &out).await.unwrap();
    assert_eq!(reason(&admit_me(&app.service, &bearer).await), Reason::TokenInvalid);
}

async fn a_guest_is_idle_for_a_day_at_most_and_is_deleted_afterwards(app: &App) {
    shop(app).await;
    let (gone, kept) = (start(&app.service).await, start(&app.service).await);
    app.pass(Ttl::from_secs(24 * 3600 - 1)).await;
    let kept = refresh(&app.service, "shop", &token(&kept), "", &[], "").await.unwrap();
    app.pass(Ttl::from_secs(1)).await;
    let expired = refresh(&app.service, "shop", &token(&gone), "", &[], "").await;
    assert_eq!(reason(&expired), Reason::SessionExpired);
    app.pass(Ttl::from_secs(2 * 3600)).await;
    let mut progress = SweepProgress::default();
    while !app.service.sweeper.step(&mut progress).await.unwrap().pass_done {}
    assert_eq!(rows(app, "sessions WHERE user_id IS NULL").await, 1);
    refresh(&app.service, "shop", &token(&kept), "", &[], "").await.unwrap();
}

async fn ten_thousand_guests_from_one_address_are_refused_before_anything_is_written(app: &App) {
    shop(app).await;
    let counters = rows(app, "login_failures").await;
    let mut started = 0;
    for _ in 0..10_000 {
        match start_from(&app.service, "192.0.2.7").await {
            Ok(_) => started += 1,
            Err(Error::TooManyAttempts { after, by: "guests_address", closed: false }) => assert!(after.millis() > 0),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(started, 60);
    assert_eq!(rows(app, "sessions WHERE user_id IS NULL").await, 60);
    assert_eq!(rows(app, "login_failures").await, counters, "guests are counted in memory");
    start_from(&app.service, "192.0.2.8").await.unwrap();
    app.pass(Ttl::from_secs(5)).await;
    start_from(&app.service, "192.0.2.7").await.unwrap();
    assert_eq!(app.service.sign_ins.guest_figures().started, 62);
}

async fn a_client_has_only_so_many_guests(app: &App) {
    shop(app).await;
    app.service.instance.set(&Admin::command(), "guests_per_client", "3").await.unwrap();
    for _ in 0..3 {
        start(&app.service).await;
    }
    let refused = start_for(&app.service, "").await;
    assert!(matches!(refused, Err(Error::TooManyAttempts { by: "guests", .. })), "{refused:?}");
    // Users have their own place.
    sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    assert_eq!(rows(app, "sessions WHERE user_id IS NULL").await, 3);
    app.service.instance.set(&Admin::command(), "guests_per_client", "4").await.unwrap();
    start(&app.service).await;
    assert!(start_for(&app.service, "").await.is_err());
}

async fn no_guest_leaves_a_row_in_the_audit_log(app: &App) {
    shop(app).await;
    let before = rows(app, "audit_events").await;
    let guest = start(&app.service).await;
    let next = refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    app.pass(Ttl::from_secs(60)).await;
    let reused = refresh(&app.service, "shop", &token(&guest), "", &[], "").await;
    assert_eq!(reason(&reused), Reason::RefreshTokenReused);
    assert_eq!(reason(&refresh(&app.service, "shop", &token(&next), "", &[], "").await), Reason::SessionRevoked);
    let another = start(&app.service).await;
    let out = RefreshToken::new(token(&another));
    app.service.tokens.log_out(&app.service.context(), &ClientCredentials::None, "shop", &out).await.unwrap();
    assert_eq!(rows(app, "audit_events").await, before);
}
