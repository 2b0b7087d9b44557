//! Startup on databases in various states.

use crate::support::{App, Empty, ISSUER, Opened};

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    Empty => {
        four_replicas_starting_at_once_on_an_empty_database_agree,
    }
    #[tokio::test]
    Empty => {
        a_different_sealing_key_issuer_or_dev_flag_is_refused_by_name,
    }
}

async fn four_replicas_starting_at_once_on_an_empty_database_agree(empty: &Empty) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let empty = empty.clone();
        tasks.spawn(async move { App::open(&empty, Opened::default()).await });
    }
    let mut sets = std::collections::BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        sets.insert(done.unwrap().unwrap().live.snapshot().ring.jwks.clone());
    }
    assert_eq!(sets.len(), 1);
}

async fn a_different_sealing_key_issuer_or_dev_flag_is_refused_by_name(empty: &Empty) {
    App::open(empty, Opened::default()).await.unwrap();
    let refused = async |opened: Opened| App::open(empty, opened).await.map(|_| ()).unwrap_err().to_string();
    let key = refused(Opened { sealing: 8, ..Opened::default() }).await;
    assert!(key.contains("sealing key does not match") && key.contains("fingerprint"), "{key}");
    let issuer = refused(Opened { issuer: Some("https://other.example.com"), ..Opened::default() }).await;
    assert!(issuer.contains(ISSUER) && issuer.contains("chancery issuer set"), "{issuer}");
    let dev = refused(Opened { dev: true, ..Opened::default() }).await;
    assert!(dev.contains("--dev refuses"), "{dev}");
    // Without a configured issuer, the stored one is used.
    assert!(App::open(empty, Opened { issuer: None, ..Opened::default() }).await.is_ok());
}
