//! Which clock a process uses.

use std::sync::Arc;

use chancery::time::{Clock, FixedClock, SystemClock, Timestamp, Ttl};

use crate::{
    database::with_postgres,
    support::{App, Empty, Opened},
};

const FAR_OFF: Timestamp = Timestamp::from_millis(4_000_000_000_000);

#[tokio::test]
async fn processes_on_sqlite_use_the_machines_clock() {
    let empty = Empty::sqlite().await;
    let service = App::open_by(&empty, Opened::default(), Arc::new(FixedClock::yielding(FAR_OFF))).await.unwrap();
    assert_eq!(service.now(), FAR_OFF);
}

#[tokio::test]
async fn processes_on_postgresql_use_the_databases_clock() {
    if !with_postgres() {
        return;
    }
    let empty = Empty::postgres().await;
    let clock = Arc::new(FixedClock::yielding(FAR_OFF));
    let service = App::open_by(&empty, Opened::default(), clock.clone()).await.unwrap();
    let off = SystemClock.now().since(service.now()).millis().abs();
    assert!(off < 60_000, "{off} ms from the database's clock");
    let made = service.live.snapshot().ring.stored[0].created_at;
    assert!(SystemClock.now().since(made).millis().abs() < 600_000, "the first keys were made at {made}");
    // Setting the machine's clock has no effect.
    let before = service.now();
    clock.set(Timestamp::from_millis(0));
    assert_eq!(service.now(), before);
    // The machine's elapsed time is used until the database reports a new time.
    clock.advance(Ttl::from_secs(3600));
    assert_eq!(service.now(), before.plus(Ttl::from_secs(3600)));
    service.live.confirm().await.unwrap();
    assert!(service.now() < before.plus(Ttl::from_secs(60)));
    empty.finish().await;
}
