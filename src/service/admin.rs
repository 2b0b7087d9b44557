//! Administration: users, clients, roles, the audit log, imports, settings and the issuer. Every method takes the
//! caller's permit. Imports `people`, `tokens`, `signing_keys`, `access` and `runtime`.

mod audit;
mod clients;
mod creations;
mod import;
mod instance;
mod roles;
mod sealing;
mod users;

pub(in crate::service) use self::users::UsersParts;
pub use self::{
    audit::{Audit, AuditExport, AuditWatcher},
    clients::{ACCOUNT_CLIENT, AccountClient, ClientPatch, Clients, NewClientRequest},
    creations::CreationKey,
    import::{CostlyHashes, DryRun, Import, ImportOutcome, ImportRow, MAX_IMPORT_BATCH},
    instance::{InstanceSettings, Setting, SettingUnit},
    roles::{NewRoleRequest, RolePatch, Roles},
    sealing::{Dropped, Resealed, Rotated, Sealing, VersionListed},
    users::{NewUserRequest, ResetStarted, UserPasswordReset, UserPatch, Users},
};
