//! Imports users with their password hashes.

use chancery::domain::audit::AuditFilter;
use chancery::{
    domain::audit::Actor,
    error::{Error, Reason},
    secret::{ForeignHash, Password},
    service::{Admin, DryRun, ImportOutcome, ImportRow, MAX_IMPORT_BATCH, NewClientRequest, NewUserRequest, Service},
    time::{Timestamp, Ttl},
};
use serde_json::json;

use crate::support::{App, PASSWORD, login_of, sign_in};

on_each_engine! {
    #[tokio::test]
    App => {
        p08_imported_users_sign_in_with_their_old_passwords_and_are_rehashed,
        p10_a_wrong_password_costs_the_same_for_imported_and_unknown_users,
        users_are_imported_with_all_fields_or_only_a_subject,
        an_invalid_row_is_refused_with_its_field_and_the_others_are_imported,
        an_existing_user_with_different_data_is_left_unchanged_and_reported,
        a_dry_run_reports_the_outcome_and_writes_nothing,
        a_batch_takes_a_fixed_number_of_statements,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        two_concurrent_imports_create_each_user_once,
    }
}

/// Hashes of [`PASSWORD`], created by other programs.
pub(crate) const BCRYPT: &str = "$2b$04$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK";
const PBKDF2: &str = "$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlIHNhbA$YLxwtZTyajzXVfC/M84LAbZcd133GcmpwHnZkrWBmAo";
const ARGON2I: &str = "$argon2i$v=19$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNhbA$El7qb5m4dGfXF8ShfmydKxanD67ruEpaQsCZQLhrIn8";

fn row(subject: &str, name: &str) -> ImportRow {
    ImportRow {
        subject: subject.into(),
        name: Some(name.into()),
        password_hash: Some(ForeignHash::new(BCRYPT.into())),
        ..ImportRow::default()
    }
}

async fn import(service: &Service, rows: &[ImportRow]) -> Vec<ImportOutcome> {
    service.import.write(&Admin::command(), rows).await.unwrap()
}

/// The refused field and the reason.
fn refused(outcome: &ImportOutcome) -> (&str, &str) {
    match outcome {
        ImportOutcome::Refused(violations) => (&*violations[0].field, &violations[0].description),
        other => panic!("{other:?}"),
    }
}

async fn hash_of(service: &Service, subject: &str) -> Option<String> {
    let user = service.users.get(&Admin::command(), subject).await.unwrap().user;
    let phc = service.store().read().await.unwrap().password_of(&user.id).await.unwrap();
    phc.map(|phc| phc.as_str().to_owned())
}

async fn p08_imported_users_sign_in_with_their_old_passwords_and_are_rehashed(app: &App) {
    let rows: Vec<_> = [BCRYPT, PBKDF2, ARGON2I]
        .into_iter()
        .enumerate()
        .map(|(n, hash)| ImportRow {
            password_hash: Some(ForeignHash::new(hash.into())),
            ..row(&format!("old-{n}"), &format!("user{n}"))
        })
        .collect();
    assert_eq!(import(&app.service, &rows).await, vec![ImportOutcome::Created; 3]);
    for n in 0..3 {
        let (login, subject) = (format!("user{n}"), format!("old-{n}"));
        let old = hash_of(&app.service, &subject).await;
        let wrong = sign_in(&app.service, login_of("app", &login, "wrong")).await.unwrap_err();
        assert_eq!(wrong.reason(), Reason::InvalidCredentials);
        assert_eq!(hash_of(&app.service, &subject).await, old);
        let before = app.service.passwords.figures().made;
        let pair = sign_in(&app.service, login_of("app", &login, PASSWORD)).await.unwrap();
        assert_eq!(crate::support::claims(pair.access.token.expose())["sub"], *subject);
        let new = hash_of(&app.service, &subject).await.unwrap();
        assert!(new.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{new}");
        sign_in(&app.service, login_of("app", &login, PASSWORD)).await.unwrap();
        assert_eq!(hash_of(&app.service, &subject).await, Some(new));
        let made = app.service.passwords.figures().made;
        assert_eq!((made.current - before.current, made.other - before.other), (2, 1));
    }
    // A later import does not restore the old hash.
    assert_eq!(import(&app.service, &rows).await, vec![ImportOutcome::Present; 3]);
    assert!(hash_of(&app.service, "old-0").await.unwrap().starts_with("$argon2id$"));
}

async fn p10_a_wrong_password_costs_the_same_for_imported_and_unknown_users(app: &App) {
    let _ = import(&app.service, &[row("old", "lovelace")]).await;
    let mut made = Vec::new();
    for login in ["nobody", "lovelace", "ada"] {
        let before = app.service.passwords.figures().made.current;
        let error = sign_in(&app.service, login_of("app", login, "wrong")).await.unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidCredentials);
        made.push(app.service.passwords.figures().made.current - before);
    }
    assert_eq!(made, [1, 1, 1]);
}

