//! The one way to revoke: the change, an audit event and a feed entry, in one transaction.

use serde_json::json;
use sqlx::types::Json;

use super::{
    SessionFilter,
    engine::{Sql, Tx, all},
    failure::corrupt,
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        client::ClientId,
        feed::{Change, ChangeKind},
        keys::KeyState,
        session::RevokedCause,
        settings::Settings,
        status_list::StatusIndex,
    },
    error::Result,
    id::{AuditEventId, KeyId, SessionId, UserId},
    time::Timestamp,
};

/// What is revoked.
#[derive(Clone, Copy, Debug)]
pub enum Revoke<'a> {
    /// These sessions.
    Sessions(&'a [SessionId]),
    /// Every live session of a user.
    SessionsOf {
        /// The user.
        user: &'a UserId,
        /// One that stays: that of whoever asks.
        but: Option<&'a SessionId>,
    },
    /// A client: its tokens are refused until it is enabled again.
    Client(&'a ClientId),
    /// A signing key.
    Key {
        /// Its id.
        id: &'a KeyId,
        /// Its id in tokens.
        kid: &'a str,
        /// The state in which it was found.
        state: KeyState,
    },
    /// A key of another issuer, by its id in tokens.
    ForeignKey(&'a str),
}

/// By whom, why and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// Why a session ends.
    pub cause: RevokedCause,
    /// What decides how long it is remembered.
    pub settings: &'a Settings,
    /// When.
    pub now: Timestamp,
}

/// Id, subject and status index of a session that was revoked.
type RevokedRow = (String, String, Option<i64>, Option<i64>);

const SESSIONS: Sql = Sql {
    sqlite: "UPDATE sessions SET revoked_at = $2, revoked_cause = $3 \
        WHERE id IN (SELECT value FROM json_each($1)) AND revoked_at IS NULL \
        RETURNING id, subject, status_list, status_index",
    postgres: "UPDATE sessions SET revoked_at = $2, revoked_cause = $3 \
        WHERE id IN (SELECT jsonb_array_elements_text($1)) AND revoked_at IS NULL \
        RETURNING id, subject, status_list, status_index",
};

impl Tx {
    /// Revokes; gives the number of sessions, clients or keys that had not been revoked before.
    pub async fn revoke(&mut self, what: Revoke<'_>, by: &By<'_>) -> Result<usize> {
        match what {
            Revoke::Sessions(ids) => self.revoke_sessions(ids, by).await,
            Revoke::SessionsOf { user, but } => {
                let live = self.sessions_of_user(user, SessionFilter::Live(by.now)).await?;
                let ids = live.into_iter().map(|s| s.id).filter(|id| Some(id) != but);
                self.revoke_sessions(&ids.collect::<Vec<_>>(), by).await
            }
            Revoke::Client(id) => {
                let won = self.client_disable(id, by.now).await?;
                self.revoked(won, (AuditKind::ClientDisabled, ChangeKind::ClientDisabled), id.as_str(), by).await
            }
            Revoke::Key { id, kid, state } => {
                let won = self.key_delete(id, state).await?;
                self.revoked(won, (AuditKind::KeyRevoked, ChangeKind::KeyRevoked), kid, by).await
            }
            Revoke::ForeignKey(kid) => {
                let won = self.foreign_key_delete(kid, Timestamp::from_millis(i64::MAX)).await?;
                self.revoked(won, (AuditKind::KeyRevoked, ChangeKind::KeyRevoked), kid, by).await
            }
        }
    }

    async fn revoke_sessions(&mut self, ids: &[SessionId], by: &By<'_>) -> Result<usize> {
        let mut sorted: Vec<&str> = ids.iter().map(SessionId::as_str).collect();
        sorted.sort_unstable();
        let rows = all!(self, RevokedRow, SESSIONS, Json(sorted), by.now.millis(), by.cause.as_str())?;
        let revoked = rows.len();
        for (id, subject, list, index) in rows {
            let session: SessionId = id.parse().map_err(|_| corrupt("sessions", "id", &id))?;
            let event = AuditEvent {
                id: AuditEventId::new(by.now, &*self.entropy),
                at: by.now,
                kind: AuditKind::SessionRevoked,
                actor: by.actor.clone(),
                subject,
                session: Some(session),
                details: json!({ "cause": by.cause.as_str() }),
            };
            self.audit_append(&event).await?;
            let status = StatusIndex::from_columns(list, index);
            let entry = by.settings.feed_entry(ChangeKind::SessionRevoked, id, by.now);
            self.change(Change { status, ..entry });
        }
        Ok(revoked)
    }

    /// Event and entry of something that is revoked by its name.
    async fn revoked(
        &mut self,
        won: bool,
        (audit, kind): (AuditKind, ChangeKind),
        name: &str,
        by: &By<'_>,
    ) -> Result<usize> {
        if !won {
            return Ok(0);
        }
        self.audit(by.now, audit, by.actor, name, json!({})).await?;
        self.change(by.settings.feed_entry(kind, name, by.now));
        Ok(1)
    }
}
