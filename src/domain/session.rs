//! Sessions, and the rules for refreshing them.

mod browser;

use serde_json::{Map, Value};

pub use self::browser::{
    FormSpending, OpenOutcome, RESULT_TTL, SessionKind, SessionTouch, SpentForm, TicketSpending, browser_idle_expiry,
    touch_interval,
};
use super::{
    client::ClientId,
    scope::{Audience, Scope},
    settings::Settings,
    status_list::StatusIndex,
};
use crate::{
    id::{RoleId, SessionId, UserId},
    secret::SessionSecretHash,
    time::{Timestamp, Ttl},
};

/// One sign-in of one user through one client on one device.
#[derive(Clone, Debug)]
pub struct Session {
    /// The id, as in the claim `sid`.
    pub id: SessionId,
    /// What it is used with.
    pub kind: SessionKind,
    /// The session that it was opened from, and ends with.
    pub parent: Option<SessionId>,
    /// The origin where its cookie counts.
    pub site: Option<String>,
    /// The session that replaced it.
    pub superseded_by: Option<SessionId>,
    /// The user; none if it is a guest's.
    pub user: Option<UserId>,
    /// The `sub` of its tokens.
    pub subject: String,
    /// The client.
    pub client: ClientId,
    /// The number of the current refresh token.
    pub generation: i64,
    /// The hash of the secret that every refresh token of the session carries.
    pub secret: SessionSecretHash,
    /// When the current refresh token was issued.
    pub rotated_at: Timestamp,
    /// When its predecessor was issued.
    pub previous_rotated_at: Timestamp,
    /// The request id of the call that issued the current refresh token.
    pub rotation_request_id: Option<String>,
    /// When the user authenticated.
    pub auth_time: Timestamp,
    /// The authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// The authentication level.
    pub acr: String,
    /// The scopes granted.
    pub scopes: Vec<Scope>,
    /// The audiences granted.
    pub audiences: Vec<Audience>,
    /// Claims that the client's map selected at sign-in.
    pub claims: Map<String, Value>,
    /// The user's roles.
    pub roles: Vec<RoleId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// How long it may be idle.
    pub idle_ttl: Ttl,
    /// When it expires unless it is refreshed.
    pub idle_expires_at: Timestamp,
    /// When it expires in any case.
    pub absolute_expires_at: Timestamp,
    /// When and why it was revoked, if it was.
    pub revoked: Option<(Timestamp, RevokedCause)>,
    /// The device's name.
    pub device_label: String,
    /// The user agent at sign-in.
    pub user_agent: String,
    /// The address at sign-in.
    pub address: String,
    /// The position of its bit in the status lists.
    pub status: Option<StatusIndex>,
}

/// The part of a session that its tokens are made from. A refresh reads only this part back.
#[derive(Clone, Debug)]
pub struct TokenBasis {
    /// The id, as in the claim `sid`.
    pub id: SessionId,
    /// The user's `sub`.
    pub subject: String,
    /// The number of the current refresh token.
    pub generation: i64,
    /// When the user authenticated.
    pub auth_time: Timestamp,
    /// The authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// The authentication level.
    pub acr: String,
    /// The scopes granted.
    pub scopes: Vec<Scope>,
    /// Claims that the client's map selected at sign-in.
    pub claims: Map<String, Value>,
    /// The user's roles.
    pub roles: Vec<RoleId>,
    /// When its refresh token expires unless it is used.
    pub expires_at: Timestamp,
    /// When the session expires in any case.
    pub absolute_expires_at: Timestamp,
    /// The position of its bit in the status lists.
    pub status: Option<StatusIndex>,
}

impl From<Session> for TokenBasis {
    fn from(session: Session) -> Self {
        Self {
            expires_at: session.expires_at(),
            id: session.id,
            subject: session.subject,
            generation: session.generation,
            auth_time: session.auth_time,
            amr: session.amr,
            acr: session.acr,
            scopes: session.scopes,
            claims: session.claims,
            roles: session.roles,
            absolute_expires_at: session.absolute_expires_at,
            status: session.status,
        }
    }
}

impl Session {
    /// Whether it is a guest's.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.user.is_none()
    }

    /// Whether a refresh token of this generation is the newest, or the one before while its successor may still be on its
    /// way; or newer than the row, because the database lost commits.
    #[must_use]
    pub fn takes_generation(&self, generation: i64, now: Timestamp, grace: Ttl) -> bool {
        match self.generation - generation {
            1 => now < self.rotated_at.plus(grace),
            behind => behind <= 0,
        }
    }

    /// When its refresh token expires unless it is used.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }
}

/// Why a session was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedCause {
    /// The user, or the application, signed out.
    Logout,
    /// A refresh token was used twice.
    Reuse,
    /// The user was disabled.
    UserDisabled,
    /// The user's password was changed.
    PasswordSet,
    /// The user had too many sessions, and this was the oldest.
    TooManySessions,
    /// An administrator revoked it.
    Administrator,
    /// Another session replaced it.
    Superseded,
    /// The issuer of the deployment was changed.
    IssuerChanged,
    /// The user was deleted.
    UserDeleted,
    /// The database was restored from a copy.
    DatabaseRestored,
    /// The user's second factors or recovery codes were changed.
    FactorsChanged,
    /// The version of the sealing key that its refresh token or cookie was made with was dropped.
    SealingKeyDropped,
}

