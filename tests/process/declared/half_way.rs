//! What is left when a file is applied half-way.

use std::fs;

use super::{SECRET, apply};
use crate::{place::Place, server::Server};

/// Makes such changes of a table fail, as if the database were lost there.
async fn lose(place: &Place, change: &str, when: &str) {
    if place.engine() == "sqlite" {
        let fails = "BEGIN SELECT RAISE(ABORT, 'lost'); END";
        place.texts(&format!("CREATE TRIGGER lost BEFORE {change} WHEN {when} {fails}")).await;
    } else {
        let fails = "BEGIN RAISE EXCEPTION 'lost'; END";
        place.texts(&format!("CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ {fails} $$")).await;
        let each = format!("FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION lose()");
        place.texts(&format!("CREATE TRIGGER lost BEFORE {change} {each}")).await;
    }
}

#[tokio::test]
async fn a_prune_that_fails_half_way_changes_nothing_and_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let site = |id: &str| {
            let site = "site = \"https://shop.example/auth\"";
            format!(
                "[[client]]\nclient_id = \"{id}\"\npublic = true\nfirst_party = true\naudiences = [\"a\"]\n{site}\n"
            )
        };
        let (old, new) = (dir.path().join("old.toml"), dir.path().join("new.toml"));
        fs::write(&old, site("first")).unwrap();
        fs::write(&new, site("second")).unwrap();
        assert_eq!(apply(&place, &old, &[]).0, Some(0));
        lose(&place, "INSERT ON declared", "NEW.pruned_at IS NOT NULL").await;
        let (code, printed, said) = apply(&place, &new, &["--prune"]);
        assert_eq!(code, Some(1), "{printed}{said}");
        assert_eq!(place.count("clients", "id = 'first' AND disabled_at IS NULL AND site_key IS NOT NULL").await, 1);
        let on = if place.engine() == "sqlite" { "" } else { " ON declared" };
        place.texts(&format!("DROP TRIGGER lost{on}")).await;
        let (code, printed, said) = apply(&place, &new, &["--prune"]);
        assert_eq!(code, Some(0), "{printed}{said}");
        assert!(printed.contains("- client first: is disabled, and gives its site up"), "{printed}");
        assert_eq!(place.count("declared", "name = 'first' AND pruned_at IS NOT NULL").await, 1);
        assert_eq!(apply(&place, &new, &["--prune"]).1, "nothing differs\n");
        // Back with another site: both in one file.
        fs::write(&new, format!("{}{}", site("second"), site("first").replace("shop.", "other."))).unwrap();
        assert!(apply(&place, &new, &[]).1.contains("~ client first: disabled: true → false\n"));
        assert_eq!(place.count("declared", "name = 'first' AND pruned_at IS NULL").await, 1);
        drop(server);
    }
}

#[tokio::test]
async fn a_client_that_is_new_and_disabled_is_enabled_at_no_moment() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let file = dir.path().join("off.toml");
        fs::write(&file, "[[client]]\nclient_id = \"off\"\naudiences = [\"a\"]\ndisabled = true\n").unwrap();
        lose(&place, "UPDATE ON clients", "NEW.disabled_at IS NOT NULL").await;
        let (code, printed, said) = apply(&place, &file, &[]);
        assert_eq!(code, Some(1), "{printed}{said}");
        assert_eq!(place.count("clients", "id = 'off'").await, 0, "{}", place.engine());
        let on = if place.engine() == "sqlite" { "" } else { " ON clients" };
        place.texts(&format!("DROP TRIGGER lost{on}")).await;
        let (code, printed, said) = apply(&place, &file, &[]);
        assert!(code == Some(0) && printed.contains("+ client off: disabled: true\n"), "{printed}{said}");
        assert_eq!(place.count("clients", "id = 'off' AND disabled_at IS NOT NULL").await, 1);
        let events = place.texts("SELECT kind FROM audit_events WHERE subject = 'off' ORDER BY kind").await;
        assert_eq!(events, ["CLIENT_CREATED", "CLIENT_DISABLED"]);
        assert_eq!(apply(&place, &file, &[]).1, "nothing differs\n");
        drop(server);
    }
}

#[tokio::test]
async fn what_a_failed_application_made_is_pruned_by_a_file_without_it() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let (file, empty) = (dir.path().join("half.toml"), dir.path().join("empty.toml"));
        fs::write(&empty, "").unwrap();
        fs::write(dir.path().join("secret"), SECRET).unwrap();
        lose(&place, "INSERT ON users", "NEW.security_version = 1").await;
        let made = "[settings]\nsessions_per_user = 21\n[[role]]\nname = \"clerk\"\n\
            [[client]]\nclient_id = \"worker\"\nsecret_file = \"secret\"\n[[user]]\nname = \"eve\"\n";
        fs::write(&file, made).unwrap();
        let (code, printed, said) = apply(&place, &file, &[]);
        assert!(code == Some(1) && said.contains("user eve"), "{printed}{said}");
        let named = place.texts("SELECT kind || ' ' || name FROM declared ORDER BY 1").await;
        assert_eq!(named, ["client worker", "role clerk", "setting sessions_per_user"], "{}", place.engine());
        assert_eq!(place.count("declared_secrets", "client_id = 'worker'").await, 1);
        let (code, printed, said) = apply(&place, &empty, &["--prune"]);
        assert_eq!(code, Some(0), "{said}");
        for line in
            ["- client worker: is disabled", "- role clerk: is deleted", "~ setting sessions_per_user: 21 → 100"]
        {
            assert!(printed.contains(line), "{line}: {printed}");
        }
        drop(server);
    }
}
