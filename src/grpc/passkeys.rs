//! Conversions of what passkeys need.

use super::{
    convert::{no_nul, time},
    proto::pb,
};
use crate::{
    error::{Error, Result},
    service::{Device, PasskeyChallenge, PasskeyEnrolment, PasskeyLoginRequest},
};

impl TryFrom<pb::StartPasskeyLoginRequest> for PasskeyLoginRequest {
    type Error = Error;
    fn try_from(m: pb::StartPasskeyLoginRequest) -> Result<Self> {
        let end_user = m.end_user.unwrap_or_default();
        no_nul(&[("audience", &m.audience), ("end_user.user_agent", &end_user.user_agent)])?;
        let device = Device { label: m.device_label, address: end_user.address, user_agent: end_user.user_agent };
        Ok(Self { client_id: m.client_id, scopes: m.scopes, audience: m.audience, device })
    }
}

impl From<PasskeyChallenge> for pb::StartPasskeyLoginResponse {
    fn from(challenge: PasskeyChallenge) -> Self {
        Self {
            challenge: challenge.token.expose().to_owned(),
            request_options_json: challenge.options_json,
            expire_time: Some(time(challenge.expires_at)),
        }
    }
}

impl From<PasskeyEnrolment> for pb::StartPasskeyRegistrationResponse {
    fn from(begun: PasskeyEnrolment) -> Self {
        Self {
            enrolment: begun.enrolment.expose().to_owned(),
            creation_options_json: begun.options_json,
            expire_time: Some(time(begun.expires_at)),
        }
    }
}
