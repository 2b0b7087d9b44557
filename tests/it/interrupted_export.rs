//! An export of the audit log that a signal interrupts leaves nothing behind.

use std::{fs, future::poll_fn, path::Path, task::Poll};

use chancery::{
    app::{ExportTo, export_audit},
    domain::audit::{Actor, AuditKind},
    service::Admin,
};
use serde_json::json;

use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        an_interrupted_export_leaves_no_part_of_a_file_and_says_so,
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn an_interrupted_export_leaves_no_part_of_a_file_and_says_so(app: &App) {
    let mut tx = app.service.store().write().await.unwrap();
    for n in 0..1100 {
        let now = app.service.live.now();
        tx.audit(now, AuditKind::UserUpdated, &Actor::named("app"), "somebody", json!({ "n": n })).await.unwrap();
    }
    tx.commit().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = ExportTo::File(dir.path().join("events.jsonl"));
    let export = || app.service.audit.export(&Admin::command(), None, None);
    // The signal arrives when a part has been written.
    let signal = poll_fn(|cx| {
        let written = || {
            let part = dir.path().join(names(dir.path()).first()?).join("events.jsonl");
            Some(fs::metadata(part).ok()?.len())
        };
        if written().is_some_and(|bytes| bytes > 0) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let interrupted = export_audit(export(), &to, |event| event.id.to_string(), signal).await.unwrap_err();
    assert!(interrupted.to_string().contains("interrupted by a signal"), "{interrupted}");
    assert_eq!(names(dir.path()), [""; 0]);
    let (done, _) = export_audit(export(), &to, |event| event.id.to_string(), std::future::pending()).await.unwrap();
    assert!(done.events >= 1100);
    assert_eq!(names(dir.path()), ["events.jsonl"]);
}
