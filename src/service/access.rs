//! Authentication and authorization: the table of methods, the credentials, and the permits that the edge passes to a
//! method. Imports `runtime`. Every edge uses the same table.

mod callers;
mod context;
mod offered;
mod origins;
mod permits;
mod table;

pub(in crate::service) use self::permits::TOKEN_REFUSED;
pub use self::{
    callers::{Callers, ClientCredentials},
    context::{CallerName, RequestContext},
    offered::HttpRpc,
    permits::{Admin, CallingClient, DataCaller, FRESH_SIGN_IN, Me, Permit},
    table::{ACCESS, Access, Act, IMPORT_USERS, Method, WATCH_REVOCATIONS, method},
};
