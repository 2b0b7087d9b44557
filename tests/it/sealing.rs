//! Versions of the sealing key, on both engines: what was made before a rotation goes on, and what a drop costs.

mod strays;

use chancery::{
    domain::{
        keys::PUBLISH_AHEAD,
        sealing::{SealedTable, SealingState},
    },
    error::{Error, Reason},
    id::SessionId,
    keys::{SealingKey, SealingKeys, parse_refresh_token},
    secret::{DeviceToken, RefreshToken},
    service::{Admin, Dropped, Rotated, Service, SignInRequest, TokenPair},
    time::{Clock, Ttl},
};

use crate::{
    accounts::{AccountsFixture, reason, typed_code},
    browser_check::{self, Check},
    factors::{self, Enrolled},
    support::{App, Empty, Opened, PASSWORD, login_of, refresh, sign_in, token},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        nobody_notices_that_another_version_comes_into_use,
        counts_of_failures_go_on_when_another_version_comes_into_use,
    }
    #[tokio::test]
    App => {
        a_version_comes_into_use_once_every_running_process_holds_it,
        a_process_that_lacks_the_version_in_use_signs_nothing_and_revokes_nothing,
        rows_that_an_interrupted_rotation_has_left_are_sealed_again_by_another_process,
        rows_whose_key_is_lost_for_good_can_be_given_up,
        a_version_is_dropped_once_nothing_from_before_can_be_valid,
        a_stolen_key_is_dropped_at_once_and_ends_exactly_what_depends_on_it,
        a_drop_that_is_refused_ends_no_session,
        what_happened_is_in_the_audit_log,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    Empty => {
        servers_that_start_at_once_with_a_new_key_make_it_one_version,
        a_start_without_the_version_in_use_or_one_that_is_needed_is_refused,
    }
}

const OLD: u8 = 7;
const NEW: u8 = 8;

fn fingerprint(byte: u8) -> String {
    SealingKey::new(&SealingKey::parse(&[byte; 32]).unwrap()).fingerprint()
}

/// The version that a refresh token names.
fn version_of(token: &str) -> u8 {
    let key = |byte: u8| SealingKey::new(&SealingKey::parse(&[byte; 32]).unwrap());
    let reads = |byte: u8, version: u8| {
        let keys = SealingKeys::from(key(byte).with_version(version));
        parse_refresh_token(&keys, &RefreshToken::new(token.to_owned())).is_some()
    };
    if reads(OLD, 1) {
        1
    } else {
        assert!(reads(NEW, 2), "{token}");
        2
    }
}

async fn with_both(empty: &Empty) -> Service {
    App::open_with(empty, Opened::default(), &[NEW, OLD]).await.unwrap()
}

/// Brings the new key into use at two processes that hold both.
async fn rotate(empty: &Empty) -> [Service; 2] {
    let both = [with_both(empty).await, with_both(empty).await];
    let rotated = both[0].sealing.rotate(&Admin::command()).await.unwrap();
    assert_eq!(rotated, Some(Rotated { from: 1, to: 2 }));
    both[1].live.confirm().await.unwrap();
    both
}

async fn next(service: &Service, pair: &TokenPair) -> TokenPair {
    refresh(service, "shop", &token(pair), "", &[], "").await.unwrap()
}