async fn users_are_imported_with_all_fields_or_only_a_subject(app: &App) {
    let created_at: Timestamp = "2019-05-06T07:08:09.123Z".parse().unwrap();
    let attributes = json!({ "team": "Zoë 🦀", "n": 1.5, "big": 12_345_678_901_234_567_u64, "deep": [1, [null]] });
    let whole = ImportRow {
        emails: vec!["Lovelace@Example.org".into(), "lovelace@example.org".into(), "l@example.org".into()],
        attributes: attributes.as_object().cloned().unwrap(),
        disabled: true,
        created_at: Some(created_at),
        ..row("17", "Lovelace")
    };
    let bare = ImportRow { subject: "18".into(), ..ImportRow::default() };
    let mailed = ImportRow { subject: "19".into(), emails: vec!["only@example.org".into()], ..ImportRow::default() };
    let rows = [whole, bare, mailed];
    for expected in [ImportOutcome::Created, ImportOutcome::Present] {
        assert_eq!(import(&app.service, &rows).await, vec![expected; 3]);
    }
    let found = app.service.users.get(&Admin::command(), "LOVELACE").await.unwrap();
    assert_eq!(found.user.subject, "17");
    assert_eq!(json!(found.user.attributes), attributes);
    assert_eq!(found.user.created_at, created_at);
    assert!(found.user.disabled_at.is_some());
    assert_eq!(found.logins, ["Lovelace", "Lovelace@Example.org", "l@example.org"]);
    let refused = sign_in(&app.service, login_of("app", "lovelace", PASSWORD)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidCredentials);
    assert!(app.service.users.get(&Admin::command(), "18").await.unwrap().logins.is_empty());
    assert_eq!(hash_of(&app.service, "19").await, None);
    // One audit event for created users, none for existing ones.
    let filter =
        AuditFilter { kind: chancery::domain::audit::AuditKind::parse("USERS_IMPORTED"), ..Default::default() };
    let events = app.service.store().read().await.unwrap().audit_page(&filter, None, 9).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].actor, Actor::command());
    assert_eq!(events[0].details["created"], 3);
}

