//! The revocation stream, on both engines.

use chancery::{
    domain::feed::ChangeKind,
    error::{Error, Reason},
    service::{Act, Admin, ClientCredentials, NewClientRequest, NoticeKind, Service, WatchMessage, Watcher},
    time::Ttl,
};

use crate::support::{App, ISSUER, admit_admin, client_token, token};

on_each_engine! {
    #[tokio::test]
    App => {
        a_watcher_gets_a_snapshot_then_changes_then_heartbeats,
        a_reconnecting_watcher_gets_what_it_missed_without_duplicates,
        an_outdated_cursor_gets_a_snapshot_and_an_invalid_one_is_refused,
        restoring_the_database_starts_a_new_history_and_retracts_no_revocation,
        a_server_that_may_have_missed_changes_sends_no_heartbeats,
        a_stream_ends_when_its_caller_loses_access,
        j29_key_watchers_get_a_new_set_at_once,
        watchers_learn_of_reuse_and_every_other_session_end,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        concurrent_commits_of_two_replicas_reach_both_completely_and_in_the_same_order,
    }
}

async fn watch_credentials(app: &App) -> ClientCredentials {
    app.confidential(NewClientRequest {
        id: "observer".into(),
        audiences: vec![ISSUER.into()],
        permissions: vec!["revocations.read".into()],
        ..NewClientRequest::default()
    })
    .await
}

async fn try_watch(service: &Service, who: &ClientCredentials, cursor: &str) -> chancery::error::Result<Watcher> {
    let admin = admit_admin(service, who, ("revocations.read", Act::Read)).await?;
    service.revocations.watch(&admin, cursor).await
}

async fn watch(service: &Service, who: &ClientCredentials, cursor: &str) -> Watcher {
    try_watch(service, who, cursor).await.unwrap()
}

/// A message as text, and its cursor.
fn describe(sent: &WatchMessage) -> (String, String) {
    match sent {
        WatchMessage::SnapshotPart(part) => {
            // What is encoded once is shared, so the text has all that the test needs.
            let wire = part.wire(|changes, cursor| {
                let mut ids: Vec<_> = changes.iter().map(|c| c.subject.as_str()).collect();
                ids.sort_unstable();
                format!("snapshot {}\n{}", ids.join(" "), cursor.map(ToString::to_string).unwrap_or_default()).into()
            });
            let (ids, cursor) = std::str::from_utf8(&wire).unwrap().split_once('\n').unwrap();
            (ids.to_owned(), cursor.to_owned())
        }
        WatchMessage::Notice(told) => {
            let text = match &told.kind {
                NoticeKind::Revocation(entry) => format!("{} {}", entry.change.kind.as_str(), entry.change.subject),
                other => format!("{other:?}").split('(').next().unwrap().to_owned(),
            };
            (text, told.cursor.to_string())
        }
    }
}

/// The next message that is not a heartbeat.
async fn next_change(watcher: &mut Watcher) -> (String, String) {
    loop {
        let (text, cursor) = next_message(watcher).await;
        if text != "Heartbeat" {
            return (text, cursor);
        }
    }
}

/// The next message, whatever it is.
async fn next_message(watcher: &mut Watcher) -> (String, String) {
    describe(&watcher.next().await.unwrap())
}

/// The error that ends the stream.
async fn end_of_stream(watcher: &mut Watcher) -> Error {
    loop {
        if let Err(error) = watcher.next().await {
            return error;
        }
    }
}

async fn a_watcher_gets_a_snapshot_then_changes_then_heartbeats(app: &App) {
    let who = watch_credentials(app).await;
    let (first, second) = (app.sign_in().await.session_id, app.sign_in().await.session_id);
    app.service.users.end_session(&Admin::command(), &first).await.unwrap();
    let mut watcher = watch(&app.service, &who, "").await;
    assert_eq!(next_change(&mut watcher).await.0, format!("snapshot {first}"));
    app.service.users.end_session(&Admin::command(), &second).await.unwrap();
    app.service.clients.set_disabled(&Admin::command(), "app", true).await.unwrap();
    app.service.clients.set_disabled(&Admin::command(), "app", false).await.unwrap();
    app.service.live.send_heartbeat();
    assert_eq!(next_change(&mut watcher).await.0, format!("session_revoked {second}"));
    assert_eq!(next_change(&mut watcher).await.0, "client_disabled app");
    let (text, enabled) = next_change(&mut watcher).await;
    assert_eq!(text, "client_enabled app");
    assert_eq!(next_message(&mut watcher).await, ("Heartbeat".to_owned(), enabled));
}