async fn nobody_notices_that_another_version_comes_into_use(f: &AccountsFixture) {
    let Enrolled { phone, codes, .. } = factors::enrolled(f).await;
    f.service().clients.create(&Admin::command(), browser_check::shop_with_site("pages")).await.unwrap();
    let session = sign_in(f.service(), login_of("shop", "ada", PASSWORD)).await.unwrap();
    assert_eq!(version_of(&token(&session)), 1);
    let device = session.device.as_ref().unwrap().expose().to_owned();
    // A code in a mail that is not sent yet, a link, the next step of two sign-ins, and a cookie.
    let pending = f.register("heidi@example.com", "").await.unwrap();
    let reset = f.request_reset("grace@example.com").await;
    let steps = [factors::challenge(f).await, factors::challenge(f).await];
    let in_browser = browser_check::session_with(&f.app, |session| session.client = "pages".parse().unwrap()).await;

    let [one, two] = rotate(&f.app.empty).await;
    let resealed = two.sealing.reseal().await.unwrap();
    assert!(resealed.rows >= 6 + 1 + 2 && resealed.left == 0, "signing keys, an app, mails: {resealed:?}");
    assert_eq!(one.sealing.reseal().await.unwrap().rows, 0);
    assert_eq!(one.sealing.dependents(&Admin::command(), 1).await.unwrap().rows.total(), 0);

    let (f1, f2) = (f.at(one.clone()), f.at(two.clone()));
    let refreshed = next(&two, &session).await;
    assert_eq!((version_of(&token(&refreshed)), &refreshed.session_id), (2, &session.session_id));
    next(&one, &refreshed).await;
    let mut mails = f1.send_mails().await;
    // They were queued at the same instant.
    mails.sort_by_key(|mail| std::cmp::Reverse(mail.kind));
    let kinds: Vec<_> = mails.iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds, ["verify_email", "password_reset"]);
    assert_eq!(f2.verify(&typed_code(&pending, &mails[0])).await.unwrap(), "heidi@example.com");
    // A second factor, a recovery code, each at a step from before.
    let [step, other_step] = steps;
    factors::pair(factors::go_on(&f2, factors::with_code(&step, &phone.code(&f2))).await).unwrap();
    factors::pair(factors::go_on(&f1, factors::with_recovery_code(&other_step, &codes[0])).await).unwrap();
    f2.reset(&typed_code(&reset, &mails[1]), "an entirely different phrase").await.unwrap();
    assert_eq!(Check::of(&two).visit("", &in_browser).await.status, 200);
    // The device is still known, and gets a token under the new version.
    let request = SignInRequest { device_token: DeviceToken::new(device.clone()), ..login_of("shop", "ada", PASSWORD) };
    let again = sign_in(&two, request).await.unwrap();
    let renewed = again.device.as_ref().unwrap().expose();
    assert!(renewed != device && version_of(&token(&again)) == 2);
    assert_eq!(known_device(renewed), known_device(&device));
}

/// The id in a device token.
fn known_device(token: &str) -> Vec<u8> {
    use base64::Engine;
    let body = &token.strip_prefix("chd_").unwrap()[..80];
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap()[2..18].to_vec()
}

async fn counts_of_failures_go_on_when_another_version_comes_into_use(f: &AccountsFixture) {
    let guess = async |service: &Service| {
        sign_in(service, login_of("shop", "ada", "no password of anybody")).await.map(|_| ()).unwrap_err()
    };
    while !matches!(guess(f.service()).await, Error::TooManyAttempts { .. }) {}
    let [one, two] = rotate(&f.app.empty).await;
    for service in [&one, &two] {
        assert!(matches!(guess(service).await, Error::TooManyAttempts { .. }));
    }
}

async fn a_version_comes_into_use_once_every_running_process_holds_it(app: &App) {
    let admin = Admin::command();
    let refusal = async |service: &Service| service.sealing.rotate(&admin).await.unwrap_err().to_string();
    assert!(refusal(&app.service).await.contains("there is no next version"));
    let both = with_both(&app.empty).await;
    app.service.presence.say("old-host").await.unwrap();
    both.presence.say("new-host").await.unwrap();
    let lacking = refusal(&both).await;
    let name = app.service.presence.id().to_string();
    assert!(lacking.contains(&name) && lacking.contains("old-host") && !lacking.contains("new-host"), "{lacking}");
    assert!(refusal(&app.service).await.contains("this command does not hold version 2"));
    let listed = both.sealing.list(&admin).await.unwrap();
    let states: Vec<_> = listed.iter().map(|v| (v.version, v.state, v.lacked_by.len())).collect();
    assert_eq!(states, [(1, SealingState::InUse, 0), (2, SealingState::Loaded, 1)]);
    // It is killed: nothing is heard of it any more.
    app.clock.advance(Ttl::from_secs(31));
    both.live.confirm().await.unwrap();
    both.presence.say("new-host").await.unwrap();
    assert_eq!(both.presence.running().await.unwrap().len(), 1);
    assert_eq!(both.sealing.rotate(&admin).await.unwrap(), Some(Rotated { from: 1, to: 2 }));
    let states: Vec<_> = both.sealing.list(&admin).await.unwrap().iter().map(|v| v.state).collect();
    assert_eq!(states, [SealingState::VerifyOnly, SealingState::InUse]);
    both.presence.leave().await.unwrap();
    assert!(both.presence.running().await.unwrap().is_empty());
}

