//! Sessions: one row per sign-in, updated in place by each refresh.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute, optional},
    failure::corrupt,
    readable::Readable,
};
use crate::{
    domain::{
        client::ClientId,
        scope::{Audience, Scope},
        session::{RevokedCause, Session, SessionKind, SessionTouch},
        status_list::StatusIndex,
    },
    error::{Error, Result},
    id::{RoleId, SessionId, UserId},
    time::{Timestamp, Ttl},
};

macro_rules! columns {
    () => {
        "id, user_id, subject, client_id, generation, secret_hash, rotated_at, previous_rotated_at, \
         rotation_request_id, auth_time, amr, acr, scopes, audiences, claims, roles, created_at, idle_ttl, idle_expires_at, \
         absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, \
         status_list, status_index, kind, parent_id, site, superseded_by"
    };
}

pub(super) use columns;

/// Notes for sessions that end at $1 that their clients are to be told. The condition follows.
macro_rules! deliveries {
    () => {
        "INSERT INTO logout_deliveries (session_id, client_id, subject, attempts, next_attempt_at, claimed_until, \
         claimed_by, created_at) SELECT id, client_id, subject, 0, CAST($1 AS BIGINT), 0, '', CAST($1 AS BIGINT) \
         FROM sessions"
    };
}

pub(super) use deliveries;

/// Whether a session's last token had expired before this time.
macro_rules! dead {
    ($at:literal) => {
        concat!("(absolute_expires_at < ", $at, " OR idle_expires_at < ", $at, " OR revoked_at < ", $at, ")")
    };
}

pub(super) use dead;

/// Notes that cookies were used.
const TOUCH: Sql = Sql {
    sqlite: "UPDATE sessions SET idle_expires_at = max(idle_expires_at, w_idle), rotated_at = max(rotated_at, $2) \
        FROM (SELECT value ->> 0 AS w_id, value ->> 1 AS w_idle FROM json_each($1)) AS w \
        WHERE id = w_id AND kind = 'browser' AND revoked_at IS NULL AND idle_expires_at > $2 AND absolute_expires_at > $2",
    postgres: "UPDATE sessions SET idle_expires_at = greatest(idle_expires_at, CAST(w ->> 1 AS BIGINT)), \
        rotated_at = greatest(rotated_at, $2) FROM jsonb_array_elements($1) AS w \
        WHERE id = w ->> 0 AND kind = 'browser' AND revoked_at IS NULL AND idle_expires_at > $2 \
        AND absolute_expires_at > $2",
};

/// One step of a walk over all sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The dead sessions in this step.
    pub dead: Vec<SessionId>,
    /// Where the next step continues; nothing at the end.
    pub last: Option<SessionId>,
}

/// Which sessions of a user to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionFilter {
    /// All that are stored.
    All,
    /// Those that can be refreshed at this time.
    Live(Timestamp),
    /// Those that were revoked at exactly this time.
    RevokedAt(Timestamp),
}

#[derive(sqlx::FromRow)]
pub(super) struct SessionRow {
    id: String,
    user_id: Option<String>,
    subject: String,
    client_id: String,
    generation: i64,
    secret_hash: Vec<u8>,
    rotated_at: i64,
    previous_rotated_at: i64,
    rotation_request_id: Option<String>,
    auth_time: i64,
    amr: Readable<Vec<String>>,
    acr: String,
    scopes: Readable<Vec<Scope>>,
    audiences: Readable<Vec<Audience>>,
    claims: Readable<Map<String, Value>>,
    roles: Readable<Vec<RoleId>>,
    created_at: i64,
    idle_ttl: i64,
    idle_expires_at: i64,
    absolute_expires_at: i64,
    revoked_at: Option<i64>,
    revoked_cause: Option<String>,
    device_label: String,
    user_agent: String,
    address: String,
    status_list: Option<i64>,
    status_index: Option<i64>,
    kind: String,
    parent_id: Option<String>,
    site: Option<String>,
    superseded_by: Option<String>,
}

