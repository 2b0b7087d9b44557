//! Passkeys. A credential belongs to one user alone, which the insert decides; each use is one conditional update of what
//! it was checked against.

use sqlx::types::Json;

use super::{
    engine::{Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::passkey::{Credential, Passkey, PasskeyUse, UserHandle},
    error::{Error, Result},
    id::UserId,
    time::Timestamp,
};

macro_rules! columns {
    () => {
        "id, user_id, name, credential_id, rp_id, static_state, dynamic_state, transports, created_at, last_used_at"
    };
}

#[derive(sqlx::FromRow)]
struct PasskeyRow {
    id: String,
    user_id: String,
    name: String,
    credential_id: Vec<u8>,
    rp_id: String,
    static_state: Vec<u8>,
    dynamic_state: Vec<u8>,
    transports: Json<Vec<String>>,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl TryFrom<PasskeyRow> for Passkey {
    type Error = Error;
    fn try_from(row: PasskeyRow) -> Result<Self> {
        let bad = |column| corrupt("passkeys", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            user: row.user_id.parse().map_err(|_| bad("user_id"))?,
            name: row.name,
            host: row.rp_id,
            credential: Credential {
                id: row.credential_id,
                static_state: row.static_state,
                dynamic_state: row.dynamic_state,
                transports: row.transports.0.join(" "),
            },
            created_at: Timestamp::from_millis(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_millis),
        })
    }
}

impl Tx {
    /// Adds a passkey. Returns whether it did: a credential is registered once, whoever its user is.
    pub async fn passkey_insert(&mut self, passkey: &Passkey) -> Result<bool> {
        const SQL: &str = concat!(
            "INSERT INTO passkeys (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
        );
        let Passkey { id, user, name, host, credential, created_at, last_used_at } = passkey;
        execute!(
            self,
            SQL,
            id.as_str(),
            user.as_str(),
            name.as_str(),
            credential.id.as_slice(),
            host.as_str(),
            credential.static_state.as_slice(),
            credential.dynamic_state.as_slice(),
            Json(credential.transports.split_whitespace().collect::<Vec<_>>()),
            created_at.millis(),
            last_used_at.map(Timestamp::millis)
        )
        .map(|added| added == 1)
    }

    /// The passkey with this credential.
    pub async fn passkey_by_credential(&mut self, credential: &[u8]) -> Result<Option<Passkey>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM passkeys WHERE credential_id = $1");
        optional!(self, PasskeyRow, SQL, credential)?.map(Passkey::try_from).transpose()
    }

    /// The passkeys of a user, the oldest first.
    pub async fn passkeys_of(&mut self, user: &UserId) -> Result<Vec<Passkey>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM passkeys WHERE user_id = $1 ORDER BY id");
        all!(self, PasskeyRow, SQL, user.as_str())?.into_iter().map(Passkey::try_from).collect()
    }

    /// Notes a use. Returns whether it counts: the passkey is there, and nobody has used it since it was read.
    pub async fn passkey_use(&mut self, used: &PasskeyUse, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE passkeys SET dynamic_state = $3, last_used_at = $4 \
            WHERE id = $1 AND dynamic_state = $2";
        let PasskeyUse { id, before, after } = used;
        Ok(execute!(self, SQL, id.as_str(), before.as_slice(), after.as_slice(), now.millis())? == 1)
    }

    /// What authenticators call a user: what they have called the user so far or, if they know none, `new`. Nothing if
    /// there is no such user.
    pub async fn passkey_handle(&mut self, user: &UserId, new: &UserHandle) -> Result<Option<UserHandle>> {
        const SQL: &str = "UPDATE users SET passkey_handle = coalesce(passkey_handle, $2) \
            WHERE id = $1 AND deleted_at IS NULL RETURNING passkey_handle";
        let row = optional!(self, (Vec<u8>,), SQL, user.as_str(), new.as_slice())?;
        row.map(|(handle,)| handle.try_into().map_err(|_| corrupt("users", "passkey_handle", user.as_str())))
            .transpose()
    }

    /// What authenticators call a user, if they know the user.
    pub async fn passkey_handle_of(&mut self, user: &UserId) -> Result<Option<UserHandle>> {
        const SQL: &str = "SELECT passkey_handle FROM users \
            WHERE id = $1 AND passkey_handle IS NOT NULL AND deleted_at IS NULL";
        let row = optional!(self, (Vec<u8>,), SQL, user.as_str())?;
        row.map(|(handle,)| handle.try_into().map_err(|_| corrupt("users", "passkey_handle", user.as_str())))
            .transpose()
    }
}
