//! Creations that may be asked for twice (AIP-155): the same request id creates nothing more.

use super::{Admin, Service};
use crate::{
    error::{Error, Result, Violation},
    store::Tx,
};

/// How a caller names a creation, so that it can repeat it.
#[derive(Clone, Debug)]
pub struct Creation {
    /// 1 to 64 characters of `[A-Za-z0-9-]`.
    pub request_id: String,
    /// SHA-256 of everything that was asked for.
    pub payload: [u8; 32],
}

impl Creation {
    /// The creation of a call, if the caller gave it an id.
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

/// Whether a creation is the first of its name.
#[derive(Debug)]
pub(super) enum Created {
    /// It is: go on.
    Now,
    /// It was done before, and this came of it.
    Before(String),
}

impl Service {
    /// Notes a creation within the transaction that does it.
    pub(super) async fn creation(
        &self,
        tx: &mut Tx,
        admin: &Admin,
        (method, creation): (&str, &Creation),
        id: &str,
    ) -> Result<Created> {
        let (caller, now) = (admin.actor.name.as_str(), self.now());
        let Creation { request_id, payload } = creation;
        if tx.creation_note((caller, method, request_id), payload, id, now).await? {
            return Ok(Created::Now);
        }
        match tx.creation_of((caller, method, request_id)).await? {
            Some((hash, id)) if hash == payload => Ok(Created::Before(id)),
            Some(_) => {
                let description = "was used for another creation".to_owned();
                Err(Error::Invalid(vec![Violation { field: "request_id".into(), description }]))
            }
            None => Err(Error::Conflict),
        }
    }
}
