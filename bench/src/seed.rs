//! Sessions that nobody signed in for: written straight into the database, any number of them.
//!
//! Session `n` follows from a seed and `n`, so that its refresh token is computed again and not kept.

mod postgres;
mod sqlite;

use std::sync::Arc;

use chancery::{
    id::{SessionId, UserId},
    keys::{SealingKey, mint_refresh_token},
    secret::{SessionSecret, sha256},
    time::{Clock, SystemClock},
};
use serde::Serialize;
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::{
    args::Engine,
    calls::request_id,
    place::{APP, AUDIENCE, Place},
    report,
};

/// A user has at most so many sessions.
pub(crate) const PER_USER: u64 = 100;
/// The generation that all of them have: each was refreshed once, as nearly all are.
pub(crate) const GENERATION: i64 = 1;
/// Sessions in one transaction.
const BATCH: u64 = 5_000;
/// Places in one status list.
const LIST: u64 = 1 << 17;
/// A prime above any number of users: session `n` belongs to user `n × prime` modulo their number, so
/// that the sessions of one user lie far apart, as sign-ins do.
const SCATTER: u64 = 2_654_435_761;
/// What browsers say, cut to 100 bytes.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.3";
/// Idle and absolute lifetimes, in milliseconds, as the server's defaults.
const IDLE_MS: i64 = 7 * 86_400_000;
const ABSOLUTE_MS: i64 = 30 * 86_400_000;

/// Sessions with numbers from 0 on, in one place.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    seed: u64,
    /// When the first began, in milliseconds since 1970.
    time0: i64,
    count: u64,
    key: Arc<SealingKey>,
    /// What they take on disk, indices included.
    bytes: u64,
}

/// What differs from session to session.
#[derive(Debug, Serialize)]
struct Seeded {
    id: String,
    user: String,
    /// The hash of the secret, in hexadecimal.
    secret: String,
    at: i64,
    list: i64,
    place: i64,
}

impl Sessions {
    /// `count` sessions, one of which begins each millisecond; the last one about now.
    fn plan(seed: u64, count: u64, key: Arc<SealingKey>) -> Self {
        let time0 = SystemClock.now().millis() - 60_000 - i64::try_from(count).unwrap_or(0);
        Self { seed, time0, count, key, bytes: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// What they take on disk, indices included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn users(&self) -> u64 {
        self.count.div_ceil(PER_USER).max(1)
    }

    /// 32 bytes that follow from the seed, a purpose and a number.
    fn derive(&self, purpose: u8, n: u64) -> [u8; 32] {
        sha256(&[&self.seed.to_be_bytes()[..], &[purpose], &n.to_be_bytes()].concat())
    }

    fn ulid(&self, purpose: u8, n: u64, at: i64) -> Ulid {
        let bytes = self.derive(purpose, n).first_chunk::<16>().copied().unwrap_or_default();
        Ulid::from_parts(u64::try_from(at).unwrap_or(0), u128::from_be_bytes(bytes))
    }

    fn began(&self, n: u64) -> i64 {
        self.time0 + i64::try_from(n).unwrap_or(0)
    }

    /// The id of session `n`.
    pub(crate) fn id(&self, n: u64) -> SessionId {
        SessionId::from_ulid(self.ulid(b's', n, self.began(n)))
    }

    fn user_id(&self, user: u64) -> String {
        UserId::from_ulid(self.ulid(b'u', user, self.time0)).as_str().to_owned()
    }

    fn secret(&self, n: u64) -> SessionSecret {
        SessionSecret(Zeroizing::new(self.derive(b'k', n)))
    }

    /// The refresh token of a generation of session `n`.
    pub(crate) fn token(&self, n: u64, generation: i64) -> String {
        mint_refresh_token(&self.key, &self.id(n), generation, &self.secret(n)).expose().to_owned()
    }

    fn row(&self, n: u64, first_list: i64) -> Seeded {
        let hash = self.secret(n).hash();
        Seeded {
            id: self.id(n).as_str().to_owned(),
            user: self.user_id(n.wrapping_mul(SCATTER) % self.users()),
            secret: hash.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
            at: self.began(n),
            list: first_list + i64::try_from(n / LIST).unwrap_or(0),
            place: i64::try_from(n % LIST).unwrap_or(0),
        }
    }
}

/// What all rows have in common.
#[derive(Debug)]
struct Shared {
    client: &'static str,
    amr: &'static str,
    acr: &'static str,
    scopes: &'static str,
    audiences: String,
    device_label: &'static str,
    user_agent: &'static str,
    address: &'static str,
    /// Of the refresh that made the generation.
    request_id: String,
}

impl Shared {
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

/// Writes `count` sessions of their own users into a place. Server processes may be running.
pub(crate) async fn sessions(place: &Place, seed: u64, count: u64) -> anyhow::Result<Sessions> {
    let sessions = Sessions::plan(seed, count, place.sealing_key()?);
    let bytes = match place.engine() {
        Engine::Sqlite => sqlite::write(place, &sessions).await?,
        Engine::Postgres => postgres::write(place, &sessions).await?,
    };
    Ok(Sessions { bytes: u64::try_from(bytes).unwrap_or(0), ..sessions })
}

/// Creates users whose names begin with a prefix, and who all have the same password: one hash is made,
/// and copied.
pub(crate) async fn users(place: &Place, prefix: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = (0..count.max(1)).map(|n| format!("{prefix}-{n}")).collect();
    let Some((first, copies)) = names.split_first() else { return Ok(names) };
    place.user(first).await?;
    let copies: Vec<Copied<'_>> =
        copies.iter().map(|name| Copied { name, id: UserId::from_ulid(ulid_of(name)).as_str().to_owned() }).collect();
    match place.engine() {
        Engine::Sqlite => sqlite::copy_user(place, first, &copies).await?,
        Engine::Postgres => postgres::copy_user(place, first, &copies).await?,
    }
    Ok(names)
}

/// A user who has another's password.
#[derive(Debug, Serialize)]
struct Copied<'a> {
    name: &'a str,
    id: String,
}

/// Says how far it has come, where that takes long.
fn told(done: u64, of: u64) {
    const STEP: u64 = 500_000;
    if done.is_multiple_of(STEP) && of > STEP {
        report::say(&format!("  {done} of {of} sessions written"));
    }
}

/// An id that follows from a name.
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
        Sessions::plan(7, count, Arc::new(SealingKey::new(&Zeroizing::new([3; 32]))))
    }

    #[test]
    fn a_seeded_sessions_token_is_one_that_the_server_takes() {
        let sessions = plan(1000);
        let parsed = parse_refresh_token(&sessions.key, &RefreshToken::new(sessions.token(5, 3))).unwrap();
        let row = sessions.row(5, 1);
        assert_eq!((parsed.session.as_str(), parsed.generation), (row.id.as_str(), 3));
        let hash: String = parsed.secret.hash().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, row.secret);
        assert_eq!(sessions.token(5, 3), sessions.clone().token(5, 3));
    }

    #[test]
    fn sessions_are_spread_evenly_and_their_places_differ() {
        let sessions = plan(200_000);
        let (mut of_user, mut places) = (HashMap::<String, u64>::new(), HashSet::new());
        let mut last = String::new();
        for n in 0..sessions.count() {
            let row = sessions.row(n, 4);
            *of_user.entry(row.user).or_default() += 1;
            assert!(places.insert((row.list, row.place)));
            assert!(row.id > last);
            last = row.id;
        }
        assert!(of_user.values().all(|n| *n == PER_USER));
        assert_eq!(USER_AGENT.len(), 100);
    }
}
