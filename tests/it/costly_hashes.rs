//! Imported hashes that cost more than Chancery's own, or more than there is.

use chancery::{
    error::Reason,
    grpc::pb::{self, ImportedUser},
    passwords::Phc,
    secret::{ForeignHash, Password},
    service::{Admin, CostlyHashes, DryRun, ImportOutcome, ImportRow},
};

use crate::{
    accounts::{AccountsFixture, NEW, reason, typed_code},
    admin::AdminClient,
    support::{App, PASSWORD, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_hash_that_needs_more_than_the_budget_is_refused_by_dry_run_and_import_with_what_to_set,
        a_hash_that_takes_longer_than_a_call_is_refused,
        the_import_says_what_costly_hashes_cost,
        every_process_learns_of_the_costliest_hash_that_was_ever_imported,
        p10_a_stored_hash_that_cannot_be_checked_is_answered_like_a_wrong_password,
    }
    #[tokio::test]
    AccountsFixture => {
        a_user_whose_hash_cannot_be_checked_goes_on_after_a_reset,
    }
}

const SALTED: &str = "c2l4dGVlbiBieXRlIHNhbA$El7qb5m4dGfXF8ShfmydKxanD67ruEpaQsCZQLhrIn8";
/// The default of PHP. The threads of these tests have 64 KiB.
const PHP: &str = "$argon2id$v=19$m=65536,t=4,p=1";
const PASSLIB: &str = "$scrypt$ln=16,r=8,p=1";
const SLOW: &str = "$2b$12$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK";

fn row(subject: &str, hash: &str) -> ImportRow {
    let password_hash = Some(ForeignHash::new(hash.into()));
    ImportRow { subject: subject.into(), name: Some(format!("user{subject}")), password_hash, ..ImportRow::default() }
}

fn salted(params: &str) -> String {
    format!("{params}${SALTED}")
}

/// The outcomes of a dry run and of the import.
async fn both(app: &App, rows: &[ImportRow]) -> [Vec<ImportOutcome>; 2] {
    let import = &app.service.import;
    let rehearsed = import.dry_run(&Admin::command(), rows, &mut DryRun::default()).await.unwrap();
    [rehearsed, import.write(&Admin::command(), rows).await.unwrap()]
}

fn problem(outcome: &ImportOutcome) -> &str {
    let ImportOutcome::Refused(violations) = outcome else { panic!("{outcome:?}") };
    assert_eq!((violations.len(), &*violations[0].field), (1, "password_hash"));
    &violations[0].description
}

async fn a_hash_that_needs_more_than_the_budget_is_refused_by_dry_run_and_import_with_what_to_set(app: &App) {
    let rows = [row("1", &salted(PHP)), row("2", &salted(PASSLIB)), row("3", SLOW)];
    for outcomes in both(app, &rows).await {
        let says = "needs 64 MiB to be checked, but hashing_memory_mib is 0; set it to at least 64, for all servers";
        assert!(problem(&outcomes[0]).starts_with(says), "{outcomes:?}");
        assert!(problem(&outcomes[1]).contains("set it to at least 65"), "{outcomes:?}");
        assert_eq!(outcomes[2], ImportOutcome::Created, "the others are imported");
    }
}

async fn a_hash_that_takes_longer_than_a_call_is_refused(app: &App) {
    let slow = ["$argon2id$v=19$m=1048576,t=10,p=1", "$scrypt$ln=20,r=8,p=16"];
    for params in slow {
        for outcomes in both(app, &[row("1", &salted(params))]).await {
            let says = problem(&outcomes[0]);
            assert!(says.starts_with("takes ") && says.ends_with("at most 100 times are taken on"), "{says}");
        }
    }
}

