//! Callers who stop waiting while an attempt is counted, looked at or taken back, and attempts that are in flight in
//! another process.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use chancery::{
    domain::limit::{LimitKey, LimitKind},
    error::{Error, Reason, Result},
    service::{Admin, ClientCredentials, RequestContext, Service, TokenPair},
};

use crate::{
    accounts::{AccountsFixture, reason, reset_request},
    support::{PASSWORD, login_of, tokens},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p05_callers_who_go_away_get_no_more_mails_than_are_counted,
        p05_a_sign_in_whose_caller_goes_away_is_not_counted_at_the_account,
        p05_a_guess_in_flight_elsewhere_does_not_refuse_a_right_password_from_the_same_address,
        a45_others_cannot_close_the_way_of_a_user_to_an_address,
    }
}

/// How many times a call is polled before it is dropped, at most. Fewer see it to its end.
const POLLS: usize = 32;
const HOME: &str = "192.0.2.1";

fn from(service: &Service, peer: &str) -> RequestContext {
    RequestContext { peer: peer.into(), ..service.context() }
}

/// Polls a future this many times, each time when it was woken, and drops it.
async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

async fn failures(service: &Service, keys: &[LimitKey]) -> i64 {
    let tallies = service.store().read().await.unwrap().login_failures_of(keys).await.unwrap();
    tallies.into_iter().flatten().map(|t| t.failures).sum()
}

async fn until_not_counted(service: &Service, keys: &[LimitKey]) -> bool {
    let gone = async {
        while failures(service, keys).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.is_ok()
}

async fn p05_callers_who_go_away_get_no_more_mails_than_are_counted(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    fixture.send_mails().await;
    let service = fixture.service();
    for polls in 1..POLLS {
        let peer = from(service, &format!("198.51.{polls}.7"));
        for _ in 0..12 {
            let ask = service.accounts.request_password_reset(
                &peer,
                &ClientCredentials::None,
                reset_request("grace@example.com"),
            );
            drop_after(polls, ask).await;
            // What goes on behind the caller's back may.
            for _ in 0..20 {
                failures(service, &[]).await;
                tokio::task::yield_now().await;
                service.live.confirm().await.unwrap();
            }
        }
        // The rows, since only the newest mails are kept.
        let mails = fixture.app.empty.database.sql("DELETE FROM mails").await.unwrap();
        assert!(mails <= 5, "{mails} mails for a caller who goes away after {polls} polls");
    }
}

async fn p05_a_sign_in_whose_caller_goes_away_is_not_counted_at_the_account(fixture: &AccountsFixture) {
    let service = fixture.service();
    let keys = [service.limits.key(LimitKind::Account, "ada")];
    let peer = from(service, HOME);
    for polls in 1..POLLS {
        let sign_in = service.sign_ins.sign_in(&peer, &ClientCredentials::None, login_of("app", "ada", PASSWORD));
        if let Some(done) = drop_after(polls, sign_in).await {
            let fine = matches!(done, Ok(_) | Err(Error::Throttled { .. } | Error::SignInInProgress { .. }));
            assert!(fine, "{:?}", done.err());
        }
        assert!(until_not_counted(service, &keys).await, "counted after {polls} polls");
    }
    loop {
        let sign_in = service.sign_ins.sign_in(&peer, &ClientCredentials::None, login_of("app", "ada", PASSWORD));
        match tokens(sign_in.await) {
            // Those that were dropped last are still being hashed.
            Err(Error::Throttled { .. } | Error::SignInInProgress { .. }) => tokio::task::yield_now().await,
            done => break drop(done.unwrap()),
        }
    }
    assert!(until_not_counted(service, &keys).await);
}

type SignIn<'a> = Pin<Box<dyn Future<Output = Result<TokenPair>> + 'a>>;

/// Starts a guess, and leaves it when it has been admitted.
async fn guess_in_flight<'a>(service: &'a Service, login: &'static str) -> SignIn<'a> {
    let account = [service.limits.key(LimitKind::Account, login)];
    let mut guess: SignIn<'a> = Box::pin(async move {
        let request = login_of("app", login, "no password of anybody");
        tokens(service.sign_ins.sign_in(&from(service, HOME), &ClientCredentials::None, request).await)
    });
    while failures(service, &account).await == 0 {
        poll_fn(|cx| {
            assert!(guess.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }
    guess
}

async fn p05_a_guess_in_flight_elsewhere_does_not_refuse_a_right_password_from_the_same_address(
    fixture: &AccountsFixture,
) {
    let service = fixture.service();
    service.instance.set(&Admin::command(), "address_failures", "2").await.unwrap();
    let elsewhere = fixture.app.second_process().await;
    let peer = from(service, HOME);
    let right = || async {
        let request = login_of("app", "ada", PASSWORD);
        tokens(service.sign_ins.sign_in(&peer, &ClientCredentials::None, request).await)
    };
    let one = guess_in_flight(&elsewhere, "nobody1").await;
    let two = guess_in_flight(&elsewhere, "nobody2").await;
    right().await.unwrap();
    let here = guess_in_flight(service, "nobody3").await;
    right().await.unwrap();
    let also_here = guess_in_flight(service, "nobody4").await;
    assert_eq!(reason(right().await), Reason::Overloaded, "those in flight here decide about it");
    drop(also_here);
    assert_eq!(reason(here.await), Reason::InvalidCredentials);
    let address = [service.limits.keys_of_address(HOME)[0]];
    while failures(service, &address).await < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reason(right().await), Reason::TooManyAttempts, "the one whose caller went away counts as well");
    for guess in [one, two] {
        assert_eq!(reason(guess.await), Reason::InvalidCredentials);
    }
    assert_eq!(failures(service, &address).await, 4);
}

async fn a45_others_cannot_close_the_way_of_a_user_to_an_address(fixture: &AccountsFixture) {
    let users: Vec<String> = (0..6).map(|n| format!("user{n}@example.com")).collect();
    let mut sent = Vec::new();
    for user in &users {
        fixture.register_verified_user(user).await;
        let (bearer, _) = fixture.bearer(user, PASSWORD).await;
        let me = fixture.me(&bearer).await;
        let mut mails = 0;
        loop {
            let service = fixture.service();
            let patch = chancery::service::MePatch { email: Some("new@example.com".into()), ..Default::default() };
            match service.accounts.update(&service.context(), &me, patch).await {
                Ok(_) => mails += 1,
                Err(Error::TooManyAttempts { by, .. }) => break sent.push((mails, by)),
                Err(other) => panic!("{other:?}"),
            }
        }
        fixture.send_mails().await;
    }
    assert_eq!(sent[..4], [(5, "mail"); 4]);
    assert_eq!(sent[4..], [(1, "inbox"); 2], "everybody's first request is mailed");
}
