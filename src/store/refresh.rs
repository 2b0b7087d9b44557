//! Exchanging refresh tokens: one conditional update for a whole batch.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;

use super::{
    By, Revoke,
    engine::{Inner, Sql, Tx, all, execute, optional},
    failure::corrupt,
    readable::Readable,
    sessions::{SessionRow, columns},
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        scope::Scope,
        session::{Judgement, RevokedCause, RotateOutcome, Rotation, Session, TokenBasis, judge},
        settings::Settings,
        status_list::StatusIndex,
    },
    error::{Error, Result},
    id::{AuditEventId, RoleId, SessionId},
    time::Timestamp,
};

/// What a refresh reads back: columns, or the elements of a JSON array in this order, in which lists and claims are
/// strings.
#[derive(Deserialize, sqlx::FromRow)]
struct BasisRow {
    id: String,
    generation: i64,
    subject: String,
    auth_time: i64,
    amr: Readable<Vec<String>>,
    acr: String,
    scopes: Readable<Vec<Scope>>,
    claims: Readable<Map<String, Value>>,
    roles: Readable<Vec<RoleId>>,
    idle_expires_at: i64,
    absolute_expires_at: i64,
    status_list: Option<i64>,
    status_index: Option<i64>,
}

impl TryFrom<BasisRow> for TokenBasis {
    type Error = Error;
    fn try_from(row: BasisRow) -> Result<Self> {
        let absolute_expires_at = Timestamp::from_millis(row.absolute_expires_at);
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("sessions", "id", &row.id))?,
            subject: row.subject,
            generation: row.generation,
            auth_time: Timestamp::from_millis(row.auth_time),
            amr: row.amr.or_empty(("sessions", "amr"), &row.id),
            acr: row.acr,
            scopes: row.scopes.or_empty(("sessions", "scopes"), &row.id),
            claims: row.claims.shallow().or_empty(("sessions", "claims"), &row.id),
            roles: row.roles.or_empty(("sessions", "roles"), &row.id),
            expires_at: Timestamp::from_millis(row.idle_expires_at).min(absolute_expires_at),
            absolute_expires_at,
            status: StatusIndex::from_columns(row.status_list, row.status_index),
        })
    }
}

/// One element of the JSON array that passes a batch to the statement.
#[derive(Serialize)]
struct RotationInput<'a>(&'a str, i64, Hex<'a>, &'a str, [&'a str; 1], &'a [Scope], Option<&'a str>, i64);

impl<'a> From<&'a Rotation> for RotationInput<'a> {
    fn from(r: &'a Rotation) -> Self {
        Self(
            r.session.as_str(),
            r.generation,
            Hex(r.secret.as_bytes()),
            r.client.as_str(),
            [r.audience.as_str()],
            &r.scopes,
            r.request_id.as_deref(),
            r.arrived.millis(),
        )
    }
}

/// Bytes as upper-case hexadecimal digits, which both engines read.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        let digit = |n: u8| DIGITS.get(usize::from(n & 15)).copied().map_or('0', char::from);
        let text: String = self.0.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect();
        serializer.serialize_str(&text)
    }
}