async fn an_invalid_row_is_refused_with_its_field_and_the_others_are_imported(app: &App) {
    app.confidential(NewClientRequest { id: "orders".into(), audiences: vec!["x".into()], ..Default::default() }).await;
    let gone = NewUserRequest { name: "gone".into(), subject: Some("gone".into()), ..NewUserRequest::default() };
    app.service.users.create(&Admin::command(), gone).await.unwrap();
    app.service.users.delete(&Admin::command(), "gone", None).await.unwrap();
    let hashed = |hash: &str| ImportRow { password_hash: Some(ForeignHash::new(hash.into())), ..row("h", "hashed") };
    let mailed = |email: &str| ImportRow { emails: vec![email.into()], ..row("m", "mailed") };
    let long = json!({ "a": "x".repeat(4096) }).as_object().cloned().unwrap();
    let nul = json!({ "a": "\0" }).as_object().cloned().unwrap();
    let cases = [
        (row("", "x"), "subject", "255 bytes"),
        (row("a b", "x"), "subject", "ASCII"),
        (row(&"x".repeat(256), "x"), "subject", "255 bytes"),
        (row("system", "x"), "subject", "reserved"),
        (row("orders", "x"), "subject", "a client"),
        (row("gone", "x"), "subject", "deleted"),
        (row("first", "x"), "subject", "earlier row with different data"),
        (row("x", ""), "name", "empty"),
        (row("x", "a@b.org"), "name", "@"),
        (row("x", "ADA"), "name", "another user"),
        (row("x", "аdа"), "name", "looks like"),
        (row("x", "FIRST"), "name", "another user"),
        (row("x", "fir\u{455}t"), "name", "looks like"),
        (mailed("nonsense"), "emails", "address"),
        (mailed("a@b.org,c@d.org"), "emails", "address"),
        (mailed("first@example.org"), "emails", "another user"),
        (ImportRow { emails: vec!["x@y.org".into(); 11], ..row("x", "x") }, "emails", "10"),
        (ImportRow { attributes: long, ..row("x", "x") }, "attributes", "4096"),
        (ImportRow { attributes: nul, ..row("x", "x") }, "attributes", "NUL"),
        (hashed("5f4dcc3b5aa765d61d8327deb882cf99"), "password_hash", "PHC"),
        (
            hashed("$argon2d$v=19$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNhbA$c2l4dGVlbiBieXRlIHNhbA"),
            "password_hash",
            "Argon2d",
        ),
        (hashed("$2b$31$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK"), "password_hash", "cost"),
        (
            ImportRow { created_at: Some(app.service.now().plus(Ttl::from_days(1))), ..row("x", "x") },
            "created_at",
            "now",
        ),
        (ImportRow { created_at: Some(Timestamp::from_millis(-1)), ..row("x", "x") }, "created_at", "1970"),
    ];
    let first = ImportRow { emails: vec!["first@example.org".into()], ..row("first", "first") };
    let (mut rows, mut expected) = (vec![first], vec![]);
    for (bad, field, says) in cases {
        rows.push(bad);
        expected.push((field, says));
    }
    rows.push(row("last", "last"));
    // An exact duplicate of the first row.
    rows.push(ImportRow { emails: vec!["first@example.org".into()], ..row("first", "first") });
    let outcomes = import(&app.service, &rows).await;
    assert_eq!(outcomes[0], ImportOutcome::Created);
    for (outcome, (field, says)) in outcomes[1..].iter().zip(&expected) {
        let (at, why) = refused(outcome);
        assert!(at == *field && why.contains(says), "{at}: {why}, not {field}: {says}");
    }
    assert_eq!(outcomes[rows.len() - 2..], [ImportOutcome::Created, ImportOutcome::Present]);
    for here in ["first", "last"] {
        assert_eq!(app.service.users.get(&Admin::command(), here).await.unwrap().user.subject, here);
    }
    for absent in ["x", "h", "m"] {
        assert!(matches!(app.service.users.get(&Admin::command(), absent).await, Err(Error::NotFound(..))), "{absent}");
    }
    let many: Vec<_> = (0..=MAX_IMPORT_BATCH).map(|n| row(&n.to_string(), &format!("u{n}"))).collect();
    let error = app.service.import.write(&Admin::command(), &many).await.unwrap_err();
    assert!(error.to_string().contains("at most 1000"), "{error}");
}

async fn an_existing_user_with_different_data_is_left_unchanged_and_reported(app: &App) {
    let original = || ImportRow { emails: vec!["l@example.org".into()], ..row("17", "lovelace") };
    let _ = import(&app.service, &[original()]).await;
    let team = json!({ "team": "x" }).as_object().cloned().unwrap();
    let other = ForeignHash::new("$2b$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S".into());
    for (changed, says) in [
        (ImportRow { name: Some("byron".into()), ..original() }, "name or email"),
        (ImportRow { emails: vec![], ..original() }, "name or email"),
        (ImportRow { attributes: team, ..original() }, "attributes"),
        (ImportRow { password_hash: Some(other), ..original() }, "password_hash"),
        (ImportRow { password_hash: None, ..original() }, "password_hash"),
        (ImportRow { disabled: true, ..original() }, "disabled"),
        (ImportRow { created_at: Some(Timestamp::from_millis(5)), ..original() }, "created_at"),
    ] {
        let outcomes = import(&app.service, &[changed]).await;
        let (field, why) = refused(&outcomes[0]);
        assert!(field == "subject" && why.ends_with(&format!("different data: {says}")), "{why}");
    }
    assert_eq!(import(&app.service, &[original()]).await, [ImportOutcome::Present]);
    let new = Password::new("another long pass phrase".into());
    app.service.users.set_password(&Admin::command(), "17", new).await.unwrap();
    assert_eq!(import(&app.service, &[original()]).await, [ImportOutcome::Present]);
}