async fn every_process_learns_of_the_costliest_hash_that_was_ever_imported(app: &App) {
    let other = app.second_process().await;
    let known = || app.service.live.snapshot().settings.costliest_import;
    assert_eq!(known(), 0);
    let iterations = |n: u32| salted(&format!("$pbkdf2-sha256$i={n}"));
    let import = async |subject: &str, n| {
        let outcomes = app.service.import.write(&Admin::command(), &[row(subject, &iterations(n))]).await.unwrap();
        assert_eq!(outcomes, [ImportOutcome::Created]);
    };
    import("1", 600_000).await;
    assert_eq!(known(), 3);
    import("2", 200_000).await;
    assert_eq!(known(), 3);
    import("3", 1_000_000).await;
    assert_eq!(known(), 5);
    other.live.confirm().await.unwrap();
    assert_eq!(other.live.snapshot().settings.costliest_import, 5);
}

async fn the_import_says_what_costly_hashes_cost(app: &App) {
    let admin = AdminClient::of(app).await;
    let user =
        |n: u32, hash: String| ImportedUser { subject: n.to_string(), password_hash: hash, ..ImportedUser::default() };
    let users = vec![
        user(1, SLOW.to_owned()),
        user(2, salted("$pbkdf2-sha256$i=1000")),
        user(3, salted("$pbkdf2-sha512$i=400000")),
        user(4, String::new()),
        user(5, salted(PHP)),
    ];
    let stream = || tokio_stream::iter([pb::ImportUsersRequest { users: users.clone() }]);
    let answer = admin.users().import_users(admin.ask(stream())).await.unwrap().into_inner();
    assert_eq!((answer.created, answer.refused), (4, 1));
    assert_eq!((answer.costly_hashes, answer.hash_memory_mib, answer.hash_times), (2, 0, 4));
    let again = admin.users().import_users(admin.ask(stream())).await.unwrap().into_inner();
    assert_eq!((again.present, again.costly_hashes), (4, 0));
    let mut costly = CostlyHashes::default();
    costly.add(&row("6", &salted(PHP)));
    assert_eq!(costly.most.to_string(), "64 MiB of memory and 7 times as long as one of Chancery's own");
}

async fn p10_a_stored_hash_that_cannot_be_checked_is_answered_like_a_wrong_password(app: &App) {
    for (name, hash) in [("grace", salted(PHP)), ("heidi", salted(PASSLIB)), ("ivan", "nonsense".to_owned())] {
        app.user(name).await;
        let id = app.service.users.get(&Admin::command(), name).await.unwrap().user.id;
        let mut tx = app.service.store().write().await.unwrap();
        tx.password_set(&id, &Phc::from_database(hash), app.service.live.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut made = Vec::new();
    for login in ["nobody", "grace", "heidi", "ivan"] {
        let before = app.service.passwords.figures();
        let refused = sign_in(&app.service, login_of("app", login, PASSWORD)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::InvalidCredentials, "{login}: {refused:?}");
        let after = app.service.passwords.figures();
        made.push((after.made.current - before.made.current, after.made.other - before.made.other));
    }
    assert_eq!(made, [(1, 0); 4], "at the same cost");
    assert_eq!(app.service.passwords.figures().unusable, 3);
    // An administrator can help, as well.
    let new = Password::new(NEW.into());
    app.service.users.set_password(&Admin::command(), "grace", new).await.unwrap();
    assert!(sign_in(&app.service, login_of("app", "grace", NEW)).await.is_ok());
}

async fn a_user_whose_hash_cannot_be_checked_goes_on_after_a_reset(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let service = fixture.service();
    let me = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let id = service.users.get(&Admin::command(), "grace@example.com").await.unwrap().user.id;
    let mut tx = service.store().write().await.unwrap();
    tx.password_set(&id, &Phc::from_database(salted(PHP)), service.live.now()).await.unwrap();
    tx.commit().await.unwrap();
    let (old, new) = (Password::new(PASSWORD.into()), Password::new(NEW.into()));
    let change = service.accounts.change_password(&service.context(), &me, old, new).await;
    assert_eq!(reason(change), Reason::InvalidCredentials);
    let pending = fixture.request_reset("grace@example.com").await;
    let mail = fixture.send_mails().await.remove(0);
    fixture.reset(&typed_code(&pending, &mail), NEW).await.unwrap();
    assert!(sign_in(service, login_of("shop", "grace@example.com", NEW)).await.is_ok());
}
