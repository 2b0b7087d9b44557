//! What identifies a deployment's database: issuer, `dev` mark, settings, check values of sealing keys.

use sqlx::types::Json;

use super::engine::{Tx, execute, optional};
use crate::{
    domain::settings::Settings,
    error::{Error, Result},
    time::Timestamp,
};

/// The schema version that this binary reads and writes.
pub const SCHEMA_VERSION: i64 = 17;
/// A binary whose number is less than the database's `min_binary` refuses to start. 2 is the first that knows versions of the
/// sealing key.
pub const BINARY_VERSION: i64 = 2;
/// Which programs have which number, as operators know them.
pub const BINARIES: &[(i64, &str)] =
    &[(1, "0.1.0 and later"), (2, "0.1.0 and later, if they know versions of the sealing key (schema 16)")];
/// What an empty database is claimed for: nothing in it needs a newer binary.
const FIRST_BINARY: i64 = 1;

/// What identifies a database.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The issuer.
    pub issuer: String,
    /// Whether `serve --dev` created it.
    pub dev: bool,
    /// The shared settings.
    pub settings: Settings,
    /// The lowest [`BINARY_VERSION`] that may use it.
    pub min_binary: i64,
    /// The version of the sealing key in use.
    pub sealing_version: i64,
}

/// What the first process writes into an empty database to claim it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The issuer.
    pub issuer: String,
    /// Whether it is a `dev` database.
    pub dev: bool,
    /// The sealing key's version.
    pub sealing_version: i64,
    /// The check value of that version.
    pub check_value: Vec<u8>,
    /// When it is claimed.
    pub now: Timestamp,
}

#[derive(sqlx::FromRow)]
struct InstanceRow {
    issuer: String,
    dev: i64,
    settings: Json<Settings>,
    min_binary: i64,
    sealing_version: i64,
}

impl Tx {
    /// What identifies the database; nothing if it is not claimed yet.
    pub async fn instance(&mut self) -> Result<Option<Instance>> {
        const SQL: &str = "SELECT issuer, dev, settings, min_binary, sealing_version FROM instance WHERE id = 1";
        let row = optional!(self, InstanceRow, SQL)?;
        Ok(row.map(|r| Instance {
            issuer: r.issuer,
            dev: r.dev != 0,
            settings: r.settings.0,
            min_binary: r.min_binary,
            sealing_version: r.sealing_version,
        }))
    }

    /// Claims an unclaimed database. Returns whether this transaction did it. On PostgreSQL this waits for a concurrent
    /// claim.
    pub async fn instance_claim(&mut self, claim: &Claim) -> Result<bool> {
        const SQL: &str = "INSERT INTO instance (id, schema_version, min_binary, issuer, dev, settings, created_at, \
            sealing_version) VALUES (1, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let now = claim.now.millis();
        let won = execute!(
            self,
            SQL,
            SCHEMA_VERSION,
            FIRST_BINARY,
            &claim.issuer,
            i64::from(claim.dev),
            Json(Settings::default()),
            now,
            claim.sealing_version
        )?;
        if won == 0 {
            return Ok(false);
        }
        let (epoch, tag) = (self.random_tag(), self.random_tag());
        execute!(self, "INSERT INTO feed (id, epoch, seq, tag) VALUES (1, $1, 0, $2)", epoch, tag)?;
        self.sealing_key_add(claim.sealing_version, &claim.check_value, claim.now).await?;
        self.sealing_key_used(claim.sealing_version, claim.now).await?;
        Ok(true)
    }

    /// The shared settings, locked against other changes until the transaction ends.
    pub async fn settings_hold(&mut self) -> Result<Settings> {
        const SQL: &str = "UPDATE instance SET settings = settings WHERE id = 1 RETURNING settings";
        let row = optional!(self, (Json<Settings>,), SQL)?;
        row.map(|(settings,)| settings.0).ok_or_else(|| Error::Internal("the database is not claimed".into()))
    }

    /// Replaces the shared settings.
    pub async fn settings_set(&mut self, settings: &Settings) -> Result<()> {
        execute!(self, "UPDATE instance SET settings = $1 WHERE id = 1", Json(settings)).map(|_| ())
    }

    /// Replaces the issuer `old`. Returns whether that was still the issuer.
    pub async fn issuer_set(&mut self, old: &str, new: &str) -> Result<bool> {
        Ok(execute!(self, "UPDATE instance SET issuer = $2 WHERE id = 1 AND issuer = $1", old, new)? == 1)
    }
}
