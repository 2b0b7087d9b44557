//! Whether a token is good, and if not, why: for operators. Callers are told less.

use chancery_verify::{Claims, Policy, VerifyError};

use super::Tokens;
use crate::{domain::session::RevokedCause, error::Result, id::SessionId, service::access::Admin, time::Timestamp};

/// Why a token is not good.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It is not valid in itself.
    #[error("{0}")]
    Invalid(VerifyError),
    /// It was signed with a key that was revoked.
    #[error("its signing key was revoked")]
    KeyRevoked,
    /// Its client is disabled.
    #[error("its client {0} is disabled")]
    ClientDisabled(String),
    /// Its client was deleted.
    #[error("its client {0} does not exist")]
    ClientUnknown(String),
    /// Its session was ended.
    #[error("its session {id} was ended at {at} ({})", cause.as_str())]
    SessionEnded {
        /// The session.
        id: String,
        /// When.
        at: Timestamp,
        /// Why.
        cause: RevokedCause,
    },
    /// Its session is not known here: it ended long ago, or was opened after the backup that was restored.
    #[error("its session {0} does not exist")]
    SessionUnknown(String),
    /// Its user is disabled.
    #[error("its user {0} is disabled")]
    UserDisabled(String),
}

impl Tokens {
    /// Checks an access token, its key, client, session and user, against the database as it is.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn examine(&self, _: &Admin, token: &str, audience: &str) -> Result<Result<Claims, TokenFault>> {
        self.live.confirm().await?;
        let snapshot = self.live.snapshot();
        let policy = Policy::new(self.live.issuer(), audience).allow_guests(true);
        let now = self.live.now();
        let claims = match chancery_verify::check(token, &snapshot.ring.verifying, &policy, now.millis()) {
            Ok(claims) => claims,
            Err(VerifyError::UnknownKey { kid }) if snapshot.revoked_keys.contains_key(&*kid) => {
                return Ok(Err(TokenFault::KeyRevoked));
            }
            Err(error) => return Ok(Err(TokenFault::Invalid(error))),
        };
        match snapshot.clients.get(&claims.client_id) {
            None => return Ok(Err(TokenFault::ClientUnknown(claims.client_id))),
            Some(client) if client.disabled_at.is_some() => {
                return Ok(Err(TokenFault::ClientDisabled(claims.client_id)));
            }
            Some(_) => {}
        }
        Ok(match &claims.session_id {
            Some(id) => self.session_fault(id).await?.map_or(Ok(claims), Err),
            None => Ok(claims),
        })
    }

    /// What is wrong with a session or its user.
    async fn session_fault(&self, id: &str) -> Result<Option<TokenFault>> {
        let unknown = || Some(TokenFault::SessionUnknown(id.to_owned()));
        let Ok(session) = id.parse::<SessionId>() else { return Ok(unknown()) };
        let mut tx = self.store.read().await?;
        let Some(session) = tx.session_by_id(&session).await? else { return Ok(unknown()) };
        let user = match &session.user {
            Some(user) => tx.user_by_id(user).await?,
            None => None,
        };
        // The user first: whoever disabled them ended their sessions too.
        if user.is_some_and(|user| user.disabled_at.is_some()) {
            return Ok(Some(TokenFault::UserDisabled(session.subject)));
        }
        let ended = |(at, cause)| TokenFault::SessionEnded { id: id.to_owned(), at, cause };
        Ok(session.revoked.map(ended))
    }
}