/// The whole rule of refreshing in one conditional update. Instants only increase, so a clock that stepped back
/// shortens no lifetime.
///
/// SQLite's driver passes every call and every row between two threads, which costs more than the update. So on
/// SQLite the same call returns the number of rows changed and all rows as one JSON text. Lists and claims are
/// strings in it, so that one of them that cannot be read spoils no other.
const ROTATE: Sql = Sql {
    sqlite: "UPDATE sessions SET generation = generation + 1, previous_rotated_at = rotated_at, \
         rotated_at = max(rotated_at, $2), rotation_request_id = w_request, \
         idle_expires_at = max(idle_expires_at, $2 + idle_ttl) \
         FROM (SELECT value ->> 0 AS w_id, value ->> 1 AS w_generation, value ->> 2 AS w_secret, \
         value ->> 3 AS w_client, value ->> 4 AS w_audience, value ->> 5 AS w_scopes, value ->> 6 AS w_request, \
         value ->> 7 AS w_now FROM json_each($1)) AS w \
         WHERE id = w_id AND generation = w_generation AND secret_hash = unhex(w_secret) \
         AND kind = 'token' AND client_id = w_client AND revoked_at IS NULL AND idle_expires_at > w_now AND absolute_expires_at > w_now \
         AND (audiences = w_audience \
         OR EXISTS (SELECT 1 FROM json_each(audiences) AS a WHERE a.value = w_audience ->> 0)) \
         AND (w_scopes = '[]' OR NOT EXISTS (SELECT 1 FROM json_each(w_scopes) AS s \
         WHERE s.value NOT IN (SELECT g.value FROM json_each(scopes) AS g))); \
         SELECT changes(), '[' || group_concat(format('[\"%s\",%d,%s,%d,%s,%s,%s,%s,%s,%d,%d,%s,%s]', id, generation, \
         json_quote(subject), auth_time, json_quote(amr), json_quote(acr), json_quote(scopes), json_quote(claims), \
         json_quote(roles), idle_expires_at, \
         absolute_expires_at, ifnull(status_list, 'null'), ifnull(status_index, 'null')), ',') || ']' \
         FROM sessions WHERE id IN (SELECT value ->> 0 FROM json_each($1))",
    postgres: "UPDATE sessions SET generation = generation + 1, previous_rotated_at = rotated_at, \
         rotated_at = greatest(rotated_at, $2), rotation_request_id = w ->> 6, \
         idle_expires_at = greatest(idle_expires_at, $2 + idle_ttl) \
         FROM jsonb_array_elements($1) AS w \
         WHERE id = w ->> 0 AND generation = CAST(w ->> 1 AS BIGINT) AND secret_hash = decode(w ->> 2, 'hex') \
         AND kind = 'token' AND client_id = w ->> 3 AND revoked_at IS NULL AND idle_expires_at > CAST(w ->> 7 AS BIGINT) \
         AND absolute_expires_at > CAST(w ->> 7 AS BIGINT) AND audiences @> (w -> 4) AND scopes @> (w -> 5) \
         RETURNING id, generation, subject, auth_time, amr, acr, scopes, claims, roles, \
         idle_expires_at, absolute_expires_at, status_list, status_index",
};

/// SQLite only: all columns of the sessions in a batch.
const FULL_ROWS: &str =
    concat!("SELECT ", columns!(), " FROM sessions WHERE id IN (SELECT value ->> 0 FROM json_each($1))");

/// Advances a session beyond the presented token, after the database lost commits.
const FAST_FORWARD: Sql = Sql {
    sqlite: concat!(
        "UPDATE sessions SET generation = $2 + 1, previous_rotated_at = $3, rotated_at = $3, \
         rotation_request_id = $4, idle_expires_at = max(idle_expires_at, $3 + idle_ttl) \
         WHERE id = $1 AND kind = 'token' AND generation < $2 AND revoked_at IS NULL RETURNING ",
        columns!()
    ),
    postgres: concat!(
        "UPDATE sessions SET generation = $2 + 1, previous_rotated_at = $3, rotated_at = $3, \
         rotation_request_id = $4, idle_expires_at = greatest(idle_expires_at, $3 + idle_ttl) \
         WHERE id = $1 AND kind = 'token' AND generation < $2 AND revoked_at IS NULL RETURNING ",
        columns!()
    ),
};

