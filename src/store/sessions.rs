//! Sessions: one row per sign-in, moved on in place by each refresh.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::types::Json;

use super::{
    By, Revoke,
    engine::{Sql, Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        audit::{AuditEvent, AuditKind},
        client::ClientId,
        scope::{Audience, Scope},
        session::{Judgement, RevokedCause, RotateOutcome, Rotation, Session, judge},
        settings::Settings,
        status_list::StatusIndex,
    },
    error::{Error, Result},
    id::{AuditEventId, SessionId, UserId},
    time::{Timestamp, Ttl},
};

macro_rules! columns {
    () => {
        "id, user_id, subject, client_id, generation, secret_hash, rotated_at, previous_rotated_at, \
         rotation_request_id, auth_time, amr, acr, scopes, audiences, claims, created_at, idle_ttl, idle_expires_at, \
         absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, \
         status_list, status_index"
    };
}

/// Which sessions of a user to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionFilter {
    /// All that are kept.
    All,
    /// Those that may still be refreshed at this instant.
    Live(Timestamp),
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    user_id: String,
    subject: String,
    client_id: String,
    generation: i64,
    secret_hash: Vec<u8>,
    rotated_at: i64,
    previous_rotated_at: i64,
    rotation_request_id: Option<String>,
    auth_time: i64,
    amr: Json<Vec<String>>,
    acr: String,
    scopes: Json<Vec<Scope>>,
    audiences: Json<Vec<Audience>>,
    claims: Json<Map<String, Value>>,
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
}

impl TryFrom<SessionRow> for Session {
    type Error = Error;
    fn try_from(row: SessionRow) -> Result<Self> {
        let bad = |column| corrupt("sessions", column, &row.id);
        let cause = row.revoked_cause.as_deref().map(|c| RevokedCause::parse(c).ok_or_else(|| bad("revoked_cause")));
        let revoked = row.revoked_at.map(Timestamp::from_millis).zip(cause.transpose()?);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            user: row.user_id.parse().map_err(|_| bad("user_id"))?,
            secret: row.secret_hash.try_into().map_err(|_| corrupt("sessions", "secret_hash", &row.id))?,
            subject: row.subject,
            client: ClientId::from_database(row.client_id),
            generation: row.generation,
            rotated_at: Timestamp::from_millis(row.rotated_at),
            previous_rotated_at: Timestamp::from_millis(row.previous_rotated_at),
            rotation_request_id: row.rotation_request_id,
            auth_time: Timestamp::from_millis(row.auth_time),
            amr: row.amr.0,
            acr: row.acr,
            scopes: row.scopes.0,
            audiences: row.audiences.0,
            claims: row.claims.0,
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

/// One element of the JSON array that carries a batch into the statement. Names begin with `w_` so
/// that no column of the table is ambiguous beside them.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names must differ from the columns'")]
struct Want<'a> {
    w_id: &'a str,
    w_generation: i64,
    w_secret: String,
    w_client: &'a str,
    w_audience: &'a str,
    w_scopes: &'a [Scope],
    w_request: Option<&'a str>,
    w_now: i64,
}

impl<'a> From<&'a Rotation> for Want<'a> {
    fn from(r: &'a Rotation) -> Self {
        Self {
            w_id: r.session.as_str(),
            w_generation: r.generation,
            w_secret: r.secret.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
            w_client: r.client.as_str(),
            w_audience: r.audience.as_str(),
            w_scopes: &r.scopes,
            w_request: r.request_id.as_deref(),
            w_now: r.arrived.millis(),
        }
    }
}

/// The whole rule of refreshing in one conditional update. A clock that stepped back shortens nothing:
/// instants only grow.
const ROTATE: Sql = Sql {
    sqlite: concat!(
        "UPDATE sessions SET generation = generation + 1, previous_rotated_at = rotated_at, \
         rotated_at = max(rotated_at, $2), rotation_request_id = w_request, \
         idle_expires_at = max(idle_expires_at, $2 + idle_ttl) \
         FROM (SELECT json_extract(value, '$.w_id') AS w_id, json_extract(value, '$.w_generation') AS w_generation, \
         json_extract(value, '$.w_secret') AS w_secret, json_extract(value, '$.w_client') AS w_client, \
         json_extract(value, '$.w_audience') AS w_audience, json_extract(value, '$.w_scopes') AS w_scopes, \
         json_extract(value, '$.w_request') AS w_request, json_extract(value, '$.w_now') AS w_now \
         FROM json_each($1)) AS w \
         WHERE id = w_id AND generation = w_generation AND lower(hex(secret_hash)) = w_secret \
         AND client_id = w_client AND revoked_at IS NULL AND idle_expires_at > w_now AND absolute_expires_at > w_now \
         AND EXISTS (SELECT 1 FROM json_each(audiences) AS a WHERE a.value = w_audience) \
         AND NOT EXISTS (SELECT 1 FROM json_each(w_scopes) AS s \
         WHERE s.value NOT IN (SELECT g.value FROM json_each(scopes) AS g)) RETURNING ",
        columns!()
    ),
    postgres: concat!(
        "UPDATE sessions SET generation = generation + 1, previous_rotated_at = rotated_at, \
         rotated_at = greatest(rotated_at, $2), rotation_request_id = w_request, \
         idle_expires_at = greatest(idle_expires_at, $2 + idle_ttl) \
         FROM jsonb_to_recordset($1) AS w (w_id text, w_generation bigint, w_secret text, w_client text, \
         w_audience text, w_scopes jsonb, w_request text, w_now bigint) \
         WHERE id = w_id AND generation = w_generation AND encode(secret_hash, 'hex') = w_secret \
         AND client_id = w_client AND revoked_at IS NULL AND idle_expires_at > w_now AND absolute_expires_at > w_now \
         AND audiences @> to_jsonb(w_audience) AND scopes @> w_scopes RETURNING ",
        columns!()
    ),
};

