//! Limits on guessing passwords, which do not lock out known devices.

use crate::support::login_from;
use chancery::{
    domain::limit::LimitKind,
    error::{Error, Reason, Result},
    secret::{DeviceToken, Password},
    service::{
        Admin, ClientCredentials, GuessAudit, NewClientRequest, RequestContext, Service, SignInRequest, SweepProgress,
        TokenPair,
    },
    time::Ttl,
};
use tonic_types::StatusExt;

use crate::{
    support::{App, PASSWORD, first_party, login_of, tokens},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    App => {
        p05_p10_a45_known_and_unknown_accounts_are_throttled_alike,
        p05_a_known_device_signs_in_while_its_account_is_under_attack,
        p05_a_device_token_of_another_account_or_too_old_is_ignored,
        p05_a_device_of_the_previous_owner_of_a_login_is_unknown_to_the_next_owner,
        p05_a_known_device_has_its_own_failure_count,
        p05_frequent_sign_ins_do_not_allow_more_guesses,
        p05_addresses_are_limited_across_accounts_but_known_devices_are_not,
        p05_the_limited_address_is_the_one_that_a_trusted_client_reports,
        p05_two_processes_share_their_counts,
        p05_a_new_password_resets_the_limits,
        p05_each_throttling_step_is_audited_once,
        a55_setting_the_clock_back_locks_nobody_out,
        p05_a_guess_that_cannot_be_counted_is_not_answered,
        other_guessable_secrets_use_the_same_limits,
        expired_counts_are_deleted,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        p05_concurrent_guesses_are_limited_like_sequential_ones,
    }
}

const ELSEWHERE: &str = "198.51.100.7";

/// A person who signs in, with an address and a device.
#[derive(Clone, Copy)]
struct Person<'a> {
    peer: &'a str,
    device: &'a str,
}

/// A person with an unknown device and an unknown address.
const STRANGER: Person<'_> = Person { peer: "", device: "" };

impl Person<'_> {
    async fn try_password(self, service: &Service, login: &str, password: &str) -> Result<TokenPair> {
        let ctx = RequestContext { peer: self.peer.into(), ..service.context() };
        let device_token = DeviceToken::new(self.device.into());
        let request = SignInRequest { device_token, ..login_of("app", login, password) };
        tokens(service.sign_ins.sign_in(&ctx, &ClientCredentials::None, request).await)
    }

    /// Tries a wrong password. Returns the throttling details if the attempt was refused.
    async fn guess_wrongly(self, service: &Service, login: &str) -> Option<(&'static str, bool, Ttl)> {
        match self.try_password(service, login, "no password of anybody").await {
            Err(Error::Unauthenticated(Reason::InvalidCredentials)) => None,
            Err(Error::TooManyAttempts { after, by, closed }) => Some((by, closed, after)),
            other => panic!("{login}: {other:?}"),
        }
    }

    /// Tries wrong passwords as fast as allowed until the account is closed. Returns the number of attempts.
    async fn guess_until_closed(self, app: &App, login: &str) -> usize {
        for n in 0.. {
            match self.guess_wrongly(&app.service, login).await {
                None => {}
                Some((_, true, _)) => return n,
                Some((_, false, after)) => {
                    app.pass(after).await;
                    assert_eq!(self.guess_wrongly(&app.service, login).await, None);
                }
            }
        }
        unreachable!()
    }
}

fn device_of(pair: &TokenPair) -> String {
    pair.device.as_ref().unwrap().expose().to_owned()
}

async fn change_settings(app: &App, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        app.service.instance.set(&Admin::command(), name, value).await.unwrap();
    }
}

async fn failures(service: &Service, login: &str) -> i64 {
    let key = service.limits.key_of_login(LimitKind::Account, login);
    let tallies = service.store().read().await.unwrap().login_failures_of(&[key]).await.unwrap();
    tallies[0].map_or(0, |t| t.failures)
}

