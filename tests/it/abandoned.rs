//! Sign-ins whose callers stop waiting: they do not count at the account, but at the address and its networks.

use std::{future::Future, pin::Pin, time::Duration};

use chancery::{
    domain::limit::{LimitKey, LimitKind},
    error::{Error, Reason, Result},
    passwords::{Account, Prefix},
    secret::DeviceToken,
    service::{Admin, ClientCredentials, RequestContext, Service, SignInRequest, TokenPair},
};

use crate::{
    accounts::reason,
    support::{App, PASSWORD, login_of, tokens},
};

on_each_engine! {
    #[tokio::test]
    App => {
        whoever_stops_waiting_again_and_again_is_counted_and_refused_at_the_address,
        an_attempt_that_is_given_up_while_its_password_is_checked_counts_at_the_address_and_not_at_the_account,
        an_attempt_whose_deadline_passes_counts_at_the_address,
        strangers_who_fill_the_line_of_an_account_do_not_keep_its_owner_in_another_network_out,
        a_known_device_that_stops_waiting_is_not_counted_at_the_address,
    }
}

const STRANGER: &str = "192.0.2.7";
const OWNER: &str = "198.51.100.1";

type SignIn<'a> = Pin<Box<dyn Future<Output = Result<TokenPair>> + 'a>>;

fn sign_in<'a>(service: &'a Service, peer: &'a str, request: SignInRequest) -> SignIn<'a> {
    Box::pin(async move {
        let ctx = RequestContext { peer: peer.into(), ..service.context() };
        tokens(service.sign_ins.sign_in(&ctx, &ClientCredentials::None, request).await)
    })
}

fn wrong() -> SignInRequest {
    login_of("app", "ada", "no password of anybody")
}

fn address(service: &Service) -> LimitKey {
    service.limits.keys_of_address(STRANGER)[0]
}

async fn failures(service: &Service, key: LimitKey) -> i64 {
    let tallies = service.store().read().await.unwrap().login_failures_of(&[key]).await.unwrap();
    tallies.into_iter().flatten().map(|t| t.failures).sum()
}

/// Waits until a key has this count.
async fn until_counted(service: &Service, key: LimitKey, count: i64) {
    let reached = async {
        while failures(service, key).await != count {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), reached).await.is_ok();
    assert!(in_time, "{} instead of {count}", failures(service, key).await);
}

async fn whoever_stops_waiting_again_and_again_is_counted_and_refused_at_the_address(app: &App) {
    let service = &app.service;
    service.instance.set(&Admin::command(), "address_failures", "3").await.unwrap();
    let held = service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    for count in 1..=3 {
        let mut gone = sign_in(service, STRANGER, wrong());
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        until_counted(service, address(service), count).await;
    }
    drop(held);
    assert_eq!(reason(sign_in(service, STRANGER, wrong()).await), Reason::TooManyAttempts);
    assert_eq!(failures(service, service.limits.key(LimitKind::Account, "ada")).await, 0);
    let network = service.limits.keys_of_address(STRANGER)[1];
    assert_eq!(failures(service, network).await, 3, "its network counts as well");
    assert!(sign_in(service, OWNER, login_of("app", "ada", PASSWORD)).await.is_ok());
}

async fn an_attempt_that_is_given_up_while_its_password_is_checked_counts_at_the_address_and_not_at_the_account(
    app: &App,
) {
    let service = &app.service;
    let account = service.limits.key(LimitKind::Account, "ada");
    let mut guess = sign_in(service, STRANGER, wrong());
    while failures(service, account).await == 0 {
        assert!(futures_util::poll!(&mut guess).is_pending());
        tokio::task::yield_now().await;
    }
    drop(guess);
    until_counted(service, address(service), 1).await;
    until_counted(service, account, 0).await;
}

async fn an_attempt_whose_deadline_passes_counts_at_the_address(app: &App) {
    let service = &app.service;
    let _held = service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    let deadline = Some(tokio::time::Instant::now() + Duration::from_millis(20));
    let ctx = RequestContext { peer: STRANGER.into(), deadline, ..service.context() };
    let late = service.sign_ins.sign_in(&ctx, &ClientCredentials::None, wrong()).await;
    assert!(matches!(late, Err(Error::DeadlineExceeded)), "{:?}", late.err());
    until_counted(service, address(service), 1).await;
}

async fn strangers_who_fill_the_line_of_an_account_do_not_keep_its_owner_in_another_network_out(app: &App) {
    let service = &app.service;
    let held = service.passwords.turn(Account::of("ada"), Prefix::of(STRANGER), None).await.unwrap();
    let mut strangers = Vec::new();
    for n in 0..4 {
        for _ in 0..4 {
            let from = Prefix::of(&format!("203.0.{n}.1"));
            let mut turn = Box::pin(service.passwords.turn(Account::of("ada"), from, None));
            assert!(futures_util::poll!(&mut turn).is_pending());
            strangers.push(turn);
        }
    }
    let mut owner = sign_in(service, OWNER, login_of("app", "ada", PASSWORD));
    assert!(futures_util::poll!(&mut owner).is_pending(), "waits");
    drop((held, strangers));
    assert!(owner.await.is_ok());
}

async fn a_known_device_that_stops_waiting_is_not_counted_at_the_address(app: &App) {
    let service = &app.service;
    let device = app.sign_in().await.device.unwrap();
    let with_device = || {
        let device_token = DeviceToken::new(device.expose().to_owned());
        SignInRequest { device_token, ..login_of("app", "ada", PASSWORD) }
    };
    let mut gone = sign_in(service, STRANGER, with_device());
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    assert!(sign_in(service, STRANGER, with_device()).await.is_ok());
    assert_eq!(failures(service, address(service)).await, 0);
}
