//! Access by method. This table alone decides at every edge. Methods not in it are refused.

use crate::domain::permission as p;

/// Whether a method changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads only.
    Read,
    /// Changes something: a user must have signed in recently.
    Write,
}

/// What a method requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No credentials.
    Anyone,
    /// A client: an authenticated one, or a public one named in the message.
    Client,
    /// An authenticated client.
    ConfidentialClient,
    /// A client, or a user's bearer token for this server.
    ClientOrUser,
    /// A user's bearer token for this server.
    User,
    /// The bearer token of a session for this server, of a user or a guest, or an authenticated client.
    SessionOrClient,
    /// A bearer token for this server whose user or client currently has this permission, or a confidential client
    /// that has it.
    Permission(&'static str, Act),
}

/// The full name of a method, as in the path of a gRPC call, and the access it requires.
pub type Method = (&'static str, Access);

/// The method that has a hand-written handler.
pub const WATCH_REVOCATIONS: &str = "/chancery.v1.RevocationService/WatchRevocations";
/// The method whose request stream may run for a long time.
pub const IMPORT_USERS: &str = "/chancery.v1.UserService/ImportUsers";

/// Every method of every service.
pub const ACCESS: &[Method] = &[
    ("/chancery.v1.AuthService/Login", Access::Client),
    ("/chancery.v1.AuthService/ContinueLogin", Access::Client),
    ("/chancery.v1.AuthService/StartGuestSession", Access::Client),
    ("/chancery.v1.AuthService/UpgradeGuest", Access::Client),
    ("/chancery.v1.AuthService/StartPasskeyLogin", Access::Client),
    ("/chancery.v1.AuthService/StartStepUp", Access::Client),
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
    ("/chancery.v1.SessionDataService/GetSessionData", Access::SessionOrClient),
    ("/chancery.v1.SessionDataService/PutSessionData", Access::SessionOrClient),
    ("/chancery.v1.SessionDataService/DeleteSessionData", Access::SessionOrClient),
    ("/chancery.v1.SessionDataService/ListSessionData", Access::SessionOrClient),
    ("/chancery.v1.AccountService/Register", Access::Client),
    ("/chancery.v1.AccountService/VerifyEmail", Access::Client),
    ("/chancery.v1.AccountService/RequestPasswordReset", Access::Client),
    ("/chancery.v1.AccountService/ResetPassword", Access::Client),
    ("/chancery.v1.AccountService/GetMe", Access::User),
    ("/chancery.v1.AccountService/UpdateMe", Access::User),
    ("/chancery.v1.AccountService/ChangePassword", Access::User),
    ("/chancery.v1.AccountService/ListMySessions", Access::User),
    ("/chancery.v1.AccountService/RevokeMySession", Access::User),
    ("/chancery.v1.AccountService/EnrollTotp", Access::User),
    ("/chancery.v1.AccountService/ConfirmTotp", Access::User),
    ("/chancery.v1.AccountService/StartPasskeyRegistration", Access::User),
    ("/chancery.v1.AccountService/FinishPasskeyRegistration", Access::User),
    ("/chancery.v1.AccountService/ListMyFactors", Access::User),
    ("/chancery.v1.AccountService/RemoveMyFactor", Access::User),
    ("/chancery.v1.AccountService/RegenerateRecoveryCodes", Access::User),
    ("/chancery.v1.AccountService/DeleteMe", Access::User),
    ("/chancery.v1.UserService/CreateUser", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/GetUser", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/ListUsers", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/UpdateUser", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/DeleteUser", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/DisableUser", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/EnableUser", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/RequestUserPasswordReset", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/AssignUserRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.UserService/UnassignUserRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.UserService/ListUserSessions", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/RevokeUserSessions", Access::Permission(p::USERS_WRITE, Act::Write)),
    ("/chancery.v1.UserService/ListUserFactors", Access::Permission(p::USERS_READ, Act::Read)),
    ("/chancery.v1.UserService/RemoveUserFactor", Access::Permission(p::USERS_WRITE, Act::Write)),
    (IMPORT_USERS, Access::Permission(p::USERS_IMPORT, Act::Write)),
    ("/chancery.v1.ClientService/CreateClient", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/GetClient", Access::Permission(p::CLIENTS_READ, Act::Read)),
    ("/chancery.v1.ClientService/ListClients", Access::Permission(p::CLIENTS_READ, Act::Read)),
    ("/chancery.v1.ClientService/UpdateClient", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/DeleteClient", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/DisableClient", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/EnableClient", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/RotateClientSecret", Access::Permission(p::CLIENTS_WRITE, Act::Write)),
    ("/chancery.v1.ClientService/AssignClientRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.ClientService/UnassignClientRole", Access::Permission(p::ROLES_ASSIGN, Act::Write)),
    ("/chancery.v1.RoleService/CreateRole", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.RoleService/GetRole", Access::Permission(p::ROLES_READ, Act::Read)),
    ("/chancery.v1.RoleService/ListRoles", Access::Permission(p::ROLES_READ, Act::Read)),
    ("/chancery.v1.RoleService/UpdateRole", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.RoleService/DeleteRole", Access::Permission(p::ROLES_WRITE, Act::Write)),
    ("/chancery.v1.AuditService/ListAuditEvents", Access::Permission(p::AUDIT_READ, Act::Read)),
    ("/chancery.v1.AuditService/WatchAuditEvents", Access::Permission(p::AUDIT_READ, Act::Read)),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Anyone),
];

/// The table's row for a path.
#[must_use]
pub fn method(path: &str) -> Option<Method> {
    ACCESS.iter().copied().find(|(method, _)| *method == path)
}
