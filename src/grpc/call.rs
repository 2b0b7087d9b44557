//! One admitted call: what the edge established before calling the handler. Each call gets its own handler, which
//! holds a `Call`, so no handler can run without one.

use tonic::Status;

use super::status::status;
use crate::{
    error::Error,
    service::{Admin, CallingClient, ClientCredentials, DataCaller, Me, Permit, RequestContext, Service},
};

/// An admitted call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) ctx: RequestContext,
    /// For methods where the client id in the message determines how the caller authenticates.
    pub(super) credentials: ClientCredentials,
    permit: Permit,
}

impl Call {
    pub(super) fn new(service: Service, ctx: RequestContext, credentials: ClientCredentials, permit: Permit) -> Self {
        Self { service, ctx, credentials, permit }
    }

    /// Converts an error to a status.
    pub(super) fn status(&self, error: &Error) -> Status {
        status(&self.ctx, error)
    }

    /// The calling administrator.
    pub(super) fn admin(&self) -> Result<&Admin, Status> {
        match &self.permit {
            Permit::Admin(admin) => Ok(admin),
            _ => Err(self.wrong_permit()),
        }
    }

    /// The calling user.
    pub(super) fn me(&self) -> Result<&Me, Status> {
        match &self.permit {
            Permit::Me(me) => Ok(me),
            _ => Err(self.wrong_permit()),
        }
    }

    /// The session or the client that calls for what is kept with a session.
    pub(super) fn data_caller(&self) -> Result<&DataCaller, Status> {
        match &self.permit {
            Permit::Data(caller) => Ok(caller),
            _ => Err(self.wrong_permit()),
        }
    }

    /// The calling confidential client.
    pub(super) fn client(&self) -> Result<&CallingClient, Status> {
        match &self.permit {
            Permit::Client(client) => Ok(client),
            _ => Err(self.wrong_permit()),
        }
    }

    /// The error for a permit that does not fit the method. This is a bug in the access table, which its tests catch.
    fn wrong_permit(&self) -> Status {
        self.status(&Error::Internal("the access table gives this method another permit".into()))
    }
}
