//! Second factors over the API, on both engines: authenticator apps, recovery codes, and who may change them.

mod account;
mod administration;
mod guesses;
mod pages;
mod sign_in;

use chancery::{
    error::Result,
    secret::{Password, TicketToken, TypedCode},
    service::{
        Admin, Challenge, ClientCredentials, Continued, NewUserRequest, NextStep, SignInStep, SignedIn, TokenPair,
    },
    time::{Clock, Timestamp, Ttl},
};

use crate::{
    accounts::{AccountsFixture, step},
    support::{ISSUER, PASSWORD, login_of},
};

/// An authenticator app.
#[derive(Clone)]
pub(crate) struct Phone([u8; 20]);

impl Phone {
    /// The app that this secret was typed into.
    pub(crate) fn with(secret: &str) -> Self {
        let value = |c: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap();
        let bits: Vec<usize> =
            secret.chars().map(value).flat_map(|v| (0..5).rev().map(move |place| v >> place & 1)).collect();
        let bytes = bits.chunks_exact(8).map(|byte| u8::try_from(byte.iter().fold(0, |v, b| v << 1 | b)).unwrap());
        Self(bytes.collect::<Vec<u8>>().try_into().unwrap())
    }

    /// The code that it shows at a time.
    pub(crate) fn code_at(&self, now: Timestamp) -> String {
        let app = totp_rs::Builder::new().with_secret(self.0).build().unwrap();
        app.generate(now.seconds().unsigned_abs()).to_string()
    }

    /// The code that it shows now.
    pub(crate) fn code(&self, f: &AccountsFixture) -> String {
        self.code_at(f.app.clock.now())
    }

    /// A code that it does not show now, nor a moment before or after.
    pub(crate) fn wrong(&self, f: &AccountsFixture) -> String {
        let now = f.app.clock.now();
        let shown: Vec<String> =
            (-2..=2).map(|n: i64| self.code_at(Timestamp::from_millis(now.millis() + n * 30_000))).collect();
        (0..1_000_000).map(|n| format!("{n:06}")).find(|code| !shown.contains(code)).unwrap()
    }
}

/// A user with an address, and no second factor.
pub(crate) async fn grace(f: &AccountsFixture) {
    let request = NewUserRequest {
        name: "grace".into(),
        emails: vec!["grace@example.com".into()],
        password: Some(Password::new(PASSWORD.into())),
        ..NewUserRequest::default()
    };
    f.service().users.create(&Admin::command(), request).await.unwrap();
}

/// A user with an app and recovery codes, and the session in which they were set up.
pub(crate) struct Enrolled {
    pub(crate) phone: Phone,
    pub(crate) codes: Vec<String>,
    pub(crate) bearer: ClientCredentials,
    pub(crate) factor: String,
}

pub(crate) async fn enrolled(f: &AccountsFixture) -> Enrolled {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let me = f.me(&bearer).await;
    let (accounts, ctx) = (&f.service().accounts, f.service().context());
    let begun = accounts.enrol_totp(&ctx, &me, "telephone").await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    let added = accounts.confirm_totp(&ctx, &me, begun.enrolment, &TypedCode::new(phone.code(f))).await.unwrap();
    let codes = added.recovery_codes.iter().map(|code| code.expose().to_owned()).collect();
    // The next code.
    f.app.pass(Ttl::from_secs(30)).await;
    f.send_mails().await;
    Enrolled { phone, codes, bearer, factor: added.factor.id.to_string() }
}

/// Gives the password. The user has to go on.
pub(crate) async fn challenged(f: &AccountsFixture, login: &str, password: &str) -> Challenge {
    let mut request = login_of("shop", login, password);
    request.audience = ISSUER.into();
    match f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await.unwrap() {
        SignedIn::Challenge(challenge) => challenge,
        SignedIn::Tokens(_) => panic!("signed in with the password alone"),
    }
}

pub(crate) async fn challenge(f: &AccountsFixture) -> Challenge {
    let challenge = challenged(f, "grace", PASSWORD).await;
    assert_eq!(challenge.step, SignInStep::Mfa);
    challenge
}

pub(crate) async fn go_on(f: &AccountsFixture, next: NextStep) -> Result<Continued> {
    f.service().sign_ins.continue_sign_in(&f.service().context(), &ClientCredentials::None, next).await
}

pub(crate) fn with_code(challenge: &Challenge, code: &str) -> NextStep {
    NextStep { code: TypedCode::new(code.into()), ..step(challenge) }
}

pub(crate) fn with_recovery_code(challenge: &Challenge, code: &str) -> NextStep {
    NextStep { recovery_code: TypedCode::new(code.into()), ..step(challenge) }
}

pub(crate) fn pair(continued: Result<Continued>) -> Result<TokenPair> {
    match continued?.signed_in {
        SignedIn::Tokens(pair) => Ok(pair),
        SignedIn::Challenge(challenge) => panic!("a further step: {challenge:?}"),
    }
}

/// A session with two factors, for this server.
pub(crate) async fn two_factors(f: &AccountsFixture, phone: &Phone) -> ClientCredentials {
    let challenge = challenge(f).await;
    let pair = pair(go_on(f, with_code(&challenge, &phone.code(f))).await).unwrap();
    f.app.pass(Ttl::from_secs(30)).await;
    ClientCredentials::Bearer(pair.access.token.expose().to_owned())
}

pub(crate) fn clone_token(token: &TicketToken) -> TicketToken {
    TicketToken::new(token.expose().to_owned())
}
