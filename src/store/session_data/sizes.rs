//! How many bytes the owners have that are guests'. They are read before the changes are made. So on PostgreSQL, where
//! processes write at the same time, each further one may go beyond the bound by one value.

use std::collections::{HashMap, HashSet};

use sqlx::types::Json;

use super::{Key, Waiting, owned, parsed};
use crate::{
    domain::session_data::DataValue,
    error::Result,
    store::engine::{Inner, Sql, Tx, all, optional},
};

/// The bytes that the owner of each of these values has, and those of the value.
const SIZES: Sql = Sql {
    sqlite: "SELECT json_group_array(json_array(w.value ->> 0, w.value ->> 1, \
        (SELECT coalesce(sum(length(d.value)), 0) FROM session_data AS d WHERE d.owner = w.value ->> 0), \
        (SELECT coalesce(sum(length(d.value)), 0) FROM session_data AS d \
        WHERE d.owner = w.value ->> 0 AND d.namespace = w.value ->> 1))) FROM json_each($1) AS w",
    postgres: "SELECT w ->> 0, w ->> 1, \
        (SELECT CAST(coalesce(sum(length(d.value)), 0) AS BIGINT) FROM session_data AS d WHERE d.owner = w ->> 0), \
        (SELECT CAST(coalesce(sum(length(d.value)), 0) AS BIGINT) FROM session_data AS d \
        WHERE d.owner = w ->> 0 AND d.namespace = w ->> 1) FROM jsonb_array_elements($1) AS w",
};

type Row = (String, String, i64, i64);

impl Tx {
    /// The changes, by their numbers, after which an owner that is a guest's would have more than so many bytes. A value
    /// that does not grow is none of them.
    pub(super) async fn data_beyond(&mut self, puts: &[&Waiting<'_>], most: i64) -> Result<HashSet<usize>> {
        let of_guests: Vec<&Waiting<'_>> = puts.iter().filter(|one| one.is_guest).copied().collect();
        let mut beyond = HashSet::new();
        if of_guests.is_empty() {
            return Ok(beyond);
        }
        let sizes = self.data_sizes(&of_guests).await?;
        let mut totals: HashMap<&str, i64> = HashMap::new();
        for one in of_guests {
            let Some((of_owner, before)) = sizes.get(&owned(one.key())) else { continue };
            let total = totals.entry(&one.owner).or_insert(*of_owner);
            let after = one.write.value.as_ref().map_or(0, size);
            let then = *total - before + after;
            if after > *before && then > most {
                beyond.insert(one.n);
            } else {
                *total = then;
            }
        }
        Ok(beyond)
    }

    /// For each value the bytes of its owner, and its own.
    async fn data_sizes(&mut self, all: &[&Waiting<'_>]) -> Result<HashMap<Key, (i64, i64)>> {
        let keys: Vec<(&str, &str)> = all.iter().map(|one| one.key()).collect();
        let rows: Vec<Row> = match self.inner {
            Inner::Postgres(_) => all!(self, Row, SIZES, Json(&keys))?,
            Inner::Sqlite(_) => parsed(optional!(self, (Vec<u8>,), SIZES, Json(&keys))?)?,
        };
        Ok(rows.into_iter().map(|(owner, namespace, total, own)| ((owner, namespace), (total, own))).collect())
    }
}

fn size(value: &DataValue) -> i64 {
    i64::try_from(value.as_json().len()).unwrap_or(i64::MAX)
}