async fn p05_p10_a45_known_and_unknown_accounts_are_throttled_alike(app: &App) {
    app.user("grace").await;
    app.service.users.disable(&Admin::command(), "grace").await.unwrap();
    let mut throttled = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..10 {
        let logins = ["ada", "nobody", "no\u{202e}such", "grace"];
        let before = app.service.store().statements();
        let answers =
            futures_util::future::join_all(logins.iter().map(|login| STRANGER.guess_wrongly(&app.service, login)));
        let answers = answers.await;
        assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
        if let Some((by, closed, after)) = answers[0] {
            assert_eq!((by, closed), ("account", false));
            assert_eq!(app.service.store().statements(), before, "refused without a database query");
            assert_eq!(STRANGER.guess_wrongly(&app.service, "ADA").await, answers[0], "the same account");
            waits.push(after.seconds());
            app.clock.advance(after);
        }
        throttled.push(answers[0].is_some());
    }
    assert_eq!(throttled, [false, false, false, false, false, false, true, false, true, false]);
    assert_eq!(waits, [1, 2]);
    // The right password is refused in the same way, also for unknown accounts.
    let right = STRANGER.try_password(&app.service, "ada", PASSWORD).await;
    assert!(matches!(right, Err(Error::TooManyAttempts { after, .. }) if after == Ttl::from_secs(4)), "{right:?}");
}

async fn p05_a_known_device_signs_in_while_its_account_is_under_attack(app: &App) {
    let device = device_of(&app.sign_in().await);
    let ada = Person { peer: "", device: &device };
    assert!(device.starts_with("chd_"), "{device}");
    change_settings(app, &[("login_failures_most", "10")]).await;
    for _ in 0..6 {
        assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    }
    assert!(STRANGER.guess_wrongly(&app.service, "ada").await.is_some());
    assert!(ada.try_password(&app.service, "ada", PASSWORD).await.is_ok());
    assert_eq!(failures(&app.service, "ada").await, 0, "a successful sign-in resets the count");
    assert_eq!(STRANGER.guess_until_closed(app, "ada").await, 10);
    let right = STRANGER.try_password(&app.service, "ada", PASSWORD).await;
    assert!(matches!(right, Err(Error::TooManyAttempts { closed: true, .. })), "{right:?}");
    app.pass(Ttl::from_days(2)).await;
    assert!(
        STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_err(),
        "the account stays closed for a long time"
    );
    let again = ada.try_password(&app.service, "ada", PASSWORD).await.unwrap();
    // The device keeps its id, and its token is valid for longer.
    assert_ne!(device_of(&again), device);
    assert!(STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_ok());
}

async fn p05_a_device_token_of_another_account_or_too_old_is_ignored(app: &App) {
    app.user("grace").await;
    let ada = device_of(&app.sign_in().await);
    let grace = device_of(&STRANGER.try_password(&app.service, "grace", PASSWORD).await.unwrap());
    for _ in 0..6 {
        assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    }
    let other = if &ada[20..21] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}", &ada[..20], &ada[21..]);
    for device in ["", "chd_", "nonsense", &grace, &forged, &format!("{ada} ")] {
        let seen = Person { peer: "", device }.try_password(&app.service, "ada", PASSWORD).await;
        assert!(matches!(seen, Err(Error::TooManyAttempts { .. })), "{device:?}: {seen:?}");
    }
    // A device token does not reveal whether an account exists and never causes an error.
    let nobody = Person { peer: "", device: &ada };
    assert_eq!(nobody.guess_wrongly(&app.service, "nobody").await, None);
    app.pass(Ttl::from_days(401)).await;
    assert_eq!(Person { peer: "", device: &ada }.guess_wrongly(&app.service, "ada").await, None);
    assert_eq!(failures(&app.service, "ada").await, 1, "as from an unknown device");
}

async fn p05_a_device_of_the_previous_owner_of_a_login_is_unknown_to_the_next_owner(app: &App) {
    let old = device_of(&app.sign_in().await);
    app.service.users.delete(&Admin::command(), "ada", None).await.unwrap();
    app.user("ada").await;
    for _ in 0..6 {
        assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    }
    let before = Person { peer: "", device: &old };
    let seen = before.try_password(&app.service, "ada", PASSWORD).await;
    assert!(matches!(seen, Err(Error::TooManyAttempts { by: "account", .. })), "{seen:?}");
    app.pass(Ttl::from_secs(1)).await;
    assert_eq!(before.guess_wrongly(&app.service, "ada").await, None);
    assert_eq!(failures(&app.service, "ada").await, 7);
}

async fn p05_a_known_device_has_its_own_failure_count(app: &App) {
    let (phone, laptop) = (device_of(&app.sign_in().await), device_of(&app.sign_in().await));
    assert_ne!(phone, laptop);
    let (phone, laptop) = (Person { peer: "", device: &phone }, Person { peer: "", device: &laptop });
    for _ in 0..6 {
        assert_eq!(phone.guess_wrongly(&app.service, "ada").await, None);
    }
    assert_eq!(phone.guess_wrongly(&app.service, "ada").await, Some(("device", false, Ttl::from_secs(1))));
    assert_eq!(failures(&app.service, "ada").await, 0);
    assert!(laptop.try_password(&app.service, "ada", PASSWORD).await.is_ok());
    app.pass(Ttl::from_secs(1)).await;
    assert!(phone.try_password(&app.service, "ada", PASSWORD).await.is_ok());
    assert_eq!(phone.guess_wrongly(&app.service, "ada").await, None, "its count was reset");
}

