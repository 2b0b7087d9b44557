//! Step-up over gRPC: a session of one factor goes on as a new one of two.

use chancery::{
    error::{Error, Reason, Result},
    secret::{PasskeyResponse, Password, RecoveryCode, RefreshToken, TicketToken, TypedCode},
    service::{
        Admin, Challenge, ClientCredentials, Continued, NextStep, SignInStep, SignedIn, StepUpRequest, TokenPair,
    },
    time::{Timestamp, Ttl},
};
use totp_rs::{Builder, Totp};

use crate::support::{App, PASSWORD, claims, login_of, token};

on_each_engine! {
    #[tokio::test]
    App => {
        s08_a_step_up_opens_a_new_session_with_the_old_auth_time_and_ends_the_old_one,
        a_wrong_code_leaves_the_challenge_and_the_old_session_as_they_are,
        s09_an_old_sign_in_sets_up_no_factor,
        of_two_step_ups_of_one_session_one_succeeds,
        a_step_up_is_void_once_its_session_has_ended,
        s09_a_session_that_has_ended_sets_up_no_factor,
        s09_a_session_that_has_ended_spends_no_recovery_code,
        only_the_newest_refresh_token_of_its_own_client_begins_a_step_up,
        a_level_that_is_not_above_a_password_is_refused,
        step_ups_of_one_session_are_limited,
    }
}

/// How long each code is shown, and a second more: the next one is another.
const NEXT_CODE: Ttl = Ttl::from_secs(31);

/// An app that shows codes.
pub(crate) struct Authenticator(Totp);

impl Authenticator {
    /// With the secret as it is shown, in groups or not.
    pub(crate) fn new(shown: &str) -> Self {
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
        for letter in shown.bytes().filter(|letter| *letter != b' ') {
            let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|one| *one == letter).unwrap();
            (bits, held) = (bits << 5 | u32::try_from(value).unwrap(), held + 5);
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
            }
        }
        Self(Builder::new().with_secret(<[u8; 20]>::try_from(bytes).unwrap()).build_noncompliant())
    }

    pub(crate) fn code(&self, at: Timestamp) -> String {
        self.0.generate(at.seconds().unsigned_abs()).to_string()
    }
}

fn request(refresh_token: &str) -> StepUpRequest {
    StepUpRequest {
        client_id: "app".to_owned(),
        refresh_token: RefreshToken::new(refresh_token.to_owned()),
        acr: "2".to_owned(),
        audience: String::new(),
        address: String::new(),
        user_agent: String::new(),
    }
}

async fn start_with(app: &App, request: StepUpRequest) -> Result<Challenge> {
    let service = &app.service;
    service.sign_ins.start_step_up(&service.context(), &ClientCredentials::None, request).await
}

async fn start(app: &App, refresh_token: &str) -> Result<Challenge> {
    start_with(app, request(refresh_token)).await
}

async fn answer(app: &App, challenge: &Challenge, code: &str) -> Result<Continued> {
    go_on(app, NextStep { code: TypedCode::new(code.to_owned()), ..next(challenge) }).await
}

async fn answer_with_recovery_code(app: &App, challenge: &Challenge, code: &RecoveryCode) -> Result<Continued> {
    go_on(app, NextStep { recovery_code: TypedCode::new(code.expose().to_owned()), ..next(challenge) }).await
}

fn next(challenge: &Challenge) -> NextStep {
    let none = || TypedCode::new(String::new());
    NextStep {
        client_id: "app".to_owned(),
        token: TicketToken::new(challenge.token.expose().to_owned()),
        new_password: Password::new(String::new()),
        email: String::new(),
        code: none(),
        recovery_code: none(),
        passkey_response: PasskeyResponse::new(String::new()),
    }
}

async fn go_on(app: &App, next: NextStep) -> Result<Continued> {
    let service = &app.service;
    service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, next).await
}

async fn log_out(app: &App, pair: &TokenPair) {
    let (service, refresh) = (&app.service, RefreshToken::new(token(pair)));
    service.tokens.log_out(&service.context(), &ClientCredentials::None, "app", &refresh).await.unwrap();
}

fn pair(continued: Continued) -> (TokenPair, Vec<RecoveryCode>) {
    let SignedIn::Tokens(pair) = continued.signed_in else { panic!("a challenge: {:?}", continued.signed_in) };
    (pair, continued.recovery_codes)
}

