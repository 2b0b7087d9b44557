//! A guest signs in, or opens an account.

use chancery::{
    domain::guest::GuestDataPolicy::{self, KeepAccount, KeepGuest, ReturnBoth},
    error::{Error, Reason},
    secret::{RefreshToken, TypedCode},
    service::{Admin, Challenge, ClientCredentials, ClientPatch, Continued, NextStep, SignInStep, SignedIn, TokenPair},
};
use futures_util::future::join_all;
use serde_json::json;

use super::{App, PASSWORD, Ttl, claims, reason, rows, shop, start, upgrade, upgrade_of};
use crate::{
    accounts::NEW,
    passkeys::fixture::next,
    step_up::Authenticator,
    support::{login_of, refresh, sign_in, token, tokens},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_guest_who_signs_in_gets_a_new_session_and_the_old_one_is_over,
        s16_a_planted_guest_token_is_worth_nothing_after_the_upgrade,
        a_guest_is_upgraded_once_even_under_concurrency,
        a_failed_upgrade_leaves_the_guest_as_it_was,
        data_of_a_guest_joins_that_of_the_account_by_policy,
        an_upgrade_with_further_steps_completes_with_the_last_one,
        an_upgrade_whose_guest_has_ended_meanwhile_is_refused,
        an_upgrade_whose_guest_has_ended_spends_no_code_and_sets_up_no_factor,
        only_the_newest_token_of_a_guest_upgrades_it,
    }
}

/// The subject of a token.
fn subject(pair: &TokenPair) -> String {
    claims(pair.access.token.expose())["sub"].as_str().unwrap().to_owned()
}

/// Stores a value behind the server's back: for a session, or for a user at the shop.
async fn store(app: &App, owner: &str, namespace: &str, value: &str) {
    let owner = owner_of(owner);
    let bytes = match app.empty.database.engine {
        "postgres" => format!("CAST('{value}' AS BYTEA)"),
        _ => format!("CAST('{value}' AS BLOB)"),
    };
    let columns = "owner, namespace, value, version, updated_at";
    app.sql(&format!("INSERT INTO session_data ({columns}) VALUES ('{owner}', '{namespace}', {bytes}, 3, 1)")).await;
}

fn owner_of(id: &str) -> String {
    if id.starts_with("usr_") { format!("{id}/shop") } else { id.to_owned() }
}

async fn stored(app: &App, owner: &str, namespace: &str, value: &str) -> bool {
    let owner = owner_of(owner);
    let bytes = if app.empty.database.engine == "postgres" { "BYTEA" } else { "BLOB" };
    let condition = format!("owner = '{owner}' AND namespace = '{namespace}' AND value = CAST('{value}' AS {bytes})");
    rows(app, &format!("session_data WHERE {condition}")).await == 1
}

async fn user_id(app: &App, login: &str) -> String {
    let mut tx = app.service.store().read().await.unwrap();
    tx.user_by_login(login).await.unwrap().unwrap().user.id.to_string()
}

async fn a_guest_who_signs_in_gets_a_new_session_and_the_old_one_is_over(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    let pair = upgrade(&app.service, upgrade_of(&token(&guest), "ada", &[])).await.unwrap();
    let said = claims(pair.access.token.expose());
    assert_eq!((&said["acr"], &said["sub"]), (&"1".into(), &user_id(app, "ada").await.into()));
    assert_ne!(pair.session_id, guest.session_id);
    assert!(pair.device.is_some() && pair.conflicts.is_empty());
    let ended = refresh(&app.service, "shop", &token(&guest), "", &[], "").await;
    assert_eq!(reason(&ended), Reason::SessionRevoked);
    // Verifiers are told.
    assert!(app.service.live.snapshot().revoked_sessions.contains_key(&guest.session_id));
    let signed_in = format!("audit_events WHERE kind = 'SIGNED_IN' AND session_id = '{}'", pair.session_id);
    assert_eq!(rows(app, &signed_in).await, 1);
}

/// Session fixation: whoever has given somebody a session of their own must not be in the account afterwards.
async fn s16_a_planted_guest_token_is_worth_nothing_after_the_upgrade(app: &App) {
    shop(app).await;
    let planted = start(&app.service).await;
    let copy = token(&planted);
    upgrade(&app.service, upgrade_of(&token(&planted), "ada", &[])).await.unwrap();
    assert_eq!(reason(&refresh(&app.service, "shop", &copy, "", &[], "").await), Reason::SessionRevoked);
    let again = upgrade(&app.service, upgrade_of(&copy, "ada", &[])).await;
    assert_eq!(reason(&again), Reason::SessionRevoked);
    let bearer = ClientCredentials::Bearer(planted.access.token.expose().to_owned());
    assert_eq!(reason(&crate::support::admit_me(&app.service, &bearer).await), Reason::TokenInvalid);
}