async fn a_reconnecting_watcher_gets_what_it_missed_without_duplicates(app: &App) {
    let who = watch_credentials(app).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(app.sign_in().await.session_id);
    }
    app.service.users.end_session(&Admin::command(), &ids[0]).await.unwrap();
    let cursor = next_change(&mut watch(&app.service, &who, "").await).await.1;
    app.service.users.end_session(&Admin::command(), &ids[1]).await.unwrap();
    // Changes of other kinds have sequence numbers too.
    app.client("later", &["api"]).await;
    app.service.users.end_session(&Admin::command(), &ids[2]).await.unwrap();
    // As after a restart, or at another replica.
    let other = app.second_process().await;
    for service in [&app.service, &other] {
        let mut watcher = watch(service, &who, &cursor).await;
        assert_eq!(next_change(&mut watcher).await.0, format!("session_revoked {}", ids[1]));
        let (text, newest) = next_change(&mut watcher).await;
        assert_eq!(text, format!("session_revoked {}", ids[2]));
        // Nothing is missing after the newest cursor.
        let mut again = watch(service, &who, &newest).await;
        service.live.send_heartbeat();
        assert_eq!(next_message(&mut again).await, ("Heartbeat".to_owned(), newest));
    }
    let mut elsewhere = watch(&other, &who, &cursor).await;
    app.service.users.end_session(&Admin::command(), &ids[3]).await.unwrap();
    other.live.confirm().await.unwrap();
    for want in &ids[1..] {
        assert_eq!(next_change(&mut elsewhere).await.0, format!("session_revoked {want}"));
    }
}

async fn an_outdated_cursor_gets_a_snapshot_and_an_invalid_one_is_refused(app: &App) {
    let who = watch_credentials(app).await;
    let id = app.sign_in().await.session_id;
    app.service.users.end_session(&Admin::command(), &id).await.unwrap();
    let cursor = next_change(&mut watch(&app.service, &who, "").await).await.1;
    let (epoch, rest) = cursor.split_once('.').unwrap();
    let (seq, tag) = rest.split_once('.').unwrap();
    for foreign in [format!("00ff.{seq}.{tag}"), format!("{epoch}.{seq}.00ff"), format!("{epoch}.999.{tag}")] {
        let mut watcher = watch(&app.service, &who, &foreign).await;
        assert_eq!(next_change(&mut watcher).await, (format!("snapshot {id}"), cursor.clone()), "{foreign}");
    }
    for nonsense in ["x", "a.b.c", "a.1", "a.1.b.c", "é.1.a"] {
        let refused = try_watch(&app.service, &who, nonsense).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(wrong) if wrong[0].field == "cursor"), "{nonsense}: {refused:?}");
    }
}

async fn restoring_the_database_starts_a_new_history_and_retracts_no_revocation(app: &App) {
    let who = watch_credentials(app).await;
    let (kept, lost) = (app.sign_in().await.session_id, app.sign_in().await.session_id);
    app.service.users.end_session(&Admin::command(), &kept).await.unwrap();
    let mut watcher = watch(&app.service, &who, "").await;
    let (_, before) = next_change(&mut watcher).await;
    app.service.users.end_session(&Admin::command(), &lost).await.unwrap();
    assert_eq!(next_change(&mut watcher).await.0, format!("session_revoked {lost}"));
    app.set_feed_back().await;
    app.sql("UPDATE sessions SET revoked_at = NULL, revoked_cause = NULL").await;
    app.service.live.confirm().await.unwrap();
    // A snapshot only adds: the watcher keeps revocations that the database has lost.
    let (text, cursor) = next_change(&mut watcher).await;
    assert_eq!(text, format!("snapshot {kept}"));
    assert_ne!(cursor.split('.').next(), before.split('.').next(), "the history has a new name");
    // A cursor of the old history gets a snapshot, even if the new sequence numbers have passed it.
    let third = app.sign_in().await.session_id;
    app.service.users.end_session(&Admin::command(), &third).await.unwrap();
    let mut late = watch(&app.service, &who, &before).await;
    assert!(next_change(&mut late).await.0.starts_with("snapshot"));
    assert_eq!(next_change(&mut watcher).await.0, format!("session_revoked {third}"));
}

async fn a_server_that_may_have_missed_changes_sends_no_heartbeats(app: &App) {
    let who = watch_credentials(app).await;
    let mut watcher = watch(&app.service, &who, "").await;
    next_change(&mut watcher).await;
    app.clock.advance(Ttl::from_millis(1_001));
    app.service.live.send_heartbeat();
    app.service.live.confirm().await.unwrap();
    app.service.live.send_heartbeat();
    // The first heartbeat was not sent.
    assert_eq!(next_message(&mut watcher).await.0, "Heartbeat");
    app.clock.advance(Ttl::from_millis(3_001));
    app.service.live.send_heartbeat();
    assert_eq!(end_of_stream(&mut watcher).await.reason(), Reason::Unavailable);
}

#[tokio::test]
async fn a_slow_watcher_is_disconnected_and_can_resume() {
    let app = App::sqlite().await;
    let who = watch_credentials(&app).await;
    let id = app.sign_in().await.session_id;
    let mut slow = watch(&app.service, &who, "").await;
    let cursor = next_change(&mut slow).await.1;
    app.service.users.end_session(&Admin::command(), &id).await.unwrap();
    for _ in 0..5000 {
        app.service.live.send_heartbeat();
    }
    assert!(matches!(end_of_stream(&mut slow).await, Error::TooSlow));
    let mut again = watch(&app.service, &who, &cursor).await;
    assert_eq!(next_change(&mut again).await.0, format!("session_revoked {id}"));
}

