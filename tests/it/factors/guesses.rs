//! Guesses at second factors are limited like guesses at passwords.

use chancery::{
    domain::limit::LimitKind,
    error::{Error, Reason},
    secret::Password,
    service::{Admin, ClientCredentials, SignedIn},
    time::Ttl,
};

use super::{Enrolled, challenge, challenged, enrolled, go_on, pair, with_code, with_recovery_code};
use crate::{
    accounts::{AccountsFixture, NEW, reason},
    support::{PASSWORD, login_of},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a46_a_challenge_takes_five_guesses_even_under_concurrency,
        a46_guesses_survive_a_new_sign_in_and_a_new_password,
        a46_a_million_codes_cannot_be_tried,
        recovery_codes_are_guessed_within_the_same_limits,
        wrong_passwords_of_the_login_that_was_typed_are_cleared_after_the_factor_and_not_before,
        wrong_passwords_are_not_cleared_by_a_step_up,
    }
}

async fn a46_a_challenge_takes_five_guesses_even_under_concurrency(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let first = challenge(f).await;
    for n in 0..5 {
        assert_eq!(reason(go_on(f, with_code(&first, &phone.wrong(f))).await), Reason::CodeInvalid, "{n}");
    }
    assert_eq!(reason(go_on(f, with_code(&first, &phone.code(f))).await), Reason::CodeInvalid, "no guess is left");
    assert!(pair(go_on(f, with_code(&challenge(f).await, &phone.code(f))).await).is_ok(), "but a sign-in is");
}

/// Guesses once, in a sign-in of its own. Returns how long to wait if that is refused, at whichever step.
async fn guess(f: &AccountsFixture, password: &str, code: &str) -> Option<(&'static str, bool, Ttl)> {
    let request = login_of("shop", "grace", password);
    let refused = |error| match error {
        Error::TooManyAttempts { by, closed, after } => Some((by, closed, after)),
        Error::Unauthenticated(Reason::CodeInvalid) => None,
        other => panic!("{other:?}"),
    };
    match f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await {
        Ok(SignedIn::Challenge(challenge)) => match go_on(f, with_code(&challenge, code)).await {
            Ok(_) => panic!("{code} was right"),
            Err(error) => refused(error),
        },
        Ok(SignedIn::Tokens(_)) => panic!("no second factor was asked for"),
        Err(error) => refused(error),
    }
}

async fn a46_guesses_survive_a_new_sign_in_and_a_new_password(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    for n in 0..6 {
        assert_eq!(guess(f, PASSWORD, &phone.wrong(f)).await, None, "{n}");
    }
    let (by, closed, after) = guess(f, PASSWORD, &phone.wrong(f)).await.unwrap();
    assert_eq!((by, closed), ("account", false));
    assert!(after >= Ttl::from_millis(1));
    // Whoever reads the user's mails can have a new password, but no more guesses.
    f.service().users.set_password(&Admin::command(), "grace", Password::new(NEW.into())).await.unwrap();
    let refused = guess(f, NEW, &phone.wrong(f)).await.unwrap();
    assert_eq!((refused.0, refused.1), ("factor", false));
    f.app.pass(Ttl::from_secs(900)).await;
    let right = challenged(f, "grace", NEW).await;
    pair(go_on(f, with_code(&right, &phone.code(f))).await).unwrap();
    let key = f.service().limits.key_of_login(LimitKind::Account, "grace");
    let tallies = f.service().store().read().await.unwrap().login_failures_of(&[key]).await.unwrap();
    assert_eq!(tallies, [None], "a success clears the counts");
}

async fn a46_a_million_codes_cannot_be_tried(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let mut guesses = 0;
    let closed = loop {
        match guess(f, PASSWORD, &phone.wrong(f)).await {
            None => guesses += 1,
            Some((by, true, after)) => break (by, after),
            Some((_, false, after)) => f.app.pass(after).await,
        }
        assert!(guesses <= 100, "{guesses}");
    };
    // A hundred of a million, and then none for months.
    assert_eq!(guesses, 100);
    assert!(closed.1 > Ttl::from_days(90), "{closed:?}");
    let kinds = f.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    assert!(kinds.iter().any(|(kind, _)| kind == "ACCOUNT_THROTTLED"));
}

async fn recovery_codes_are_guessed_within_the_same_limits(f: &AccountsFixture) {
    let Enrolled { codes, .. } = enrolled(f).await;
    let first = challenge(f).await;
    for n in 0..5 {
        let unknown = format!("00000-00000-00000-00000-0000{n}");
        assert_eq!(reason(go_on(f, with_recovery_code(&first, &unknown)).await), Reason::CodeInvalid, "{n}");
    }
    assert_eq!(reason(go_on(f, with_recovery_code(&first, &codes[0])).await), Reason::CodeInvalid);
    let key = f.service().limits.key_of_login(LimitKind::Account, "grace");
    let tallies = f.service().store().read().await.unwrap().login_failures_of(&[key]).await.unwrap();
    assert_eq!(tallies[0].unwrap().failures, 5);
}

/// How many wrong passwords are counted for a login.
async fn counted(f: &AccountsFixture, login: &str) -> i64 {
    let key = f.service().limits.key_of_login(LimitKind::Account, login);
    let tallies = f.service().store().read().await.unwrap().login_failures_of(&[key]).await.unwrap();
    tallies[0].map_or(0, |tally| tally.failures)
}

async fn mistype(f: &AccountsFixture, login: &str, times: usize) {
    for _ in 0..times {
        let request = login_of("shop", login, "not the right password");
        let refused = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await;
        assert_eq!(reason(refused), Reason::InvalidCredentials);
    }
}

async fn wrong_passwords_of_the_login_that_was_typed_are_cleared_after_the_factor_and_not_before(f: &AccountsFixture) {
    const ADDRESS: &str = "grace@example.com";
    let Enrolled { phone, .. } = enrolled(f).await;
    mistype(f, ADDRESS, 3).await;
    // Whoever has the password alone clears nothing.
    let second = challenged(f, ADDRESS, PASSWORD).await;
    assert_eq!(counted(f, ADDRESS).await, 3);
    assert_eq!(reason(go_on(f, with_code(&second, &phone.wrong(f))).await), Reason::CodeInvalid);
    assert_eq!(counted(f, ADDRESS).await, 3);
    pair(go_on(f, with_code(&second, &phone.code(f))).await).unwrap();
    assert_eq!((counted(f, ADDRESS).await, counted(f, "grace").await), (0, 0));
}

async fn wrong_passwords_are_not_cleared_by_a_step_up(f: &AccountsFixture) {
    const ADDRESS: &str = "grace@example.com";
    let Enrolled { phone, .. } = enrolled(f).await;
    let weak = pair(go_on(f, with_code(&challenge(f).await, &phone.code(f))).await).unwrap();
    f.app.pass(Ttl::from_secs(30)).await;
    mistype(f, ADDRESS, 3).await;
    let request = chancery::service::StepUpRequest {
        client_id: "shop".into(),
        refresh_token: chancery::secret::RefreshToken::new(crate::support::token(&weak)),
        acr: "2".into(),
        audience: String::new(),
        address: String::new(),
        user_agent: String::new(),
    };
    let step = f.service().sign_ins.start_step_up(&f.service().context(), &ClientCredentials::None, request).await;
    pair(go_on(f, with_code(&step.unwrap(), &phone.code(f))).await).unwrap();
    assert_eq!(counted(f, ADDRESS).await, 3, "no password was typed");
}
