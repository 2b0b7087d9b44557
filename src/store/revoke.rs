//! The only way to revoke: the change, an audit event and a feed entry, in one transaction.

use serde_json::json;
use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute},
    failure::corrupt,
    sessions::deliveries,
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
        /// A session to keep, with the one that it was opened from: the caller's own.
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

/// A revoked session.
#[derive(sqlx::FromRow)]
struct RevokedRow {
    id: String,
    subject: String,
    status_list: Option<i64>,
    status_index: Option<i64>,
    parent_id: Option<String>,
    user_id: Option<String>,
}

macro_rules! revoke_where {
    ($condition:literal) => {
        concat!(
            "UPDATE sessions SET revoked_at = $2, revoked_cause = $3 WHERE ",
            $condition,
            " AND revoked_at IS NULL RETURNING id, subject, status_list, status_index, parent_id, user_id"
        )
    };
}

const SESSIONS: Sql = Sql {
    sqlite: revoke_where!("id IN (SELECT value FROM json_each($1))"),
    postgres: revoke_where!("id IN (SELECT jsonb_array_elements_text($1))"),
};

/// The sessions that were opened from others. Those must have been revoked by a statement before: a session that is
/// being opened from one of them has locked its row, and only a statement that begins afterwards sees it.
const CHILDREN: Sql = Sql {
    sqlite: revoke_where!("parent_id IN (SELECT value FROM json_each($1))"),
    postgres: revoke_where!("parent_id IN (SELECT jsonb_array_elements_text($1))"),
};

const TELL: Sql = Sql {
    sqlite: concat!(deliveries!(), " WHERE id IN (SELECT value FROM json_each($2)) ON CONFLICT DO NOTHING"),
    postgres: concat!(deliveries!(), " WHERE id IN (SELECT jsonb_array_elements_text($2)) ON CONFLICT DO NOTHING"),
};

impl Tx {
    /// Revokes. Returns how many sessions, clients or keys were revoked that had not been before. A session ends
    /// together with those that were opened from it.
    pub async fn revoke(&mut self, what: Revoke<'_>, by: &By<'_>) -> Result<usize> {
        match what {
            Revoke::Sessions(ids) => self.revoke_sessions(ids, by).await,
            Revoke::SessionsOf { user, but } => {
                let mut ids = self.live_session_ids(user, by.now).await?;
                if let Some(kept) = but {
                    // A session ends with the one that it was opened from.
                    let parent = self.session_by_id(kept).await?.and_then(|s| s.parent);
                    ids.retain(|id| id != kept && Some(id) != parent.as_ref());
                }
                self.revoke_sessions(&ids, by).await
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

    /// Revokes sessions, and with them those that were opened from them.
    async fn revoke_sessions(&mut self, ids: &[SessionId], by: &By<'_>) -> Result<usize> {
        let mut sorted: Vec<&str> = ids.iter().map(SessionId::as_str).collect();
        sorted.sort_unstable();
        let mut rows = all!(self, RevokedRow, SESSIONS, Json(sorted), by.now.millis(), by.cause.as_str())?;
        let (mut revoked, mut to_tell) = (0, Vec::new());
        while !rows.is_empty() {
            revoked += rows.len();
            let mut ended: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
            ended.sort_unstable();
            for row in rows {
                if row.parent_id.is_some() {
                    to_tell.push(row.id.clone());
                }
                self.session_revoked(row, by).await?;
            }
            rows = all!(self, RevokedRow, CHILDREN, Json(ended), by.now.millis(), by.cause.as_str())?;
        }
        if !to_tell.is_empty() {
            execute!(self, TELL, by.now.millis(), Json(to_tell))?;
        }
        Ok(revoked)
    }

    /// Writes the audit event and the feed entry for a session.
    async fn session_revoked(&mut self, row: RevokedRow, by: &By<'_>) -> Result<()> {
        let session: SessionId = row.id.parse().map_err(|_| corrupt("sessions", "id", &row.id))?;
        if row.user_id.is_some() || by.cause.is_noted_of_guests() {
            let event = AuditEvent {
                id: AuditEventId::new(by.now, &*self.entropy),
                at: by.now,
                kind: AuditKind::SessionRevoked,
                actor: by.actor.clone(),
                subject: row.subject,
                session: Some(session),
                details: json!({ "cause": by.cause.as_str() }),
            };
            self.audit_append(&event).await?;
        }
        let status = StatusIndex::from_columns(row.status_list, row.status_index);
        let entry = by.settings.feed_entry(ChangeKind::SessionRevoked, row.id, by.now);
        self.change(Change { status, ..entry });
        Ok(())
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