async fn p05_frequent_sign_ins_do_not_allow_more_guesses(app: &App) {
    change_settings(app, &[("login_failures_most", "10")]).await;
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(device_of(&app.sign_in().await));
    }
    let mut guesses = 0;
    'all: for device in &devices {
        for _ in 0..6 {
            match (Person { peer: "", device }).guess_wrongly(&app.service, "ada").await {
                None => guesses += 1,
                Some((by, ..)) => {
                    assert_eq!(by, "account", "all known devices count as unknown now");
                    break 'all;
                }
            }
        }
    }
    // Ten as known devices, then six as strangers.
    assert_eq!(guesses, 16);
}

async fn p05_addresses_are_limited_across_accounts_but_known_devices_are_not(app: &App) {
    change_settings(app, &[("address_failures", "3"), ("network_failures", "5")]).await;
    let ada = device_of(&app.sign_in().await);
    let (here, beside) = (Person { peer: "192.0.2.1", device: "" }, Person { peer: "192.0.2.2", device: "" });
    for n in 0..3 {
        assert_eq!(here.guess_wrongly(&app.service, &format!("nobody{n}")).await, None);
    }
    let wait = Some(("address", false, Ttl::from_secs(10)));
    assert_eq!(here.guess_wrongly(&app.service, "somebody").await, wait);
    assert_eq!(here.guess_wrongly(&app.service, "ada").await, wait, "for any account");
    let known = Person { peer: "192.0.2.1", device: &ada };
    assert!(known.try_password(&app.service, "ada", PASSWORD).await.is_ok());
    assert_eq!(here.guess_wrongly(&app.service, "ada").await, wait, "a success does not reset the count of an address");
    for n in 0..2 {
        assert_eq!(beside.guess_wrongly(&app.service, &format!("nobody{n}")).await, None);
    }
    let network = beside.guess_wrongly(&app.service, "ada").await;
    assert_eq!(network, Some(("network", false, Ttl::from_millis(500))));
    let elsewhere = Person { peer: ELSEWHERE, device: "" };
    assert!(elsewhere.try_password(&app.service, "ada", PASSWORD).await.is_ok());
    app.pass(Ttl::from_secs(10)).await;
    assert_eq!(here.guess_wrongly(&app.service, "somebody").await, None);
    change_settings(app, &[("address_failures", "0"), ("network_failures", "0")]).await;
    app.pass(Ttl::from_secs(10)).await;
    for n in 0..4 {
        assert_eq!(here.guess_wrongly(&app.service, &format!("other{n}")).await, None);
    }
}

async fn p05_the_limited_address_is_the_one_that_a_trusted_client_reports(app: &App) {
    change_settings(app, &[("address_failures", "2")]).await;
    let public = NewClientRequest { trusted_end_user: true, ..first_party("page", &["api"]) };
    let refused = app.service.clients.create(&Admin::command(), public).await;
    let Err(Error::Invalid(wrong)) = refused else { panic!("{refused:?}") };
    assert_eq!(wrong.iter().map(|v| v.field.clone()).collect::<Vec<_>>(), ["trusted_end_user"]);
    let gateway = NewClientRequest { public: false, trusted_end_user: true, ..first_party("gateway", &["api"]) };
    let shop = NewClientRequest { public: false, ..first_party("shop", &["api"]) };
    let (gateway, shop) = (app.confidential(gateway).await, app.confidential(shop).await);
    let guess = async |client: &ClientCredentials, address: &str, login: &str| {
        let ctx = RequestContext { peer: ELSEWHERE.into(), ..app.service.context() };
        let request = login_from("", login, "wrong as can be", address);
        match app.service.sign_ins.sign_in(&ctx, client, request).await {
            Err(Error::TooManyAttempts { by, .. }) => by,
            Err(Error::Unauthenticated(_)) => "",
            other => panic!("{other:?}"),
        }
    };
    for n in 0..2 {
        assert_eq!(guess(&gateway, "192.0.2.1", &format!("g{n}")).await, "");
    }
    assert_eq!(guess(&gateway, "192.0.2.1", "g").await, "address");
    assert_eq!(guess(&gateway, "192.0.2.2", "g").await, "");
    // The address reported by an untrusted client is ignored.
    assert_eq!(guess(&shop, "192.0.2.1", "s0").await, "");
    assert_eq!(guess(&shop, "192.0.2.3", "s1").await, "");
    assert_eq!(guess(&shop, "192.0.2.4", "s2").await, "address");
}

