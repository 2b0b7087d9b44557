//! Sessions and the rules of refreshing them.

use serde_json::{Map, Value};

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
    /// The user.
    pub user: UserId,
    /// The user's `sub`.
    pub subject: String,
    /// The client.
    pub client: ClientId,
    /// The number of the refresh token that is current.
    pub generation: i64,
    /// The hash of the secret that every refresh token of the session carries.
    pub secret: SessionSecretHash,
    /// When the current refresh token came to be.
    pub rotated_at: Timestamp,
    /// When its predecessor came to be.
    pub previous_rotated_at: Timestamp,
    /// The request id of the call that made the current one.
    pub rotation_request_id: Option<String>,
    /// When the user proved who it is.
    pub auth_time: Timestamp,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// How well.
    pub acr: String,
    /// The scopes granted.
    pub scopes: Vec<Scope>,
    /// The audiences granted.
    pub audiences: Vec<Audience>,
    /// Claims that the client's map selected at sign-in.
    pub claims: Map<String, Value>,
    /// The user's roles.
    pub roles: Vec<RoleId>,
    /// When it began.
    pub created_at: Timestamp,
    /// How long it may lie idle.
    pub idle_ttl: Ttl,
    /// When it ends if nothing happens.
    pub idle_expires_at: Timestamp,
    /// When it ends in any case.
    pub absolute_expires_at: Timestamp,
    /// When and why it was ended early.
    pub revoked: Option<(Timestamp, RevokedCause)>,
    /// The device's name.
    pub device_label: String,
    /// The user agent at sign-in.
    pub user_agent: String,
    /// The address at sign-in.
    pub address: String,
    /// Where its bit stands in the status lists.
    pub status: Option<StatusIndex>,
}

/// What the tokens of a session are made from: the part of it that a refresh reads back.
#[derive(Clone, Debug)]
pub struct TokenBasis {
    /// The id, as in the claim `sid`.
    pub id: SessionId,
    /// The user's `sub`.
    pub subject: String,
    /// The number of the refresh token that is current.
    pub generation: i64,
    /// When the user proved who it is.
    pub auth_time: Timestamp,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// How well.
    pub acr: String,
    /// The scopes granted.
    pub scopes: Vec<Scope>,
    /// Claims that the client's map selected at sign-in.
    pub claims: Map<String, Value>,
    /// The user's roles.
    pub roles: Vec<RoleId>,
    /// When its refresh token ends if it is not used.
    pub expires_at: Timestamp,
    /// When the session ends in any case.
    pub absolute_expires_at: Timestamp,
    /// Where its bit stands in the status lists.
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
    /// When its refresh token ends if it is not used.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedCause {
    /// The user or its application ended it.
    Logout,
    /// A refresh token was used twice.
    Reuse,
    /// The user was disabled.
    UserDisabled,
    /// The user's password was set.
    PasswordSet,
    /// The user had too many sessions; the oldest ended.
    TooManySessions,
    /// An administrator ended it.
    Administrator,
    /// Another session took its place.
    Superseded,
    /// The deployment was given another issuer.
    IssuerChanged,
    /// The user was deleted.
    UserDeleted,
}

impl RevokedCause {
    const ALL: [Self; 9] = [
        Self::Logout,
        Self::Reuse,
        Self::UserDisabled,
        Self::PasswordSet,
        Self::TooManySessions,
        Self::Administrator,
        Self::Superseded,
        Self::IssuerChanged,
        Self::UserDeleted,
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
        }
    }

    /// The cause of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

/// A request to exchange a refresh token, as far as the store needs it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The session the token names.
    pub session: SessionId,
    /// The generation it names.
    pub generation: i64,
    /// The hash of the secret it carries.
    pub secret: SessionSecretHash,
    /// The client that presents it.
    pub client: ClientId,
    /// The audience wanted.
    pub audience: Audience,
    /// The scopes wanted; empty wants all.
    pub scopes: Vec<Scope>,
    /// The caller's id for this call.
    pub request_id: Option<String>,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// The stamp with which this very request may have been written before, if nobody knows.
    pub tried_at: Option<Timestamp>,
}

/// What became of a [`Rotation`]. Each is committed before it is answered.
#[derive(Clone, Debug)]
#[must_use]
pub enum RotateOutcome {
    /// The session moved on by one generation.
    Rotated(TokenBasis),
    /// A repeated request: nothing changed, the same successor again.
    Replayed(TokenBasis),
    /// The database had lost commits; the session jumped ahead of the token.
    FastForwarded(TokenBasis),
    /// A slow sibling; nothing changed.
    Superseded,
    /// Used before: the session was ended.
    Reused {
        /// When the current token came to be.
        rotated_at: Timestamp,
    },
    /// The session had expired; nothing changed.
    Expired,
    /// The session had been ended; nothing changed.
    Revoked(RevokedCause),
    /// The audience was not granted; nothing changed.
    AudienceNotGranted,
    /// A scope was not granted; nothing changed.
    ScopeNotGranted,
    /// No such session, another client or another secret; nothing changed.
    Unknown,
}

/// What a presented token means, by the session's row as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// The current token.
    Rotate,
    /// A repeated request: answer the same successor.
    Replay,
    /// A slow sibling.
    Superseded,
    /// Ahead of the row: commits were lost.
    FastForward,
    /// Used before.
    Reuse,
    /// Expired.
    Expired,
    /// Ended.
    Revoked(RevokedCause),
    /// The audience was not granted.
    AudienceNotGranted,
    /// A scope was not granted.
    ScopeNotGranted,
    /// Not this client's, or not this session's secret.
    Unknown,
}

/// Judges a rotation against the row. Checks that change nothing come first, so that a refused
/// request has changed nothing.
pub fn judge(session: &Session, rotation: &Rotation, settings: &Settings) -> Judgement {
    let now = rotation.arrived;
    if session.client != rotation.client || !session.secret.matches(&rotation.secret) {
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

/// Judges the generation alone. A clock that stepped back only makes a grace longer, never shorter.
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
