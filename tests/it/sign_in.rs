//! Sign-in.

use chancery::service::Admin;
use chancery::{
    error::{Error, Reason},
    secret::Password,
    store::SessionFilter,
    time::Ttl,
};

use crate::support::{App, PASSWORD, login_of, sign_in, sign_in_with_retries, token};

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        no_sign_in_in_flight_survives_disabling_the_user,
        no_sign_in_in_flight_survives_a_password_change,
    }
    #[tokio::test]
    App => {
        with_too_many_sessions_the_oldest_ends,
        p10_unknown_users_disabled_users_and_wrong_passwords_get_the_same_answer,
        a_password_matches_in_any_unicode_normalization_form,
    }
}

/// Runs many sign-ins of one user and changes that user as soon as the first sign-in has succeeded, while the others
/// are in flight. No session may survive the change.
async fn change_among_sign_ins(app: &App, change: impl AsyncFnOnce()) {
    let mut tasks = tokio::task::JoinSet::new();
    let (succeeded, mut first) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..24 {
        let (service, succeeded) = (app.service.clone(), succeeded.clone());
        tasks.spawn(async move {
            sign_in_with_retries(&service, "ada").await.map(|_| succeeded.send(()).unwrap_or_default())
        });
    }
    drop(succeeded);
    first.recv().await.expect("no sign-in succeeded");
    change().await;
    let mut signed_in = 0;
    for result in tasks.join_all().await {
        match result {
            Ok(()) => signed_in += 1,
            // The password is no longer valid, and wrong ones are limited.
            Err(
                Error::Unauthenticated(Reason::InvalidCredentials) | Error::Conflict | Error::TooManyAttempts { .. },
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    let all = tx.sessions_of_user(&user.id, SessionFilter::All).await.unwrap();
    assert_eq!(all.len(), signed_in, "each sign-in that succeeded opened a session");
    let live = tx.sessions_of_user(&user.id, SessionFilter::Live(app.service.now())).await.unwrap();
    assert!(live.is_empty(), "{} of {signed_in} sessions survived the change", live.len());
}

async fn no_sign_in_in_flight_survives_disabling_the_user(app: &App) {
    change_among_sign_ins(app, async || {
        app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    })
    .await;
    assert!(app.service.users.get(&Admin::command(), "ada").await.unwrap().user.disabled_at.is_some());
}

async fn no_sign_in_in_flight_survives_a_password_change(app: &App) {
    const NEW: &str = "another long pass phrase";
    change_among_sign_ins(app, async || {
        let new = Password::new(NEW.into());
        app.service.users.set_password(&Admin::command(), "ada", new).await.unwrap();
    })
    .await;
    app.pass(Ttl::from_days(2)).await;
    app.try_sign_in(NEW).await.unwrap();
    assert_eq!(app.try_sign_in(PASSWORD).await.unwrap_err().reason(), Reason::InvalidCredentials);
}

async fn with_too_many_sessions_the_oldest_ends(app: &App) {
    app.service.instance.set(&Admin::command(), "sessions_per_user", "2").await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(app.sign_in().await);
        app.clock.advance(Ttl::from_secs(1));
    }
    let oldest = app.refresh(&token(&pairs[0]), "").await.unwrap_err();
    assert!(matches!(oldest, Error::Ended { cause: "too_many_sessions" }), "{oldest:?}");
    assert!(app.refresh(&token(&pairs[1]), "").await.is_ok());
    assert!(app.refresh(&token(&pairs[2]), "").await.is_ok());
}

async fn p10_unknown_users_disabled_users_and_wrong_passwords_get_the_same_answer(app: &App) {
    let wrong = app.try_sign_in("not the password at all").await.unwrap_err();
    let unknown = sign_in(&app.service, login_of("app", "nobody", PASSWORD)).await.unwrap_err();
    let nonsense = sign_in(&app.service, login_of("app", "no\u{202e}such", PASSWORD)).await.unwrap_err();
    app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    let disabled = app.try_sign_in(PASSWORD).await.unwrap_err();
    for refused in [&wrong, &unknown, &nonsense, &disabled] {
        assert_eq!(refused.reason(), Reason::InvalidCredentials);
        assert_eq!(refused.to_string(), wrong.to_string());
    }
}

async fn a_password_matches_in_any_unicode_normalization_form(app: &App) {
    let composed = "p\u{e9}n\u{e9}lope weaves by night";
    app.service.users.set_password(&Admin::command(), "ada", Password::new(composed.into())).await.unwrap();
    assert!(app.try_sign_in("pe\u{301}ne\u{301}lope weaves by night").await.is_ok());
    assert!(app.try_sign_in("penelope weaves by night").await.is_err());
}
