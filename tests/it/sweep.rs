//! Deletion of expired rows.

use chancery::{
    service::{Admin, SweepProgress, SweepStep},
    time::Ttl,
};

use crate::support::{App, token};

on_each_engine! {
    #[tokio::test]
    App => {
        expired_sessions_are_deleted_step_by_step_and_live_ones_stay,
    }
}

async fn sweep(app: &App) -> (u64, u64) {
    let (mut sweep, mut deleted, mut steps) = (SweepProgress::default(), 0, 0);
    loop {
        let SweepStep { deleted: some, pass_done: ended, .. } = app.service.sweeper.step(&mut sweep).await.unwrap();
        (deleted, steps) = (deleted + some, steps + 1);
        assert!(some <= 100, "{some} in one transaction");
        if ended {
            return (deleted, steps);
        }
    }
}

async fn expired_sessions_are_deleted_step_by_step_and_live_ones_stay(app: &App) {
    for _ in 0..230 {
        app.sign_in().await;
    }
    // More sessions than allowed at once: the oldest have ended.
    assert_eq!(app.service.users.sessions(&Admin::command(), "ada").await.unwrap().len(), 100);
    assert_eq!(sweep(app).await.0, 0);
    app.pass(Ttl::from_days(1)).await;
    let kept = app.sign_in().await;
    let (deleted, steps) = sweep(app).await;
    assert_eq!(deleted, 130);
    assert!(steps >= 2, "{steps}");
    app.pass(Ttl::from_days(6)).await;
    app.pass(Ttl::from_secs(7300)).await;
    assert_eq!(sweep(app).await.0, 100);
    let refused = app.refresh(&token(&kept), "").await;
    assert!(refused.is_ok(), "{refused:?}");
}
