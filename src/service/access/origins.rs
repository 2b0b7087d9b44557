//! Calls by scripts of pages, which browsers mark with the page's origin. A page may call only in the name of a client
//! that has declared its origin, whatever credentials it has.
//!
//! The rule is applied twice, so that nobody learns from it what callers without an origin do not learn:
//!
//! 1. As a call arrives, before anything else of it is looked at: an origin that no client has declared is refused in
//!    the same words whatever the client, the credentials and the message are. It costs one look into memory. It is
//!    never confirmed in the database: whoever makes a call chooses the origin.
//! 2. When the client is known, that is, once its secret or token has been accepted or, for a public client, its name
//!    exists: the origin must be one of its own. A client that is unknown, disabled or not authenticated is refused as
//!    it is without an origin, so a page learns of a client only what its name or secret alone would have told it.
//!
//! Both come before limits are counted, passwords hashed and rows written.

use crate::{
    domain::client::Client,
    error::{Error, Reason, Result},
};

/// Fails if a page makes the call and this client has not declared its origin.
///
/// # Errors
/// [`Reason::OriginNotAllowed`].
pub(super) fn check_origin(origin: Option<&str>, client: &Client) -> Result<()> {
    match origin {
        Some(origin) if !client.declares_origin(origin) => Err(not_allowed()),
        _ => Ok(()),
    }
}

/// The refusal, in the same words whatever else is known.
pub(super) fn not_allowed() -> Error {
    let text = "the client has not declared the origin of this page: its cors_origins must have it";
    Error::Denied(Reason::OriginNotAllowed, text.to_owned())
}
