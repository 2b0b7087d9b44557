//! Administration: users, clients, roles, the audit log, imports, settings and the issuer. Every method takes the
//! caller's permit. Imports `people`, `tokens`, `signing_keys`, `access` and `runtime`.

mod audit;
mod clients;
mod creations;
mod declarations;
mod import;
mod instance;
mod roles;
mod sealing;
mod users;

pub(in crate::service) use self::users::UsersParts;
pub use self::{
    audit::{Audit, AuditExport, AuditWatcher},
    clients::{ACCOUNT_CLIENT, ACCOUNT_NAME, AccountClient, ClientPatch, Clients, NewClientRequest, check_new_client},
    creations::CreationKey,
    declarations::{Declarations, Remembered, ToRemember},
    import::{CostlyHashes, DryRun, Import, ImportOutcome, ImportRow, MAX_IMPORT_BATCH},
    instance::{InstanceSettings, Setting, SettingUnit},
    roles::{NewRoleRequest, RolePatch, Roles, check_new_role, permission_names},
    sealing::{Dropped, Resealed, Rotated, Sealing, VersionListed},
    users::{NewUserRequest, ResetStarted, UserPasswordReset, UserPatch, Users, check_new_user},
};
