//! Imports hashes as PHP and argon2-cffi make them by default: 64 MiB each.

use std::{fs, sync::Arc};

use chancery::{
    entropy::OsEntropy,
    passwords::{Params, Passwords, PoolConfig},
    secret::Password,
};
use serde_json::{Value, json};

use crate::{
    calls::{PASSWORD, log_in, reason, start},
    place::Place,
    server::{command, run},
};

/// A hash of [`PASSWORD`] with the memory and the lanes of argon2-cffi.
async fn costly_hash() -> String {
    let params = Params { memory_kib: 65_536, iterations: 3, lanes: 4 };
    let config = PoolConfig { params, threads: 1, queue: 1, memory_kib: 65_536 };
    let passwords = Passwords::start(config, Arc::new(OsEntropy)).unwrap();
    passwords.hash(Password::new(PASSWORD.into())).await.unwrap().as_str().to_owned()
}

#[tokio::test]
async fn hashes_of_64_mib_are_refused_with_what_to_set_or_imported_with_what_they_cost() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let server = start(&place);
    let file = dir.path().join("users.jsonl");
    let user = json!({ "subject": "old-1", "name": "lovelace", "password_hash": costly_hash().await });
    fs::write(&file, format!("{user}\n")).unwrap();
    let import = |memory_mib: &str, more: &[&str]| {
        let mut command = command(&["user", "import"]);
        command.arg(&file).args(more).args(place.flags()).env("CHANCERY_HASHING_MEMORY_MIB", memory_mib);
        let out = run(&mut command, b"");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    for more in [&["--dry-run"][..], &[]] {
        let (code, _, errors) = import("40", more);
        let says = "line 1 (\"old-1\"): password_hash needs 64 MiB to be checked, but hashing_memory_mib is 40; set it to \
                    at least 64, for all servers and for this import";
        assert!(code == Some(1) && errors.contains(says), "{errors}");
    }
    for more in [&["--dry-run"][..], &[]] {
        let (code, said, notes) = import("64", more);
        assert_eq!((code, said.contains("1 created")), (Some(0), true), "{said}{notes}");
        let says =
            "hashes that cost more than Chancery's own: 1. Each takes up to 64 MiB of memory and 6 times as long";
        assert!(notes.contains(says), "{notes}");
    }
    let (_, said, _) = import("64", &["--dry-run", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({ "created": 0, "present": 1, "refused": 0 }), "costs are those of new users");
    // By default, a server has room for one of them.
    let wrong = log_in(server.channel().await, "lovelace", "not this one").await.unwrap_err();
    assert_eq!(reason(&wrong).as_deref(), Some("INVALID_CREDENTIALS"));
    log_in(server.channel().await, "lovelace", PASSWORD).await.unwrap();
    let stored = place.texts("SELECT phc FROM passwords WHERE phc LIKE '%m=19456,t=2,p=1%'").await;
    assert_eq!(stored.len(), 2, "it was hashed anew");
}