/// A session of two factors, after the user has set up an app.
async fn enrolled(app: &App) -> (TokenPair, Authenticator) {
    let first = app.sign_in().await;
    let challenge = start(app, &token(&first)).await.unwrap();
    assert_eq!(challenge.step, SignInStep::Enrol);
    let authenticator = Authenticator::new(challenge.totp.as_ref().unwrap().secret.expose());
    let (pair, codes) = pair(answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap());
    assert!(!codes.is_empty());
    app.pass(NEXT_CODE).await;
    (pair, authenticator)
}

async fn s08_a_step_up_opens_a_new_session_with_the_old_auth_time_and_ends_the_old_one(app: &App) {
    let first = app.sign_in().await;
    let before = claims(first.access.token.expose());
    assert_eq!((&before["acr"], &before["amr"]), (&"1".into(), &serde_json::json!(["pwd"])));
    app.pass(Ttl::from_secs(60)).await;
    let challenge = start(app, &token(&first)).await.unwrap();
    // The session goes on until the new one replaces it.
    let first = app.refresh(&token(&first), "").await.unwrap();
    let authenticator = Authenticator::new(challenge.totp.as_ref().unwrap().secret.expose());
    let (second, codes) = pair(answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap());
    assert!(!codes.is_empty());
    let after = claims(second.access.token.expose());
    assert_eq!((&after["acr"], &after["amr"]), (&"2".into(), &serde_json::json!(["pwd", "otp", "mfa"])));
    assert_eq!(after["auth_time"], before["auth_time"]);
    assert_ne!((&after["sid"], &after["status"]), (&before["sid"], &before["status"]));
    let refused = app.refresh(&token(&first), "").await.unwrap_err();
    assert!(matches!(refused, Error::Ended { cause: "superseded" }), "{refused:?}");
    // A session of two factors can show one more.
    app.pass(NEXT_CODE).await;
    let challenge = start(app, &token(&second)).await.unwrap();
    assert_eq!((challenge.step, challenge.totp.is_none()), (SignInStep::Mfa, true));
    let (third, codes) = pair(answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap());
    let last = claims(third.access.token.expose());
    assert_eq!((&last["acr"], &last["auth_time"], codes.len()), (&"2".into(), &before["auth_time"], 0));
    assert!(app.refresh(&token(&third), "").await.is_ok());
}

async fn a_wrong_code_leaves_the_challenge_and_the_old_session_as_they_are(app: &App) {
    let (first, authenticator) = enrolled(app).await;
    let challenge = start(app, &token(&first)).await.unwrap();
    let far = authenticator.code(app.service.now().plus(Ttl::from_secs(3600)));
    let refused = answer(app, &challenge, &far).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CodeInvalid);
    let first = app.refresh(&token(&first), "").await.unwrap();
    let (second, _) = pair(answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap());
    assert!(app.refresh(&token(&first), "").await.is_err() && app.refresh(&token(&second), "").await.is_ok());
    let again = answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap_err();
    assert_eq!(again.reason(), Reason::CodeInvalid);
}

async fn s09_an_old_sign_in_sets_up_no_factor(app: &App) {
    let first = app.sign_in().await;
    app.pass(Ttl::from_secs(15 * 60 + 1)).await;
    let first = app.refresh(&token(&first), "").await.unwrap();
    let refused = start(app, &token(&first)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::SignInTooOld);
    assert!(app.refresh(&token(&first), "").await.is_ok());
}

async fn of_two_step_ups_of_one_session_one_succeeds(app: &App) {
    let (first, authenticator) = enrolled(app).await;
    let challenges = [start(app, &token(&first)).await.unwrap(), start(app, &token(&first)).await.unwrap()];
    let (pair, _) = pair(answer(app, &challenges[0], &authenticator.code(app.service.now())).await.unwrap());
    app.pass(NEXT_CODE).await;
    let refused = answer(app, &challenges[1], &authenticator.code(app.service.now())).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CodeInvalid);
    assert!(app.refresh(&token(&pair), "").await.is_ok());
}

async fn a_step_up_is_void_once_its_session_has_ended(app: &App) {
    let (first, authenticator) = enrolled(app).await;
    let challenge = start(app, &token(&first)).await.unwrap();
    log_out(app, &first).await;
    let code = authenticator.code(app.service.now());
    let refused = answer(app, &challenge, &code).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CodeInvalid);
    let refused = start(app, &token(&first)).await.unwrap_err();
    assert!(matches!(refused, Error::Ended { cause: "logout" }), "{refused:?}");
    // The code is its user's to use.
    let challenge = challenged(app).await;
    pair(answer(app, &challenge, &code).await.unwrap());
}

