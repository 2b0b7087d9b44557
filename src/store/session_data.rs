//! What applications keep with sessions and users. Many changes are written by one statement, as refreshes are.
//!
//! Every change first finds the session that it is made for live, and on PostgreSQL locks its row against being ended:
//! what was acknowledged before a session is replaced moves with it, and nothing is written for one that has ended.
//! Whoever adds a value or deletes one also locks its owner's row in `session_data_owners`, so that the number of values
//! is counted by one at a time. Versions go on from the highest that was deleted, so none is ever used again.

mod sizes;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::types::Json;

use super::{
    engine::{Inner, Sql, Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        client::ClientId,
        session_data::{
            DataCondition, DataEntry, DataOutcome, DataSession, DataValue, DataWrite, MAX_VALUES, Namespace, StoredData,
        },
    },
    error::{Error, Result},
    id::SessionId,
    time::Timestamp,
};

/// The live ones of these sessions. On SQLite what is found is one JSON value, for its driver passes rows one by one
/// between two threads, which takes longer than all else.
const LIVE: Sql = Sql {
    sqlite: "SELECT json_group_array(json_array(id, coalesce(user_id, subject), client_id, user_id IS NULL)) FROM sessions \
        WHERE id IN (SELECT value FROM json_each($1)) AND revoked_at IS NULL AND idle_expires_at > $2 \
        AND absolute_expires_at > $2",
    postgres: "SELECT id, coalesce(user_id, subject), client_id, CASE WHEN user_id IS NULL THEN CAST(1 AS BIGINT) \
        ELSE 0 END FROM sessions \
        WHERE id IN (SELECT jsonb_array_elements_text($1)) AND revoked_at IS NULL AND idle_expires_at > $2 \
        AND absolute_expires_at > $2 ORDER BY id FOR SHARE",
};

/// SQLite only: the versions of these values. Nobody else can write before they are replaced.
const VERSIONS: &str = "SELECT json_group_array(json_array(d.owner, d.namespace, d.version)) FROM json_each($1) AS w \
    CROSS JOIN session_data AS d ON d.owner = w.value ->> 0 AND d.namespace = w.value ->> 1";

/// Replaces values that are stored, where the version is the one wanted; -1 is any.
const REPLACE: Sql = Sql {
    sqlite: "UPDATE session_data SET value = CAST(w_value AS BLOB), version = version + 1, \
        updated_at = max(updated_at, $2) FROM (SELECT value ->> 0 AS w_owner, value ->> 1 AS w_namespace, \
        value ->> 2 AS w_value, value ->> 3 AS w_version FROM json_each($1)) AS w \
        WHERE owner = w_owner AND namespace = w_namespace AND w_version IN (-1, version)",
    postgres: "UPDATE session_data SET value = convert_to(w ->> 2, 'UTF8'), version = version + 1, \
        updated_at = greatest(updated_at, $2) FROM jsonb_array_elements($1) AS w \
        WHERE owner = w ->> 0 AND namespace = w ->> 1 AND CAST(w ->> 3 AS BIGINT) IN (-1, version) \
        RETURNING owner, namespace, version",
};

/// Locks the rows of owners, which are made if there are none.
const HOLD_OWNERS: Sql = Sql {
    sqlite: "INSERT INTO session_data_owners (owner, last_version) SELECT value, 0 FROM json_each($1) WHERE true \
        ON CONFLICT (owner) DO UPDATE SET last_version = session_data_owners.last_version",
    postgres: "INSERT INTO session_data_owners (owner, last_version) SELECT jsonb_array_elements_text($1), 0 \
        ON CONFLICT (owner) DO UPDATE SET last_version = session_data_owners.last_version",
};