async fn a_process_that_lacks_the_version_in_use_signs_nothing_and_revokes_nothing(app: &App) {
    let before = app.sign_in().await;
    let both = rotate(&app.empty).await;
    let after = refresh(&both[0], "app", &token(&before), "", &[], "").await.unwrap();
    assert!(app.service.live.is_fresh());
    assert!(app.service.live.confirm().await.is_err());
    assert!(!app.service.live.is_fresh(), "at once, not only when the time for confirming is over");
    let lacks = app.service.live.lacking_sealing_key().unwrap().to_string();
    assert!(lacks.contains("version 2 of the sealing key") && lacks.contains(&fingerprint(NEW)), "{lacks}");
    for old in [&before, &after] {
        let refused = app.refresh(&token(old), "").await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert!(refresh(&both[1], "app", &token(&after), "", &[], "").await.is_ok(), "nothing is revoked");
}

async fn rows_that_an_interrupted_rotation_has_left_are_sealed_again_by_another_process(app: &App) {
    let [one, two] = rotate(&app.empty).await;
    drop(one);
    // The command that switched was killed then. A server that starts opens what is sealed under either.
    let third = with_both(&app.empty).await;
    assert!(third.sealing.dependents(&Admin::command(), 1).await.unwrap().rows.signing_keys > 0);
    assert_eq!(third.sealing.rotate(&Admin::command()).await.unwrap(), None, "there is no next version, but work left");
    let new_alone = App::open_command(&app.empty, &[NEW]).await.unwrap_err();
    assert!(new_alone.is_about_the_sealing_key());
    let said = new_alone.to_string();
    for part in [
        format!("under version 1 of the sealing key, {}", fingerprint(OLD)),
        format!("only {} (version 2)", fingerprint(NEW)),
        format!("1, {}, verify only; 2, {}, in use", fingerprint(OLD), fingerprint(NEW)),
        "chancery sealing-key rotate".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    let server = App::open_with(&app.empty, Opened::default(), &[NEW]).await.unwrap_err().to_string();
    assert!(server.contains("cannot be dropped") && server.contains("(signing keys: 6)"), "{server}");
    assert!(!server.contains("sealing-key drop"), "{server}");
    let (here, there) = tokio::join!(two.sealing.reseal(), third.sealing.reseal());
    let rows = here.unwrap().rows + there.unwrap().rows;
    assert_eq!(rows, 6, "each signing key once");
    assert!(App::open_command(&app.empty, &[NEW]).await.is_ok());
    let refused = third.sealing.rotate(&Admin::command()).await.unwrap_err().to_string();
    assert!(refused.contains("there is no next version"), "{refused}");
}

async fn rows_whose_key_is_lost_for_good_can_be_given_up(app: &App) {
    let admin = Admin::command();
    let before = app.sign_in().await;
    drop(rotate(&app.empty).await);
    app.clock.advance(Ttl::from_secs(11));
    // What the documentation says.
    let documented = include_str!("../../docs/sealing-key.md").lines().filter(|line| line.starts_with("DELETE FROM "));
    for statement in documented {
        app.empty.database.sql(statement).await.unwrap();
    }
    let command = App::open_command(&app.empty, &[NEW]).await.unwrap();
    command.sealing.drop_now(&admin, 1).await.unwrap();
    let server = App::open_with(&app.empty, Opened::default(), &[NEW]).await.unwrap();
    for _ in 0..2 {
        assert!(server.signing_keys.rotate_due().await.unwrap() > 0);
        app.clock.advance(PUBLISH_AHEAD);
        server.live.confirm().await.unwrap();
    }
    let pair = sign_in(&server, login_of("app", "ada", PASSWORD)).await.unwrap();
    assert!(refresh(&server, "app", &token(&pair), "", &[], "").await.is_ok());
    assert_eq!(reason(refresh(&server, "app", &token(&before), "", &[], "").await), Reason::RefreshTokenInvalid);
}

async fn a_version_is_dropped_once_nothing_from_before_can_be_valid(app: &App) {
    let admin = Admin::command();
    let before = app.sign_in().await;
    let [one, _] = rotate(&app.empty).await;
    let absolute =
        one.store().read().await.unwrap().session_by_id(&before.session_id.parse().unwrap()).await.unwrap().unwrap();
    let until = absolute.absolute_expires_at;
    let refused = one.sealing.drop_unneeded(&admin, 1).await.unwrap_err().to_string();
    assert!(
        refused.contains(&until.to_string()) && refused.contains("--now") && refused.contains("1 sessions"),
        "{refused}"
    );
    assert!(one.sealing.drop_unneeded(&admin, 2).await.unwrap_err().to_string().contains("is in use"));
    assert!(matches!(one.sealing.drop_unneeded(&admin, 3).await, Err(Error::NotFound(..))));
    // The sessions are over, but a device may have been given a token that is valid for 400 days.
    app.clock.advance(Ttl::from_days(31));
    one.live.confirm().await.unwrap();
    let refused = one.sealing.drop_unneeded(&admin, 1).await.unwrap_err().to_string();
    assert!(refused.contains("devices") && refused.contains("0 sessions"), "{refused}");
    app.clock.advance(Ttl::from_days(370));
    one.live.confirm().await.unwrap();
    assert_eq!(
        one.sealing.drop_unneeded(&admin, 1).await.unwrap(),
        Dropped { sessions: 0, tickets: 0, forgotten: false }
    );
    assert!(one.sealing.drop_unneeded(&admin, 1).await.unwrap_err().to_string().contains("was dropped"));
    // The key can be removed everywhere, and one that is still given is left aside.
    for keys in [&[NEW][..], &[NEW, OLD]] {
        let service = App::open_with(&app.empty, Opened::default(), keys).await.unwrap();
        assert!(sign_in(&service, login_of("app", "ada", PASSWORD)).await.is_ok());
        assert_eq!(service.sealing.list(&admin).await.unwrap()[0].state, SealingState::Dropped);
    }
    assert!(App::open_with(&app.empty, Opened::default(), &[OLD]).await.is_err());
}

async fn a_stolen_key_is_dropped_at_once_and_ends_exactly_what_depends_on_it(app: &App) {
    let admin = Admin::command();
    browser_check::shop(app).await;
    let [stale, fresh] = [app.sign_in().await, app.sign_in().await];
    let in_browser = browser_check::session(app).await;
    app.clock.advance(Ttl::from_secs(60));
    let [one, two] = rotate(&app.empty).await;
    let soon = one.sealing.drop_now(&admin, 1).await.unwrap_err().to_string();
    assert!(soon.contains("a moment ago"), "{soon}");
    app.clock.advance(Ttl::from_secs(11));
    for service in [&one, &two] {
        service.live.confirm().await.unwrap();
    }
    let refreshed = refresh(&one, "app", &token(&fresh), "", &[], "").await.unwrap();
    let new = sign_in(&two, login_of("app", "ada", PASSWORD)).await.unwrap();
    assert_eq!(two.sealing.dependents(&admin, 1).await.unwrap().sessions, 2);
    assert_eq!(two.sealing.drop_now(&admin, 1).await.unwrap(), Dropped { sessions: 2, tickets: 0, forgotten: false });
    one.live.confirm().await.unwrap();
    let ended = async |id: &SessionId| {
        let session = one.store().read().await.unwrap().session_by_id(id).await.unwrap().unwrap();
        session.revoked.map(|(_, cause)| cause.as_str())
    };
    for id in [stale.session_id.parse().unwrap(), in_browser.session.id.clone()] {
        assert_eq!(ended(&id).await, Some("sealing_key_dropped"));
    }
    for id in [&refreshed, &new].map(|pair| pair.session_id.parse().unwrap()) {
        assert_eq!(ended(&id).await, None);
    }
    for service in [&one, &two] {
        let refused = refresh(service, "app", &token(&stale), "", &[], "").await;
        assert_eq!(reason(refused), Reason::RefreshTokenInvalid);
        assert_ne!(Check::of(service).visit("", &in_browser).await.status, 200);
        assert!(refresh(service, "app", &token(&new), "", &[], "x").await.is_ok());
    }
    // What was made with the stolen key is nothing any more, even of a session that lives.
    assert_eq!(reason(refresh(&one, "app", &token(&fresh), "", &[], "").await), Reason::RefreshTokenInvalid);
    assert!(refresh(&one, "app", &token(&refreshed), "", &[], "").await.is_ok());
}

async fn a_drop_that_is_refused_ends_no_session(app: &App) {
    let session = app.sign_in().await;
    let [one, _] = rotate(&app.empty).await;
    one.sealing.reseal().await.unwrap();
    let command = App::open_command(&app.empty, &[NEW]).await.unwrap();
    app.clock.advance(Ttl::from_secs(11));
    for service in [&one, &command] {
        service.live.confirm().await.unwrap();
    }
    // A slow process has sealed a row under the old version, which this command does not hold.
    let table = SealedTable::SigningKeys;
    let mut tx = one.store().write().await.unwrap();
    let row = tx.sealed_before(table, (3, ""), 1).await.unwrap().remove(0);
    assert!(tx.reseal(table, (&row.id, 2), (&row.sealed, 1)).await.unwrap());
    tx.commit().await.unwrap();
    let refused = command.sealing.drop_now(&Admin::command(), 1).await.unwrap_err().to_string();
    assert!(refused.contains("still sealed under version 1"), "{refused}");
    assert!(refresh(&one, "app", &token(&session), "", &[], "").await.is_ok());
}

async fn what_happened_is_in_the_audit_log(app: &App) {
    let [one, _] = rotate(&app.empty).await;
    app.clock.advance(Ttl::from_secs(11));
    one.live.confirm().await.unwrap();
    one.sealing.drop_now(&Admin::command(), 1).await.unwrap();
    let mut tx = one.store().read().await.unwrap();
    let events = tx.audit_page(&chancery::domain::audit::AuditFilter::default(), None, 100).await.unwrap();
    let kinds: Vec<_> = events
        .iter()
        .filter(|e| e.kind.as_str().starts_with("SEALING"))
        .map(|e| (e.kind.as_str(), &*e.subject))
        .collect();
    // Two of them at the same instant.
    let want = [("SEALING_KEY_ADDED", "2"), ("SEALING_KEY_DROPPED", "1"), ("SEALING_KEY_ROTATED", "2")];
    assert_eq!(kinds.into_iter().collect::<std::collections::BTreeSet<_>>(), want.into());
}

async fn servers_that_start_at_once_with_a_new_key_make_it_one_version(empty: &Empty) {
    App::open(empty, Opened::default()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let empty = empty.clone();
        tasks.spawn(async move { with_both(&empty).await });
    }
    let services = tasks.join_all().await;
    let versions = services[0].sealing.list(&Admin::command()).await.unwrap();
    assert_eq!(
        versions.iter().map(|v| (v.version, v.state)).collect::<Vec<_>>(),
        [(1, SealingState::InUse), (2, SealingState::Loaded)]
    );
}

async fn a_start_without_the_version_in_use_or_one_that_is_needed_is_refused(empty: &Empty) {
    App::open(empty, Opened::default()).await.unwrap();
    let refused = async |keys: &[u8]| App::open_with(empty, Opened::default(), keys).await.unwrap_err().to_string();
    let unknown = refused(&[NEW]).await;
    assert!(unknown.contains("does not match") && unknown.contains(&fingerprint(NEW)), "{unknown}");
    assert!(unknown.contains(&fingerprint(OLD)));
    let both = with_both(empty).await;
    let loaded = refused(&[NEW]).await;
    for part in ["not the one in use", &fingerprint(NEW), "(version 2)", "version 1,", &fingerprint(OLD)] {
        assert!(loaded.contains(part), "{part}: {loaded}");
    }
    // A command does not register a key that it happens to be given.
    App::open_command(empty, &[OLD, 9]).await.unwrap();
    assert_eq!(both.sealing.list(&Admin::command()).await.unwrap().len(), 2);
    both.sealing.rotate(&Admin::command()).await.unwrap();
    both.sealing.reseal().await.unwrap();
    let old = refused(&[OLD]).await;
    for part in ["not the one in use", &fingerprint(OLD), "(version 1)", "version 2,", &fingerprint(NEW)] {
        assert!(old.contains(part), "{part}: {old}");
    }
    let needed = refused(&[NEW, 9]).await;
    assert_eq!(
        both.sealing.list(&Admin::command()).await.unwrap().len(),
        2,
        "a start that is refused registers nothing"
    );
    for part in ["version 1", &fingerprint(OLD), "still needed", "sealing-key drop 1"] {
        assert!(needed.contains(part), "{part}: {needed}");
    }
    // A command can do without: else a key that was lost could not be dropped.
    let command = App::open_command(empty, &[NEW]).await.unwrap();
    empty.clock.advance(Ttl::from_secs(11));
    command.live.confirm().await.unwrap();
    command.sealing.drop_now(&Admin::command(), 1).await.unwrap();
    assert!(App::open_with(empty, Opened::default(), &[NEW]).await.is_ok());
    assert!(empty.clock.now() > chancery::time::Timestamp::from_millis(0));
}