/// The database had lost commits: the session jumps ahead of the token presented.
const FAST_FORWARD: Sql = Sql {
    sqlite: concat!(
        "UPDATE sessions SET generation = $2 + 1, previous_rotated_at = $3, rotated_at = $3, \
         rotation_request_id = $4, idle_expires_at = max(idle_expires_at, $3 + idle_ttl) \
         WHERE id = $1 AND generation < $2 AND revoked_at IS NULL RETURNING ",
        columns!()
    ),
    postgres: concat!(
        "UPDATE sessions SET generation = $2 + 1, previous_rotated_at = $3, rotated_at = $3, \
         rotation_request_id = $4, idle_expires_at = greatest(idle_expires_at, $3 + idle_ttl) \
         WHERE id = $1 AND generation < $2 AND revoked_at IS NULL RETURNING ",
        columns!()
    ),
};

impl Tx {
    /// Adds a session.
    pub async fn session_insert(&mut self, s: &Session) -> Result<()> {
        const SQL: &str = concat!(
            "INSERT INTO sessions (",
            columns!(),
            ", roles) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, $15, $16, $17, $18, $19, NULL, NULL, $20, $21, $22, $23, $24, $25)"
        );
        let (list, index) = StatusIndex::columns(s.status);
        execute!(
            self,
            SQL,
            s.id.as_str(),
            s.user.as_str(),
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
            s.created_at.millis(),
            s.idle_ttl.millis(),
            s.idle_expires_at.millis(),
            s.absolute_expires_at.millis(),
            &s.device_label,
            &s.user_agent,
            &s.address,
            list,
            index,
            Json(Vec::<String>::new())
        )
        .map(|_| ())
    }

