//! Claiming a database, and its settings.

use std::sync::Arc;

use chancery::{
    domain::settings::Settings,
    store::{Schema, Store},
    time::Ttl,
};

use crate::fixture::{Fixture, ISSUER, NOW, claim};

pub(crate) async fn one_of_many_concurrent_claims_wins(f: &Fixture) {
    // The database as it is before it is claimed.
    for table in ["instance", "feed", "sealing_keys"] {
        f.database.sql(&format!("DELETE FROM {table}")).await.unwrap();
    }
    assert!(f.store.read().await.unwrap().instance().await.unwrap().is_none());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store: Arc<Store> = Arc::new(if n % 2 == 0 { f.store.clone() } else { f.second().await });
        tasks.spawn(async move {
            let issuer = format!("https://{n}.example.com");
            let mut tx = store.write().await.unwrap();
            let won = tx.instance_claim(&claim(&issuer)).await.unwrap();
            tx.commit().await.unwrap();
            won.then_some(issuer)
        });
    }
    let winners: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let stored = f.store.read().await.unwrap().instance().await.unwrap().unwrap();
    assert_eq!((stored.issuer, stored.dev), (winners[0].clone(), false));
    assert!(f.store.read().await.unwrap().feed_head().await.unwrap().is_some());
}

pub(crate) async fn tables_of_another_program_are_told_where_ours_are_missing(f: &Fixture) {
    assert_eq!(f.store.foreign_tables().await.unwrap(), [""; 0]);
    // As a database is that never had our tables.
    f.database.sql("ALTER TABLE instance RENAME TO orders").await.unwrap();
    assert_eq!(f.store.schema().await.unwrap(), Schema::Missing);
    let some = f.store.foreign_tables().await.unwrap();
    assert_eq!(some.len(), 3, "{some:?}");
    f.database.sql("DELETE FROM _sqlx_migrations").await.unwrap();
    // SQLite is asked nothing: a file is refused when it is opened.
    let tried = f.store.try_setting_up().await;
    assert_eq!(tried.is_err(), f.database.engine == "postgres", "{tried:?}");
    assert!(some.iter().all(|name| !name.starts_with(['_'])), "{some:?}");
    f.database.sql("ALTER TABLE orders RENAME TO instance").await.unwrap();
}

pub(crate) async fn settings_and_issuer_are_replaced(f: &Fixture) {
    let settings = Settings {
        previous_ceiling: Some((Ttl::from_secs(60), NOW)),
        refresh_grace: Ttl::from_millis(1),
        ..Settings::default()
    };
    let mut tx = f.store.write().await.unwrap();
    tx.settings_set(&settings).await.unwrap();
    assert!(!tx.issuer_set("https://stranger.example.com", "https://new.example.com").await.unwrap());
    assert!(tx.issuer_set(ISSUER, "https://new.example.com").await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = f.store.read().await.unwrap();
    let stored = tx.instance().await.unwrap().unwrap();
    assert_eq!((stored.issuer.as_str(), stored.settings), ("https://new.example.com", settings));
    assert_eq!((stored.sealing_version, stored.min_binary), (1, 1));
}

pub(crate) async fn concurrent_changes_of_settings_are_not_lost(f: &Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let mut settings = tx.settings_hold().await.unwrap();
            settings.sessions_per_user += 1;
            tx.settings_set(&settings).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
    tasks.join_all().await;
    let settings = f.store.read().await.unwrap().instance().await.unwrap().unwrap().settings;
    assert_eq!(settings.sessions_per_user, Settings::default().sessions_per_user + 8);
}
