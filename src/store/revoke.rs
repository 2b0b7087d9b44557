//! The only way to revoke: the change, an audit event and a feed entry, in one transaction.

use serde_json::json;
use sqlx::types::Json;

use super::{
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

/// What to revoke.
#[derive(Clone, Copy, Debug)]
pub enum Revoke<'a> {
    /// These sessions.
    Sessions(&'a [SessionId]),
    /// Every live session of a user.
    SessionsOf {
        /// The user.
        user: &'a UserId,
        /// A session to keep: the caller's own.
        but: Option<&'a SessionId>,
    },
    /// A client. Its tokens are rejected until it is enabled again.
    Client(&'a ClientId),
    /// A signing key.
    Key {
        /// The key's id.
        id: &'a KeyId,
        /// The key's id in tokens.
        kid: &'a str,
        /// The state it must still be in.
        state: KeyState,
    },
    /// The key of another issuer with this `kid`.
    ForeignKey(&'a str),
}

/// Who revokes, why and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Who revokes.
    pub actor: &'a Actor,
    /// Why a session is revoked.
    pub cause: RevokedCause,
    /// The settings; they determine how long the revocation is remembered.
    pub settings: &'a Settings,
    /// The time of the revocation.
    pub now: Timestamp,
}

/// Id, subject and status index of a revoked session.
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
    /// Revokes. Returns how many sessions, clients or keys were revoked that had not been before.
    pub async fn revoke(&mut self, what: Revoke<'_>, by: &By<'_>) -> Result<usize> {
        match what {
            Revoke::Sessions(ids) => self.revoke_sessions(ids, by).await,
            Revoke::SessionsOf { user, but } => {
                let live = self.live_session_ids(user, by.now).await?;
                let ids = live.into_iter().filter(|id| Some(id) != but);
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

    /// Writes the audit event and the feed entry for a client or key.
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
