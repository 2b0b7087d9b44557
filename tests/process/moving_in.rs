//! Users of another system are imported by a command, beside a server that runs.

use std::{fs, io::Write, process::Stdio};

use serde_json::json;

use crate::{
    calls::{log_in, reason, start},
    place::Place,
    server::{command, run},
};

const PASSWORD: &str = "correct horse battery staple";
/// Of [`PASSWORD`], by another program.
const BCRYPT: &str = "$2b$04$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK";

/// A JSON line for each user.
fn lines(users: std::ops::Range<usize>) -> String {
    let line = |n| json!({ "subject": format!("old-{n}"), "name": format!("user{n}"), "password_hash": BCRYPT });
    users.map(|n| format!("{}\n", line(n))).collect()
}

async fn users(place: &Place) -> usize {
    place.texts("SELECT CAST(count(*) AS TEXT) FROM users WHERE subject LIKE 'old-%'").await[0].parse().unwrap()
}

#[tokio::test]
async fn an_import_that_is_killed_half_way_goes_on_when_it_is_run_again() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let mut killed = command(&["user", "import", "-", "--format", "jsonl"])
            .args(place.flags())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = killed.stdin.take().unwrap();
        stdin.write_all(lines(0..2500).as_bytes()).unwrap();
        // It has written all that is full, and waits for more.
        while users(&place).await < 2000 {
            assert!(killed.try_wait().unwrap().is_none(), "{}: it has ended", place.engine());
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        drop(stdin);
        assert_eq!(users(&place).await, 2000);
        let file = dir.path().join(format!("{}.jsonl", place.engine()));
        fs::write(&file, lines(0..3500)).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(place.command(&["user", "import", file], ""), "1500 created, 2000 here already, 0 refused\n");
        let again: serde_json::Value =
            serde_json::from_str(&place.command(&["user", "import", file, "--json"], "")).unwrap();
        assert_eq!(again, json!({ "created": 0, "present": 3500, "refused": 0, "dry_run": false }));
        // The server that ran all the while knows them.
        let pair = log_in(server.channel().await, "user2222", PASSWORD).await.unwrap();
        assert!(!pair.refresh_token.is_empty());
        let wrong = log_in(server.channel().await, "user2222", "not this one").await.unwrap_err();
        assert_eq!(reason(&wrong).as_deref(), Some("INVALID_CREDENTIALS"));
    }
}

#[tokio::test]
async fn a_file_with_bad_rows_is_rehearsed_reported_corrected_and_run_again() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let _server = start(&place);
        let (file, report) = (dir.path().join("users.csv"), dir.path().join("refused.jsonl"));
        let head = "subject,name,emails,attributes,password_hash,disabled,created_at\n";
        let good = format!("1,lovelace,l@example.org,\"{{\"\"team\"\":\"\"x\"\"}}\",{BCRYPT},,2019-05-06T07:08:09Z\n");
        let rows = |third: &str| format!("{head}{good}2,,only@example.org,,,true,\n3,{third},,,{BCRYPT},,\n4,ninth\n");
        fs::write(&file, rows("l@example.org")).unwrap();
        let (file, report) = (file.to_str().unwrap(), report.to_str().unwrap());
        for (flags, summary) in [
            (&["--dry-run"][..], "would be: 2 created, 0 here already, 2 refused\n"),
            (&["--report", report], "2 created, 0 here already, 2 refused\n"),
        ] {
            let out = run(command(&["user", "import", file]).args(flags).args(place.flags()), b"");
            let (told, errors) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
            assert_eq!((out.status.code(), told.as_str()), (Some(1), summary), "{errors}");
            assert!(errors.contains("line 4 (\"3\"): name must not hold an @"), "{errors}");
            assert!(errors.contains("line 5: line has 2 columns, not 7"), "{errors}");
            assert!(errors.contains("chancery: 2 rows were refused") && !errors.contains(BCRYPT), "{errors}");
        }
        let told: Vec<serde_json::Value> =
            fs::read_to_string(report).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((&told[0]["line"], &told[0]["subject"]), (&json!(4), &json!("3")));
        assert_eq!((&told[0]["violations"][0]["field"], &told[1]["line"]), (&json!("name"), &json!(5)));
        fs::write(file, rows("byron").replace("4,ninth\n", "")).unwrap();
        assert_eq!(place.command(&["user", "import", file], ""), "1 created, 2 here already, 0 refused\n");
        let shown: serde_json::Value = serde_json::from_str(&place.command(&["user", "show", "lovelace"], "")).unwrap();
        assert_eq!((&shown["subject"], &shown["attributes"]["team"]), (&json!("1"), &json!("x")));
        assert_eq!(shown["created_at"], "2019-05-06T07:08:09.000Z");
    }
}
