//! One call: what the edge found out before the message was read. Handlers are made anew for each call and hold
//! it, so none can be reached without it.

use tonic::Status;

use super::status::status;
use crate::{
    error::Error,
    service::{Admin, CallingClient, ClientCredentials, Me, Permit, RequestContext, Service},
};

/// A call, admitted.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) ctx: RequestContext,
    /// For methods whose caller the service decides by the id in the message.
    pub(super) credentials: ClientCredentials,
    permit: Permit,
}

impl Call {
    pub(super) fn new(service: Service, ctx: RequestContext, credentials: ClientCredentials, permit: Permit) -> Self {
        Self { service, ctx, credentials, permit }
    }

    /// The status of an error.
    pub(super) fn status(&self, error: &Error) -> Status {
        status(&self.ctx, error)
    }

    /// The administrator who calls.
    pub(super) fn admin(&self) -> Result<&Admin, Status> {
        match &self.permit {
            Permit::Admin(admin) => Ok(admin),
            _ => Err(self.wrong_row()),
        }
    }

    /// The user who calls.
    pub(super) fn me(&self) -> Result<&Me, Status> {
        match &self.permit {
            Permit::Me(me) => Ok(me),
            _ => Err(self.wrong_row()),
        }
    }

    /// The confidential client that calls.
    pub(super) fn client(&self) -> Result<&CallingClient, Status> {
        match &self.permit {
            Permit::Client(client) => Ok(client),
            _ => Err(self.wrong_row()),
        }
    }

    /// The row of the access table does not fit the method: a mistake of ours, found by the tests of the table.
    fn wrong_row(&self) -> Status {
        self.status(&Error::Internal("the access table gives this method another permit".into()))
    }
}
