//! Sign-in with a passkey alone, through applications.

use chancery::{
    error::Error,
    service::{Admin, NewClientRequest, SignedIn},
    time::Ttl,
};
use serde_json::json;

use super::{
    authenticator::{Authenticator, BE, BS, Says, UP, UV, changed},
    fixture::{give_passkey, go_on, is_refused, live_sessions, options, right, sign_in, start},
};
use crate::{
    browser::site_client,
    support::{App, claims, first_party},
};

on_each_engine! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        a48_one_assertion_that_is_sent_many_times_at_once_opens_one_session,
    }
    #[tokio::test]
    App => {
        p21_a_passkey_alone_signs_in_with_two_factors,
        a_passkey_that_can_be_copied_is_told_from_one_that_cannot,
        a48_nothing_but_the_right_answer_signs_in,
        a48_a_passkey_that_names_no_user_is_refused_and_one_that_names_null_too,
        a48_a_challenge_counts_once_and_for_five_minutes_and_for_its_client,
        a48_a_counter_that_goes_back_is_refused_and_written_down,
        p10_an_unknown_passkey_and_a_disabled_user_are_refused_alike,
        a_client_without_a_named_host_has_no_passkeys,
        a_step_that_is_left_follows_and_the_same_answer_leads_nowhere,
        a_flood_of_wrong_answers_is_limited_by_address,
    }
}

async fn with_shop(app: &App) {
    app.service.clients.create(&Admin::command(), site_client("shop")).await.unwrap();
}

