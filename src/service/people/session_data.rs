//! What applications keep with sessions and users: a cart that follows a person, the state of a form of several steps.

use std::sync::Arc;

use super::data_limits::DataLimits;
use crate::{
    domain::session_data::{
        DataCondition, DataEntry, DataOutcome, DataScope, DataSession, DataValue, DataWrite, MAX_VALUES, Namespace,
        StoredData,
    },
    error::{Error, Result},
    id::SessionId,
    service::{
        access::{DataCaller, RequestContext},
        runtime::{Live, SessionWriter},
    },
    store::{Store, Tx},
};

/// Which value is meant.
#[derive(Clone, Copy, Debug)]
pub struct DataAt<'a> {
    /// The session; empty for the caller's own.
    pub session_id: &'a str,
    /// What the value belongs to.
    pub scope: DataScope,
    /// Its name.
    pub namespace: &'a str,
}

/// A value was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStored {
    /// Its version.
    pub version: i64,
    /// Whether there was none before.
    pub created: bool,
}

/// Reads and changes what is kept with sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeptData {
    store: Store,
    live: Arc<Live>,
    writer: SessionWriter,
    limits: DataLimits,
}

impl KeptData {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, writer: SessionWriter) -> Self {
        Self { store, live, writer, limits: DataLimits::default() }
    }

    /// A value.
    ///
    /// # Errors
    /// Violations; [`Error::NotFound`] if a client names a session that is not live or not its own;
    /// [`Error::TokenRevoked`] if the caller's own has ended.
    pub async fn get(&self, caller: &DataCaller, at: DataAt<'_>) -> Result<Option<StoredData>> {
        let namespace = parse_namespace(at.namespace)?;
        let mut tx = self.store.read().await?;
        let session = self.session(&mut tx, caller, at.session_id).await?;
        tx.session_data(&at.scope.owner(&session), &namespace).await
    }

    /// The names of all values.
    ///
    /// # Errors
    /// As those of [`KeptData::get`].
    pub async fn list(&self, caller: &DataCaller, session_id: &str, scope: DataScope) -> Result<Vec<DataEntry>> {
        let mut tx = self.store.read().await?;
        let session = self.session(&mut tx, caller, session_id).await?;
        tx.session_data_entries(&scope.owner(&session)).await
    }

    /// Stores a value.
    ///
    /// # Errors
    /// As those of [`KeptData::get`]; [`Error::VersionMismatch`]; [`Error::Precondition`] if there are too many values, or
    /// a guest has too many bytes; [`Error::TooManyAttempts`] before anything is written; [`Error::Unavailable`], also
    /// when it is unknown whether the value was stored.
    pub async fn put(
        &self,
        ctx: &RequestContext,
        caller: &DataCaller,
        at: DataAt<'_>,
        (value, condition): (DataValue, DataCondition),
    ) -> Result<DataStored> {
        match self.write(ctx, caller, at, (Some(value), condition)).await? {
            DataOutcome::Stored { version, created } => Ok(DataStored { version, created }),
            other => Err(Error::Internal(format!("a value was to be stored: {other:?}").into())),
        }
    }

    /// Deletes a value. Deleting what is not there does nothing.
    ///
    /// # Errors
    /// As those of [`KeptData::put`].
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        caller: &DataCaller,
        at: DataAt<'_>,
        condition: DataCondition,
    ) -> Result<()> {
        self.write(ctx, caller, at, (None, condition)).await.map(|_| ())
    }

    /// Has a change written with those of others.
    async fn write(
        &self,
        ctx: &RequestContext,
        caller: &DataCaller,
        at: DataAt<'_>,
        (value, condition): (Option<DataValue>, DataCondition),
    ) -> Result<DataOutcome> {
        let namespace = parse_namespace(at.namespace)?;
        let (session, client) = caller.session(at.session_id)?;
        let snapshot = self.live.snapshot();
        let limits = &snapshot.settings.limits;
        let guest_at = caller.is_guest().then_some(&*ctx.peer);
        self.limits.admit(limits, (&session, guest_at), self.live.now())?;
        let write = DataWrite { session: session.clone(), client, scope: at.scope, namespace, value, condition };
        match self.writer.write_data(write, ctx.deadline).await? {
            DataOutcome::Mismatch { current } => Err(Error::VersionMismatch { current }),
            DataOutcome::TooMany => Err(Error::Precondition(format!(
                "there are {MAX_VALUES} values already, and no more are kept; delete one first"
            ))),
            DataOutcome::TooLarge => Err(Error::Precondition(format!(
                "a guest keeps at most {} bytes with the session, and as many as a user; delete a value, or sign in",
                limits.guest_data_bytes
            ))),
            DataOutcome::SessionEnded if caller.is_session() => Err(Error::TokenRevoked),
            DataOutcome::SessionEnded | DataOutcome::OtherClient => Err(no_session(&session)),
            done @ (DataOutcome::Stored { .. } | DataOutcome::Deleted) => Ok(done),
        }
    }

    /// The live session that a caller means.
    async fn session(&self, tx: &mut Tx, caller: &DataCaller, named: &str) -> Result<DataSession> {
        let (id, client) = caller.session(named)?;
        let found = tx.data_session(&id, self.live.now()).await?;
        match found {
            None if caller.is_session() => Err(Error::TokenRevoked),
            Some(session) if client.is_none_or(|client| client == session.client) => Ok(session),
            _ => Err(no_session(&id)),
        }
    }
}

/// A client is not told whether a session of others exists.
fn no_session(id: &SessionId) -> Error {
    Error::NotFound("session", id.to_string())
}

fn parse_namespace(text: &str) -> Result<Namespace> {
    text.parse()
        .map_err(|problem: crate::domain::session_data::NotNamespace| Error::invalid("namespace", problem.to_string()))
}
