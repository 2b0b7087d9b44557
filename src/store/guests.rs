//! The sessions of guests: counting and listing them.

use super::{
    By, Revoke,
    engine::{Tx, all, optional},
    sessions::{SessionRow, columns},
};
use crate::{
    domain::{client::ClientId, session::Session},
    error::Result,
    id::{SessionId, UserId},
    time::Timestamp,
};

impl Tx {
    /// How many sessions of guests of a client are stored, those that have ended included; at most `most`.
    pub async fn guests_stored(&mut self, client: &ClientId, most: i64) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM (SELECT 1 AS one FROM sessions \
            WHERE client_id = $1 AND user_id IS NULL LIMIT $2) AS counted";
        Ok(optional!(self, (i64,), SQL, client.as_str(), most)?.map_or(0, |(count,)| count))
    }

    /// Ends the session of a guest who becomes a user with the same id, unless it has ended or somebody else has that id.
    /// From then on, no guest's token bears the subject of an account. Returns the id.
    pub async fn guest_become(&mut self, id: &SessionId, by: &By<'_>) -> Result<Option<UserId>> {
        const HOLD: &str = "UPDATE sessions SET kind = kind WHERE id = $1 AND user_id IS NULL AND revoked_at IS NULL \
            AND idle_expires_at > $2 AND absolute_expires_at > $2 \
            AND NOT EXISTS (SELECT 1 FROM principals WHERE name = subject) RETURNING subject";
        let Some((subject,)) = optional!(self, (String,), HOLD, id.as_str(), by.now.millis())? else { return Ok(None) };
        let Ok(user) = subject.parse() else { return Ok(None) };
        self.revoke(Revoke::Sessions(std::slice::from_ref(id)), by).await?;
        Ok(Some(user))
    }

    /// At most `limit` live sessions of a client's guests after `after`, by id: the oldest first.
    pub async fn guests_live(
        &mut self,
        client: &ClientId,
        after: Option<&SessionId>,
        (now, limit): (Timestamp, i64),
    ) -> Result<Vec<Session>> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM sessions WHERE client_id = $1 AND user_id IS NULL AND id > $2 AND revoked_at IS NULL \
             AND idle_expires_at > $3 AND absolute_expires_at > $3 ORDER BY id LIMIT $4"
        );
        let after = after.map_or("", SessionId::as_str);
        let rows = all!(self, SessionRow, SQL, client.as_str(), after, now.millis(), limit)?;
        rows.into_iter().map(Session::try_from).collect()
    }
}
