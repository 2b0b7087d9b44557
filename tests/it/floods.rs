//! Floods of guesses and of requests for mails: what is counted is counted before it is judged, and nobody can use up
//! what others may do.

use std::{future::Future, time::Duration};

use chancery::{
    domain::limit::LimitKind,
    error::{Error, Reason, Result},
    secret::{DeviceToken, Password},
    service::{
        Admin, ClientCredentials, MePatch, NewClientRequest, PendingTicket, RegisterInput, RequestContext,
        ResetRequest, Service, SignInRequest,
    },
    time::Ttl,
};

use crate::{
    accounts::{AccountsFixture, NEW, continue_sign_in, reason, reset_request, sign_in_challenge, step, typed_code},
    support::{PASSWORD, admit_me, first_party, login_of, sign_in, tokens},
};

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    AccountsFixture => {
        p05_a_user_who_changes_the_address_128_times_at_once_sends_five_mails,
        p05_a_stranger_who_asks_128_times_at_once_sends_five_mails,
        p05_128_guesses_at_once_from_one_address_stay_within_its_count_in_each_process,
        p05_128_guesses_at_once_of_the_current_password_are_six,
        p05_an_attempt_without_an_answer_is_taken_back,
        sign_ins_at_once_keep_to_the_sessions_of_a_user,
    }
    #[tokio::test]
    AccountsFixture => {
        p05_a_right_password_leaves_no_count_even_of_its_address,
        p05_a_request_that_is_refused_later_is_not_counted,
        p05_a_request_stays_counted_where_its_mail_may_have_been_queued,
        a45_reset_requests_of_a_stranger_do_not_stop_those_of_the_owner,
        a45_one_inbox_gets_a_bounded_number_of_mails_from_strangers_but_all_of_a_known_device,
        a45_requests_for_an_address_do_not_stop_its_user_from_verifying_it,
        p05_neither_a_stranger_nor_a_thief_can_stop_the_owner_from_changing_the_password,
    }
}

const CALLS: usize = 128;
const HOME: &str = "192.0.2.1";

fn from(service: &Service, peer: &str) -> RequestContext {
    RequestContext { peer: peer.into(), ..service.context() }
}

/// The results of many calls at once, half of them to another process on the same database.
async fn at_once<F, T>(fixture: &AccountsFixture, call: impl Fn(Service, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let services = [fixture.service().clone(), fixture.app.second_process().await];
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..CALLS {
        calls.spawn(call(services[n % 2].clone(), n));
    }
    calls.join_all().await
}

/// Repeats a call while the server is busy.
async fn unless_busy<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    loop {
        match call().await {
            Err(Error::Throttled { .. } | Error::SignInInProgress { .. }) => tokio::task::yield_now().await,
            done => return done,
        }
    }
}

async fn ask_for_reset(service: &Service, peer: &str, request: ResetRequest<'_>) -> Result<PendingTicket> {
    service.accounts.request_password_reset(&from(service, peer), &ClientCredentials::None, request).await
}

async fn ask_to_register(service: &Service, peer: &str, email: &str) -> Result<PendingTicket> {
    let input = RegisterInput {
        client_id: "shop".into(),
        email: email.into(),
        name: String::new(),
        password: Password::new(PASSWORD.into()),
        language: String::new(),
        address: String::new(),
        user_agent: String::new(),
    };
    service.accounts.register(&from(service, peer), &ClientCredentials::None, input).await
}

