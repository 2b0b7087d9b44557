//! Clients, audiences, and the names that client ids and users' subjects share.

use sqlx::types::Json;

use super::{
    engine::{Tx, all, execute},
    failure::corrupt,
};
use crate::{
    domain::{
        client::{Client, ClientConfig, ClientId},
        scope::Audience,
        settings::CEILING_RAISE_DELAY,
        site::Site,
        status_list::StatusIndex,
    },
    error::{Error, Result},
    secret::ClientSecretHash,
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct ClientRow {
    id: String,
    secret_hash: Option<Vec<u8>>,
    config: Json<ClientConfig>,
    disabled_at: Option<i64>,
    created_at: i64,
    status_list: Option<i64>,
    status_index: Option<i64>,
    previous_secret_hash: Option<Vec<u8>>,
    previous_secret_until: Option<i64>,
    revision: i64,
    updated_at: i64,
}

impl TryFrom<ClientRow> for Client {
    type Error = Error;
    fn try_from(row: ClientRow) -> Result<Self> {
        let secret = row.secret_hash.map(TryInto::try_into).transpose();
        let previous = row.previous_secret_hash.map(TryInto::try_into).transpose();
        let previous = previous.map_err(|_| corrupt("clients", "previous_secret_hash", &row.id))?;
        let mut config = row.config.0;
        // An older release, which noted nothing, may have changed it last. Since then it was not changed, and a little
        // later every process knew.
        let settled = Timestamp::from_millis(row.updated_at).plus(CEILING_RAISE_DELAY);
        config.token_lifetimes_noted_since.get_or_insert(settled);
        Ok(Self {
            secret: secret.map_err(|_| corrupt("clients", "secret_hash", &row.id))?,
            id: ClientId::from_database(row.id),
            config,
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
            status: StatusIndex::from_columns(row.status_list, row.status_index),
            previous_secret: previous.zip(row.previous_secret_until.map(Timestamp::from_millis)),
            revision: row.revision,
        })
    }
}

/// What no two clients share.
fn site_key(config: &ClientConfig) -> Option<String> {
    config.site.as_ref().map(Site::key)
}

impl Tx {
    /// Reserves a name as a user's subject (`user`) or a client's id (`client`). Returns whether it was free.
    pub(super) async fn principal_take(&mut self, name: &str, kind: &str) -> Result<bool> {
        const SQL: &str = "INSERT INTO principals (name, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        Ok(execute!(self, SQL, name, kind)? == 1)
    }

    /// Adds a client. Returns whether its id was free, among client ids and users' subjects. The transaction is lost with
    /// [`Error::Exists`] if another client has a site at its host ([`super::SITE_TAKEN`]).
    pub async fn client_insert(&mut self, client: &Client) -> Result<bool> {
        if !self.principal_take(client.id.as_str(), "client").await? {
            return Ok(false);
        }
        const SQL: &str = "INSERT INTO clients (id, secret_hash, config, disabled_at, created_at, updated_at, \
            status_list, status_index, site_key) VALUES ($1, $2, $3, NULL, $4, $4, $5, $6, $7)";
        let (list, index) = StatusIndex::columns(client.status);
        let secret = client.secret.map(|h| h.as_bytes().to_vec());
        let (id, config, created) = (client.id.as_str(), Json(&client.config), client.created_at.millis());
        execute!(self, SQL, id, secret, config, created, list, index, site_key(&client.config))?;
        Ok(true)
    }

    /// Every client, sorted by id.
    pub async fn clients_all(&mut self) -> Result<Vec<Client>> {
        const SQL: &str = "SELECT id, secret_hash, config, disabled_at, created_at, status_list, status_index, \
            previous_secret_hash, previous_secret_until, revision, updated_at FROM clients ORDER BY id";
        all!(self, ClientRow, SQL)?.into_iter().map(Client::try_from).collect()
    }

    /// Disables a client. Returns whether it was enabled.
    pub async fn client_disable(&mut self, id: &ClientId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE clients SET disabled_at = $2, updated_at = $2, revision = revision + 1 WHERE id = $1 AND disabled_at IS NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Enables a client. Returns whether it was disabled.
    pub async fn client_enable(&mut self, id: &ClientId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE clients SET disabled_at = NULL, updated_at = $2, revision = revision + 1 \
            WHERE id = $1 AND disabled_at IS NOT NULL";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Replaces a client's configuration if it is still at this revision. Returns whether it was. The transaction is lost
    /// with [`Error::Exists`] if another client has a site at its host ([`super::SITE_TAKEN`]).
    pub async fn client_configure(
        &mut self,
        id: &ClientId,
        config: &ClientConfig,
        revision: i64,
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE clients SET config = $2, updated_at = $3, revision = revision + 1, site_key = $5 \
            WHERE id = $1 AND revision = $4";
        let site_key = site_key(config);
        Ok(execute!(self, SQL, id.as_str(), Json(config), now.millis(), revision, site_key)? == 1)
    }

    /// Gives a confidential client a new secret; the previous one stays valid until `until`. Returns whether the
    /// client exists and is confidential.
    pub async fn client_set_secret(
        &mut self,
        id: &ClientId,
        secret: ClientSecretHash,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE clients SET previous_secret_hash = secret_hash, previous_secret_until = $3, \
            secret_hash = $2, updated_at = $4, revision = revision + 1 WHERE id = $1 AND secret_hash IS NOT NULL";
        Ok(execute!(self, SQL, id.as_str(), secret.as_bytes(), until.millis(), now.millis())? == 1)
    }

    /// Deletes a client that was disabled before this time and has no sessions, so that none of its tokens can still
    /// be valid. Returns whether it was deleted. Its id stays taken.
    pub async fn client_delete(&mut self, id: &ClientId, disabled_before: Timestamp) -> Result<bool> {
        const SQL: &str = "DELETE FROM clients WHERE id = $1 AND disabled_at < $2 \
            AND NOT EXISTS (SELECT 1 FROM sessions WHERE client_id = $1)";
        Ok(execute!(self, SQL, id.as_str(), disabled_before.millis())? == 1)
    }

    /// Removes a client as the owner of its audiences. Returns how many there were.
    pub async fn audiences_disown(&mut self, owner: &ClientId) -> Result<u64> {
        execute!(self, "UPDATE audiences SET owner = NULL WHERE owner = $1", owner.as_str())
    }

    /// Renames an audience; it keeps its owner. If there is one of the new name already, that one is kept unchanged.
    /// Returns whether the old one existed.
    pub async fn audience_rename(&mut self, old: &str, new: &Audience) -> Result<bool> {
        const COPY: &str = "INSERT INTO audiences (name, owner, created_at) \
            SELECT $2, owner, created_at FROM audiences WHERE name = $1 ON CONFLICT DO NOTHING";
        execute!(self, COPY, old, new.as_str())?;
        Ok(execute!(self, "DELETE FROM audiences WHERE name = $1", old)? == 1)
    }

    /// Makes sure that an audience exists. Returns whether it is new.
    pub async fn audience_ensure(&mut self, name: &Audience, now: Timestamp) -> Result<bool> {
        const SQL: &str =
            "INSERT INTO audiences (name, owner, created_at) VALUES ($1, NULL, $2) ON CONFLICT DO NOTHING";
        Ok(execute!(self, SQL, name.as_str(), now.millis())? == 1)
    }

    /// Makes a client the owner of an audience. Returns whether the audience had no other owner.
    pub async fn audience_own(&mut self, name: &Audience, owner: &ClientId) -> Result<bool> {
        const SQL: &str = "UPDATE audiences SET owner = $2 WHERE name = $1 AND (owner IS NULL OR owner = $2)";
        Ok(execute!(self, SQL, name.as_str(), owner.as_str())? == 1)
    }

    /// Every audience and its owner, sorted by name.
    pub async fn audiences_all(&mut self) -> Result<Vec<(String, Option<String>)>> {
        all!(self, (String, Option<String>), "SELECT name, owner FROM audiences ORDER BY name")
    }
}