/// Adds values, one to each owner that is held and has room.
const ADD: Sql = Sql {
    sqlite: "INSERT INTO session_data (owner, namespace, value, version, updated_at) \
        SELECT o.owner, w_namespace, CAST(w_value AS BLOB), o.last_version + 1, $2 \
        FROM (SELECT value ->> 0 AS w_owner, value ->> 1 AS w_namespace, value ->> 2 AS w_value FROM json_each($1)) AS w \
        JOIN session_data_owners AS o ON o.owner = w_owner \
        WHERE (SELECT count(*) FROM session_data AS d WHERE d.owner = w_owner) < $3 \
        ON CONFLICT (owner, namespace) DO NOTHING RETURNING owner, namespace, version",
    postgres: "INSERT INTO session_data (owner, namespace, value, version, updated_at) \
        SELECT o.owner, w ->> 1, convert_to(w ->> 2, 'UTF8'), o.last_version + 1, $2 \
        FROM jsonb_array_elements($1) AS w JOIN session_data_owners AS o ON o.owner = w ->> 0 \
        WHERE (SELECT count(*) FROM session_data AS d WHERE d.owner = w ->> 0) < $3 \
        ON CONFLICT (owner, namespace) DO NOTHING RETURNING owner, namespace, version",
};

/// One element of the JSON array that passes changes to a statement: owner, namespace, value, version.
#[derive(Serialize)]
struct Input<'a>(&'a str, &'a str, &'a str, i64);

/// A change that waits for its outcome.
struct Waiting<'a> {
    /// Its place among all.
    n: usize,
    owner: String,
    is_guest: bool,
    write: &'a DataWrite,
}

impl Waiting<'_> {
    fn key(&self) -> (&str, &str) {
        (&self.owner, self.write.namespace.as_str())
    }

    fn input(&self) -> Input<'_> {
        let value = self.write.value.as_ref().map_or("", DataValue::as_json);
        let version = if let DataCondition::Version(version) = self.write.condition { version } else { -1 };
        Input(&self.owner, self.write.namespace.as_str(), value, version)
    }
}

/// Where values are stored: owner and name.
type Key = (String, String);
/// The versions that are known to be stored; none where there is no value.
type Known = HashMap<Key, Option<i64>>;

/// The first change of each value, in the order of their keys; and the outcomes of those that need no statement, because
/// of many changes of one version the first one wins.
fn next_round<'a, 'w>(
    waiting: &'a [Waiting<'w>],
    known: &Known,
) -> (Vec<&'a Waiting<'w>>, HashMap<usize, DataOutcome>) {
    let mut round: BTreeMap<(&str, &str), &Waiting<'_>> = BTreeMap::new();
    let mut done = HashMap::new();
    for one in waiting {
        if round.contains_key(&one.key()) {
            continue;
        }
        match known.get(&owned(one.key())) {
            Some(current) if !one.write.condition.allows(*current) => {
                done.insert(one.n, DataOutcome::Mismatch { current: *current });
            }
            _ => drop(round.insert(one.key(), one)),
        }
    }
    (round.into_values().collect(), done)
}

/// The first of each owner, by owner: a statement counts the values once, so it adds at most one to an owner.
fn first_of_owners<'a, 'w>(all: Vec<&'a Waiting<'w>>) -> Vec<&'a Waiting<'w>> {
    let mut first: BTreeMap<&str, &Waiting<'_>> = BTreeMap::new();
    for one in all {
        first.entry(&one.owner).or_insert(one);
    }
    first.into_values().collect()
}

#[derive(sqlx::FromRow)]
struct DataRow {
    owner: String,
    value: Vec<u8>,
    version: i64,
    updated_at: i64,
}

impl TryFrom<DataRow> for StoredData {
    type Error = Error;
    fn try_from(row: DataRow) -> Result<Self> {
        let updated_at = Timestamp::from_millis(row.updated_at);
        Ok(Self { value: data_value(row.value, &row.owner)?, version: row.version, updated_at })
    }
}

/// A value of an owner, as it is stored.
pub(super) fn data_value(bytes: Vec<u8>, owner: &str) -> Result<DataValue> {
    let text = String::from_utf8(bytes).map_err(|_| corrupt("session_data", "value", owner))?;
    Ok(DataValue::from_database(text))
}

