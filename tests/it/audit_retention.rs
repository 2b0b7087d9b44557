//! Audit events are kept for ever, or as long as a setting says. What was deleted is never passed over in silence.

use chancery::{
    domain::audit::{Actor, AuditEvent, AuditFilter, AuditKind},
    error::{Error, Reason},
    grpc::pb::{self, audit_service_client::AuditServiceClient},
    id::AuditEventId,
    service::{Admin, SweepProgress, SweepStep},
    time::{Timestamp, Ttl},
};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{admin::AdminClient, support::App, wire::served};

on_each_engine! {
    #[tokio::test]
    App => {
        audit_events_are_kept_for_ever_by_default,
        audit_events_older_than_the_setting_are_deleted_in_batches_and_an_event_says_up_to_when,
        a_clock_that_was_set_far_ahead_deletes_no_audit_events_on_the_first_day,
        two_processes_record_one_deletion_a_day,
        a_page_token_older_than_what_is_kept_gets_a_clear_answer,
        a_filter_for_a_time_before_what_is_kept_gets_a_clear_answer,
        watchers_of_audit_events_go_on_while_old_ones_are_deleted,
        an_export_reads_everything_oldest_first_and_notices_what_is_deleted_meanwhile,
        the_retention_is_a_setting_with_a_range,
    }
}

async fn set_retention(app: &App, days: &str) {
    app.service.instance.set(&Admin::command(), "audit_retention_days", days).await.unwrap();
}

/// Appends so many events.
async fn events(app: &App, count: usize) {
    let now = app.service.live.now();
    let mut tx = app.service.store().write().await.unwrap();
    for n in 0..count {
        let details = json!({ "n": n });
        tx.audit(now, AuditKind::UserUpdated, &Actor::named("app"), "somebody", details).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// One pass of the sweeper. Returns how many events each step deleted.
async fn sweep(service: &chancery::service::Service) -> Vec<u64> {
    let (mut progress, mut deleted) = (SweepProgress::default(), Vec::new());
    loop {
        let SweepStep { audit_deleted, pass_done, .. } = service.sweeper.step(&mut progress).await.unwrap();
        deleted.extend(Some(audit_deleted).filter(|n| *n > 0));
        if pass_done {
            return deleted;
        }
    }
}

async fn list(app: &App, filter: AuditFilter) -> Vec<AuditEvent> {
    app.service.audit.list(&Admin::command(), &filter, None, 10_000).await.unwrap()
}

async fn deletions(app: &App) -> Vec<AuditEvent> {
    list(app, AuditFilter { kind: Some(AuditKind::AuditEventsDeleted), ..AuditFilter::default() }).await
}

async fn audit_events_are_kept_for_ever_by_default(app: &App) {
    events(app, 3).await;
    let before = list(app, AuditFilter::default()).await.len();
    app.pass(Ttl::from_days(3650)).await;
    assert_eq!(sweep(&app.service).await, [0; 0]);
    assert_eq!(list(app, AuditFilter::default()).await.len(), before);
}

async fn audit_events_older_than_the_setting_are_deleted_in_batches_and_an_event_says_up_to_when(app: &App) {
    events(app, 1200).await;
    let old = list(app, AuditFilter::default()).await.len() as u64;
    app.pass(Ttl::from_days(29)).await;
    events(app, 5).await;
    set_retention(app, "30").await;
    assert_eq!(sweep(&app.service).await, [0; 0], "they are 29 days old");
    // 2030-01-01 is the first day; on 2030-02-01, it is 31 days old.
    app.pass(Ttl::from_days(2)).await;
    assert_eq!(sweep(&app.service).await, [500, 500, old - 1000], "at most so many in one transaction");
    let kept = list(app, AuditFilter::default()).await;
    let limit: Timestamp = "2030-01-02T00:00:00Z".parse().unwrap();
    assert!(kept.iter().all(|e| e.at >= limit), "{kept:?}");
    assert_eq!(kept.iter().filter(|e| e.subject == "somebody").count(), 5);
    let told = deletions(app).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].details, json!({ "before": limit.to_string(), "retention_days": 30 }));
    assert_eq!(told[0].actor, Actor::system());
    assert_eq!(sweep(&app.service).await, [0; 0]);
    // A longer time brings nothing back, and turning it off keeps what is left.
    set_retention(app, "0").await;
    app.pass(Ttl::from_days(365)).await;
    assert_eq!(sweep(&app.service).await, [0; 0]);
    assert_eq!(deletions(app).await.len(), 1);
}

async fn a_clock_that_was_set_far_ahead_deletes_no_audit_events_on_the_first_day(app: &App) {
    set_retention(app, "30").await;
    events(app, 3).await;
    let before = list(app, AuditFilter::default()).await.len();
    app.pass(Ttl::from_days(3650)).await;
    assert_eq!(sweep(&app.service).await, [0; 0]);
    // Those that are written meanwhile have the wrong time as well.
    events(app, 2).await;
    app.pass(Ttl::from_secs(23 * 3600)).await;
    assert_eq!(sweep(&app.service).await, [0; 0]);
    assert_eq!(list(app, AuditFilter::default()).await.len(), before + 2);
    // The clock was right after all.
    app.pass(Ttl::from_secs(2 * 3600)).await;
    assert_eq!(sweep(&app.service).await, [before as u64]);
}

