//! Writes any number of sessions straight into the database, without sign-ins.
//!
//! Session `n` is derived from a seed and `n`, so that its refresh token can be computed again and need not be
//! kept.

mod postgres;
mod sqlite;

use std::sync::Arc;

use chancery::{
    id::{SessionId, UserId},
    keys::{SealingKeys, mint_refresh_token},
    secret::{SessionSecret, sha256},
    time::{Clock, SystemClock},
};
use serde::Serialize;
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::{
    args::Engine,
    calls::request_id,
    deployment::{APP, AUDIENCE, Deployment},
    report,
};

/// Sessions per user.
pub(crate) const PER_USER: u64 = 100;
/// The generation of all seeded sessions: refreshed once, like nearly all real sessions.
pub(crate) const GENERATION: i64 = 1;
/// Sessions in one transaction.
const BATCH: u64 = 5_000;
/// Indexes in one status list.
const LIST_SIZE: u64 = 1 << 17;
/// A prime larger than any number of users. Session `n` belongs to user `n × prime` modulo their number, so
/// that one user's sessions lie far apart, as in practice.
const SCATTER: u64 = 2_654_435_761;
/// A browser's user agent, cut to 100 bytes.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.3";
/// Idle and absolute lifetimes in milliseconds, the server's defaults.
const IDLE_MS: i64 = 7 * 86_400_000;
const ABSOLUTE_MS: i64 = 30 * 86_400_000;

/// Seeded sessions of one deployment, numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    seed: u64,
    /// When the first session started, in milliseconds since 1970.
    first_started_ms: i64,
    count: u64,
    key: Arc<SealingKeys>,
    /// Their size on disk, including indexes.
    bytes: u64,
}

/// The columns that differ between sessions.
#[derive(Debug, Serialize)]
struct SessionRow {
    id: String,
    user: String,
    /// The hash of the secret, in hex.
    secret: String,
    at: i64,
    list: i64,
    index: i64,
}

impl Sessions {
    /// Plans `count` sessions that start one millisecond apart, the last one about a minute ago.
    fn plan(seed: u64, count: u64, key: Arc<SealingKeys>) -> Self {
        let first_started_ms = SystemClock.now().millis() - 60_000 - i64::try_from(count).unwrap_or(0);
        Self { seed, first_started_ms, count, key, bytes: 0 }
    }

    /// The number of sessions.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Their size on disk, including indexes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn user_count(&self) -> u64 {
        self.count.div_ceil(PER_USER).max(1)
    }

    /// Derives 32 bytes from the seed, a purpose and a number.
    fn derive(&self, purpose: u8, n: u64) -> [u8; 32] {
        sha256(&[&self.seed.to_be_bytes()[..], &[purpose], &n.to_be_bytes()].concat())
    }

    fn ulid(&self, purpose: u8, n: u64, at: i64) -> Ulid {
        let bytes = self.derive(purpose, n).first_chunk::<16>().copied().unwrap_or_default();
        Ulid::from_parts(u64::try_from(at).unwrap_or(0), u128::from_be_bytes(bytes))
    }

    fn started_at(&self, n: u64) -> i64 {
        self.first_started_ms + i64::try_from(n).unwrap_or(0)
    }

    /// The id of session `n`.
    pub(crate) fn id(&self, n: u64) -> SessionId {
        SessionId::from_ulid(self.ulid(b's', n, self.started_at(n)))
    }

    fn user_id(&self, user: u64) -> String {
        UserId::from_ulid(self.ulid(b'u', user, self.first_started_ms)).as_str().to_owned()
    }

    fn secret(&self, n: u64) -> SessionSecret {
        SessionSecret(Zeroizing::new(self.derive(b'k', n)))
    }

    /// The refresh token of a generation of session `n`.
    pub(crate) fn token(&self, n: u64, generation: i64) -> String {
        mint_refresh_token(&self.key, &self.id(n), generation, &self.secret(n)).expose().to_owned()
    }

    fn row(&self, n: u64, first_list: i64) -> SessionRow {
        let hash = self.secret(n).hash();
        SessionRow {
            id: self.id(n).as_str().to_owned(),
            user: self.user_id(n.wrapping_mul(SCATTER) % self.user_count()),
            secret: hash.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
            at: self.started_at(n),
            list: first_list + i64::try_from(n / LIST_SIZE).unwrap_or(0),
            index: i64::try_from(n % LIST_SIZE).unwrap_or(0),
        }
    }
}

