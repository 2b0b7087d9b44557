//! The permissions of this server's own API. They are plain strings, for the audience that equals the issuer.

/// Read users and their sessions.
pub const USERS_READ: &str = "users.read";
/// Create, change, disable and delete users, and revoke their sessions.
pub const USERS_WRITE: &str = "users.write";
/// Import users together with their password hashes.
pub const USERS_IMPORT: &str = "users.import";
/// Read clients and audiences.
pub const CLIENTS_READ: &str = "clients.read";
/// Register, change and disable clients, and replace their secrets.
pub const CLIENTS_WRITE: &str = "clients.write";
/// Read roles.
pub const ROLES_READ: &str = "roles.read";
/// Create, change and delete roles.
pub const ROLES_WRITE: &str = "roles.write";
/// Assign roles to users, and remove them.
pub const ROLES_ASSIGN: &str = "roles.assign";
/// Read the audit log.
pub const AUDIT_READ: &str = "audit.read";
/// Watch revocations.
pub const REVOCATIONS_READ: &str = "revocations.read";
/// Read signing keys.
pub const KEYS_READ: &str = "keys.read";
/// Rotate signing keys early.
pub const KEYS_ROTATE: &str = "keys.rotate";
/// Revoke signing keys.
pub const KEYS_REVOKE: &str = "keys.revoke";

/// Every permission of this server's own API.
pub const OWN: [&str; 13] = [
    USERS_READ,
    USERS_WRITE,
    USERS_IMPORT,
    CLIENTS_READ,
    CLIENTS_WRITE,
    ROLES_READ,
    ROLES_WRITE,
    ROLES_ASSIGN,
    AUDIT_READ,
    REVOCATIONS_READ,
    KEYS_READ,
    KEYS_ROTATE,
    KEYS_REVOKE,
];