/// Gives the password. The user has to go on.
async fn challenged(app: &App) -> Challenge {
    let request = login_of("app", "ada", PASSWORD);
    let signed_in = app.service.sign_ins.sign_in(&app.service.context(), &ClientCredentials::None, request).await;
    let SignedIn::Challenge(challenge) = signed_in.unwrap() else { panic!("signed in with the password alone") };
    challenge
}

/// Whoever has stolen the token of a session must not set up a factor of their own once its user has ended it.
async fn s09_a_session_that_has_ended_sets_up_no_factor(app: &App) {
    let (stolen, kept) = (app.sign_in().await, app.sign_in().await);
    let challenge = start(app, &token(&stolen)).await.unwrap();
    assert_eq!(challenge.step, SignInStep::Enrol);
    log_out(app, &stolen).await;
    let authenticator = Authenticator::new(challenge.totp.as_ref().unwrap().secret.expose());
    let refused = answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CodeInvalid);
    let own = app.service.users.factors(&Admin::command(), "ada").await.unwrap();
    assert!(own.factors.is_empty() && own.recovery_codes_left == 0, "{own:?}");
    assert!(app.refresh(&token(&kept), "").await.is_ok(), "no other session has ended");
    app.sign_in().await;
}

async fn s09_a_session_that_has_ended_spends_no_recovery_code(app: &App) {
    let first = app.sign_in().await;
    let challenge = start(app, &token(&first)).await.unwrap();
    let authenticator = Authenticator::new(challenge.totp.as_ref().unwrap().secret.expose());
    let (second, codes) = pair(answer(app, &challenge, &authenticator.code(app.service.now())).await.unwrap());
    let challenge = start(app, &token(&second)).await.unwrap();
    log_out(app, &second).await;
    let refused = answer_with_recovery_code(app, &challenge, &codes[0]).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::CodeInvalid);
    let left = app.service.users.factors(&Admin::command(), "ada").await.unwrap().recovery_codes_left;
    assert_eq!(left, 10);
    let challenge = challenged(app).await;
    pair(answer_with_recovery_code(app, &challenge, &codes[0]).await.unwrap());
}

async fn only_the_newest_refresh_token_of_its_own_client_begins_a_step_up(app: &App) {
    app.client("other", &["api"]).await;
    let first = app.sign_in().await;
    let second = app.refresh(&token(&first), "").await.unwrap();
    let refused = start(app, &token(&first)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::RefreshTokenSuperseded);
    let theirs = StepUpRequest { client_id: "other".to_owned(), ..request(&token(&second)) };
    assert_eq!(start_with(app, theirs).await.unwrap_err().reason(), Reason::RefreshTokenInvalid);
    assert_eq!(start(app, "chr_nonsense").await.unwrap_err().reason(), Reason::RefreshTokenInvalid);
    // It is not exchanged, however often.
    for _ in 0..2 {
        start(app, &token(&second)).await.unwrap();
    }
    assert!(app.refresh(&token(&second), "").await.is_ok());
}

async fn a_level_that_is_not_above_a_password_is_refused(app: &App) {
    let first = app.sign_in().await;
    for acr in ["", "0", "1", "3", "urn:x"] {
        let refused =
            start_with(app, StepUpRequest { acr: acr.to_owned(), ..request(&token(&first)) }).await.unwrap_err();
        let Error::Invalid(wrong) = refused else { panic!("{acr}: {refused:?}") };
        assert_eq!(wrong.iter().map(|one| &*one.field).collect::<Vec<_>>(), ["acr"], "{acr}");
    }
    let refused = start(app, "").await.unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidArgument);
}

async fn step_ups_of_one_session_are_limited(app: &App) {
    let first = app.sign_in().await;
    for n in 0..10 {
        start(app, &token(&first)).await.unwrap_or_else(|e| panic!("{n}: {e}"));
    }
    let refused = start(app, &token(&first)).await.unwrap_err();
    assert!(matches!(refused, Error::RateLimited { .. }), "{refused:?}");
    // Another session has room of its own.
    let second = app.sign_in().await;
    assert!(start(app, &token(&second)).await.is_ok());
}
