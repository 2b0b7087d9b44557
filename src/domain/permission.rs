//! The permissions of this server's own API: plain strings of the audience that equals the issuer.

/// Sees users and their sessions.
pub const USERS_READ: &str = "users.read";
/// Creates, changes, disables and deletes users, and ends their sessions.
pub const USERS_WRITE: &str = "users.write";
/// Brings users in with their own password hashes.
pub const USERS_IMPORT: &str = "users.import";
/// Sees clients and audiences.
pub const CLIENTS_READ: &str = "clients.read";
/// Registers, changes and disables clients, and replaces their secrets.
pub const CLIENTS_WRITE: &str = "clients.write";
/// Sees roles.
pub const ROLES_READ: &str = "roles.read";
/// Creates, changes and deletes roles.
pub const ROLES_WRITE: &str = "roles.write";
/// Gives roles to users, and takes them away.
pub const ROLES_ASSIGN: &str = "roles.assign";
/// Sees what was done.
pub const AUDIT_READ: &str = "audit.read";
/// Follows what is revoked.
pub const REVOCATIONS_READ: &str = "revocations.read";
/// Sees signing keys.
pub const KEYS_READ: &str = "keys.read";
/// Brings rotations of signing keys forward.
pub const KEYS_ROTATE: &str = "keys.rotate";
/// Revokes signing keys.
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