impl TryFrom<SessionRow> for Session {
    type Error = Error;
    fn try_from(row: SessionRow) -> Result<Self> {
        let bad = |column| corrupt("sessions", column, &row.id);
        let cause = row.revoked_cause.as_deref().map(|c| RevokedCause::parse(c).ok_or_else(|| bad("revoked_cause")));
        let revoked = row.revoked_at.map(Timestamp::from_millis).zip(cause.transpose()?);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            kind: SessionKind::parse(&row.kind).ok_or_else(|| bad("kind"))?,
            parent: row.parent_id.as_deref().map(str::parse).transpose().map_err(|_| bad("parent_id"))?,
            superseded_by: row
                .superseded_by
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|_| bad("superseded_by"))?,
            site: row.site,
            user: row.user_id.as_deref().map(str::parse).transpose().map_err(|_| bad("user_id"))?,
            secret: row.secret_hash.try_into().map_err(|_| corrupt("sessions", "secret_hash", &row.id))?,
            subject: row.subject,
            client: ClientId::from_database(row.client_id),
            generation: row.generation,
            rotated_at: Timestamp::from_millis(row.rotated_at),
            previous_rotated_at: Timestamp::from_millis(row.previous_rotated_at),
            rotation_request_id: row.rotation_request_id,
            auth_time: Timestamp::from_millis(row.auth_time),
            amr: row.amr.or_empty(("sessions", "amr"), &row.id),
            acr: row.acr,
            scopes: row.scopes.or_empty(("sessions", "scopes"), &row.id),
            audiences: row.audiences.or_empty(("sessions", "audiences"), &row.id),
            claims: row.claims.shallow().or_empty(("sessions", "claims"), &row.id),
            roles: row.roles.or_empty(("sessions", "roles"), &row.id),
            created_at: Timestamp::from_millis(row.created_at),
            idle_ttl: Ttl::from_millis(row.idle_ttl),
            idle_expires_at: Timestamp::from_millis(row.idle_expires_at),
            absolute_expires_at: Timestamp::from_millis(row.absolute_expires_at),
            revoked,
            device_label: row.device_label,
            user_agent: row.user_agent,
            address: row.address,
            status: StatusIndex::from_columns(row.status_list, row.status_index),
        })
    }
}

/// The ids of sessions, as a statement returned them.
pub(super) fn session_ids(rows: Vec<(String,)>) -> Result<Vec<SessionId>> {
    rows.into_iter().map(|(id,)| session_id(id)).collect()
}

fn session_id(text: String) -> Result<SessionId> {
    text.parse().map_err(|_| corrupt("sessions", "id", &text))
}

impl Tx {
    /// Adds a session.
    pub async fn session_insert(&mut self, s: &Session) -> Result<()> {
        const SQL: &str = concat!(
            "INSERT INTO sessions (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, $15, $16, $17, $18, $19, $20, NULL, NULL, $21, $22, $23, $24, $25, $26, $27, $28, NULL)"
        );
        let (list, index) = StatusIndex::columns(s.status);
        execute!(
            self,
            SQL,
            s.id.as_str(),
            s.user.as_ref().map(UserId::as_str),
            &s.subject,
            s.client.as_str(),
            s.generation,
            s.secret.as_bytes(),
            s.rotated_at.millis(),
            s.previous_rotated_at.millis(),
            s.rotation_request_id.as_deref(),
            s.auth_time.millis(),
            Json(&s.amr),
            &s.acr,
            Json(&s.scopes),
            Json(&s.audiences),
            Json(&s.claims),
            Json(&s.roles),
            s.created_at.millis(),
            s.idle_ttl.millis(),
            s.idle_expires_at.millis(),
            s.absolute_expires_at.millis(),
            &s.device_label,
            &s.user_agent,
            &s.address,
            list,
            index,
            s.kind.as_str(),
            s.parent.as_ref().map(SessionId::as_str),
            s.site.as_deref()
        )
        .map(|_| ())
    }

