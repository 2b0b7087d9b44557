//! Conversions between messages and service types.

use prost_types::Timestamp as WireTime;

use super::proto::pb;
use crate::{
    error::{Error, Result, Violations},
    secret::{DeviceToken, Password, RefreshToken, TicketToken, TypedCode},
    service::{
        Challenge, ClientTokenRequest, Device, IssuedToken, NextStep, RefreshInput, SignInRequest, SignInStep,
        TokenPair,
    },
    time::Timestamp,
};

/// A timestamp as the wire type.
pub(super) fn time(at: Timestamp) -> WireTime {
    let nanos = at.millis().rem_euclid(1000) * 1_000_000;
    WireTime { seconds: at.seconds(), nanos: i32::try_from(nanos).unwrap_or(0) }
}

/// A wire timestamp as ours; `None` if it is out of range.
pub(super) fn instant(at: WireTime) -> Option<Timestamp> {
    let ms = at.seconds.checked_mul(1000)?.checked_add(i64::from(at.nanos / 1_000_000))?;
    Some(Timestamp::from_millis(ms))
}

/// Rejects NUL in text fields, because PostgreSQL refuses it and SQLite does not.
pub(super) fn no_nul(fields: &[(&'static str, &str)]) -> Result<()> {
    let mut wrong = Violations::default();
    for (field, text) in fields {
        wrong.require(!text.contains('\0'), field, "must not contain NUL");
    }
    wrong.into_result(())
}

impl TryFrom<pb::LoginRequest> for SignInRequest {
    type Error = Error;
    fn try_from(m: pb::LoginRequest) -> Result<Self> {
        let end_user = m.end_user.unwrap_or_default();
        no_nul(&[
            ("login", &m.login),
            ("password", &m.password),
            ("audience", &m.audience),
            ("end_user.user_agent", &end_user.user_agent),
        ])?;
        Ok(Self {
            client_id: m.client_id,
            login: m.login,
            password: Password::new(m.password),
            scopes: m.scopes,
            audience: m.audience,
            device_token: DeviceToken::new(m.device_token),
            device: Device { label: m.device_label, address: end_user.address, user_agent: end_user.user_agent },
        })
    }
}

impl From<pb::ContinueLoginRequest> for NextStep {
    fn from(m: pb::ContinueLoginRequest) -> Self {
        Self {
            client_id: m.client_id,
            token: TicketToken::new(m.challenge),
            new_password: Password::new(m.new_password),
            email: m.email,
            code: TypedCode::new(m.code),
        }
    }
}

impl From<Challenge> for pb::LoginChallenge {
    fn from(challenge: Challenge) -> Self {
        let kind = match challenge.step {
            SignInStep::ChoosePassword => pb::login_challenge::Kind::ChoosePassword,
            SignInStep::VerifyEmail => pb::login_challenge::Kind::VerifyEmail,
        };
        Self {
            kind: kind.into(),
            challenge: challenge.token.expose().to_owned(),
            expire_time: Some(time(challenge.expires_at)),
            sent_to_email: challenge.sent_to.unwrap_or_default(),
        }
    }
}

impl From<pb::RefreshRequest> for RefreshInput {
    fn from(m: pb::RefreshRequest) -> Self {
        Self {
            client_id: m.client_id,
            refresh_token: RefreshToken::new(m.refresh_token),
            audience: m.audience,
            scopes: m.scopes,
            request_id: m.request_id,
        }
    }
}

impl From<pb::IssueClientTokenRequest> for ClientTokenRequest {
    fn from(m: pb::IssueClientTokenRequest) -> Self {
        Self { scopes: m.scopes, audience: m.audience }
    }
}

impl From<TokenPair> for pb::TokenPair {
    fn from(pair: TokenPair) -> Self {
        let refresh_token_expire_time = pair.refresh.is_some().then(|| time(pair.refresh_expires_at));
        Self {
            access_token: pair.access.token.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            access_token_expire_time: Some(time(pair.access.expires_at)),
            refresh_token: pair.refresh.map(|t| t.expose().to_owned()).unwrap_or_default(),
            refresh_token_expire_time,
            session_id: pair.session_id,
            scopes: pair.access.scopes,
            audience: pair.access.audience,
        }
    }
}

impl From<IssuedToken> for pb::IssueClientTokenResponse {
    fn from(issued: IssuedToken) -> Self {
        Self {
            access_token: issued.token.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            access_token_expire_time: Some(time(issued.expires_at)),
            scopes: issued.scopes,
            audience: issued.audience,
        }
    }
}