async fn a_stream_ends_when_its_caller_loses_access(app: &App) {
    let who = watch_credentials(app).await;
    let bearer = async || {
        let request = chancery::service::ClientTokenRequest { scopes: vec![], audience: ISSUER.into() };
        let issued = client_token(&app.service, &who, &request).await.unwrap();
        ClientCredentials::Bearer(issued.token.expose().to_owned())
    };
    let mut by_token = watch(&app.service, &bearer().await, "").await;
    let mut by_secret = watch(&app.service, &who, "").await;
    next_change(&mut by_token).await;
    next_change(&mut by_secret).await;
    app.pass(Ttl::from_secs(299)).await;
    app.service.live.send_heartbeat();
    assert_eq!(next_message(&mut by_token).await.0, "Heartbeat");
    app.pass(Ttl::from_secs(1)).await;
    app.service.live.send_heartbeat();
    assert_eq!(end_of_stream(&mut by_token).await.reason(), Reason::TokenInvalid);
    assert_eq!(next_message(&mut by_secret).await.0, "Heartbeat");
    assert_eq!(next_message(&mut by_secret).await.0, "Heartbeat");
    let mut by_token = watch(&app.service, &bearer().await, "").await;
    next_change(&mut by_token).await;
    app.service.clients.set_disabled(&Admin::command(), "observer", true).await.unwrap();
    assert_eq!(end_of_stream(&mut by_secret).await.reason(), Reason::ClientAuthenticationFailed);
    assert_eq!(end_of_stream(&mut by_token).await.reason(), Reason::TokenInvalid);
    assert!(try_watch(&app.service, &who, "").await.is_err());
}

#[tokio::test]
async fn watching_requires_the_permission() {
    let app = App::sqlite().await;
    let plain = NewClientRequest { id: "plain".into(), audiences: vec![ISSUER.into()], ..NewClientRequest::default() };
    let plain = app.confidential(plain).await;
    let refuse = async |who: &ClientCredentials| try_watch(&app.service, who, "").await.unwrap_err();
    assert!(matches!(refuse(&plain).await, Error::Lacks("revocations.read")));
    let pair = app.sign_in().await;
    let elsewhere = ClientCredentials::Bearer(pair.access.token.expose().to_owned());
    assert_eq!(refuse(&elsewhere).await.reason(), Reason::TokenInvalid);
    assert_eq!(refuse(&ClientCredentials::None).await.reason(), Reason::TokenInvalid);
}

async fn concurrent_commits_of_two_replicas_reach_both_completely_and_in_the_same_order(app: &App) {
    let who = watch_credentials(app).await;
    let other = app.second_process().await;
    let mut watchers = [watch(&app.service, &who, "").await, watch(&other, &who, "").await];
    for watcher in &mut watchers {
        next_change(watcher).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for n in 0..20 {
        let id = app.sign_in().await.session_id;
        ids.insert(format!("session_revoked {id}"));
        let service = if n % 2 == 0 { app.service.clone() } else { other.clone() };
        tasks.spawn(async move { service.users.end_session(&Admin::command(), &id).await.unwrap() });
    }
    tasks.join_all().await;
    app.service.live.confirm().await.unwrap();
    other.live.confirm().await.unwrap();
    let mut seen = Vec::new();
    for watcher in &mut watchers {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(next_change(watcher).await);
        }
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].iter().map(|(text, _)| text.clone()).collect::<std::collections::BTreeSet<_>>(), ids);
}

async fn j29_key_watchers_get_a_new_set_at_once(app: &App) {
    let mut watcher = app.service.signing_keys.watch().await.unwrap();
    let first = watcher.next().await.unwrap();
    let gone = first.stored[0].kid.clone();
    app.service.signing_keys.revoke(&Admin::command(), &gone).await.unwrap();
    let second = watcher.next().await.unwrap();
    assert!(first.jwks.contains(&gone) && !second.jwks.contains(&gone));
}

async fn watchers_learn_of_reuse_and_every_other_session_end(app: &App) {
    let who = watch_credentials(app).await;
    let mut watcher = watch(&app.service, &who, "").await;
    next_change(&mut watcher).await;
    let victim = app.sign_in().await;
    let mut newest = token(&victim);
    for _ in 0..3 {
        newest = token(&app.refresh(&newest, "").await.unwrap());
    }
    app.refresh(&token(&victim), "").await.unwrap_err();
    assert_eq!(next_change(&mut watcher).await.0, format!("session_revoked {}", victim.session_id));
    let [one, two] = [app.sign_in().await.session_id, app.sign_in().await.session_id];
    app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    let mut changes = [next_change(&mut watcher).await.0, next_change(&mut watcher).await.0];
    changes.sort();
    let mut want = [one, two].map(|id| format!("{} {id}", ChangeKind::SessionRevoked.as_str()));
    want.sort();
    assert_eq!(changes, want);
}