async fn a_guest_is_upgraded_once_even_under_concurrency(app: &App) {
    shop(app).await;
    app.user("grace").await;
    let other = app.second_process().await;
    let guest = start(&app.service).await;
    let (token, before) = (token(&guest), rows(app, "sessions").await);
    let tries = (0..8).map(|n| {
        let service = if n % 2 == 0 { &app.service } else { &other };
        let login = if n % 4 < 2 { "ada" } else { "grace" };
        let token = token.clone();
        async move {
            loop {
                match upgrade(service, upgrade_of(&token, login, &[])).await {
                    Err(error) if matches!(error.reason(), Reason::Overloaded | Reason::SignInInProgress) => {
                        tokio::task::yield_now().await;
                    }
                    answered => return answered,
                }
            }
        }
    });
    let outcomes = join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.iter().filter(|outcome| outcome.is_err()) {
        assert_eq!(reason(refused), Reason::SessionRevoked);
    }
    assert_eq!(rows(app, "sessions").await, before + 1, "nothing is half done");
}

async fn a_failed_upgrade_leaves_the_guest_as_it_was(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    let mut wrong = upgrade_of(&token(&guest), "ada", &[]);
    wrong.sign_in.password = chancery::secret::Password::new("not the password at all".into());
    assert_eq!(reason(&upgrade(&app.service, wrong).await), Reason::InvalidCredentials);
    let next = refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    for nonsense in ["", "chr_nonsense"] {
        let expected = if nonsense.is_empty() { Reason::InvalidArgument } else { Reason::RefreshTokenInvalid };
        assert_eq!(reason(&upgrade(&app.service, upgrade_of(nonsense, "ada", &[])).await), expected);
    }
    let user = sign_in(&app.service, login_of("shop", "ada", PASSWORD)).await.unwrap();
    let of_a_user = upgrade(&app.service, upgrade_of(&token(&user), "ada", &[])).await;
    assert_eq!(reason(&of_a_user), Reason::InvalidArgument);
    upgrade(&app.service, upgrade_of(&token(&next), "ada", &[])).await.unwrap();
}

