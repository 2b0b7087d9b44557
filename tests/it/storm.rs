//! More concurrent sign-ins than can be hashed.

use chancery::{
    error::{Error, Reason},
    passwords::{Account, Applicant, Prefix, Slot},
    service::{Admin, NewClientRequest, RequestContext, Service, SignInRequest, TokenPair},
    time::Ttl,
};

use crate::support::{App, ISSUER, PASSWORD, PLACES, claims, first_party, login_from, login_of, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        p09_a_refused_sign_in_takes_no_statement_and_does_not_delay_refreshes,
        p09_a44_under_overload_queued_sign_ins_succeed_and_the_rest_get_a_retry_delay,
        p09_a_flood_from_one_network_does_not_lock_out_others,
        p09_the_queue_uses_the_address_that_a_trusted_client_reports,
        p09_an_account_has_one_queue_place_whether_or_not_it_exists,
        p09_a_password_can_be_set_while_the_queue_is_full,
    }
}

/// Takes a place in the queue and holds it.
fn hold_queue_place(service: &Service, login: &str, address: &str) -> Slot {
    let applicant =
        Applicant { account: Account::of(login), prefix: Prefix::of(address), known_device: false, deadline: None };
    service.passwords.admit(&applicant).unwrap()
}

pub(crate) fn take_all_places(service: &Service, address: &str) -> Vec<Slot> {
    (0..PLACES).map(|n| hold_queue_place(service, &format!("somebody{n}"), address)).collect()
}

fn refused(result: chancery::error::Result<TokenPair>) -> Ttl {
    match result {
        Err(Error::Throttled { after }) => after,
        other => panic!("{other:?}"),
    }
}

async fn sign_in_from(service: &Service, peer: &str, request: SignInRequest) -> chancery::error::Result<TokenPair> {
    let ctx = RequestContext { peer: peer.into(), ..service.context() };
    crate::support::tokens(service.sign_ins.sign_in(&ctx, &chancery::service::ClientCredentials::None, request).await)
}

async fn p09_a_refused_sign_in_takes_no_statement_and_does_not_delay_refreshes(app: &App) {
    let pair = app.sign_in().await;
    let places = take_all_places(&app.service, "");
    let before = app.service.store().statements();
    let mut retry_delays = Vec::new();
    for login in ["ada", "nobody", "no\u{202e}such"] {
        retry_delays.push(refused(sign_in(&app.service, login_of("app", login, PASSWORD)).await).millis());
    }
    assert!(retry_delays.iter().all(|ms| (50..=20_000).contains(ms)), "{retry_delays:?}");
    assert_eq!(app.service.store().statements(), before);
    assert!(app.refresh(&token(&pair), "").await.is_ok());
    drop(places);
    assert!(app.try_sign_in(PASSWORD).await.is_ok());
}

async fn p09_a44_under_overload_queued_sign_ins_succeed_and_the_rest_get_a_retry_delay(app: &App) {
    const USERS: usize = 48;
    for n in 0..USERS {
        app.user(&format!("user{n}")).await;
    }
    let mut newest = token(&app.sign_in().await);
    let mut storm = tokio::task::JoinSet::new();
    for n in 0..USERS {
        let service = app.service.clone();
        storm.spawn(async move { sign_in(&service, login_of("app", &format!("user{n}"), PASSWORD)).await });
    }
    for _ in 0..3 {
        newest = token(&app.refresh(&newest, "").await.unwrap());
    }
    let (mut signed_in, mut sent_away) = (0, 0);
    for answer in storm.join_all().await {
        match answer {
            Ok(pair) => {
                assert_eq!(claims(pair.access.token.expose())["iss"], ISSUER);
                signed_in += 1;
            }
            Err(error) => {
                assert_eq!(error.reason(), Reason::Overloaded, "{error:?}");
                sent_away += 1;
            }
        }
    }
    assert!(signed_in >= PLACES && sent_away > 0, "{signed_in} and {sent_away}");
    assert_eq!(signed_in + sent_away, USERS);
    let figures = app.service.passwords.figures();
    assert_eq!((figures.queue_full, figures.waiting), (sent_away as u64, 0));
}

async fn p09_a_flood_from_one_network_does_not_lock_out_others(app: &App) {
    let _places = take_all_places(&app.service, "192.0.2.1");
    refused(sign_in_from(&app.service, "192.0.2.1", login_of("app", "ada", PASSWORD)).await);
    let elsewhere = sign_in_from(&app.service, "198.51.100.1", login_of("app", "ada", PASSWORD)).await;
    assert!(elsewhere.is_ok(), "{elsewhere:?}");
    assert_eq!(app.service.passwords.figures().evicted, 1);
}

async fn p09_the_queue_uses_the_address_that_a_trusted_client_reports(app: &App) {
    let gateway = NewClientRequest { public: false, trusted_end_user: true, ..first_party("gateway", &["api"]) };
    let gateway = app.confidential(gateway).await;
    let service = &app.service;
    let _places = take_all_places(service, "192.0.2.1");
    let said = |client, address: &str| login_from(client, "ada", PASSWORD, address);
    let sign_in_through = async |peer: &str, address| {
        let ctx = RequestContext { peer: peer.into(), ..service.context() };
        crate::support::tokens(service.sign_ins.sign_in(&ctx, &gateway, said("gateway", address)).await)
    };
    refused(sign_in_from(service, "192.0.2.1", said("app", "198.51.100.1")).await);
    refused(sign_in_through("198.51.100.1", "192.0.2.1").await);
    // If no address is reported, the client's own address is used.
    refused(sign_in_through("192.0.2.1", "").await);
    assert!(sign_in_through("192.0.2.1", "198.51.100.1").await.is_ok());
}

async fn p09_an_account_has_one_queue_place_whether_or_not_it_exists(app: &App) {
    let _waiting =
        [hold_queue_place(&app.service, "ada", "192.0.2.1"), hold_queue_place(&app.service, "nobody", "192.0.2.1")];
    for login in ["ada", "ADA", "nobody", "Nobody"] {
        let elsewhere = sign_in_from(&app.service, "198.51.100.1", login_of("app", login, PASSWORD)).await;
        assert!(matches!(elsewhere, Err(Error::SignInInProgress { .. })), "{elsewhere:?}");
    }
    assert_eq!(app.service.passwords.figures().account_waiting, 4);
    app.user("grace").await;
    assert!(sign_in(&app.service, login_of("app", "grace", PASSWORD)).await.is_ok());
}

async fn p09_a_password_can_be_set_while_the_queue_is_full(app: &App) {
    let _places = take_all_places(&app.service, "");
    let new = chancery::secret::Password::new("another long pass phrase".into());
    app.service.users.set_password(&Admin::command(), "ada", new).await.unwrap();
}
