//! Signing in.

use chancery::service::Admin;
use chancery::{
    error::{Error, Reason},
    secret::Password,
    store::SessionFilter,
    time::Ttl,
};

use crate::support::{PASSWORD, engines, login_of, sign_in, sign_in_at_last, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sign_in_in_flight_outlives_the_disabling_of_its_user() {
    for app in engines().await {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..24 {
            let service = app.service.clone();
            if n == 12 {
                tasks.spawn(async move { service.user_disable(&Admin::command(), "ada").await.map(|_| ()) });
            } else {
                tasks.spawn(async move { sign_in_at_last(&service, "ada").await.map(|_| ()) });
            }
        }
        for result in tasks.join_all().await {
            let fine =
                matches!(result, Ok(()) | Err(Error::Unauthenticated(Reason::InvalidCredentials) | Error::Conflict));
            // To a disabled user every password is wrong, and there are only so many of those.
            assert!(fine || matches!(result, Err(Error::TooManyAttempts { .. })), "{result:?}");
        }
        let user = app.service.user_find("ada").await.unwrap().user;
        assert!(user.disabled_at.is_some());
        let live = SessionFilter::Live(app.service.now());
        let left = app.service.store().read().await.unwrap().sessions_of_user(&user.id, live).await.unwrap();
        assert!(left.is_empty(), "{} sessions outlived their user on {}", left.len(), app.engine);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sign_in_in_flight_outlives_the_password_it_was_based_on() {
    for app in engines().await {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..24 {
            let service = app.service.clone();
            if n == 12 {
                let new = Password::new("another long pass phrase".into());
                tasks.spawn(async move { service.user_set_password(&Admin::command(), "ada", new).await.map(|_| ()) });
            } else {
                tasks.spawn(async move { sign_in_at_last(&service, "ada").await.map(|_| ()) });
            }
        }
        tasks.join_all().await;
        let user = app.service.user_find("ada").await.unwrap().user;
        let live = SessionFilter::Live(app.service.now());
        let left = app.service.store().read().await.unwrap().sessions_of_user(&user.id, live).await.unwrap();
        assert!(left.is_empty(), "{} sessions outlived their password on {}", left.len(), app.engine);
    }
}

#[tokio::test]
async fn with_too_many_sessions_the_oldest_ends() {
    for app in engines().await {
        app.service.setting_set("sessions_per_user", "2").await.unwrap();
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
}

#[tokio::test]
async fn p10_unknown_disabled_and_wrong_are_one_answer() {
    for app in engines().await {
        let wrong = app.try_sign_in("not the password at all").await.unwrap_err();
        let unknown = sign_in(&app.service, login_of("app", "nobody", PASSWORD)).await.unwrap_err();
        let nonsense = sign_in(&app.service, login_of("app", "no\u{202e}such", PASSWORD)).await.unwrap_err();
        app.service.user_disable(&Admin::command(), "ada").await.unwrap();
        let disabled = app.try_sign_in(PASSWORD).await.unwrap_err();
        for refused in [&wrong, &unknown, &nonsense, &disabled] {
            assert_eq!(refused.reason(), Reason::InvalidCredentials);
            assert_eq!(refused.to_string(), wrong.to_string());
        }
    }
}

#[tokio::test]
async fn a_password_counts_in_any_form_of_its_characters() {
    for app in engines().await {
        let composed = "p\u{e9}n\u{e9}lope weaves by night";
        app.service.user_set_password(&Admin::command(), "ada", Password::new(composed.into())).await.unwrap();
        assert!(app.try_sign_in("pe\u{301}ne\u{301}lope weaves by night").await.is_ok(), "{}", app.engine);
        assert!(app.try_sign_in("penelope weaves by night").await.is_err());
    }
}
