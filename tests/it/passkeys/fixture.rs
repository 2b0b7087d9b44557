//! Users who have passkeys.

use chancery::{
    domain::passkey::{Credential, HANDLE, Passkey},
    error::{Error, Result},
    id::FactorId,
    passkeys::{Challenge, RelyingParty, creation_options, register},
    secret::{PasskeyResponse, Password, TicketToken, TypedCode},
    service::{
        Admin, ClientCredentials, Continued, Device, NextStep, PasskeyChallenge, PasskeyLoginRequest, Service,
        SignedIn, TokenPair,
    },
    store::SessionFilter,
};
use serde_json::Value;

use super::authenticator::{Alg, Authenticator, Says};
use crate::{browser::ORIGIN, support::App};

pub(crate) fn right() -> Says {
    Says::at(ORIGIN)
}

/// Gives a user a passkey of the site at [`ORIGIN`], as its registration would.
pub(crate) async fn give_passkey(app: &App, login: &str, says: &Says) -> Authenticator {
    let user = app.service.users.get(&Admin::command(), login).await.unwrap().user;
    let rp = RelyingParty::of(&format!("{ORIGIN}/auth").parse().unwrap(), "Shop").unwrap();
    let mut tx = app.service.store().write().await.unwrap();
    let mut new = [0; HANDLE];
    aws_lc_rs::rand::fill(&mut new).unwrap();
    let handle = tx.passkey_handle(&user.id, &new).await.unwrap().unwrap();
    let challenge = Challenge::of([1; 16]);
    let options: Value = serde_json::from_str(&creation_options(&rp, challenge, (&handle, login), &[])).unwrap();
    let mut device = Authenticator::new(Alg::Es256);
    let credential: Credential =
        register(&rp, challenge, &handle, &device.create(&options, says).to_string()).unwrap().stored;
    let passkey = Passkey {
        id: FactorId::new(app.service.now(), &chancery::entropy::OsEntropy),
        user: user.id,
        name: "phone".into(),
        host: rp.host().to_owned(),
        credential,
        created_at: app.service.now(),
        last_used_at: None,
    };
    assert!(tx.passkey_insert(&passkey).await.unwrap());
    tx.commit().await.unwrap();
    app.sql("UPDATE users SET second_factors = (SELECT count(*) FROM passkeys WHERE user_id = users.id)").await;
    device
}

pub(crate) async fn start(service: &Service, client: &str) -> Result<PasskeyChallenge> {
    let device = Device { label: "phone".into(), ..Device::default() };
    let request = PasskeyLoginRequest { client_id: client.into(), scopes: Vec::new(), audience: String::new(), device };
    service.sign_ins.start_passkey_login(&service.context(), &ClientCredentials::None, request).await
}

pub(crate) fn options(challenge: &PasskeyChallenge) -> Value {
    serde_json::from_str(&challenge.options_json).unwrap()
}

/// The next step of a sign-in, with nothing filled in.
pub(crate) fn next(client: &str, token: &str) -> NextStep {
    NextStep {
        client_id: client.into(),
        token: TicketToken::new(token.into()),
        new_password: Password::new(String::new()),
        email: String::new(),
        code: TypedCode::new(String::new()),
        recovery_code: TypedCode::new(String::new()),
        passkey_response: PasskeyResponse::new(String::new()),
    }
}

pub(crate) async fn go_on(service: &Service, client: &str, token: &str, response: &str) -> Result<Continued> {
    let step = NextStep { passkey_response: PasskeyResponse::new(response.into()), ..next(client, token) };
    service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, step).await
}

/// The tokens of a sign-in with a passkey alone.
pub(crate) async fn sign_in(app: &App, device: &mut Authenticator, says: &Says) -> Result<TokenPair> {
    let started = start(&app.service, "shop").await?;
    let response = device.get(&options(&started), says).to_string();
    tokens(go_on(&app.service, "shop", started.token.expose(), &response).await?)
}

#[expect(clippy::unnecessary_wraps, reason = "it ends a chain of results")]
pub(crate) fn tokens(continued: Continued) -> Result<TokenPair> {
    match continued.signed_in {
        SignedIn::Tokens(pair) => Ok(pair),
        SignedIn::Challenge(challenge) => panic!("unexpected challenge: {challenge:?}"),
    }
}

/// How many live sessions a user has.
pub(crate) async fn live_sessions(app: &App, login: &str) -> usize {
    let user = app.service.users.get(&Admin::command(), login).await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    tx.sessions_of_user(&user.id, SessionFilter::Live(app.service.now())).await.unwrap().len()
}

pub(crate) fn is_refused<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Unauthenticated(chancery::error::Reason::CodeInvalid)))
}