impl RevokedCause {
    const ALL: [Self; 12] = [
        Self::Logout,
        Self::Reuse,
        Self::UserDisabled,
        Self::PasswordSet,
        Self::TooManySessions,
        Self::Administrator,
        Self::Superseded,
        Self::IssuerChanged,
        Self::UserDeleted,
        Self::DatabaseRestored,
        Self::FactorsChanged,
        Self::SealingKeyDropped,
    ];

    /// The name in the database and in error metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
            Self::UserDisabled => "user_disabled",
            Self::PasswordSet => "password_set",
            Self::TooManySessions => "too_many_sessions",
            Self::Administrator => "administrator",
            Self::Superseded => "superseded",
            Self::IssuerChanged => "issuer_changed",
            Self::UserDeleted => "user_deleted",
            Self::DatabaseRestored => "database_restored",
            Self::FactorsChanged => "factors_changed",
            Self::SealingKeyDropped => "sealing_key_dropped",
        }
    }

    /// Whether the audit log says so when a guest's session is revoked. Not of what guests do by themselves: anybody is one
    /// for nothing, and the log is kept.
    #[must_use]
    pub const fn is_noted_of_guests(self) -> bool {
        !matches!(self, Self::Logout | Self::Reuse)
    }

    /// The cause with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

/// A request to exchange a refresh token.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The session that the token names.
    pub session: SessionId,
    /// The generation that the token names.
    pub generation: i64,
    /// The hash of the secret that the token carries.
    pub secret: SessionSecretHash,
    /// The client that presents it.
    pub client: ClientId,
    /// The requested audience.
    pub audience: Audience,
    /// The requested scopes; empty for all.
    pub scopes: Vec<Scope>,
    /// The id that the caller gave this request.
    pub request_id: Option<String>,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// The `rotated_at` of an earlier try of this request, if the outcome of its commit is unknown.
    pub tried_at: Option<Timestamp>,
}

/// The outcome of a [`Rotation`]. It is committed before the caller gets an answer.
#[derive(Clone, Debug)]
#[must_use]
pub enum RotateOutcome {
    /// The session advanced by one generation.
    Rotated(TokenBasis),
    /// A repeated request. Nothing changed; the answer is the same successor again.
    Replayed(TokenBasis),
    /// The database had lost commits. The session advanced to the generation after the token's.
    FastForwarded(TokenBasis),
    /// A late concurrent request with the token before the last. Nothing changed.
    Superseded,
    /// The token had been used before. The session was revoked.
    Reused {
        /// When the current token was issued.
        rotated_at: Timestamp,
    },
    /// The session had expired. Nothing changed.
    Expired,
    /// The session had been revoked. Nothing changed.
    Revoked(RevokedCause),
    /// The audience was not granted. Nothing changed.
    AudienceNotGranted,
    /// A scope was not granted. Nothing changed.
    ScopeNotGranted,
    /// There is no such session, or its client or secret differs. Nothing changed.
    Unknown,
}

/// What to do about a presented token, given the session's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// It is current: rotate it.
    Rotate,
    /// It is a repeated request: answer with the same successor.
    Replay,
    /// It is a late concurrent request with the token before the last: refuse it.
    Superseded,
    /// It is ahead of the row, because commits were lost: advance the row.
    FastForward,
    /// It was used before: revoke the session.
    Reuse,
    /// The session has expired.
    Expired,
    /// The session was revoked.
    Revoked(RevokedCause),
    /// The audience was not granted.
    AudienceNotGranted,
    /// A scope was not granted.
    ScopeNotGranted,
    /// The client or the secret does not match.
    Unknown,
}

/// Judges a rotation against the row. Checks that lead to a refusal come before any change is made, so that a
/// refused request changes nothing.
pub fn judge(session: &Session, rotation: &Rotation, settings: &Settings) -> Judgement {
    let now = rotation.arrived;
    if session.kind != SessionKind::Token
        || session.client != rotation.client
        || !session.secret.matches(&rotation.secret)
    {
        return Judgement::Unknown;
    }
    if let Some((_, cause)) = session.revoked {
        return Judgement::Revoked(cause);
    }
    if now >= session.expires_at() {
        return Judgement::Expired;
    }
    let judged = judge_generation(session, rotation, settings.refresh_grace);
    if matches!(judged, Judgement::Superseded | Judgement::Reuse) {
        return judged;
    }
    if !session.audiences.contains(&rotation.audience) {
        return Judgement::AudienceNotGranted;
    }
    if rotation.scopes.iter().any(|s| !session.scopes.contains(s)) {
        return Judgement::ScopeNotGranted;
    }
    judged
}

/// Judges the generation only. A clock that stepped back can lengthen the grace period, but not shorten it.
fn judge_generation(session: &Session, rotation: &Rotation, grace: Ttl) -> Judgement {
    let within = |from: Timestamp| rotation.arrived < from.plus(grace);
    let same_request = rotation.request_id.is_some() && rotation.request_id == session.rotation_request_id
        || rotation.tried_at == Some(session.rotated_at);
    match session.generation - rotation.generation {
        0 => Judgement::Rotate,
        1 if same_request || within(session.rotated_at) => Judgement::Replay,
        2 if within(session.previous_rotated_at) => Judgement::Superseded,
        behind if behind < 0 => Judgement::FastForward,
        _ => Judgement::Reuse,
    }
}