async fn a_dry_run_reports_the_outcome_and_writes_nothing(app: &App) {
    let batches = [
        vec![row("1", "one"), row("2", "ada"), row("3", "three")],
        vec![row("1", "one"), row("4", "three"), row("5", "five"), row("1", "other")],
    ];
    let mut rehearsal = DryRun::default();
    let (mut rehearsed, mut done) = (vec![], vec![]);
    for batch in &batches {
        rehearsed.extend(app.service.import.dry_run(&Admin::command(), batch, &mut rehearsal).await.unwrap());
    }
    assert!(matches!(app.service.users.get(&Admin::command(), "one").await, Err(Error::NotFound(..))));
    for batch in &batches {
        done.extend(import(&app.service, batch).await);
    }
    let kinds = |all: &[ImportOutcome]| -> Vec<_> { all.iter().map(std::mem::discriminant).collect() };
    assert_eq!(kinds(&rehearsed), kinds(&done), "{rehearsed:?} {done:?}");
    assert_eq!(done.iter().filter(|o| **o == ImportOutcome::Created).count(), 3);
}

async fn two_concurrent_imports_create_each_user_once(app: &App) {
    let mut tasks = tokio::task::JoinSet::new();
    for reversed in [false, true, false, true] {
        let service = app.second_process().await;
        tasks.spawn(async move {
            let mut rows: Vec<_> = (0..50).map(|n| row(&n.to_string(), &format!("user{n}"))).collect();
            if reversed {
                rows.reverse();
            }
            import(&service, &rows).await
        });
    }
    let outcomes: Vec<_> = tasks.join_all().await.concat();
    assert_eq!(outcomes.iter().filter(|o| **o == ImportOutcome::Created).count(), 50);
    assert_eq!(outcomes.iter().filter(|o| **o == ImportOutcome::Present).count(), 150);
}

/// Statements of one batch, whatever its size: the last one frees addresses from names.
const STATEMENTS: u64 = 9;

async fn a_batch_takes_a_fixed_number_of_statements(app: &App) {
    let rows: Vec<_> = (0..MAX_IMPORT_BATCH)
        .map(|n| ImportRow { emails: vec![format!("user{n}@example.org")], ..row(&n.to_string(), &format!("user{n}")) })
        .collect();
    // The first hash that costs this much changes a setting.
    let _ = import(&app.service, &[row("first", "first")]).await;
    let mut counted = vec![];
    for _ in 0..2 {
        let before = app.service.store().statements();
        let _ = import(&app.service, &rows).await;
        counted.push(app.service.store().statements() - before);
    }
    assert_eq!(counted, [STATEMENTS, 1]);
}

#[tokio::test]
async fn a43_a_hundred_thousand_oversized_rows_cause_no_hash_and_no_statement() {
    const ROWS: usize = 100_000;
    const HASH: &str = "gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg";
    let salted = |head: &str| format!("{head}$c2l4dGVlbiBieXRlIHNhbA${HASH}");
    let monsters = [
        salted("$argon2id$v=19$m=4294967295,t=2,p=1"),
        salted("$argon2id$v=19$m=19456,t=4294967295,p=1"),
        salted("$argon2id$v=19$m=19456,t=2,p=255"),
        salted("$argon2d$v=19$m=19456,t=2,p=1"),
        salted("$argon2id$v=16$m=19456,t=2,p=1"),
        format!("$argon2id$v=19$m=19456,t=2,p=1$${HASH}"),
        format!("$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlIHNhbA${}", "A".repeat(1 << 20)),
        salted("$argon2id$v=19$m=19456,t=2,p=1$!!!!"),
        salted("$scrypt$ln=63,r=4294967295,p=4294967295"),
        "$2b$31$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK".to_owned(),
    ];
    let app = App::sqlite().await;
    let (hashes, before) = (app.service.passwords.figures().made, app.service.store().statements());
    // The row with a megabyte is created only once, so that this test itself does not run out of memory.
    let rows: Vec<_> = (0..MAX_IMPORT_BATCH)
        .map(|n| {
            let monster = if n % 10 == 6 && n > 10 { &monsters[0] } else { &monsters[n % 10] };
            ImportRow {
                password_hash: Some(ForeignHash::new(monster.clone())),
                ..row(&n.to_string(), &format!("u{n}"))
            }
        })
        .collect();
    let mut seen = 0;
    for _ in 0..ROWS / MAX_IMPORT_BATCH {
        for outcome in import(&app.service, &rows).await {
            assert_eq!(refused(&outcome).0, "password_hash");
            seen += 1;
        }
    }
    assert_eq!(seen, ROWS);
    assert_eq!(app.service.passwords.figures().made, hashes);
    assert_eq!(app.service.store().statements(), before);
}
