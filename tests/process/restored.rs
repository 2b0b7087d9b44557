//! Databases that other tools have restored: `chancery restored` prepares them.

use std::{fs, path::Path};

use sqlx::{Connection, PgConnection};

use crate::{
    calls::{reason, refresh, start},
    place::{Place, postgres_url},
    refused::Refused,
    relay::Relay,
    server::{Server, command, run},
    watching::{REVOKED, log_out, sign_in, verifier, wait_for_verdict, watcher},
};

/// A copy of a database that no server has open: its files, or PostgreSQL's own.
async fn copied(place: &Place, to: &Path) -> Place {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(&place.dir).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let Some(url) = &place.database else { return Place::sqlite(to) };
    let new = Place::postgres(to).await;
    let name = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let (from, into) = (name(url), name(new.database.as_ref().unwrap()));
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    // A killed server's connections may last a moment longer.
    let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{from}'");
    let copy = [end, format!("DROP DATABASE {into}"), format!("CREATE DATABASE {into} TEMPLATE {from}")];
    for sql in copy {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    new
}

fn settle(place: &Place, flags: &[&str]) -> String {
    let out = run(command(&["restored"]).args(place.flags()).args(flags), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8([out.stdout, out.stderr].concat()).unwrap()
}

#[tokio::test]
async fn a_restored_database_has_a_new_epoch_and_new_lists_and_its_signed_out_sessions_live_again_unless_ended() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let mut server = start(&place);
        let secret = watcher(&server);
        let relay = Relay::to(&server.grpc).await;
        let (kept, out) = (sign_in(&server).await, sign_in(&server).await);
        server.kill();
        let named = |name: &str| dir.path().join(format!("{}-{name}", place.engine()));
        let backups = [copied(&place, &named("one")).await, copied(&place, &named("two")).await];
        let mut server = Server::on(&place, &["--issuer", &server.issuer]);
        relay.redirect_to(&server.grpc);
        let verifier = verifier(&server, &relay.address, &secret).await;
        let newest = refresh(server.channel().await, &kept.refresh_token, "before").await.unwrap();
        log_out(&server, &out).await.unwrap();
        wait_for_verdict(&verifier, &out.access_token, &REVOKED).await;
        server.kill();

        for (place, flags) in backups.iter().zip([&[][..], &["--end-sessions"]]) {
            let epoch = place.texts("SELECT epoch FROM feed").await;
            let says = settle(place, flags);
            let ended = !flags.is_empty();
            assert!(says.contains("is ready for servers"), "{says}");
            assert!(says.contains(if ended { "sessions ended: 2" } else { "alive again" }), "{says}");
            assert_ne!(place.texts("SELECT epoch FROM feed").await, epoch);
            assert_eq!(place.count("audit_events", "kind = 'DATABASE_RESTORED' AND actor = 'command'").await, 1);
            let mut server = Server::on(place, &[]);
            relay.redirect_to(&server.grpc);
            for token in [&newest.refresh_token, &out.refresh_token] {
                let answer = refresh(server.channel().await, token, "after").await;
                match answer {
                    Ok(_) => assert!(!ended),
                    Err(refused) => assert_eq!((ended, reason(&refused).as_deref()), (true, Some("SESSION_REVOKED"))),
                }
            }
            let want = if ended { REVOKED } else { Ok(()) };
            wait_for_verdict(&verifier, &newest.access_token, &want).await;
            sign_in(&server).await;
            let lists = place.texts("SELECT CAST(count(DISTINCT status_list) AS TEXT) FROM sessions").await;
            assert_eq!(lists, ["2"]);
            server.kill();
        }
    }
}

#[tokio::test]
async fn a_database_that_is_served_or_missing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let server = start(&place);
    for (line, says) in [
        ("restored --data-dir data", "a server runs on the database"),
        ("restored --data-dir none", "there is no database at none/chancery.db"),
    ] {
        Refused { line, says: &[says], ..Refused::default() }.check(dir.path()).await;
    }
    drop(server);
    settle(&place, &[]);
}
