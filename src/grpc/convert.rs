//! Conversions between messages and service types.

use std::collections::BTreeMap;

use prost_types::Timestamp as WireTime;

use super::{
    enums::{factor_kind, parse_guest_data_policy},
    proto::pb,
};
use crate::{
    domain::{factor::Factor, guest::GuestPolicies},
    error::{Error, Result, Violations},
    secret::{DeviceToken, PasskeyResponse, Password, RefreshToken, TicketToken, TypedCode},
    service::{
        Challenge, ClientTokenRequest, Device, GuestRequest, IssuedToken, NextStep, RefreshInput, SignInRequest,
        SignInStep, StepUpRequest, TokenPair, TotpEnrolment, TotpSetup, UpgradeRequest,
    },
    time::Timestamp,
};

/// Maximum length of what a passkey has signed, in bytes.
const MAX_RESPONSE: usize = 16 * 1024;

/// What a passkey has signed.
pub(super) fn passkey_response(field: &'static str, text: String) -> Result<PasskeyResponse> {
    if text.len() > MAX_RESPONSE {
        return Err(Error::invalid(field, "must be at most 16384 bytes"));
    }
    Ok(PasskeyResponse::new(text))
}

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

impl TryFrom<pb::StartGuestSessionRequest> for GuestRequest {
    type Error = Error;
    fn try_from(m: pb::StartGuestSessionRequest) -> Result<Self> {
        let end_user = m.end_user.unwrap_or_default();
        no_nul(&[("audience", &m.audience), ("end_user.user_agent", &end_user.user_agent)])?;
        let device = Device { label: m.device_label, address: end_user.address, user_agent: end_user.user_agent };
        Ok(Self { client_id: m.client_id, audience: m.audience, scopes: m.scopes, device })
    }
}

impl TryFrom<pb::UpgradeGuestRequest> for UpgradeRequest {
    type Error = Error;
    fn try_from(m: pb::UpgradeGuestRequest) -> Result<Self> {
        let default = parse_guest_data_policy("default_policy", m.default_policy)?.unwrap_or_default();
        let mut of = BTreeMap::new();
        for (namespace, policy) in m.policies {
            of.insert(namespace, parse_guest_data_policy("policies", policy)?.unwrap_or(default));
        }
        let sign_in = pb::LoginRequest {
            client_id: m.client_id,
            login: m.login,
            password: m.password,
            scopes: m.scopes,
            audience: m.audience,
            device_label: m.device_label,
            device_token: m.device_token,
            end_user: m.end_user,
        };
        let sign_in = sign_in.try_into()?;
        let guest_token = RefreshToken::new(m.guest_refresh_token);
        Ok(Self { sign_in, guest_token, policies: GuestPolicies { default, of } })
    }
}

impl TryFrom<pb::ContinueLoginRequest> for NextStep {
    type Error = Error;
    fn try_from(m: pb::ContinueLoginRequest) -> Result<Self> {
        Ok(Self {
            client_id: m.client_id,
            token: TicketToken::new(m.challenge),
            new_password: Password::new(m.new_password),
            email: m.email,
            code: TypedCode::new(m.code),
            recovery_code: TypedCode::new(m.recovery_code),
            passkey_response: passkey_response("passkey_response_json", m.passkey_response_json)?,
        })
    }
}

impl From<Challenge> for pb::LoginChallenge {
    fn from(challenge: Challenge) -> Self {
        let kind = match challenge.step {
            SignInStep::Mfa => pb::login_challenge::Kind::Mfa,
            SignInStep::Enrol => pb::login_challenge::Kind::Enrol,
            SignInStep::ChoosePassword => pb::login_challenge::Kind::ChoosePassword,
            SignInStep::VerifyEmail => pb::login_challenge::Kind::VerifyEmail,
        };
        Self {
            kind: kind.into(),
            challenge: challenge.token.expose().to_owned(),
            expire_time: Some(time(challenge.expires_at)),
            sent_to_email: challenge.sent_to.unwrap_or_default(),
            factors: challenge.factors.into_iter().map(|kind| factor_kind(kind).into()).collect(),
            totp: challenge.totp.map(Into::into),
            passkey_options_json: challenge.passkey_options.unwrap_or_default(),
            passkey_hosts: challenge.passkey_hosts,
        }
    }
}

impl From<Factor> for pb::Factor {
    fn from(factor: Factor) -> Self {
        Self {
            id: factor.id.to_string(),
            kind: factor_kind(factor.kind).into(),
            name: factor.name,
            create_time: Some(time(factor.created_at)),
            last_use_time: factor.last_used_at.map(time),
        }
    }
}

impl From<TotpEnrolment> for pb::EnrollTotpResponse {
    fn from(begun: TotpEnrolment) -> Self {
        let pb::TotpSetup { secret, uri } = begun.setup.into();
        let expire_time = Some(time(begun.expires_at));
        Self { enrolment: begun.enrolment.expose().to_owned(), secret, uri, qr_svg: begun.qr_svg, expire_time }
    }
}

impl From<TotpSetup> for pb::TotpSetup {
    fn from(setup: TotpSetup) -> Self {
        Self { secret: setup.secret.expose().to_owned(), uri: setup.uri.expose().to_owned() }
    }
}

impl From<pb::StartStepUpRequest> for StepUpRequest {
    fn from(m: pb::StartStepUpRequest) -> Self {
        let end_user = m.end_user.unwrap_or_default();
        Self {
            client_id: m.client_id,
            refresh_token: RefreshToken::new(m.refresh_token),
            acr: m.acr,
            audience: m.audience,
            address: end_user.address,
            user_agent: end_user.user_agent,
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