async fn p21_a_passkey_alone_signs_in_with_two_factors(app: &App) {
    with_shop(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    for uses in 1..=3 {
        let pair = sign_in(app, &mut device, &right()).await.unwrap();
        let claims = claims(pair.access.token.expose());
        assert_eq!((&claims["acr"], &claims["amr"]), (&json!("2"), &json!(["hwk", "user", "mfa"])));
        assert_eq!(live_sessions(app, "ada").await, uses);
    }
    let mut tx = app.service.store().read().await.unwrap();
    let passkey = tx.passkey_by_credential(&device.id).await.unwrap().unwrap();
    assert_eq!(passkey.last_used_at, Some(app.service.now()));
}

async fn a_passkey_that_can_be_copied_is_told_from_one_that_cannot(app: &App) {
    with_shop(app).await;
    let synced = Says { flags: UP | UV | BE | BS, ..right() };
    let mut device = give_passkey(app, "ada", &synced).await;
    let pair = sign_in(app, &mut device, &synced).await.unwrap();
    assert_eq!(claims(pair.access.token.expose())["amr"], json!(["swk", "user", "mfa"]));
    assert!(is_refused(&sign_in(app, &mut device, &right()).await), "P21: what it is never changes");
}

async fn a48_nothing_but_the_right_answer_signs_in(app: &App) {
    with_shop(app).await;
    app.user("grace").await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let other = give_passkey(app, "grace", &right()).await;
    let wrong = [
        ("another origin", Says { origin: "http://localhost:8001".into(), ..right() }),
        ("a subdomain", Says { origin: "http://a.localhost:8000".into(), ..right() }),
        ("another host", Says { host: "example.org".into(), ..right() }),
        ("in a frame", Says { cross_origin: true, ..right() }),
        ("backed up, though it cannot be", Says { flags: UP | UV | BS, ..right() }),
        ("nobody there", Says { flags: UV, ..right() }),
        ("not verified", Says { flags: UP, ..right() }),
        ("the passkey of another user", Says { credential: Some(other.id.clone()), ..right() }),
        ("another user", Says { handle: Some(other.handle.clone()), ..right() }),
        (
            "another user and passkey",
            Says { handle: Some(other.handle.clone()), credential: Some(other.id.clone()), ..right() },
        ),
        ("a registration", Says { kind: Some("webauthn.create"), ..right() }),
        ("another challenge", Says { challenge: Some("AAAAAAAAAAAAAAAAAAAAAA".into()), ..right() }),
    ];
    for (what, says) in wrong {
        assert!(is_refused(&sign_in(app, &mut device, &says).await), "{what}");
        app.pass(Ttl::from_secs(600)).await;
    }
    for body in ["{}", "[]", "\"", &"[".repeat(10_000), &"x".repeat(70_000)] {
        let started = start(&app.service, "shop").await.unwrap();
        assert!(is_refused(&go_on(&app.service, "shop", started.token.expose(), body).await));
        app.pass(Ttl::from_secs(600)).await;
    }
    assert_eq!(live_sessions(app, "ada").await + live_sessions(app, "grace").await, 0);
    assert!(sign_in(app, &mut device, &right()).await.is_ok());
}

async fn a48_a_passkey_that_names_no_user_is_refused_and_one_that_names_null_too(app: &App) {
    with_shop(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let started = start(&app.service, "shop").await.unwrap();
    let response = device.get(&options(&started), &right());
    for (what, odd) in changed(&response).into_iter().filter(|(what, _)| what.contains("userHandle")) {
        let refused = go_on(&app.service, "shop", started.token.expose(), &odd.to_string()).await;
        assert!(is_refused(&refused), "{what}: {refused:?}");
    }
    assert!(go_on(&app.service, "shop", started.token.expose(), &response.to_string()).await.is_ok());
}

async fn a48_a_challenge_counts_once_and_for_five_minutes_and_for_its_client(app: &App) {
    with_shop(app).await;
    let other = NewClientRequest { site: "http://localhost:9000/auth".into(), ..first_party("till", &["api"]) };
    app.service.clients.create(&Admin::command(), other).await.unwrap();
    // A counter of zero says nothing, so that the challenge alone decides.
    let still = Says { counter: Some(0), ..right() };
    let mut device = give_passkey(app, "ada", &still).await;
    let started = start(&app.service, "shop").await.unwrap();
    let token = started.token.expose();
    let response = device.get(&options(&started), &still).to_string();
    assert!(is_refused(&go_on(&app.service, "till", token, &response).await), "it is of another client");
    assert!(is_refused(&go_on(&app.service, "shop", "chp_AAAA", &response).await));
    assert!(go_on(&app.service, "shop", token, &response).await.is_ok());
    assert!(is_refused(&go_on(&app.service, "shop", token, &response).await), "once");
    let second = start(&app.service, "shop").await.unwrap();
    assert!(is_refused(&go_on(&app.service, "shop", second.token.expose(), &response).await), "a replay");
    let response = device.get(&options(&second), &still).to_string();
    app.pass(Ttl::from_secs(301)).await;
    assert!(is_refused(&go_on(&app.service, "shop", second.token.expose(), &response).await), "too late");
    assert_eq!(live_sessions(app, "ada").await, 1);
}

async fn a48_one_assertion_that_is_sent_many_times_at_once_opens_one_session(app: &App) {
    with_shop(app).await;
    let second = app.second_process().await;
    for says in [right(), Says { counter: Some(0), ..right() }] {
        let before = live_sessions(app, "ada").await;
        let mut device = give_passkey(app, "ada", &says).await;
        let started = start(&app.service, "shop").await.unwrap();
        let response = device.get(&options(&started), &says).to_string();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..16 {
            let service = if n % 2 == 0 { app.service.clone() } else { second.clone() };
            let (token, response) = (started.token.expose().to_owned(), response.clone());
            tasks.spawn(async move { go_on(&service, "shop", &token, &response).await });
        }
        let all = tasks.join_all().await;
        let opened = all.iter().filter(|result| result.is_ok()).count();
        assert_eq!(opened, 1, "{all:?}");
        assert!(all.iter().all(|result| result.is_ok() || is_refused(result)), "{all:?}");
        assert_eq!(live_sessions(app, "ada").await, before + 1);
    }
    assert!(!kinds(app).await.contains(&"PASSKEY_SUSPECTED".to_owned()), "nobody has copied it");
    second.store().close().await;
}

async fn kinds(app: &App) -> Vec<String> {
    let mut tx = app.service.store().read().await.unwrap();
    tx.audit_kinds().await.unwrap().into_iter().map(|(kind, _)| kind).collect()
}

async fn a48_a_counter_that_goes_back_is_refused_and_written_down(app: &App) {
    with_shop(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let at = |counter| Says { counter: Some(counter), ..right() };
    assert!(sign_in(app, &mut device, &at(10)).await.is_ok());
    for counter in [10, 3, 0] {
        assert!(is_refused(&sign_in(app, &mut device, &at(counter)).await), "{counter}");
    }
    let suspected = kinds(app).await.into_iter().filter(|kind| kind == "PASSKEY_SUSPECTED").count();
    assert_eq!(suspected, 3);
    assert!(sign_in(app, &mut device, &at(11)).await.is_ok(), "its owner is not locked out");
}

async fn p10_an_unknown_passkey_and_a_disabled_user_are_refused_alike(app: &App) {
    with_shop(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let mut unknown = Authenticator::new(super::authenticator::Alg::Es256);
    unknown.handle.clone_from(&device.handle);
    let mut answers = vec![sign_in(app, &mut unknown, &right()).await.unwrap_err().to_string()];
    app.service.users.disable(&Admin::command(), "ada").await.unwrap();
    answers.push(sign_in(app, &mut device, &right()).await.unwrap_err().to_string());
    assert_eq!(answers[0], answers[1]);
    app.service.users.enable(&Admin::command(), "ada").await.unwrap();
    assert!(sign_in(app, &mut device, &right()).await.is_ok());
}

async fn a_client_without_a_named_host_has_no_passkeys(app: &App) {
    let by_address = NewClientRequest { site: "http://127.0.0.1:8000/auth".into(), ..first_party("bare", &["api"]) };
    app.service.clients.create(&Admin::command(), by_address).await.unwrap();
    for client in ["app", "bare"] {
        let refused = start(&app.service, client).await.unwrap_err();
        assert!(matches!(&refused, Error::Precondition(text) if text.contains("site")), "{refused:?}");
    }
}

async fn a_step_that_is_left_follows_and_the_same_answer_leads_nowhere(app: &App) {
    let client = NewClientRequest { require_email: true, ..site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut device = give_passkey(app, "ada", &right()).await;
    let started = start(&app.service, "shop").await.unwrap();
    let response = device.get(&options(&started), &right()).to_string();
    let first = go_on(&app.service, "shop", started.token.expose(), &response).await.unwrap();
    let SignedIn::Challenge(challenge) = first.signed_in else { panic!("{first:?}") };
    assert_eq!(format!("{:?}", challenge.step), "VerifyEmail");
    assert!(is_refused(&go_on(&app.service, "shop", started.token.expose(), &response).await));
    assert_eq!(live_sessions(app, "ada").await, 0);
    assert!(!kinds(app).await.contains(&"PASSKEY_SUSPECTED".to_owned()));
}

async fn a_flood_of_wrong_answers_is_limited_by_address(app: &App) {
    with_shop(app).await;
    let mut device = give_passkey(app, "ada", &right()).await;
    let says = Says { host: "example.org".into(), ..right() };
    let mut context = app.service.context();
    context.peer = "192.0.2.7".into();
    for n in 0.. {
        assert!(n < 1000, "nothing limits it");
        let started = start(&app.service, "shop").await.unwrap();
        let response = device.get(&options(&started), &says).to_string();
        let step = chancery::service::NextStep {
            passkey_response: chancery::secret::PasskeyResponse::new(response),
            ..super::fixture::next("shop", started.token.expose())
        };
        let none = chancery::service::ClientCredentials::None;
        match app.service.sign_ins.continue_sign_in(&context, &none, step).await {
            Err(Error::TooManyAttempts { .. }) => break,
            other => assert!(is_refused(&other), "{other:?}"),
        }
    }
    assert!(sign_in(app, &mut device, &right()).await.is_ok(), "others are not concerned");
}