async fn data_of_a_guest_joins_that_of_the_account_by_policy(app: &App) {
    shop(app).await;
    let ada = user_id(app, "ada").await;
    let guest = start(&app.service).await;
    let visitor = subject(&guest);
    for namespace in ["kept", "stays", "both", "only"] {
        store(app, &visitor, namespace, r#"{"of":"guest"}"#).await;
    }
    for namespace in ["kept", "stays", "both", "own"] {
        store(app, &ada, namespace, r#"{"of":"ada"}"#).await;
    }
    let policies = [("stays", KeepAccount), ("both", ReturnBoth)];
    let pair = upgrade(&app.service, upgrade_of(&token(&guest), "ada", &policies)).await.unwrap();
    let expected = [("kept", "guest"), ("stays", "ada"), ("both", "ada"), ("own", "ada"), ("only", "guest")];
    for (namespace, of) in expected {
        assert!(stored(app, &ada, namespace, &format!(r#"{{"of":"{of}"}}"#)).await, "{namespace}");
    }
    assert!(stored(app, &pair.session_id, "both", r#"{"of":"guest"}"#).await);
    assert_eq!(rows(app, &format!("session_data WHERE owner = '{visitor}/shop'")).await, 0);
    let conflicts: Vec<(&str, GuestDataPolicy)> =
        pair.conflicts.iter().map(|conflict| (&*conflict.namespace, conflict.policy)).collect();
    assert_eq!(conflicts, [("both", ReturnBoth), ("kept", KeepGuest), ("stays", KeepAccount)]);
    for conflict in &pair.conflicts {
        assert_eq!(conflict.guest.to_value(), json!({ "of": "guest" }));
        assert_eq!(conflict.account.as_ref().unwrap().to_value(), json!({ "of": "ada" }));
    }
    // Another device notices that the value has changed.
    assert_eq!(
        rows(app, &format!("session_data WHERE owner = '{ada}/shop' AND namespace = 'kept' AND version = 4")).await,
        1
    );
}

/// Continues a sign-in with a new password.
async fn choose_password(app: &App, signed_in: SignedIn) -> chancery::error::Result<SignedIn> {
    let SignedIn::Challenge(challenge) = signed_in else { panic!("there is a step") };
    assert_eq!(challenge.step, SignInStep::ChoosePassword);
    let next = NextStep {
        client_id: "shop".into(),
        token: challenge.token,
        new_password: chancery::secret::Password::new(NEW.into()),
        email: String::new(),
        code: TypedCode::new(String::new()),
        recovery_code: TypedCode::new(String::new()),
        passkey_response: chancery::secret::PasskeyResponse::new(String::new()),
    };
    let continued = app.service.sign_ins.continue_sign_in(&app.service.context(), &ClientCredentials::None, next).await;
    continued.map(|continued| continued.signed_in)
}

async fn started_upgrade(app: &App, guest: &str) -> SignedIn {
    app.user("new").await;
    app.service.users.require_new_password(&Admin::command(), "new").await.unwrap();
    first_step(app, guest).await
}

async fn first_step(app: &App, guest: &str) -> SignedIn {
    let request = upgrade_of(guest, "new", &[]);
    app.service.sign_ins.upgrade_guest(&app.service.context(), &ClientCredentials::None, request).await.unwrap()
}

async fn an_upgrade_with_further_steps_completes_with_the_last_one(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    store(app, &subject(&guest), "cart", "[1]").await;
    let step = started_upgrade(app, &token(&guest)).await;
    // Until then, the guest goes on.
    refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    let pair = tokens(choose_password(app, step).await).unwrap();
    assert!(stored(app, &subject(&pair), "cart", "[1]").await);
    let ended = refresh(&app.service, "shop", &token(&guest), "", &[], "").await;
    assert_eq!(reason(&ended), Reason::SessionRevoked);
}

async fn an_upgrade_whose_guest_has_ended_meanwhile_is_refused(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    let step = started_upgrade(app, &token(&guest)).await;
    let out = RefreshToken::new(token(&guest));
    app.service.tokens.log_out(&app.service.context(), &ClientCredentials::None, "shop", &out).await.unwrap();
    let refused = choose_password(app, step).await;
    assert!(matches!(refused, Err(Error::Ended { cause: "logout" })), "{refused:?}");
    // Nothing has changed, so that another guest signs in as this one would have.
    let step = first_step(app, &token(&start(&app.service).await)).await;
    tokens(choose_password(app, step).await).unwrap();
    sign_in(&app.service, login_of("shop", "new", NEW)).await.unwrap();
}

/// Begins an upgrade that has a step left.
async fn begun(app: &App, guest: &TokenPair) -> Challenge {
    let (request, ctx) = (upgrade_of(&token(guest), "ada", &[]), app.service.context());
    let begun = app.service.sign_ins.upgrade_guest(&ctx, &ClientCredentials::None, request).await.unwrap();
    let SignedIn::Challenge(challenge) = begun else { panic!("there is a step") };
    challenge
}

async fn end(app: &App, guest: &TokenPair) {
    let out = RefreshToken::new(token(guest));
    app.service.tokens.log_out(&app.service.context(), &ClientCredentials::None, "shop", &out).await.unwrap();
}

async fn go_on(app: &App, next: NextStep) -> chancery::error::Result<Continued> {
    app.service.sign_ins.continue_sign_in(&app.service.context(), &ClientCredentials::None, next).await
}

async fn an_upgrade_whose_guest_has_ended_spends_no_code_and_sets_up_no_factor(app: &App) {
    shop(app).await;
    let patch = ClientPatch { require_mfa: Some(true), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    let own = async || app.service.users.factors(&Admin::command(), "ada").await.unwrap();
    let enrolment = |challenge: &Challenge| {
        let phone = Authenticator::new(challenge.totp.as_ref().unwrap().secret.expose());
        let code = TypedCode::new(phone.code(app.service.now()));
        NextStep { code, ..next("shop", challenge.token.expose()) }
    };
    let guest = start(&app.service).await;
    let step = begun(app, &guest).await;
    assert_eq!(step.step, SignInStep::Enrol);
    end(app, &guest).await;
    assert_eq!(reason(&go_on(app, enrolment(&step)).await), Reason::SessionRevoked);
    assert!(own().await.factors.is_empty());
    // Another guest is upgraded, and sets one up.
    let step = begun(app, &start(&app.service).await).await;
    let codes = go_on(app, enrolment(&step)).await.unwrap().recovery_codes;
    assert_eq!((own().await.factors.len(), codes.len()), (1, 10));
    let guest = start(&app.service).await;
    let step = begun(app, &guest).await;
    end(app, &guest).await;
    let shown = |challenge: &Challenge| NextStep {
        recovery_code: TypedCode::new(codes[0].expose().to_owned()),
        ..next("shop", challenge.token.expose())
    };
    assert_eq!(reason(&go_on(app, shown(&step)).await), Reason::SessionRevoked);
    assert_eq!(own().await.recovery_codes_left, 10);
    let step = begun(app, &start(&app.service).await).await;
    tokens(go_on(app, shown(&step)).await.map(|continued| continued.signed_in)).unwrap();
    assert_eq!(own().await.recovery_codes_left, 9);
}

async fn only_the_newest_token_of_a_guest_upgrades_it(app: &App) {
    shop(app).await;
    let guest = start(&app.service).await;
    refresh(&app.service, "shop", &token(&guest), "", &[], "").await.unwrap();
    app.pass(Ttl::from_secs(60)).await;
    let old = upgrade(&app.service, upgrade_of(&token(&guest), "ada", &[])).await;
    assert_eq!(reason(&old), Reason::RefreshTokenSuperseded);
    assert!(!app.service.live.snapshot().revoked_sessions.contains_key(&guest.session_id), "nothing was revoked");
}
