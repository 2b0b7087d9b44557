//! Keys that were given to a server by mistake.

use chancery::{
    error::Error,
    service::{Admin, Rotated},
    time::Clock,
};

use super::{NEW, OLD, fingerprint, with_both};
use crate::support::{App, Opened, PASSWORD, login_of, refresh, sign_in, token};

on_each_engine! {
    #[tokio::test]
    App => {
        a_key_that_was_given_by_mistake_is_forgotten_and_takes_up_no_number,
        a_process_never_takes_another_keys_number_for_the_one_that_it_holds,
        keys_for_which_no_number_is_left_are_refused_together_and_in_one_sentence,
    }
}

async fn a_key_that_was_given_by_mistake_is_forgotten_and_takes_up_no_number(app: &App) {
    let admin = Admin::command();
    let stray = App::open_with(&app.empty, Opened::default(), &[OLD, 9]).await.unwrap();
    stray.presence.say("stray-host").await.unwrap();
    let both = with_both(&app.empty).await;
    let numbers = async || -> Vec<i64> { both.sealing.list(&admin).await.unwrap().iter().map(|v| v.version).collect() };
    assert_eq!(numbers().await, [1, 2, 3]);
    let blocked = both.sealing.rotate(&admin).await.unwrap_err().to_string();
    assert!(blocked.contains("does not hold version 2") && blocked.contains("sealing-key drop 2"), "{blocked}");
    for refused in [both.sealing.drop_unneeded(&admin, 2).await, both.sealing.drop_now(&admin, 2).await] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("was never used") && refused.contains("stray-host"), "{refused}");
    }
    stray.presence.leave().await.unwrap();
    both.sealing.drop_unneeded(&admin, 2).await.unwrap();
    assert_eq!(numbers().await, [1, 3]);
    assert!(matches!(both.sealing.drop_unneeded(&admin, 2).await, Err(Error::NotFound(..))));
    for key in 10..14 {
        App::open_with(&app.empty, Opened::default(), &[OLD, key]).await.unwrap();
        assert_eq!(numbers().await, [1, 3, 4], "each time the same number");
        both.sealing.drop_now(&admin, 4).await.unwrap();
    }
    assert_eq!(both.sealing.rotate(&admin).await.unwrap(), Some(Rotated { from: 1, to: 3 }));
    assert!(
        refresh(&both, "app", &token(&sign_in(&both, login_of("app", "ada", PASSWORD)).await.unwrap()), "", &[], "")
            .await
            .is_ok()
    );
}

async fn a_process_never_takes_another_keys_number_for_the_one_that_it_holds(app: &App) {
    let admin = Admin::command();
    let stray = App::open_with(&app.empty, Opened::default(), &[OLD, 9]).await.unwrap();
    let before = sign_in(&stray, login_of("app", "ada", PASSWORD)).await.unwrap();
    // It has not said yet that it runs.
    app.service.sealing.drop_unneeded(&admin, 2).await.unwrap();
    let both = with_both(&app.empty).await;
    stray.presence.say("stray-host").await.unwrap();
    let lacking = both.sealing.rotate(&admin).await.unwrap_err().to_string();
    assert!(lacking.contains("version 2") && lacking.contains("stray-host"), "{lacking}");
    stray.presence.leave().await.unwrap();
    both.sealing.rotate(&admin).await.unwrap();
    assert!(stray.live.confirm().await.is_err());
    let lacks = stray.live.lacking_sealing_key().unwrap();
    assert_eq!((lacks.version, lacks.fingerprint.clone()), (2, fingerprint(NEW)));
    assert!(matches!(refresh(&stray, "app", &token(&before), "", &[], "").await, Err(Error::Unavailable(_))));
    assert!(refresh(&both, "app", &token(&before), "", &[], "").await.is_ok());
}

async fn keys_for_which_no_number_is_left_are_refused_together_and_in_one_sentence(app: &App) {
    let mut tx = app.service.store().write().await.unwrap();
    for version in 2..=254 {
        assert!(tx.sealing_key_add(version, &version.to_be_bytes(), app.clock.now()).await.unwrap());
    }
    tx.commit().await.unwrap();
    let refused = App::open_with(&app.empty, Opened::default(), &[OLD, NEW, 9]).await.unwrap_err();
    let causes = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    assert_eq!(said.join(": ").matches("no number is left").count(), 1, "{said:?}");
    assert!(said[0].contains(&fingerprint(9)), "{said:?}");
    let left = app.service.sealing.list(&Admin::command()).await.unwrap();
    assert_eq!(left.len(), 254, "the one for which there was a number is not registered either");
}
