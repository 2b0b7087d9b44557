//! Use of a session keeps it alive, without a write for each request.

use chancery::{
    domain::session::{browser_idle_expiry, touch_interval},
    service::Admin,
    time::{Timestamp, Ttl},
};

use super::{Check, IDLE, InBrowser, session, session_with, shop};
use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        use_is_noted_at_most_once_in_an_interval_and_nobody_waits_for_it,
        a_check_with_idle_0_leaves_the_session_as_it_was,
        a_week_of_use_keeps_a_session_and_its_cookie_never_changes,
    }
}

/// When the row says that the session expires for want of use, once all that was queued is written.
async fn idle_expiry(app: &App, browser: &InBrowser) -> i64 {
    // What is queued later is written with it, or after it.
    let other = session(app).await;
    app.service.users.end_session(&Admin::command(), other.session.id.as_str()).await.unwrap();
    let mut tx = app.service.store().read().await.unwrap();
    tx.session_by_id(&browser.session.id).await.unwrap().unwrap().idle_expires_at.millis()
}

/// Waits until a use of the session is written. Nothing tells when that is, since nobody has to wait for it.
async fn until_written(app: &App, browser: &InBrowser, expected: Timestamp) {
    loop {
        let mut tx = app.service.store().read().await.unwrap();
        let session = tx.session_by_id(&browser.session.id).await.unwrap().unwrap();
        if session.idle_expires_at == expected {
            return;
        }
        drop(tx);
        tokio::task::yield_now().await;
    }
}

async fn use_is_noted_at_most_once_in_an_interval_and_nobody_waits_for_it(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let interval = touch_interval(IDLE);
    let first = browser.session.idle_expires_at.millis();
    assert_eq!(check.visit("", &browser).await.status, 200);
    assert_eq!(idle_expiry(app, &browser).await, first, "it was noted when it was opened");
    app.pass(interval).await;
    for _ in 0..5 {
        assert_eq!(check.visit("", &browser).await.status, 200);
    }
    assert_eq!(idle_expiry(app, &browser).await, first + interval.millis());
    app.pass(Ttl::from_secs(interval.seconds() - 1)).await;
    assert_eq!(check.visit("", &browser).await.status, 200);
    assert_eq!(idle_expiry(app, &browser).await, first + interval.millis());
}

async fn a_check_with_idle_0_leaves_the_session_as_it_was(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    app.pass(Ttl::from_days(3)).await;
    assert_eq!(check.visit("?idle=0", &browser).await.status, 200);
    assert_eq!(idle_expiry(app, &browser).await, browser.session.idle_expires_at.millis());
    // Nor does one that is refused.
    assert_eq!(check.visit("?permission=orders.read", &browser).await.status, 403);
    assert_eq!(check.visit("?max_age=1", &browser).await.status, 302);
    assert_eq!(idle_expiry(app, &browser).await, browser.session.idle_expires_at.millis());
}

async fn a_week_of_use_keeps_a_session_and_its_cookie_never_changes(app: &App) {
    shop(app).await;
    let hour = Ttl::from_secs(3600);
    let short = |session: &mut chancery::domain::session::Session| {
        session.idle_ttl = hour;
        session.idle_expires_at = browser_idle_expiry(session.created_at, hour);
    };
    let (browser, check) = (session_with(app, short).await, Check::of(&app.service));
    // 1 000 checks, one every ten minutes. Every answer is checked to set no cookie (oauth2-proxy#3078).
    for n in 0..1000 {
        app.pass(Ttl::from_secs(600)).await;
        assert_eq!(check.visit("", &browser).await.status, 200, "check {n}");
        until_written(app, &browser, browser_idle_expiry(app.service.now(), hour)).await;
    }
    // Never earlier than promised, and not much later.
    app.pass(Ttl::from_secs(3599)).await;
    assert_eq!(check.visit("?idle=0", &browser).await.status, 200);
    app.pass(touch_interval(hour).plus(Ttl::from_secs(1))).await;
    assert_eq!(check.visit("?idle=0", &browser).await.status, 302);
}
