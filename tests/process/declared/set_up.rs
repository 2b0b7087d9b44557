//! Where a file is applied to a database that is not there yet, and where its name comes from.

use std::fs;

use super::{apply, write_example};
use crate::{
    calls::{PASSWORD, log_in_as},
    place::Place,
    refused::Refused,
    server::{Server, command, run},
};

#[tokio::test]
async fn the_command_sets_up_an_empty_database_as_a_server_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_example(dir.path());
    for place in Place::each(&dir).await {
        let key = dir.path().join(format!("{}.key", place.engine()));
        let on_postgres = place.database.is_some();
        let line = format!("apply {} {}", file.display(), place.flags().join(" "));
        if on_postgres {
            // All servers need the same key.
            let says = &["no sealing key at", "chancery sealing-key generate"];
            Refused { line: &line, says, ..Refused::default() }.check(dir.path()).await;
            assert!(!place.dir.exists());
            fs::write(&key, [9; 32]).unwrap();
        }
        let mut flags = vec!["--issuer", "http://127.0.0.1:8099"];
        if on_postgres {
            flags.extend(["--sealing-key-file", key.to_str().unwrap()]);
        }
        let dry = [flags.as_slice(), &["--dry-run"]].concat();
        let (code, listed, said) = apply(&place, &file, &dry);
        assert!(code == Some(2) && listed.contains("+ client shop\n") && !place.dir.exists(), "{listed}{said}");
        assert!(
            said.contains("is missing or empty: it would be set up for the issuer http://127.0.0.1:8099"),
            "{said}"
        );
        let (code, printed, said) = apply(&place, &file, &flags);
        assert!(code == Some(0) && printed.contains("+ client shop\n"), "{printed}{said}");
        let changes =
            |text: &str| text.lines().take_while(|l| !l.contains(" to add")).map(str::to_owned).collect::<Vec<_>>();
        assert!(changes(&listed).len() > 2);
        assert_eq!(changes(&listed), changes(&printed));
        assert!(said.contains("was empty, and is set up now for the issuer http://127.0.0.1:8099"), "{said}");
        let again = apply(&place, &file, &flags);
        assert_eq!((again.0, again.1.as_str()), (Some(0), "nothing differs\n"), "{}", again.2);
        assert!(!again.2.contains("set up"), "{}", again.2);
        let more = &flags[2..];
        let server = Server::on(&place, more);
        assert_eq!(server.issuer, "http://127.0.0.1:8099");
        log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.unwrap();
        assert_eq!(place.count("clients", "id = 'chancery-account'").await, 1);
        drop(server);
        // A database that is lost is not made anew.
        if !on_postgres {
            for name in ["chancery.db", "chancery.db-wal", "chancery.db-shm"] {
                let _ = fs::remove_file(place.dir.join(name));
            }
            let says = &["no database at", "sealing.key is the key of a database"];
            Refused { line: &line, says, ..Refused::default() }.check(dir.path()).await;
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_applied_sets_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    fs::write(&file, "[[client]]\nclient_id = \"shop\"\npublic = true\n").unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let (code, printed, said) = apply(&place, &file, &["--issuer", "http://127.0.0.1:8099"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("line 1: client shop: grants") && !said.contains("is set up"), "{said}");
    assert!(!place.dir.exists());
}

#[tokio::test]
async fn servers_and_commands_that_set_up_one_database_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_example(dir.path());
    let place = Place::sqlite(&dir.path().join("data"));
    let commands = (0..3).map(|_| {
        let (place, file) = (place.clone(), file.clone());
        tokio::task::spawn_blocking(move || apply(&place, &file, &["--issuer", "http://127.0.0.1:8099"]))
    });
    for command in commands.collect::<Vec<_>>() {
        let (code, printed, said) = command.await.unwrap();
        assert_eq!(code, Some(0), "{printed}{said}");
    }
    assert_eq!(place.count("clients", "id = 'shop'").await, 1);
    assert_eq!(place.count("users", "deleted_at IS NULL").await, 1);
    assert!(!place.dir.join("first-start").exists());
}

#[tokio::test]
async fn a_server_takes_the_file_from_its_variable_and_from_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_example(dir.path());
    let settings = dir.path().join("settings.toml");
    fs::write(&settings, format!("apply = {:?}\n", file.to_str().unwrap())).unwrap();
    let variable = [("CHANCERY_APPLY".to_owned(), file.display().to_string())];
    let config = ["--config", settings.to_str().unwrap()];
    for (name, variables, flags) in [("variable", &variable[..], &[][..]), ("settings", &[], &config[..])] {
        let place = Place::sqlite(&dir.path().join(name));
        let server = Server::with_variables(&place, variables, flags);
        log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.unwrap();
    }
    let variables = &[("CHANCERY_APPLY", "missing.toml")];
    let says = &["cannot read missing.toml: No such file"];
    for line in ["serve --data-dir none", "config check --data-dir none"] {
        Refused { line, variables, says, ..Refused::default() }.check(dir.path()).await;
    }
    // Commands have nothing to do with it.
    let out = run(command(&["user", "list", "--data-dir"]).arg(dir.path().join("variable")).envs([variables[0]]), b"");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