async fn two_processes_record_one_deletion_a_day(app: &App) {
    set_retention(app, "1").await;
    let other = app.second_process().await;
    for day in 1..4 {
        events(app, 700).await;
        app.pass(Ttl::from_days(2)).await;
        other.live.confirm().await.unwrap();
        tokio::join!(sweep(&app.service), sweep(&other));
        sweep(&other).await;
        let told = deletions(app).await;
        // Each is old enough to be deleted when the next one is written.
        assert_eq!(told.len(), 1, "{day}: {told:?}");
    }
}

async fn a_page_token_older_than_what_is_kept_gets_a_clear_answer(app: &App) {
    let admin = AdminClient::of(app).await;
    let mut client = AuditServiceClient::new(served(app).await);
    events(app, 30).await;
    let page = |page_token: &str| pb::ListAuditEventsRequest {
        page_size: 10,
        page_token: page_token.to_owned(),
        filter: "subject = \"somebody\"".to_owned(),
    };
    let first = client.list_audit_events(admin.ask(page(""))).await.unwrap().into_inner();
    assert_eq!(first.events.len(), 10);
    let second = client.list_audit_events(admin.ask(page(&first.next_page_token))).await;
    assert!(second.is_ok());
    set_retention(app, "1").await;
    app.pass(Ttl::from_days(3)).await;
    sweep(&app.service).await;
    let refused = client.list_audit_events(admin.ask(page(&first.next_page_token))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let wrong = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(wrong[0].field, "page_token");
    assert!(wrong[0].description.contains("before 2030-01-03T00:00:00.000Z have been deleted"), "{wrong:?}");
    let anew = client.list_audit_events(admin.ask(page(""))).await.unwrap().into_inner();
    assert!(anew.events.is_empty() && anew.next_page_token.is_empty());
}

async fn a_filter_for_a_time_before_what_is_kept_gets_a_clear_answer(app: &App) {
    events(app, 3).await;
    set_retention(app, "1").await;
    app.pass(Ttl::from_days(3)).await;
    sweep(&app.service).await;
    let until = |text: &str| AuditFilter { until: Some(text.parse().unwrap()), ..AuditFilter::default() };
    let refused = app.service.audit.list(&Admin::command(), &until("2030-01-02T00:00:00Z"), None, 10).await;
    assert_eq!(refused.unwrap_err().reason(), Reason::InvalidArgument);
    let since = |text: &str| AuditFilter { since: Some(text.parse().unwrap()), ..AuditFilter::default() };
    let refused =
        app.service.audit.list(&Admin::command(), &since("2030-01-02T00:00:00Z"), None, 10).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "filter: the events before 2030-01-03T00:00:00.000Z have been deleted; ask for those since then"
    );
    let kept = app.service.audit.list(&Admin::command(), &since("2030-01-03T00:00:00Z"), None, 10).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let later = app.service.audit.list(&Admin::command(), &until("2030-01-04T00:00:00Z"), None, 10).await;
    assert!(later.unwrap().is_empty());
}

async fn watchers_of_audit_events_go_on_while_old_ones_are_deleted(app: &App) {
    set_retention(app, "1").await;
    events(app, 3).await;
    app.pass(Ttl::from_days(3)).await;
    let mut watcher = app.service.audit.watch(&app.service.context(), &Admin::command(), AuditFilter::default());
    sweep(&app.service).await;
    events(app, 2).await;
    let seen: Vec<AuditKind> = watcher.next().await.unwrap().into_iter().map(|e| e.kind).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.contains(&AuditKind::AuditEventsDeleted), "{seen:?}");
}

async fn an_export_reads_everything_oldest_first_and_notices_what_is_deleted_meanwhile(app: &App) {
    events(app, 1100).await;
    let admin = Admin::command();
    let mut whole = app.service.audit.export(&admin, None, None);
    let (mut ids, mut pages): (Vec<AuditEventId>, _) = (Vec::new(), 0);
    loop {
        let page = whole.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 500, "bounded memory");
        ids.extend(page.into_iter().map(|e| e.id));
        pages += 1;
    }
    assert!(ids.is_sorted() && pages >= 3);
    assert_eq!(ids.len(), list(app, AuditFilter::default()).await.len());
    assert_eq!(whole.incomplete_before(), None);

    let mut export = app.service.audit.export(&admin, None, None);
    assert_eq!(export.next().await.unwrap().len(), 500);
    set_retention(app, "1").await;
    app.pass(Ttl::from_days(3)).await;
    sweep(&app.service).await;
    let refused = export.next().await.unwrap_err();
    assert!(matches!(&refused, Error::Precondition(text) if text.contains("export them again")), "{refused:?}");
    let mut late = app.service.audit.export(&admin, None, None);
    assert!(late.next().await.unwrap().len() < 10);
    let kept_since: Timestamp = "2030-01-03T00:00:00Z".parse().unwrap();
    assert_eq!(late.incomplete_before(), Some(kept_since));
    let mut since = app.service.audit.export(&admin, Some(kept_since), None);
    since.next().await.unwrap();
    assert_eq!(since.incomplete_before(), None);
}

async fn the_retention_is_a_setting_with_a_range(app: &App) {
    for value in ["-1", "36501", "forever"] {
        let refused = app.service.instance.set(&Admin::command(), "audit_retention_days", value).await.unwrap_err();
        assert_eq!(refused.to_string(), "value: must be 0 to 36500", "{value}");
    }
    set_retention(app, "36500").await;
    events(app, 1).await;
    app.pass(Ttl::from_days(365)).await;
    assert_eq!(sweep(&app.service).await, [0; 0]);
}
