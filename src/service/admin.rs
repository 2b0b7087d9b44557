//! Administration: users, clients, roles, the audit log, imports, settings and the issuer. Every method takes the
//! caller's permit. Imports `people`, `tokens`, `signing_keys`, `access` and `runtime`.

mod audit;
mod clients;
mod creations;
mod import;
mod instance;
mod roles;
mod users;

pub(in crate::service) use self::users::UsersParts;
pub use self::{
    audit::{Audit, AuditWatcher},
    clients::{ClientPatch, Clients, NewClientRequest},
    creations::Creation,
    import::{Import, ImportOutcome, ImportRow, MOST_IMPORTED, Rehearsal},
    instance::InstanceSettings,
    roles::{NewRoleRequest, RolePatch, Roles},
    users::{NewUserRequest, ResetOf, ResetStarted, UserPatch, Users},
};