impl Tx {
    /// Exchanges refresh tokens, all in this transaction. The outcomes are in the order of the requests. `now` must
    /// have been read just before. Several requests for one session are judged one after another.
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
        // Every transaction locks rows in the same order, so that none deadlock.
        batch.sort_by(|a, b| a.session.cmp(&b.session));
        for basis in self.rotate_current(&batch, now).await? {
            let slot = first.get(basis.id.as_str()).and_then(|n| outcomes.get_mut(*n));
            if let Some(slot) = slot {
                *slot = Some(RotateOutcome::Rotated(basis));
            }
        }
        let mut answers = Vec::with_capacity(rotations.len());
        for (rotation, outcome) in rotations.iter().zip(outcomes) {
            answers.push(match outcome {
                Some(done) => done,
                None => self.rotate_by_row(rotation, settings, now).await?,
            });
        }
        Ok(answers)
    }

    /// Rotates the sessions whose tokens are current, which is the usual case. Returns those sessions.
    async fn rotate_current(&mut self, batch: &[&Rotation], now: Timestamp) -> Result<Vec<TokenBasis>> {
        let inputs: Vec<RotationInput<'_>> = batch.iter().map(|r| RotationInput::from(*r)).collect();
        if let Inner::Postgres(_) = self.inner {
            let rows = all!(self, BasisRow, ROTATE, Json(&inputs), now.millis())?;
            return rows.into_iter().map(TokenBasis::try_from).collect();
        }
        let inputs = serde_json::to_string(&inputs).map_err(|e| Error::Internal(Box::new(e)))?;
        let (changed, text) =
            optional!(self, (i64, Option<Vec<u8>>), ROTATE, &inputs, now.millis())?.unwrap_or_default();
        match usize::try_from(changed).unwrap_or_default() {
            0 => Ok(Vec::new()),
            all if all == batch.len() => parse_rows(&text.unwrap_or_default()),
            _ => self.read_rotated(&inputs, batch, now).await,
        }
    }

    /// SQLite only: the sessions of a batch that this transaction has just rotated. No other process can have changed
    /// them since. So a session was rotated if its row would now answer the same request with a replay.
    async fn read_rotated(&mut self, inputs: &str, batch: &[&Rotation], now: Timestamp) -> Result<Vec<TokenBasis>> {
        let rows = all!(self, SessionRow, FULL_ROWS, inputs)?;
        let mut rotated = Vec::new();
        for session in rows.into_iter().map(Session::try_from) {
            let session = session?;
            let rotation = batch.binary_search_by(|r| r.session.cmp(&session.id)).ok().and_then(|n| batch.get(n));
            let just_now = |r: &&&Rotation| {
                let tried = Rotation { tried_at: Some(session.rotated_at), ..(**r).clone() };
                session.generation == r.generation + 1
                    && judge(&session, &tried, &Settings::default()) == Judgement::Replay
            };
            if rotation.filter(|_| session.rotated_at >= now).is_some_and(|r| just_now(&r)) {
                rotated.push(session.into());
            }
        }
        Ok(rotated)
    }

    /// Handles the unusual cases, by looking at the session's row.
    async fn rotate_by_row(
        &mut self,
        rotation: &Rotation,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<RotateOutcome> {
        let Some(session) = self.session_by_id(&rotation.session).await? else { return Ok(RotateOutcome::Unknown) };
        Ok(match judge(&session, rotation, settings) {
            Judgement::Rotate => match self.rotate_current(&[rotation], now).await?.pop() {
                Some(basis) => RotateOutcome::Rotated(basis),
                None => return Err(Error::Conflict),
            },
            Judgement::Replay => RotateOutcome::Replayed(session.into()),
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
        Ok(RotateOutcome::FastForwarded(session.into()))
    }

    async fn reuse(
        &mut self,
        session: &Session,
        rotation: &Rotation,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<RotateOutcome> {
        let id = [session.id.clone()];
        let actor = Actor::named(rotation.client.as_str());
        let by = By { actor: &actor, cause: RevokedCause::Reuse, settings, now };
        if self.revoke(Revoke::Sessions(&id), &by).await? == 0 {
            // Another transaction revoked it between our read and our update.
            return Err(Error::Conflict);
        }
        if !session.is_guest() {
            let details = json!({ "presented": rotation.generation, "current": session.generation });
            self.session_event(session, AuditKind::RefreshTokenReused, details, now).await?;
        }
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
            actor: Actor::named(session.client.as_str()),
            subject: session.subject.clone(),
            session: Some(session.id.clone()),
            details,
        };
        self.audit_append(&event).await
    }

    /// Takes a rotation back whose refresh token was not given away, unless the session was rotated again. Returns
    /// whether it was taken back.
    pub async fn rotation_undo(&mut self, id: &SessionId, generation: i64) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET generation = generation - 1, rotated_at = previous_rotated_at, \
            rotation_request_id = NULL WHERE id = $1 AND generation = $2 AND generation > 0";
        Ok(execute!(self, SQL, id.as_str(), generation)? == 1)
    }

    /// Moves the time of a session's last rotation, after a commit that took long, so that the grace period starts
    /// when the answer can be sent. Does nothing, and returns false, if the session was rotated again.
    pub async fn rotation_stamp(&mut self, id: &SessionId, generation: i64, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET rotated_at = $3 WHERE id = $1 AND generation = $2 AND rotated_at < $3";
        Ok(execute!(self, SQL, id.as_str(), generation, now.millis())? == 1)
    }
}

/// SQLite only: parses the rows of a batch that was rotated completely.
fn parse_rows(text: &[u8]) -> Result<Vec<TokenBasis>> {
    let rows: Vec<BasisRow> = serde_json::from_slice(text).map_err(|e| Error::Internal(Box::new(e)))?;
    rows.into_iter().map(TokenBasis::try_from).collect()
}
