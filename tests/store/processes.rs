//! The servers that run on a database.

use chancery::{
    domain::process::Process,
    id::ProcessId,
    store::{BINARY_VERSION, Location},
    time::{Timestamp, Ttl},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::fixture::{Fixture, NOW};

fn process(f: &Fixture, started_at: Timestamp) -> Process {
    Process {
        id: ProcessId::new(started_at, &*f.entropy),
        version: "0.1.0".into(),
        binary_version: BINARY_VERSION,
        host: "Zoë's machine".into(),
        sealing_versions: vec![2, 1],
        started_at,
        seen_at: started_at,
    }
}

pub(crate) async fn a_process_is_stored_unchanged_seen_again_and_forgotten(f: &Fixture) {
    let later = NOW.plus(Ttl::from_secs(10));
    let (mut one, two) = (process(f, NOW), process(f, later));
    let mut tx = f.store.write().await.unwrap();
    for each in [&two, &one] {
        assert!(tx.process_seen(each, NOW).await.unwrap());
    }
    assert_eq!(tx.processes_since(NOW).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(tx.processes_since(later).await.unwrap(), std::slice::from_ref(&two));
    one.seen_at = later;
    one.sealing_versions = vec![2];
    assert!(tx.process_seen(&one, NOW).await.unwrap());
    assert_eq!(tx.processes_since(later).await.unwrap(), [one.clone(), two.clone()]);
    tx.process_forget(&two.id).await.unwrap();
    assert_eq!(tx.processes_forget(later).await.unwrap(), 0);
    assert_eq!(tx.processes_since(NOW).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(tx.processes_forget(later.plus(Ttl::from_millis(1))).await.unwrap(), 1);
    assert!(tx.processes_since(NOW).await.unwrap().is_empty());
}

pub(crate) async fn connections_of_older_binaries_are_counted_where_the_engine_can(f: &Fixture) {
    let older = async || f.store.read().await.unwrap().connections_of_older().await.unwrap();
    assert_eq!(older().await, 0);
    let Location::Postgres(url) = &f.database.location else { return };
    let options: PgConnectOptions = url.expose().parse().unwrap();
    let connection = PgConnection::connect_with(&options.application_name("chancery")).await.unwrap();
    assert_eq!(older().await, 1);
    connection.close().await.unwrap();
}

pub(crate) async fn no_more_processes_are_kept_than_a_deployment_can_have(f: &Fixture) {
    let mut tx = f.store.write().await.unwrap();
    let first = process(f, NOW);
    assert!(tx.process_seen(&first, NOW).await.unwrap());
    for others in 1..1005 {
        assert_eq!(tx.process_seen(&process(f, NOW), NOW).await.unwrap(), others < 1000, "{others}");
    }
    assert_eq!(tx.processes_since(NOW).await.unwrap().len(), 1000);
    // Those that are known go on.
    let later = NOW.plus(Ttl::from_secs(10));
    assert!(tx.process_seen(&Process { seen_at: later, ..first.clone() }, NOW).await.unwrap());
    assert_eq!(tx.processes_since(later).await.unwrap(), [Process { seen_at: later, ..first }]);
}

pub(crate) async fn processes_that_are_gone_make_room(f: &Fixture) {
    let later = NOW.plus(Ttl::from_secs(40));
    let since = NOW.plus(Ttl::from_secs(10));
    let mut tx = f.store.write().await.unwrap();
    let gone = process(f, NOW);
    for _ in 0..999 {
        assert!(tx.process_seen(&process(f, NOW), NOW).await.unwrap());
    }
    assert!(tx.process_seen(&gone, NOW).await.unwrap());
    let runs = process(f, later);
    assert!(tx.process_seen(&runs, since).await.unwrap());
    assert_eq!(tx.processes_since(NOW).await.unwrap(), std::slice::from_ref(&runs));
    // While there is room, they are kept for a while.
    assert!(tx.process_seen(&gone, since).await.unwrap());
    assert!(tx.process_seen(&process(f, later), since).await.unwrap());
    assert_eq!(tx.processes_since(NOW).await.unwrap().len(), 3);
}
