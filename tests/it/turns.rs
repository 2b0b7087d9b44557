//! Parallel sign-ins at one account: they wait for each other, and one too many gets a reason of its own.

use std::future::Future;

use chancery::{
    error::{Reason, Result},
    grpc::pb::{LoginRequest, auth_service_client::AuthServiceClient},
    passwords::{Account, HashError, Prefix, Turn},
    secret::{DeviceToken, Password},
    service::{ClientCredentials, Service, SignInRequest, TokenPair},
};
use futures_util::future::join_all;
use tonic_types::StatusExt;

use crate::{
    accounts::{AccountsFixture, NEW, reason},
    support::{App, PASSWORD, login_of, sign_in, tokens},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        parallel_sign_ins_of_one_account_all_succeed,
        parallel_wrong_passwords_of_one_account_are_answered_one_after_the_other,
        one_sign_in_too_many_at_an_account_gets_a_reason_of_its_own_and_costs_no_statement,
        a_flood_of_sign_ins_at_an_account_does_not_keep_its_known_device_out,
        a_sign_in_that_stops_waiting_lets_the_next_one_have_its_turn,
    }
    #[tokio::test]
    AccountsFixture => {
        parallel_changes_of_one_password_wait_for_each_other,
    }
}

/// As many as may be present at an account.
const PRESENT: usize = 5;

/// A future that has its turn or waits for it, and has been polled once.
async fn present<'a>(
    service: &'a Service,
    account: &'a str,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Turn, HashError>> + 'a>> {
    let mut turn: std::pin::Pin<Box<dyn Future<Output = _>>> =
        Box::pin(service.passwords.turn(Account::of(account), Prefix::Unknown, None));
    assert!(futures_util::poll!(&mut turn).is_pending(), "somebody has the turn");
    turn
}

fn with_device(device: &DeviceToken) -> SignInRequest {
    SignInRequest { device_token: DeviceToken::new(device.expose().to_owned()), ..login_of("app", "ada", PASSWORD) }
}

async fn sign_in_with(service: &Service, request: SignInRequest) -> Result<TokenPair> {
    tokens(service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, request).await)
}

async fn parallel_sign_ins_of_one_account_all_succeed(app: &App) {
    let all = join_all((0..PRESENT).map(|_| app.try_sign_in(PASSWORD))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(app.service.passwords.figures().account_waiting, 0);
}

async fn parallel_wrong_passwords_of_one_account_are_answered_one_after_the_other(app: &App) {
    for login in ["ada", "nobody"] {
        let guess = |_| sign_in(&app.service, login_of("app", login, "no password of anybody"));
        let all: Vec<_> = join_all((0..PRESENT).map(guess)).await.into_iter().map(reason).collect();
        assert_eq!(all, [Reason::InvalidCredentials; PRESENT], "{login}");
    }
}

async fn one_sign_in_too_many_at_an_account_gets_a_reason_of_its_own_and_costs_no_statement(app: &App) {
    let service = &app.service;
    let _held = service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 1..PRESENT {
        waiting.push(present(service, "ada").await);
    }
    let before = service.store().statements();
    assert_eq!(reason(app.try_sign_in(PASSWORD).await), Reason::SignInInProgress);
    assert_eq!(service.store().statements(), before);
    let mut client = AuthServiceClient::new(served(app).await);
    let request = LoginRequest {
        client_id: "app".into(),
        login: "ADA".into(),
        password: PASSWORD.into(),
        ..LoginRequest::default()
    };
    let refused = client.login(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "SIGN_IN_IN_PROGRESS");
    let after = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(after >= std::time::Duration::from_millis(50), "{after:?}");
    assert_eq!(service.passwords.figures().account_waiting, 2);
}

async fn a_flood_of_sign_ins_at_an_account_does_not_keep_its_known_device_out(app: &App) {
    let device = app.sign_in().await.device.unwrap();
    let service = &app.service;
    let _held = service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 1..PRESENT {
        waiting.push(present(service, "ada").await);
    }
    assert_eq!(reason(app.try_sign_in(PASSWORD).await), Reason::SignInInProgress);
    let owner = join_all((0..PRESENT).map(|_| sign_in_with(service, with_device(&device)))).await;
    assert!(owner.iter().all(Result::is_ok), "{owner:?}");
}

async fn a_sign_in_that_stops_waiting_lets_the_next_one_have_its_turn(app: &App) {
    let service = &app.service;
    let held = service.passwords.turn(Account::of("ada"), Prefix::Unknown, None).await.unwrap();
    for _ in 0..3 * PRESENT {
        let mut gone = Box::pin(app.try_sign_in(PASSWORD));
        assert!(futures_util::poll!(&mut gone).is_pending());
    }
    drop(held);
    assert!(app.try_sign_in(PASSWORD).await.is_ok());
}

async fn parallel_changes_of_one_password_wait_for_each_other(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    let me = fixture.me(&bearer).await;
    let service = fixture.service();
    let change = |_| async {
        let (wrong, new) = (Password::new("wrong as can be".into()), Password::new(NEW.into()));
        reason(service.accounts.change_password(&service.context(), &me, wrong, new).await)
    };
    let all = join_all((0..PRESENT).map(change)).await;
    assert_eq!(all, [Reason::InvalidCredentials; PRESENT]);
}