    /// The session with this id.
    pub async fn session_by_id(&mut self, id: &SessionId) -> Result<Option<Session>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1");
        optional!(self, SessionRow, SQL, id.as_str())?.map(Session::try_from).transpose()
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
        let rows = match filter {
            SessionFilter::All => all!(self, SessionRow, ALL, user.as_str())?,
            SessionFilter::Live(now) => all!(self, SessionRow, LIVE, user.as_str(), now.millis())?,
        };
        rows.into_iter().map(Session::try_from).collect()
    }

    /// The live sessions of a user beyond the newest `keep`.
    pub async fn sessions_beyond(&mut self, user: &UserId, keep: i64, now: Timestamp) -> Result<Vec<SessionId>> {
        // SQLite knows no OFFSET without LIMIT.
        const SQL: &str = "SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 \
            AND absolute_expires_at > $2 ORDER BY created_at DESC, id LIMIT 1000000 OFFSET $3";
        let rows = all!(self, (String,), SQL, user.as_str(), now.millis(), keep)?;
        rows.into_iter().map(|(id,)| id.parse().map_err(|_| corrupt("sessions", "id", &id))).collect()
    }

    /// Ends every session at once, for a change after which no token of theirs has a key; gives their
    /// number. Anything less goes through [`Tx::revoke`].
    pub async fn sessions_end_all(&mut self, cause: RevokedCause, now: Timestamp) -> Result<u64> {
        const SQL: &str = "UPDATE sessions SET revoked_at = $1, revoked_cause = $2 WHERE revoked_at IS NULL";
        execute!(self, SQL, now.millis(), cause.as_str())
    }

    /// Exchanges refresh tokens, all in this transaction; the answers stand in the order of the
    /// requests. `now` is read just before. Of several requests for one session, each is judged after
    /// the one before it.
    pub async fn rotate(
        &mut self,
        rotations: &[Rotation],
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Vec<RotateOutcome>> {
        let mut outcomes: Vec<Option<RotateOutcome>> = rotations.iter().map(|_| None).collect();
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (n, rotation) in rotations.iter().enumerate() {
            first.entry(rotation.session.as_str()).or_insert(n);
        }
        let mut batch: Vec<&Rotation> = first.values().filter_map(|n| rotations.get(*n)).collect();
        // Every transaction takes its rows in the same order.
        batch.sort_by(|a, b| a.session.cmp(&b.session));
        for session in self.rotate_current(&batch, now).await? {
            let slot = first.get(session.id.as_str()).and_then(|n| outcomes.get_mut(*n));
            if let Some(slot) = slot {
                *slot = Some(RotateOutcome::Rotated(session));
            }
        }
        let mut answers = Vec::with_capacity(rotations.len());
        for (rotation, outcome) in rotations.iter().zip(outcomes) {
            answers.push(match outcome {
                Some(done) => done,
                None => self.rotate_other(rotation, settings, now).await?,
            });
        }
        Ok(answers)
    }

    /// The usual case: the tokens are current. Gives the sessions that moved on.
    async fn rotate_current(&mut self, batch: &[&Rotation], now: Timestamp) -> Result<Vec<Session>> {
        let wants: Vec<Want<'_>> = batch.iter().map(|r| Want::from(*r)).collect();
        let rows = all!(self, SessionRow, ROTATE, Json(&wants), now.millis())?;
        rows.into_iter().map(Session::try_from).collect()
    }

    /// The unusual cases, by the row as it stands.
    async fn rotate_other(
        &mut self,
        rotation: &Rotation,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<RotateOutcome> {
        let Some(session) = self.session_by_id(&rotation.session).await? else { return Ok(RotateOutcome::Unknown) };
        Ok(match judge(&session, rotation, settings) {
            Judgement::Rotate => match self.rotate_current(&[rotation], now).await?.pop() {
                Some(session) => RotateOutcome::Rotated(session),
                None => return Err(Error::Conflict),
            },
            Judgement::Replay => RotateOutcome::Replayed(session),
            Judgement::Superseded => RotateOutcome::Superseded,
            Judgement::FastForward => self.fast_forward(rotation, now).await?,
            Judgement::Reuse => self.reuse(&session, rotation, settings, now).await?,
            Judgement::Expired => RotateOutcome::Expired,
            Judgement::Revoked(cause) => RotateOutcome::Revoked(cause),
            Judgement::AudienceNotGranted => RotateOutcome::AudienceNotGranted,
            Judgement::ScopeNotGranted => RotateOutcome::ScopeNotGranted,
            Judgement::Unknown => RotateOutcome::Unknown,
        })
    }

    async fn fast_forward(&mut self, rotation: &Rotation, now: Timestamp) -> Result<RotateOutcome> {
        let (id, generation) = (rotation.session.as_str(), rotation.generation);
        let request = rotation.request_id.as_deref();
        let row = optional!(self, SessionRow, FAST_FORWARD, id, generation, now.millis(), request)?;
        let session = Session::try_from(row.ok_or(Error::Conflict)?)?;
        let details = json!({ "generation": generation });
        self.session_event(&session, AuditKind::SessionFastForwarded, details, now).await?;
        Ok(RotateOutcome::FastForwarded(session))
    }

    async fn reuse(
        &mut self,
        session: &Session,
        rotation: &Rotation,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<RotateOutcome> {
        let id = [session.id.clone()];
        let by = By { actor: rotation.client.as_str(), cause: RevokedCause::Reuse, settings, now };
        if self.revoke(Revoke::Sessions(&id), &by).await? == 0 {
            // Another transaction ended it between our reading and our update.
            return Err(Error::Conflict);
        }
        let details = json!({ "presented": rotation.generation, "current": session.generation });
        self.session_event(session, AuditKind::RefreshTokenReused, details, now).await?;
        Ok(RotateOutcome::Reused { rotated_at: session.rotated_at })
    }

    async fn session_event(
        &mut self,
        session: &Session,
        kind: AuditKind,
        details: Value,
        now: Timestamp,
    ) -> Result<()> {
        let event = AuditEvent {
            id: AuditEventId::new(now, &*self.entropy),
            at: now,
            kind,
            actor: session.client.as_str().to_owned(),
            subject: session.subject.clone(),
            session: Some(session.id.clone()),
            details,
        };
        self.audit_append(&event).await
    }

    /// Stamps a session's last rotation again, after a commit that took long: its grace begins when the
    /// answer can be sent. Nothing happens if the session has moved on since.
    pub async fn rotation_stamp(&mut self, id: &SessionId, generation: i64, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET rotated_at = $3 WHERE id = $1 AND generation = $2 AND rotated_at < $3";
        Ok(execute!(self, SQL, id.as_str(), generation, now.millis())? == 1)
    }

    /// Deletes at most `limit` sessions whose last token is dead; gives their number.
    pub async fn sessions_sweep(&mut self, dead_before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE absolute_expires_at < $1 \
            OR idle_expires_at < $1 OR revoked_at < $1 LIMIT $2)";
        execute!(self, SQL, dead_before.millis(), limit)
    }
}
