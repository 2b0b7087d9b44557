//! Who may call what. The edges decide by this table and by nothing else; a method that it does not name is
//! refused.

use crate::domain::permission as p;

/// Whether a method changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It only reads.
    Read,
    /// It changes something: a user must have signed in recently.
    Write,
}

/// What a method demands of its caller before its message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Anyone,
    /// A client: one that authenticates itself, or a public one that names itself in the message.
    Client,
    /// A client that authenticates itself.
    ConfidentialClient,
    /// A client, or a user's bearer token for this server.
    ClientOrUser,
    /// A user's bearer token for this server.
    User,
    /// A bearer token for this server whose user or client has this permission now, or a confidential client
    /// that has it.
    Permission(&'static str, Act),
}

/// The full name of a method, as in the path of a gRPC call, and what it demands.
pub type Method = (&'static str, Access);

/// The method that is served by hand.
pub const WATCH_REVOCATIONS: &str = "/chancery.v1.RevocationService/Watch";
/// The method whose requests may keep coming for long.
pub const IMPORT_USERS: &str = "/chancery.v1.UserService/Import";

/// Every method of every service.
pub const ACCESS: &[Method] = &[
    ("/chancery.v1.AuthService/Login", Access::Client),
    ("/chancery.v1.AuthService/ContinueLogin", Access::Client),
    ("/chancery.v1.AuthService/Refresh", Access::Client),
    ("/chancery.v1.AuthService/Logout", Access::ClientOrUser),
    ("/chancery.v1.AuthService/IssueClientToken", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Introspect", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Revoke", Access::Client),
    (WATCH_REVOCATIONS, Access::Permission(p::REVOCATIONS_READ, Act::Read)),
    ("/chancery.v1.KeyService/GetJwks", Access::Anyone),
    ("/chancery.v1.KeyService/WatchJwks", Access::Anyone),
    ("/chancery.v1.KeyService/ListSigningKeys", Access::Permission(p::KEYS_READ, Act::Read)),
    ("/chancery.v1.KeyService/RotateSigningKey", Access::Permission(p::KEYS_ROTATE, Act::Write)),
    ("/chancery.v1.KeyService/RevokeSigningKey", Access::Permission(p::KEYS_REVOKE, Act::Write)),
    ("/chancery.v1.AccountService/Register", Access::Client),
    ("/chancery.v1.AccountService/VerifyEmail", Access::Client),
    ("/chancery.v1.AccountService/RequestPasswordReset", Access::Client),
    ("/chancery.v1.AccountService/ResetPassword", Access::Client),
    ("/chancery.v1.AccountService/GetMe", Access::User),
    ("/chancery.v1.AccountService/UpdateMe", Access::User),
    ("/chancery.v1.AccountService/ChangePassword", Access::User),
    ("/chancery.v1.AccountService/ListMySessions", Access::User),
    ("/chancery.v1.AccountService/RevokeMySession", Access::User),
    ("/chancery.v1.AccountService/DeleteMe", Access::User),
    ("/chancery.v1.UserService/Create", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/Get", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/List", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/Update", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/Delete", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/Disable", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/Enable", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/SetPassword", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/AssignRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.UserService/UnassignRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.UserService/ListSessions", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/RevokeSessions", Access::Permission(p::USERS_WRITE, Act::Write)),
    (IMPORT_USERS, Access::Permission(p::USERS_IMPORT, Act::Write)),
    ("/chancery.v1.ClientService/Create", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/Get", Access::Permission(p::CLIENTS_READ, Act::Read)),
    ("/chancery.v1.ClientService/List", Access::Permission(p::CLIENTS_READ, Act::Read)),
    ("/chancery.v1.ClientService/Update", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/Delete", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/Disable", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/Enable", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/RotateSecret", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.RoleService/Create", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.RoleService/Get", Access::Permission(p::ROLES_READ, Act::Read)),
    ("/chancery.v1.RoleService/List", Access::Permission(p::ROLES_READ, Act::Read)),
    ("/chancery.v1.RoleService/Update", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.RoleService/Delete", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.AuditService/List", Access::Permission(p::AUDIT_READ, Act::Read)),
    ("/chancery.v1.AuditService/Watch", Access::Permission(p::AUDIT_READ, Act::Read)),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Anyone),
];

/// The row of a path, if the table has one.
#[must_use]
pub fn method(path: &str) -> Option<Method> {
    ACCESS.iter().copied().find(|(method, _)| *method == path)
}
