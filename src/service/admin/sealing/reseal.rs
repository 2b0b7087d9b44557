//! Sealing rows again under the version in use, in batches small enough not to delay other writers.

use super::Sealing;
use crate::{
    domain::sealing::SealedTable,
    error::Result,
    keys::signing_key_purpose,
    service::{people::totp_purpose, runtime::mail_purpose},
    store::SealedRow,
};

/// Rows sealed again in one transaction.
const BATCH: i64 = 100;

/// What was sealed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Rows.
    pub rows: u64,
    /// Rows that could not be: this process does not hold their version, it was dropped, or they were altered.
    pub left: u64,
}

impl Sealing {
    /// Seals every row again that is sealed under an older version than the one in use. It can be interrupted at any moment,
    /// and goes on where it was when it is called again.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn reseal(&self) -> Result<Resealed> {
        let mut done = Resealed::default();
        for table in SealedTable::ALL {
            let mut after = String::new();
            loop {
                let (batch, last) = self.reseal_batch(table, &after).await?;
                done.rows += batch.rows;
                done.left += batch.left;
                let Some(last) = last else { break };
                after = last;
            }
        }
        Ok(done)
    }

    /// Seals a batch again. Returns the id of its last row; nothing if there was none.
    async fn reseal_batch(&self, table: SealedTable, after: &str) -> Result<(Resealed, Option<String>)> {
        let sealing = &self.runtime.sealing;
        let version = i64::from(sealing.in_use().version());
        // Most of the time there is nothing to do, and a read does not block writers.
        let rows = self.runtime.store.read().await?.sealed_before(table, (version, after), BATCH).await?;
        let mut done = Resealed::default();
        let Some(last) = rows.last().map(|row| row.id.clone()) else { return Ok((done, None)) };
        let mut tx = self.runtime.store.write().await?;
        for row in &rows {
            let old = (row.sealed.as_slice(), row.sealing_version);
            match sealing.reseal(old, &purpose(table, row), &*self.runtime.entropy) {
                Some(sealed) => {
                    let won = tx.reseal(table, (&row.id, row.sealing_version), (&sealed, version)).await?;
                    done.rows += u64::from(won);
                }
                None => done.left += 1,
            }
        }
        tx.commit().await?;
        Ok((done, Some(last)))
    }
}

/// What a row has sealed its content for.
fn purpose(table: SealedTable, row: &SealedRow) -> String {
    match table {
        SealedTable::SigningKeys => signing_key_purpose(&row.id),
        SealedTable::TotpFactors => totp_purpose(&row.id),
        SealedTable::Mails => mail_purpose(&row.id, &row.kind, &row.recipient),
    }
}