impl Tx {
    /// Makes changes, all in this transaction. The outcomes are in the order of the changes; those of one value are made
    /// one after another. An owner who is a guest's has at most `guest_bytes`. `now` must have been read just before.
    pub async fn session_data_write(
        &mut self,
        writes: &[DataWrite],
        guest_bytes: i64,
        now: Timestamp,
    ) -> Result<Vec<DataOutcome>> {
        let sessions: BTreeSet<&str> = writes.iter().map(|write| write.session.as_str()).collect();
        let live = self.data_sessions(&sessions, now).await?;
        let mut outcomes = vec![DataOutcome::SessionEnded; writes.len()];
        let mut waiting = Vec::new();
        for ((n, write), outcome) in writes.iter().enumerate().zip(&mut outcomes) {
            let Some(session) = live.get(write.session.as_str()) else { continue };
            if write.client.as_ref().is_some_and(|client| *client != session.client) {
                *outcome = DataOutcome::OtherClient;
            } else {
                let (owner, is_guest) = (write.scope.owner(session), session.is_guest);
                waiting.push(Waiting { n, owner, is_guest, write });
            }
        }
        let mut known = Known::new();
        while !waiting.is_empty() {
            let (round, mut done) = next_round(&waiting, &known);
            for (key, n, outcome) in self.data_round(round, guest_bytes, now).await? {
                match outcome {
                    DataOutcome::Stored { version, .. } => drop(known.insert(key, Some(version))),
                    DataOutcome::Deleted => drop(known.insert(key, None)),
                    DataOutcome::Mismatch { current } => drop(known.insert(key, current)),
                    _ => {}
                }
                done.insert(n, outcome);
            }
            for (n, outcome) in &done {
                if let Some(slot) = outcomes.get_mut(*n) {
                    *slot = *outcome;
                }
            }
            waiting.retain(|one| !done.contains_key(&one.n));
        }
        Ok(outcomes)
    }

    /// Makes changes of different values, in the order of their keys, so that no two transactions wait for each other.
    /// What is missing from the outcomes has to wait for the next round.
    async fn data_round(
        &mut self,
        round: Vec<&Waiting<'_>>,
        guest_bytes: i64,
        now: Timestamp,
    ) -> Result<Vec<(Key, usize, DataOutcome)>> {
        let (puts, deletions): (Vec<_>, Vec<_>) = round.into_iter().partition(|one| one.write.value.is_some());
        let too_large = self.data_beyond(&puts, guest_bytes).await?;
        let (beyond, puts): (Vec<_>, Vec<_>) = puts.into_iter().partition(|one| too_large.contains(&one.n));
        let (replacing, mut adding): (Vec<_>, Vec<_>) =
            puts.into_iter().partition(|one| one.write.condition != DataCondition::Absent);
        let mut outcomes = Vec::new();
        let mut by_row = Vec::new();
        let replaced = self.data_replace(&replacing, now).await?;
        for one in replacing {
            let key = owned(one.key());
            match (replaced.get(&key), one.write.condition) {
                (Some(version), _) => {
                    outcomes.push((key, one.n, DataOutcome::Stored { version: *version, created: false }));
                }
                (None, DataCondition::Any) => adding.push(one),
                (None, _) => by_row.push(one),
            }
        }
        let adding = first_of_owners(adding);
        let added = self.data_add(&adding, now).await?;
        for one in adding {
            let key = owned(one.key());
            match added.get(&key) {
                Some(version) => outcomes.push((key, one.n, DataOutcome::Stored { version: *version, created: true })),
                None => by_row.push(one),
            }
        }
        // Deletions come last: what was refused for want of room is judged as it was.
        for one in beyond.into_iter().chain(by_row).chain(deletions) {
            outcomes.push((owned(one.key()), one.n, self.data_by_row(one, too_large.contains(&one.n)).await?));
        }
        Ok(outcomes)
    }