async fn p05_two_processes_share_their_counts(app: &App) {
    let other = app.second_process().await;
    for n in 0..6 {
        let service = if n % 2 == 0 { &app.service } else { &other };
        assert_eq!(STRANGER.guess_wrongly(service, "ada").await, None);
    }
    let wait = Some(("account", false, Ttl::from_secs(1)));
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, wait);
    assert_eq!(STRANGER.guess_wrongly(&other, "ada").await, wait);
    app.pass(Ttl::from_secs(1)).await;
    assert!(STRANGER.try_password(&other, "ada", PASSWORD).await.is_ok());
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None, "reset for both processes");
}

/// How many of a hundred concurrent guesses were checked.
async fn count_checked_guesses(services: &[&Service], login: &'static str) -> usize {
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..100 {
        let service = services[n % services.len()].clone();
        guesses.spawn(async move {
            match STRANGER.try_password(&service, login, "no password of anybody").await {
                Err(Error::Unauthenticated(_)) => true,
                Err(Error::TooManyAttempts { .. } | Error::Throttled { .. } | Error::SignInInProgress { .. }) => false,
                other => panic!("{other:?}"),
            }
        });
    }
    guesses.join_all().await.into_iter().filter(|looked| *looked).count()
}

async fn p05_concurrent_guesses_are_limited_like_sequential_ones(app: &App) {
    let mut together = 0;
    for _ in 0..10 {
        together += count_checked_guesses(&[&app.service], "ada").await;
        assert_eq!(i64::try_from(together).unwrap(), failures(&app.service, "ada").await, "each was counted");
    }
    assert_eq!(together, 6);
    app.pass(Ttl::from_secs(3600)).await;
    assert_eq!(count_checked_guesses(&[&app.service], "ada").await, 1);
    // Through two processes as well: each attempt is counted in the database before it is looked at.
    let other = app.second_process().await;
    let mut together = 0;
    for _ in 0..10 {
        together += count_checked_guesses(&[&app.service, &other], "grace").await;
    }
    assert_eq!(together, 6);
    assert_eq!(i64::try_from(together).unwrap(), failures(&app.service, "grace").await);
    app.pass(Ttl::from_secs(3600)).await;
    other.live.confirm().await.unwrap();
    assert_eq!(count_checked_guesses(&[&app.service, &other], "grace").await, 1);
}

async fn p05_a_new_password_resets_the_limits(app: &App) {
    change_settings(app, &[("login_failures_most", "10")]).await;
    assert_eq!(STRANGER.guess_until_closed(app, "ada").await, 10);
    assert!(STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_err());
    let other = app.second_process().await;
    let new = || "another long pass phrase".to_owned();
    other.users.set_password(&Admin::command(), "ada", Password::new(new())).await.unwrap();
    // Other processes cache the count for ten seconds.
    assert!(STRANGER.try_password(&other, "ada", &new()).await.is_ok());
    app.pass(Ttl::from_secs(10)).await;
    assert!(STRANGER.try_password(&app.service, "ada", &new()).await.is_ok());
}

async fn p05_each_throttling_step_is_audited_once(app: &App) {
    change_settings(app, &[("login_failures_most", "20")]).await;
    let attackers = Person { peer: ELSEWHERE, device: "" };
    change_settings(app, &[("address_failures", "0"), ("network_failures", "0")]).await;
    assert_eq!(attackers.guess_until_closed(app, "ada").await, 20);
    assert!(attackers.guess_wrongly(&app.service, "ada").await.is_some());
    let kinds = app.service.store().read().await.unwrap().audit_kinds().await.unwrap();
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let events: Vec<_> = kinds.iter().filter(|(kind, _)| kind == "ACCOUNT_THROTTLED").collect();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events.iter().all(|(_, subject)| *subject == user.subject));
    let figures = app.service.limits.figures();
    assert_eq!((figures.failures, figures.max_delay, figures.closed, figures.cached), (20, 1, 1, 1));
    assert!(figures.refused[0].1 > 10, "{figures:?}");
}

async fn a55_setting_the_clock_back_locks_nobody_out(app: &App) {
    for _ in 0..6 {
        assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    }
    assert!(STRANGER.guess_wrongly(&app.service, "ada").await.is_some());
    app.clock.advance(Ttl::from_secs(-3600));
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    let wait = Some(("account", false, Ttl::from_secs(2)));
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, wait, "the count goes on");
    app.clock.advance(Ttl::from_secs(2));
    assert!(STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_ok());
}

