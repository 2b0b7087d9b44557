//! Idempotent creation (AIP-155): a retry with the same request id creates nothing new.

use crate::{
    error::{Error, Result},
    service::access::Admin,
    store::Tx,
    time::Timestamp,
};

/// Identifies a create request, so that it can be retried.
#[derive(Clone, Debug)]
pub struct CreationKey {
    /// 1 to 64 characters of `[A-Za-z0-9-]`.
    pub request_id: String,
    /// SHA-256 of the whole request.
    pub payload: [u8; 32],
}

impl CreationKey {
    /// Parses the request id of a call; empty means none.
    ///
    /// # Errors
    /// A violation of `request_id`.
    pub fn new(request_id: &str, payload: &[u8]) -> Result<Option<Self>> {
        if request_id.is_empty() {
            return Ok(None);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if request_id.len() > 64 || !request_id.bytes().all(allowed) {
            return Err(Error::invalid("request_id", "must be 1 to 64 characters of [A-Za-z0-9-]"));
        }
        Ok(Some(Self { request_id: request_id.to_owned(), payload: crate::secret::sha256(payload) }))
    }
}

/// Whether a create request is new.
#[derive(Debug)]
pub(super) enum CreationStatus {
    /// It is new: proceed.
    New,
    /// It was done before and created this id.
    Repeated(String),
}

impl CreationKey {
    /// Records the request in the transaction that creates `id`.
    ///
    /// # Errors
    /// A violation of `request_id` if it was used for a different request.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        method: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<CreationStatus> {
        let Self { request_id, payload } = self;
        let name = (admin.actor.name.as_str(), method, request_id.as_str());
        if tx.creation_note(name, payload, id, now).await? {
            return Ok(CreationStatus::New);
        }
        match tx.creation_of(name).await? {
            Some((hash, id)) if hash == payload => Ok(CreationStatus::Repeated(id)),
            Some(_) => Err(Error::invalid("request_id", "was already used for a different request")),
            None => Err(Error::Conflict),
        }
    }
}