    /// Replaces what is stored. Returns the new versions.
    async fn data_replace(&mut self, all: &[&Waiting<'_>], now: Timestamp) -> Result<HashMap<Key, i64>> {
        if all.is_empty() {
            return Ok(HashMap::new());
        }
        if let Inner::Postgres(_) = self.inner {
            let inputs: Vec<Input<'_>> = all.iter().map(|one| one.input()).collect();
            let rows = all!(self, (String, String, i64), REPLACE, Json(&inputs), now.millis())?;
            return Ok(rows.into_iter().map(|(owner, namespace, version)| ((owner, namespace), version)).collect());
        }
        let keys: Vec<(&str, &str)> = all.iter().map(|one| one.key()).collect();
        let found: Vec<(String, String, i64)> = parsed(optional!(self, (Vec<u8>,), VERSIONS, Json(&keys))?)?;
        let found: HashMap<Key, i64> = found.into_iter().map(|(o, n, version)| ((o, n), version)).collect();
        let current = |one: &Waiting<'_>| found.get(&owned(one.key())).copied();
        let fits = |one: &&&Waiting<'_>| current(one).is_some_and(|v| one.write.condition.allows(Some(v)));
        let fitting: Vec<&Waiting<'_>> = all.iter().filter(fits).copied().collect();
        if fitting.is_empty() {
            return Ok(HashMap::new());
        }
        let inputs: Vec<Input<'_>> = fitting.iter().map(|one| one.input()).collect();
        execute!(self, REPLACE, Json(&inputs), now.millis())?;
        Ok(fitting.into_iter().filter_map(|one| Some((owned(one.key()), current(one)? + 1))).collect())
    }

    /// Adds values, one to each owner. Returns their versions.
    async fn data_add(&mut self, all: &[&Waiting<'_>], now: Timestamp) -> Result<HashMap<Key, i64>> {
        if all.is_empty() {
            return Ok(HashMap::new());
        }
        self.data_owners_hold(&all.iter().map(|one| one.owner.as_str()).collect()).await?;
        let inputs: Vec<Input<'_>> = all.iter().map(|one| one.input()).collect();
        let rows = all!(self, (String, String, i64), ADD, Json(&inputs), now.millis(), MAX_VALUES)?;
        Ok(rows.into_iter().map(|(owner, namespace, version)| ((owner, namespace), version)).collect())
    }

    /// Locks owners, which are made if there are none, in the order of their names. Until then nobody else adds anything.
    pub(super) async fn data_owners_hold(&mut self, owners: &BTreeSet<&str>) -> Result<()> {
        execute!(self, HOLD_OWNERS, Json(owners)).map(|_| ())
    }

    /// How many values an owner has, and the version of one.
    pub(super) async fn data_stored(&mut self, owner: &str, namespace: &str) -> Result<(i64, Option<i64>)> {
        const SQL: &str = "SELECT (SELECT count(*) FROM session_data WHERE owner = $1), \
            (SELECT version FROM session_data WHERE owner = $1 AND namespace = $2)";
        Ok(optional!(self, (i64, Option<i64>), SQL, owner, namespace)?.unwrap_or_default())
    }

    /// Handles deletions and refusals, by looking at what is stored.
    async fn data_by_row(&mut self, one: &Waiting<'_>, too_large: bool) -> Result<DataOutcome> {
        let DataWrite { namespace, value, condition, .. } = one.write;
        let (owner, namespace) = (one.owner.as_str(), namespace.as_str());
        let (count, current) = self.data_stored(owner, namespace).await?;
        if !condition.allows(current) {
            return Ok(DataOutcome::Mismatch { current });
        }
        match (value, current) {
            (None, None) => Ok(DataOutcome::Deleted),
            (None, Some(version)) => self.data_delete(owner, namespace, version).await,
            (Some(_), None) if count >= MAX_VALUES => Ok(DataOutcome::TooMany),
            (Some(_), _) if too_large => Ok(DataOutcome::TooLarge),
            // Another transaction came between the statements.
            (Some(_), _) => Err(Error::Conflict),
        }
    }

    async fn data_delete(&mut self, owner: &str, namespace: &str, version: i64) -> Result<DataOutcome> {
        const NOTE: &str = "INSERT INTO session_data_owners (owner, last_version) VALUES ($1, $2) \
            ON CONFLICT (owner) DO UPDATE SET last_version = CASE \
            WHEN session_data_owners.last_version < excluded.last_version THEN excluded.last_version \
            ELSE session_data_owners.last_version END";
        const DELETE: &str = "DELETE FROM session_data WHERE owner = $1 AND namespace = $2 AND version = $3";
        execute!(self, NOTE, owner, version)?;
        match execute!(self, DELETE, owner, namespace, version)? {
            0 => Err(Error::Conflict),
            _ => Ok(DataOutcome::Deleted),
        }
    }

    async fn data_sessions(&mut self, ids: &BTreeSet<&str>, now: Timestamp) -> Result<HashMap<String, DataSession>> {
        type Row = (String, String, String, i64);
        let rows: Vec<Row> = match self.inner {
            Inner::Postgres(_) => all!(self, Row, LIVE, Json(ids), now.millis())?,
            Inner::Sqlite(_) => parsed(optional!(self, (Vec<u8>,), LIVE, Json(ids), now.millis())?)?,
        };
        let session = |(id, user, client, guest): Row| {
            let parsed: SessionId = id.parse().map_err(|_| corrupt("sessions", "id", &id))?;
            Ok((id, DataSession { id: parsed, user, client: ClientId::from_database(client), is_guest: guest != 0 }))
        };
        rows.into_iter().map(session).collect()
    }

    /// A session whose data are read, if it is live.
    pub async fn data_session(&mut self, id: &SessionId, now: Timestamp) -> Result<Option<DataSession>> {
        const SQL: &str = "SELECT user_id, subject, client_id FROM sessions WHERE id = $1 \
            AND revoked_at IS NULL AND idle_expires_at > $2 AND absolute_expires_at > $2";
        let row = optional!(self, (Option<String>, String, String), SQL, id.as_str(), now.millis())?;
        Ok(row.map(|(user, subject, client)| {
            let (is_guest, client) = (user.is_none(), ClientId::from_database(client));
            DataSession { id: id.clone(), user: user.unwrap_or(subject), client, is_guest }
        }))
    }

    /// A value of an owner.
    pub async fn session_data(&mut self, owner: &str, namespace: &Namespace) -> Result<Option<StoredData>> {
        const SQL: &str = "SELECT owner, value, version, updated_at FROM session_data \
            WHERE owner = $1 AND namespace = $2";
        optional!(self, DataRow, SQL, owner, namespace.as_str())?.map(StoredData::try_from).transpose()
    }

    /// What an owner has, by name.
    pub async fn session_data_entries(&mut self, owner: &str) -> Result<Vec<DataEntry>> {
        const SQL: &str = "SELECT namespace, version, CAST(length(value) AS BIGINT), updated_at FROM session_data \
            WHERE owner = $1 ORDER BY namespace";
        let rows = all!(self, (String, i64, i64, i64), SQL, owner)?;
        let entry = |(namespace, version, bytes, updated_at)| DataEntry {
            namespace,
            version,
            bytes,
            updated_at: Timestamp::from_millis(updated_at),
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

/// SQLite only: what a statement has returned as one JSON value.
fn parsed<T: DeserializeOwned>(value: Option<(Vec<u8>,)>) -> Result<Vec<T>> {
    let Some((text,)) = value else { return Ok(Vec::new()) };
    serde_json::from_slice(&text).map_err(|e| Error::Internal(Box::new(e)))
}

fn owned((owner, namespace): (&str, &str)) -> Key {
    (owner.to_owned(), namespace.to_owned())
}