async fn p05_a_guess_that_cannot_be_counted_is_not_answered(app: &App) {
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    // One process loses its connections; the other cannot access the counts.
    let other = app.second_process().await;
    other.store().close().await;
    for password in [PASSWORD, "no password of anybody"] {
        let seen = STRANGER.try_password(&other, "ada", password).await;
        assert!(matches!(seen, Err(Error::Unavailable(_))), "{seen:?}");
    }
    app.sql("ALTER TABLE login_failures RENAME TO elsewhere").await;
    for password in [PASSWORD, "no password of anybody"] {
        let seen = STRANGER.try_password(&app.service, "ada", password).await;
        assert!(matches!(seen, Err(Error::Internal(_))), "{seen:?}");
    }
    app.sql("ALTER TABLE elsewhere RENAME TO login_failures").await;
    assert_eq!(failures(&app.service, "ada").await, 1);
    assert_eq!(STRANGER.guess_wrongly(&app.service, "ada").await, None);
    assert!(STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn p05_right_and_wrong_passwords_get_the_same_answer_when_failures_cannot_be_stored() {
    use sqlx::Connection;
    let app = App::sqlite().await;
    app.user("grace").await;
    let chancery::store::Location::Sqlite(path) = &app.empty.database.location else { return };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut holds = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holds).await.unwrap();
    let (wrong, right) = tokio::join!(
        STRANGER.try_password(&app.service, "ada", "no password of anybody"),
        STRANGER.try_password(&app.service, "grace", PASSWORD),
    );
    for seen in [wrong, right] {
        assert!(matches!(seen, Err(Error::Unavailable(_))), "{seen:?}");
    }
    sqlx::query("ROLLBACK").execute(&mut holds).await.unwrap();
    assert!(STRANGER.try_password(&app.service, "ada", PASSWORD).await.is_ok());
}

async fn other_guessable_secrets_use_the_same_limits(app: &App) {
    let limits = &app.service.limits;
    let mut keys = vec![limits.key(LimitKind::Account, "usr_x")];
    keys.extend(limits.keys_of_address("2001:db8::1"));
    assert_eq!(keys.len(), 5);
    assert_eq!(limits.keys_of_address("nowhere"), []);
    for _ in 0..6 {
        limits.check(&keys).await.unwrap().failed(GuessAudit::default()).await.unwrap();
    }
    let refused = limits.check(&keys).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyAttempts { by: "account", .. }), "{refused:?}");
    app.pass(Ttl::from_secs(1)).await;
    // A successful attempt resets the count.
    limits.check(&keys).await.unwrap().succeeded().await.unwrap();
    assert_eq!(failures(&app.service, "usr_x").await, 0);
}

async fn expired_counts_are_deleted(app: &App) {
    for n in 0..6 {
        assert_eq!(STRANGER.guess_wrongly(&app.service, &format!("nobody{}", n % 3)).await, None);
    }
    let sweep = async || app.service.sweeper.step(&mut SweepProgress::default()).await.unwrap().counters_deleted;
    app.pass(Ttl::from_days(2)).await;
    assert_eq!(sweep().await, 0);
    app.pass(Ttl::from_secs(1)).await;
    assert_eq!(sweep().await, 3);
}

#[tokio::test]
async fn throttling_errors_carry_machine_readable_details() {
    use chancery::grpc::pb::{LoginRequest, auth_service_client::AuthServiceClient};
    let app = App::sqlite().await;
    let mut client = AuthServiceClient::new(served(&app).await);
    let request = |password: &str, device_token: &str| LoginRequest {
        client_id: "app".into(),
        login: "ada".into(),
        password: password.into(),
        device_token: device_token.into(),
        ..LoginRequest::default()
    };
    let first = client.login(request(PASSWORD, "no token of ours")).await.unwrap().into_inner();
    assert!(!format!("{first:?}").contains("chd_"));
    for _ in 0..6 {
        assert!(client.login(request("wrong", "")).await.is_err());
    }
    let refused = client.login(request("wrong", "")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["counted_by"].as_str()), ("TOO_MANY_ATTEMPTS", "account"));
    assert_eq!(info.metadata["closed"], "false");
    let after = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(after.as_secs(), 1);
    let known = client.login(request(PASSWORD, &first.device_token)).await.unwrap().into_inner();
    assert_eq!(known.device_token, first.device_token, "the same all day long");
}