    /// The session with this id.
    pub async fn session_by_id(&mut self, id: &SessionId) -> Result<Option<Session>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1");
        optional!(self, SessionRow, SQL, id.as_str())?.map(Session::try_from).transpose()
    }

    /// The session behind a cookie with this id.
    pub async fn browser_session(&mut self, id: &SessionId) -> Result<Option<Session>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1 AND kind = 'browser'");
        optional!(self, SessionRow, SQL, id.as_str())?.map(Session::try_from).transpose()
    }

    /// Postpones the idle expiry of live sessions behind cookies; none becomes shorter. `now` must have been read just
    /// before. Returns how many are live.
    pub async fn sessions_touch(&mut self, touches: &[SessionTouch], now: Timestamp) -> Result<u64> {
        let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
        for touch in touches {
            let at = latest.entry(touch.session.as_str()).or_insert(i64::MIN);
            *at = touch.idle_expires_at.millis().max(*at);
        }
        // Every transaction locks rows in the same order, so that none deadlock.
        let inputs: Vec<(&str, i64)> = latest.into_iter().collect();
        execute!(self, TOUCH, Json(inputs), now.millis())
    }

    /// The sessions of a user, newest first.
    pub async fn sessions_of_user(&mut self, user: &UserId, filter: SessionFilter) -> Result<Vec<Session>> {
        const ALL: &str =
            concat!("SELECT ", columns!(), " FROM sessions WHERE user_id = $1 ORDER BY created_at DESC, id");
        const LIVE: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 \
             AND absolute_expires_at > $2 ORDER BY created_at DESC, id"
        );
        const REVOKED: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE user_id = $1 AND revoked_at = $2 ORDER BY created_at DESC, id"
        );
        let rows = match filter {
            SessionFilter::All => all!(self, SessionRow, ALL, user.as_str())?,
            SessionFilter::Live(now) => all!(self, SessionRow, LIVE, user.as_str(), now.millis())?,
            SessionFilter::RevokedAt(at) => all!(self, SessionRow, REVOKED, user.as_str(), at.millis())?,
        };
        rows.into_iter().map(Session::try_from).collect()
    }

    /// The ids of a user's sessions that can be refreshed.
    pub async fn live_session_ids(&mut self, user: &UserId, now: Timestamp) -> Result<Vec<SessionId>> {
        const SQL: &str = "SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 \
            AND absolute_expires_at > $2 ORDER BY id";
        session_ids(all!(self, (String,), SQL, user.as_str(), now.millis())?)
    }

    /// The live sessions of a user beyond the newest `keep`, without those that were opened from others.
    pub async fn sessions_beyond(&mut self, user: &UserId, keep: i64, now: Timestamp) -> Result<Vec<SessionId>> {
        // SQLite does not support OFFSET without LIMIT.
        const SQL: &str = "SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 \
            AND absolute_expires_at > $2 AND parent_id IS NULL ORDER BY created_at DESC, id LIMIT 1000000 OFFSET $3";
        session_ids(all!(self, (String,), SQL, user.as_str(), now.millis(), keep)?)
    }

    /// Sets the claims of a user's sessions with a client that are not revoked. Returns their number.
    pub async fn sessions_set_claims(
        &mut self,
        user: &UserId,
        client: &ClientId,
        claims: &Map<String, Value>,
    ) -> Result<u64> {
        const SQL: &str = "UPDATE sessions SET claims = $3 \
            WHERE user_id = $1 AND client_id = $2 AND revoked_at IS NULL";
        execute!(self, SQL, user.as_str(), client.as_str(), Json(claims))
    }

    /// Revokes every session at once, without events or entries: for a change after which the keys of their tokens
    /// are gone. Returns their number. Everything else must use [`Tx::revoke`].
    pub async fn sessions_end_all(&mut self, cause: RevokedCause, now: Timestamp) -> Result<u64> {
        const TELL: &str = concat!(deliveries!(), " WHERE parent_id IS NOT NULL AND revoked_at IS NULL");
        execute!(self, TELL, now.millis())?;
        const SQL: &str = "UPDATE sessions SET revoked_at = $1, revoked_cause = $2 WHERE revoked_at IS NULL";
        execute!(self, SQL, now.millis(), cause.as_str())
    }

    /// Looks at the next `count` sessions after `after`, by id, for those whose last token had expired before
    /// `dead_before`. There is no index on expiry, because every refresh would have to update it.
    pub async fn sessions_walk(
        &mut self,
        after: Option<&SessionId>,
        dead_before: Timestamp,
        count: i64,
    ) -> Result<Walk> {
        const LAST: &str = "SELECT id FROM sessions WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2";
        const DEAD: &str =
            concat!("SELECT id FROM sessions WHERE id > $1 AND id <= $3 AND ", dead!("$2"), " ORDER BY id");
        let after = after.map_or("", SessionId::as_str);
        let last = optional!(self, (String,), LAST, after, count - 1)?.map(|(id,)| id);
        // Greater than every id of a session.
        let upper = last.as_deref().unwrap_or("ses_\u{7f}");
        let dead = all!(self, (String,), DEAD, after, dead_before.millis(), upper)?;
        Ok(Walk { dead: session_ids(dead)?, last: last.map(session_id).transpose()? })
    }

    /// Deletes those of these sessions whose last token had expired before `dead_before`, and what was still to be told
    /// of their end. Returns the number of sessions.
    pub async fn sessions_delete_dead(&mut self, ids: &[SessionId], dead_before: Timestamp) -> Result<u64> {
        const SQL: Sql = Sql {
            sqlite: concat!("DELETE FROM sessions WHERE id IN (SELECT value FROM json_each($1)) AND ", dead!("$2")),
            postgres: concat!(
                "DELETE FROM sessions WHERE id IN (SELECT jsonb_array_elements_text($1)) AND ",
                dead!("$2")
            ),
        };
        const TELL: Sql = Sql {
            sqlite: "DELETE FROM logout_deliveries WHERE session_id IN (SELECT value FROM json_each($1)) \
                AND NOT EXISTS (SELECT 1 FROM sessions WHERE id = session_id)",
            postgres: "DELETE FROM logout_deliveries WHERE session_id IN (SELECT jsonb_array_elements_text($1)) \
                AND NOT EXISTS (SELECT 1 FROM sessions WHERE id = session_id)",
        };
        let deleted = execute!(self, SQL, Json(ids), dead_before.millis())?;
        execute!(self, TELL, Json(ids))?;
        Ok(deleted)
    }
}
