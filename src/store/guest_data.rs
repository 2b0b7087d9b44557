//! What becomes of a guest's data when the guest gets an account.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    engine::{Tx, all, execute, optional},
    session_data::data_value,
};
use crate::{
    domain::{
        guest::{GuestDataPolicy, GuestPolicies},
        guest_conflict::GuestConflict,
        session::{Session, SessionKind},
        session_data::{DataValue, MAX_VALUES},
    },
    error::{Error, Result},
    id::{SessionId, UserId},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct DataRow {
    owner: String,
    namespace: String,
    value: Vec<u8>,
}

impl DataRow {
    fn value(&self) -> Result<DataValue> {
        data_value(self.value.clone(), &self.owner)
    }
}

impl Tx {
    /// Locks the row of a guest's session that this user is about to join. It is live, or was ended because the guest
    /// has become this very user. Returns the guest's subject, which owns the guest's data; nothing if it has ended
    /// otherwise, or has been joined already.
    pub async fn guest_hold(
        &mut self,
        id: &SessionId,
        (user, kind): (&UserId, SessionKind),
        now: Timestamp,
    ) -> Result<Option<String>> {
        const SQL: &str = "UPDATE sessions SET kind = kind WHERE id = $1 AND user_id IS NULL AND kind = $4 \
            AND superseded_by IS NULL AND ((revoked_at IS NULL AND idle_expires_at > $3 AND absolute_expires_at > $3) \
            OR (revoked_cause = 'superseded' AND subject = $2)) RETURNING subject";
        let row = optional!(self, (String,), SQL, id.as_str(), user.as_str(), now.millis(), kind.as_str())?;
        Ok(row.map(|(subject,)| subject))
    }

    /// Gives the data of a guest, who has just signed in, to the account. Returns the namespaces in which both had data.
    /// Whoever becomes an account with the guest's own id has all of it already.
    pub async fn session_data_join(
        &mut self,
        guest: &str,
        (user, session): (&UserId, &Session),
        policies: &GuestPolicies,
    ) -> Result<Vec<GuestConflict>> {
        if guest == user.as_str() {
            return Ok(Vec::new());
        }
        let owner = |id: &str| format!("{id}/{}", session.client);
        let (guest, account) = (&*owner(guest), &*owner(user.as_str()));
        let (of_guest, mut of_account) = self.data_hold(guest, account).await?;
        let mut conflicts = Vec::new();
        for (namespace, row) in of_guest {
            let policy = policies.policy(&namespace);
            let Some(own) = of_account.get(&namespace) else {
                if has_room(of_account.len()) {
                    self.data_copy((guest, account), &namespace).await?;
                    of_account.insert(namespace, row);
                } else {
                    let (value, policy) = (row.value()?, GuestDataPolicy::KeepAccount);
                    conflicts.push(GuestConflict { namespace, policy, guest: value, account: None });
                }
                continue;
            };
            match policy {
                GuestDataPolicy::KeepGuest => self.data_overwrite((guest, account), &namespace).await?,
                GuestDataPolicy::KeepAccount => {}
                GuestDataPolicy::ReturnBoth => self.data_set_aside((guest, &session.id), &namespace).await?,
            }
            let value = Some(own.value()?);
            conflicts.push(GuestConflict { namespace, policy, guest: row.value()?, account: value });
        }
        execute!(self, "DELETE FROM session_data WHERE owner = $1", guest)?;
        execute!(self, "DELETE FROM session_data_owners WHERE owner = $1", guest)?;
        Ok(conflicts)
    }

    /// What the guest has, and what the account has, by namespace. The rows are locked, and the owners, so that nobody
    /// adds anything meanwhile.
    async fn data_hold(
        &mut self,
        guest: &str,
        account: &str,
    ) -> Result<(BTreeMap<String, DataRow>, BTreeMap<String, DataRow>)> {
        const SQL: &str = "UPDATE session_data SET version = version WHERE owner = $1 OR owner = $2 \
            RETURNING owner, namespace, value";
        self.data_owners_hold(&BTreeSet::from([guest, account])).await?;
        let rows = all!(self, DataRow, SQL, guest, account)?;
        let named = |row: DataRow| (row.namespace.clone(), row);
        let (of_guest, of_account): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.owner == guest);
        Ok((of_guest.into_iter().map(named).collect(), of_account.into_iter().map(named).collect()))
    }

    /// Copies a namespace to an owner who has none of this name, and is held. Its version is one that the owner has never
    /// used.
    async fn data_copy(&mut self, (from, to): (&str, &str), namespace: &str) -> Result<()> {
        const SQL: &str = "INSERT INTO session_data (owner, namespace, value, version, updated_at) \
            SELECT o.owner, g.namespace, g.value, \
            CASE WHEN g.version > o.last_version THEN g.version ELSE o.last_version + 1 END, g.updated_at \
            FROM session_data AS g JOIN session_data_owners AS o ON o.owner = $2 \
            WHERE g.owner = $1 AND g.namespace = $3 ON CONFLICT DO NOTHING";
        if execute!(self, SQL, from, to, namespace)? == 1 { Ok(()) } else { Err(Error::Conflict) }
    }

    /// Puts a guest's value in the place of the account's. For whoever has read that, it is a change like any other.
    async fn data_overwrite(&mut self, (from, to): (&str, &str), namespace: &str) -> Result<()> {
        const SQL: &str = "UPDATE session_data SET version = version + 1, \
            value = (SELECT g.value FROM session_data AS g WHERE g.owner = $1 AND g.namespace = $3), \
            updated_at = (SELECT g.updated_at FROM session_data AS g WHERE g.owner = $1 AND g.namespace = $3) \
            WHERE owner = $2 AND namespace = $3";
        if execute!(self, SQL, from, to, namespace)? == 1 { Ok(()) } else { Err(Error::Conflict) }
    }

    /// Makes a guest's value one of the new session, unless that has one of this name or no room.
    async fn data_set_aside(&mut self, (from, session): (&str, &SessionId), namespace: &str) -> Result<()> {
        let (values, same) = self.data_stored(session.as_str(), namespace).await?;
        if same.is_none() && values < MAX_VALUES {
            self.data_owners_hold(&BTreeSet::from([session.as_str()])).await?;
            self.data_copy((from, session.as_str()), namespace).await?;
        }
        Ok(())
    }
}

/// Whether an owner of so many values may have one more.
fn has_room(values: usize) -> bool {
    i64::try_from(values).is_ok_and(|values| values < MAX_VALUES)
}
