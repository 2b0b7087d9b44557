//! The refresh token of a guest, as what shows that a request is the guest's.

use crate::{
    domain::{
        client::Client,
        session::{RevokedCause, Session, SessionKind},
    },
    error::{Error, Reason, Result},
    keys::{SealingKeys, parse_refresh_token},
    secret::RefreshToken,
    store::Tx,
    time::{Timestamp, Ttl},
};

/// The field of requests that it stands in.
const FIELD: &str = "guest_refresh_token";

/// The session of a guest's refresh token. It is live; or it was ended because the guest has opened an account, whose
/// first sign-in may still join it.
///
/// # Errors
/// The documented refresh reasons. Nothing is changed, not even by a token that was used before.
pub(super) async fn guest_of_token(
    tx: &mut Tx,
    sealing: &SealingKeys,
    (client, token): (&Client, &RefreshToken),
    (now, grace): (Timestamp, Ttl),
) -> Result<Session> {
    const INVALID: Error = Error::Unauthenticated(Reason::RefreshTokenInvalid);
    if token.expose().is_empty() {
        return Err(Error::invalid(FIELD, "must not be empty"));
    }
    let parsed = parse_refresh_token(sealing, token).ok_or(INVALID)?;
    let session = tx.session_by_id(&parsed.session).await?.ok_or(INVALID)?;
    let own = session.kind == SessionKind::Token && session.client == client.id;
    if !own || !session.secret.matches(&parsed.secret.hash()) {
        return Err(INVALID);
    }
    if !session.is_guest() {
        return Err(Error::invalid(FIELD, "must be the token of a guest, and is that of a user"));
    }
    match session.revoked {
        // Of an account that was opened by this guest; which one, its sign-in shows.
        Some((_, RevokedCause::Superseded)) if session.superseded_by.is_none() => return Ok(session),
        Some((_, cause)) => return Err(Error::Ended { cause: cause.as_str() }),
        None if now >= session.expires_at() => return Err(Error::Unauthenticated(Reason::SessionExpired)),
        None => {}
    }
    if session.takes_generation(parsed.generation, now, grace) {
        return Ok(session);
    }
    Err(Error::Unauthenticated(Reason::RefreshTokenSuperseded))
}