/// The columns that all sessions share.
#[derive(Debug)]
struct CommonColumns {
    client: &'static str,
    amr: &'static str,
    acr: &'static str,
    scopes: &'static str,
    audiences: String,
    device_label: &'static str,
    user_agent: &'static str,
    address: &'static str,
    /// The request id of the last refresh.
    request_id: String,
}

impl CommonColumns {
    fn new() -> Self {
        Self {
            client: APP,
            amr: r#"["pwd"]"#,
            acr: "1",
            scopes: r#"["read"]"#,
            audiences: format!("[{AUDIENCE:?}]"),
            device_label: "",
            user_agent: USER_AGENT,
            address: "",
            request_id: request_id(0),
        }
    }
}

/// Writes `count` sessions with their own users into a deployment. Servers may be running on it.
pub(crate) async fn write_sessions(deployment: &Deployment, seed: u64, count: u64) -> anyhow::Result<Sessions> {
    let sessions = Sessions::plan(seed, count, deployment.sealing_key()?);
    let bytes = match deployment.engine() {
        Engine::Sqlite => sqlite::write(deployment, &sessions).await?,
        Engine::Postgres => postgres::write(deployment, &sessions).await?,
    };
    Ok(Sessions { bytes: u64::try_from(bytes).unwrap_or(0), ..sessions })
}

/// Creates users whose names start with a prefix and who share one password: it is hashed once and copied.
pub(crate) async fn create_users(deployment: &Deployment, prefix: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = (0..count.max(1)).map(|n| format!("{prefix}-{n}")).collect();
    let Some((first, copies)) = names.split_first() else { return Ok(names) };
    deployment.create_user(first).await?;
    let copies: Vec<CopiedUser<'_>> = copies
        .iter()
        .map(|name| CopiedUser { name, id: UserId::from_ulid(ulid_of(name)).as_str().to_owned() })
        .collect();
    match deployment.engine() {
        Engine::Sqlite => sqlite::copy_users(deployment, first, &copies).await?,
        Engine::Postgres => postgres::copy_users(deployment, first, &copies).await?,
    }
    Ok(names)
}

/// A user with a copied password.
#[derive(Debug, Serialize)]
struct CopiedUser<'a> {
    name: &'a str,
    id: String,
}

/// Reports progress of long writes.
fn report_progress(done: u64, of: u64) {
    const STEP: u64 = 500_000;
    if done.is_multiple_of(STEP) && of > STEP {
        report::progress(&format!("  {done} of {of} sessions written"));
    }
}

/// An id derived from a name.
fn ulid_of(name: &str) -> Ulid {
    let bytes = sha256(name.as_bytes()).first_chunk::<16>().copied().unwrap_or_default();
    let now = u64::try_from(SystemClock.now().millis()).unwrap_or(0);
    Ulid::from_parts(now, u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use chancery::{keys::parse_refresh_token, secret::RefreshToken};

    use super::*;

    fn plan(count: u64) -> Sessions {
        Sessions::plan(7, count, Arc::new(chancery::keys::SealingKey::new(&Zeroizing::new([3; 32])).into()))
    }

    #[test]
    fn the_server_can_parse_the_token_of_a_seeded_session() {
        let sessions = plan(1000);
        let parsed = parse_refresh_token(&sessions.key, &RefreshToken::new(sessions.token(5, 3))).unwrap();
        let row = sessions.row(5, 1);
        assert_eq!((parsed.session.as_str(), parsed.generation), (row.id.as_str(), 3));
        let hash: String = parsed.secret.hash().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, row.secret);
        assert_eq!(sessions.token(5, 3), sessions.clone().token(5, 3));
    }

    #[test]
    fn sessions_are_spread_evenly_and_have_distinct_indexes() {
        let sessions = plan(200_000);
        let (mut of_user, mut indexes) = (HashMap::<String, u64>::new(), HashSet::new());
        let mut last = String::new();
        for n in 0..sessions.count() {
            let row = sessions.row(n, 4);
            *of_user.entry(row.user).or_default() += 1;
            assert!(indexes.insert((row.list, row.index)));
            assert!(row.id > last);
            last = row.id;
        }
        assert!(of_user.values().all(|n| *n == PER_USER));
        assert_eq!(USER_AGENT.len(), 100);
    }
}