/// Asks until it is refused. Returns how often it was not, and what refused it.
async fn ask_until_refused<F: Future<Output = Result<PendingTicket>>>(ask: impl Fn() -> F) -> (usize, &'static str) {
    for n in 0..100 {
        match ask().await {
            Ok(_) => {}
            Err(Error::TooManyAttempts { by, .. }) => return (n, by),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("never refused");
}

async fn failures(service: &Service, keys: &[chancery::domain::limit::LimitKey]) -> i64 {
    let tallies = service.store().read().await.unwrap().login_failures_of(keys).await.unwrap();
    tallies.into_iter().flatten().map(|t| t.failures).sum()
}

async fn p05_a_user_who_changes_the_address_128_times_at_once_sends_five_mails(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    let me = fixture.me(&bearer).await;
    // Every other address is a new one: the user is counted, too.
    let asked = at_once(fixture, |service, n| {
        let (me, to) = (me.clone(), if n % 4 < 2 { "other".to_owned() } else { format!("other{n}") });
        async move {
            let patch = MePatch { email: Some(format!("{to}@example.com")), ..MePatch::default() };
            unless_busy(|| {
                let patch = MePatch { email: patch.email.clone(), ..MePatch::default() };
                let (service, me) = (service.clone(), me.clone());
                async move { service.accounts.update(&service.context(), &me, patch).await.map(|_| ()) }
            })
            .await
        }
    });
    let asked = asked.await;
    assert_eq!(asked.iter().filter(|a| a.is_ok()).count(), 5);
    let refused = [Reason::TooManyAttempts, Reason::RateLimited];
    assert!(asked.into_iter().filter_map(Result::err).all(|e| refused.contains(&e.reason())));
    assert_eq!(fixture.send_mails().await.len(), 5);
}

async fn p05_a_stranger_who_asks_128_times_at_once_sends_five_mails(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    // The mail of the registration counts for the network that asked for it, which is another.
    let asked = at_once(fixture, |service, n| async move {
        let peer = format!("198.51.100.{n}");
        unless_busy(|| async {
            if n % 4 < 2 {
                ask_for_reset(&service, &peer, reset_request("grace@example.com")).await
            } else {
                ask_to_register(&service, &peer, "Grace@example.com").await
            }
        })
        .await
    });
    let asked = asked.await;
    assert_eq!(asked.iter().filter(|a| a.is_ok()).count(), 5, "one network");
    assert!(asked.into_iter().filter_map(Result::err).all(|e| e.reason() == Reason::TooManyAttempts));
    assert_eq!(fixture.send_mails().await.len(), 5);
}

async fn p05_128_guesses_at_once_from_one_address_stay_within_its_count_in_each_process(fixture: &AccountsFixture) {
    let set = async |name, value| fixture.service().instance.set(&Admin::command(), name, value).await.unwrap();
    set("address_failures", "7").await;
    let guess = |service: Service, peer: &'static str, n: usize| async move {
        let login = format!("nobody{n}");
        unless_busy(|| async {
            let request = login_of("app", &login, "no password of anybody");
            tokens(service.sign_ins.sign_in(&from(&service, peer), &ClientCredentials::None, request).await)
        })
        .await
    };
    let looked_at = |guesses: Vec<Result<_>>| {
        let mut reasons: Vec<Reason> = guesses.into_iter().map(reason).collect();
        reasons.retain(|r| *r != Reason::TooManyAttempts);
        assert!(reasons.iter().all(|r| *r == Reason::InvalidCredentials));
        reasons.len()
    };
    let service = fixture.service();
    let mut alone = tokio::task::JoinSet::new();
    for n in 0..CALLS {
        alone.spawn(guess(service.clone(), "198.51.100.7", n));
    }
    assert_eq!(looked_at(alone.join_all().await), 7, "in one process");
    let two = looked_at(at_once(fixture, |service, n| guess(service, HOME, CALLS + n)).await);
    assert!((7..=14).contains(&two), "{two}: as many as were in flight in the other process may come on top");
}

async fn p05_128_guesses_at_once_of_the_current_password_are_six(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    let me = fixture.me(&bearer).await;
    let guesses = at_once(fixture, |service, n| {
        let me = me.clone();
        async move {
            unless_busy(|| async {
                let (wrong, new) = (Password::new(format!("wrong as can be {n}")), Password::new(NEW.into()));
                service.accounts.change_password(&service.context(), &me, wrong, new).await
            })
            .await
        }
    });
    let mut reasons: Vec<Reason> = guesses.await.into_iter().map(reason).collect();
    reasons.retain(|r| *r != Reason::TooManyAttempts);
    assert_eq!(reasons, [Reason::InvalidCredentials; 6]);
}

async fn p05_an_attempt_without_an_answer_is_taken_back(fixture: &AccountsFixture) {
    let limits = &fixture.service().limits;
    let keys = [limits.key(LimitKind::Account, "anybody"), limits.key(LimitKind::Network, "anywhere")];
    let attempt = limits.check(&keys).await.unwrap();
    assert_eq!(failures(fixture.service(), &keys).await, 2, "counted before it is looked at");
    drop(attempt);
    let gone = async {
        while failures(fixture.service(), &keys).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("it is taken back");
}

async fn sign_ins_at_once_keep_to_the_sessions_of_a_user(fixture: &AccountsFixture) {
    fixture.service().instance.set(&Admin::command(), "sessions_per_user", "5").await.unwrap();
    fixture.app.user("grace").await;
    let signed_in = at_once(fixture, |service, n| async move {
        if n >= 32 {
            return Ok(());
        }
        service.live.confirm().await?;
        unless_busy(|| async { sign_in(&service, login_of("app", "grace", PASSWORD)).await.map(|_| ()) }).await
    });
    assert!(signed_in.await.into_iter().all(|s| s.is_ok()));
    let live = "UPDATE sessions SET device_label = '' WHERE revoked_at IS NULL AND user_id IN \
        (SELECT user_id FROM logins WHERE canonical = 'grace')";
    assert_eq!(fixture.app.empty.database.sql(live).await.unwrap(), 5);
}

async fn p05_a_right_password_leaves_no_count_even_of_its_address(fixture: &AccountsFixture) {
    let service = fixture.service();
    let mut device = String::new();
    for _ in 0..40 {
        let request =
            SignInRequest { device_token: DeviceToken::new(device.clone()), ..login_of("app", "ada", PASSWORD) };
        let pair = tokens(service.sign_ins.sign_in(&from(service, HOME), &ClientCredentials::None, request).await);
        // Every other sign-in is from a known device.
        device = if device.is_empty() { pair.unwrap().device.unwrap().expose().to_owned() } else { String::new() };
    }
    assert_eq!(fixture.app.empty.database.sql("DELETE FROM login_failures").await.unwrap(), 0);
}

async fn p05_a_request_that_is_refused_later_is_not_counted(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let service = fixture.service();
    let ended = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let own = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    service.accounts.revoke_session(&own, None).await.unwrap();
    let context = service.context();
    let ask = |me| {
        let patch = MePatch { email: Some("new@example.com".into()), ..MePatch::default() };
        service.accounts.update(&context, me, patch)
    };
    for _ in 0..6 {
        assert_eq!(reason(ask(&ended).await), Reason::TokenInvalid);
    }
    assert!(ask(&own).await.is_ok());
}

async fn p05_a_request_stays_counted_where_its_mail_may_have_been_queued(fixture: &AccountsFixture) {
    fixture.app.sql("ALTER TABLE mails RENAME TO elsewhere").await;
    for _ in 0..3 {
        let failed = ask_for_reset(fixture.service(), HOME, reset_request("grace@example.com")).await;
        assert_eq!(reason(failed), Reason::Internal);
    }
    fixture.app.sql("ALTER TABLE elsewhere RENAME TO mails").await;
    let ask = || ask_for_reset(fixture.service(), HOME, reset_request("grace@example.com"));
    assert_eq!(ask_until_refused(ask).await, (2, "mail"));
}

async fn a45_reset_requests_of_a_stranger_do_not_stop_those_of_the_owner(fixture: &AccountsFixture) {
    // The client has no links: only codes, which work only with the ticket of the person who asked.
    let plain = NewClientRequest { registration: true, ..first_party("plain", &["api"]) };
    fixture.service().clients.create(&Admin::command(), plain).await.unwrap();
    let pending = fixture.register("grace@example.com", "grace").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    fixture.verify(&typed_code(&pending, &mail)).await.unwrap();
    let request = |login| ResetRequest { client_id: "plain", ..reset_request(login) };
    let own = ask_for_reset(fixture.service(), HOME, request("grace")).await.unwrap();
    let first = fixture.send_mails().await.remove(0);
    let stranger = || ask_for_reset(fixture.service(), "198.51.100.7", request("grace"));
    assert_eq!(ask_until_refused(stranger).await, (5, "mail"));
    assert_eq!(fixture.send_mails().await.len(), 5, "each that was answered is mailed");
    let newest = ask_for_reset(fixture.service(), HOME, request("grace")).await.unwrap();
    let last = fixture.send_mails().await.remove(0);
    assert_eq!((last.kind, last.to.as_str()), ("password_reset", "grace@example.com"));
    let reset = async |pending: &PendingTicket, mail, password: &str| {
        let presented = typed_code(pending, mail);
        let password = Password::new(password.into());
        let reset = chancery::service::PasswordReset { client_id: "plain".into(), presented, password };
        let service = fixture.service();
        service.accounts.reset_password(&service.context(), &ClientCredentials::None, reset).await
    };
    let weak = reset(&own, &first, "short").await;
    assert_eq!(reason(weak), Reason::InvalidArgument, "the owner's earlier code is still valid");
    assert!(reset(&newest, &last, NEW).await.is_ok());
}

async fn a45_one_inbox_gets_a_bounded_number_of_mails_from_strangers_but_all_of_a_known_device(
    fixture: &AccountsFixture,
) {
    fixture.register_verified_user("grace@example.com").await;
    let service = fixture.service();
    let home = login_of("shop", "grace@example.com", PASSWORD);
    let device = tokens(service.sign_ins.sign_in(&from(service, HOME), &ClientCredentials::None, home).await);
    let device = device.unwrap().device.unwrap();
    let mut mails = 1;
    let mut refused_by = Vec::new();
    for network in 0..10 {
        let peer = format!("198.51.{network}.7");
        let (n, by) = ask_until_refused(|| ask_for_reset(service, &peer, reset_request("grace@example.com"))).await;
        mails += n;
        refused_by.push(by);
    }
    assert_eq!(mails, 20 + 6, "with the mail of the registration, and the first one of each network");
    assert_eq!((refused_by[0], refused_by[9]), ("mail", "inbox"));
    assert_eq!(fixture.send_mails().await.len(), 25);
    // The same for an address without an account, so that nobody learns which has one.
    for network in 0..10 {
        let peer = format!("203.0.{network}.7");
        let (n, by) = ask_until_refused(|| ask_for_reset(service, &peer, reset_request("nobody@example.com"))).await;
        assert_eq!(n, if network < 4 { 5 } else { 1 }, "refused by {by}");
    }
    let known = ResetRequest { device_token: Some(&device), ..reset_request("grace@example.com") };
    let pending = ask_for_reset(service, HOME, known).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    assert!(fixture.reset(&typed_code(&pending, &mail), NEW).await.is_ok());
    // A device is bounded, too.
    assert_eq!(ask_until_refused(|| ask_for_reset(service, HOME, known)).await, (4, "mail"));
    let forged = DeviceToken::new(format!("{}x", device.expose()));
    let forged = ResetRequest { device_token: Some(&forged), ..known };
    assert_eq!(ask_until_refused(|| ask_for_reset(service, HOME, forged)).await, (1, "inbox"));
    assert!(ask_for_reset(service, "192.0.3.1", reset_request("grace@example.com")).await.is_ok(), "anybody's first");
    fixture.app.pass(Ttl::from_secs(7200)).await;
    let ask = || ask_for_reset(service, HOME, reset_request("grace@example.com"));
    assert!(ask().await.is_ok() && ask().await.is_ok(), "over time");
}

async fn a45_requests_for_an_address_do_not_stop_its_user_from_verifying_it(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    let service = fixture.service();
    let strict = NewClientRequest { require_email: true, ..first_party("strict", &["api"]) };
    service.clients.create(&Admin::command(), strict).await.unwrap();
    let challenge = sign_in_challenge(fixture, "strict", "ada").await;
    for email in ["new@example.com", "ada@example.com"] {
        for network in 0..5 {
            let peer = format!("198.51.{network}.7");
            ask_until_refused(|| ask_to_register(service, &peer, email)).await;
        }
        // Those of the user's own network, as well.
        ask_until_refused(|| ask_to_register(service, "", email)).await;
    }
    fixture.send_mails().await;
    let me = admit_me(service, &bearer).await.unwrap();
    let patch = MePatch { email: Some("new@example.com".into()), ..MePatch::default() };
    let (_, pending) = service.accounts.update(&service.context(), &me, patch).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    fixture.verify(&typed_code(&pending.unwrap(), &mail)).await.unwrap();
    let mut next = step(&challenge);
    next.client_id = "strict".into();
    next.email = "ada@example.com".into();
    assert!(continue_sign_in(service, next).await.is_ok());
    let mailed = fixture.send_mails().await;
    assert!(mailed.iter().any(|m| (m.kind, m.to.as_str()) == ("verify_email", "ada@example.com")), "{mailed:?}");
}

async fn p05_neither_a_stranger_nor_a_thief_can_stop_the_owner_from_changing_the_password(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let service = fixture.service();
    let stolen = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let own = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let user = service.users.get(&Admin::command(), "grace@example.com").await.unwrap().user;
    for _ in 0..7 {
        // The id of a user is the subject of every token.
        let typed = sign_in(service, login_of("app", &user.subject, "no password of anybody")).await;
        assert!(matches!(reason(typed), Reason::InvalidCredentials | Reason::TooManyAttempts));
        let (wrong, new) = (Password::new("no password of anybody".into()), Password::new(NEW.into()));
        let guess = service.accounts.change_password(&service.context(), &stolen, wrong, new).await;
        assert!(matches!(reason(guess), Reason::InvalidCredentials | Reason::TooManyAttempts));
    }
    let (old, new) = (Password::new(PASSWORD.into()), Password::new(NEW.into()));
    assert!(service.accounts.change_password(&service.context(), &own, old, new).await.is_ok());
}
