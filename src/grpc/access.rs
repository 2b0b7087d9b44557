//! Who may call what. A method that the table does not name is refused.

use crate::domain::permission as p;

/// What a method demands of its caller before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Anyone,
    /// A client: one that authenticates itself, or a public one that names itself.
    Client,
    /// A client that authenticates itself.
    ConfidentialClient,
    /// A client, or a user's bearer token for this server.
    ClientOrUser,
    /// A user's bearer token for this server.
    User,
    /// A bearer token for this server with this permission, or a confidential client that has it.
    Permission(&'static str),
}

/// The method that is served by hand.
pub(super) const WATCH_REVOCATIONS: &str = "/chancery.v1.RevocationService/WatchRevocations";
/// The method whose requests may keep coming for long.
pub(super) const IMPORT_USERS: &str = "/chancery.v1.UserService/ImportUsers";

/// Every method of every service.
pub const ACCESS: &[(&str, Access)] = &[
    ("/chancery.v1.AuthService/Login", Access::Client),
    ("/chancery.v1.AuthService/ContinueLogin", Access::Client),
    ("/chancery.v1.AuthService/Refresh", Access::Client),
    ("/chancery.v1.AuthService/Logout", Access::ClientOrUser),
    ("/chancery.v1.AuthService/IssueClientToken", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Introspect", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Revoke", Access::Client),
    (WATCH_REVOCATIONS, Access::Permission(p::REVOCATIONS_READ)),
    ("/chancery.v1.KeyService/GetJwks", Access::Anyone),
    ("/chancery.v1.KeyService/WatchJwks", Access::Anyone),
    ("/chancery.v1.KeyService/ListSigningKeys", Access::Permission(p::KEYS_READ)),
    ("/chancery.v1.KeyService/RotateSigningKey", Access::Permission(p::KEYS_ROTATE)),
    ("/chancery.v1.KeyService/RevokeSigningKey", Access::Permission(p::KEYS_REVOKE)),
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
    ("/chancery.v1.UserService/CreateUser", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/GetUser", Access::Permission(p::USERS_READ)),
    ("/chancery.v1.UserService/ListUsers", Access::Permission(p::USERS_READ)),
    ("/chancery.v1.UserService/UpdateUser", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/DeleteUser", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/DisableUser", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/EnableUser", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/RequestUserPasswordReset", Access::Permission(p::USERS_WRITE)),
    ("/chancery.v1.UserService/AssignUserRole", Access::Permission(p::ROLES_ASSIGN)),
    ("/chancery.v1.UserService/UnassignUserRole", Access::Permission(p::ROLES_ASSIGN)),
    ("/chancery.v1.UserService/ListUserSessions", Access::Permission(p::USERS_READ)),
    ("/chancery.v1.UserService/RevokeUserSessions", Access::Permission(p::USERS_WRITE)),
    (IMPORT_USERS, Access::Permission(p::USERS_IMPORT)),
    ("/chancery.v1.ClientService/CreateClient", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/GetClient", Access::Permission(p::CLIENTS_READ)),
    ("/chancery.v1.ClientService/ListClients", Access::Permission(p::CLIENTS_READ)),
    ("/chancery.v1.ClientService/UpdateClient", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/DeleteClient", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/DisableClient", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/EnableClient", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/RotateClientSecret", Access::Permission(p::CLIENTS_WRITE)),
    ("/chancery.v1.ClientService/AssignClientRole", Access::Permission(p::ROLES_ASSIGN)),
    ("/chancery.v1.ClientService/UnassignClientRole", Access::Permission(p::ROLES_ASSIGN)),
    ("/chancery.v1.RoleService/CreateRole", Access::Permission(p::ROLES_WRITE)),
    ("/chancery.v1.RoleService/GetRole", Access::Permission(p::ROLES_READ)),
    ("/chancery.v1.RoleService/ListRoles", Access::Permission(p::ROLES_READ)),
    ("/chancery.v1.RoleService/UpdateRole", Access::Permission(p::ROLES_WRITE)),
    ("/chancery.v1.RoleService/DeleteRole", Access::Permission(p::ROLES_WRITE)),
    ("/chancery.v1.AuditService/ListAuditEvents", Access::Permission(p::AUDIT_READ)),
    ("/chancery.v1.AuditService/WatchAuditEvents", Access::Permission(p::AUDIT_READ)),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Anyone),
];

/// The method of a path, if the table names it.
#[must_use]
pub(super) fn method(path: &str) -> Option<&'static str> {
    ACCESS.iter().map(|(method, _)| *method).find(|method| *method == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;
    use crate::grpc::DESCRIPTORS;

    fn methods(descriptors: &[u8]) -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap();
        let mut all = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    all.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        all
    }

    #[test]
    fn g01_the_table_names_every_method_and_no_other() {
        let mut served = methods(DESCRIPTORS);
        served.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));
        let named: BTreeSet<String> = ACCESS.iter().map(|(m, _)| (*m).to_owned()).collect();
        assert_eq!(named, served);
    }
}
