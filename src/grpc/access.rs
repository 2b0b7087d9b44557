//! Who may call what. A method that the table does not name is refused.

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
    /// A bearer token for this server with this permission, or a confidential client that has it.
    Permission(&'static str),
}

/// The method that is served by hand.
pub(super) const WATCH_REVOCATIONS: &str = "/chancery.v1.RevocationService/Watch";

/// Every method of every service.
pub const ACCESS: &[(&str, Access)] = &[
    ("/chancery.v1.AuthService/Login", Access::Client),
    ("/chancery.v1.AuthService/Refresh", Access::Client),
    ("/chancery.v1.AuthService/Logout", Access::ClientOrUser),
    ("/chancery.v1.AuthService/IssueClientToken", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Introspect", Access::ConfidentialClient),
    ("/chancery.v1.TokenService/Revoke", Access::Client),
    (WATCH_REVOCATIONS, Access::Permission(crate::service::WATCH)),
    ("/chancery.v1.KeyService/GetJwks", Access::Anyone),
    ("/chancery.v1.KeyService/WatchJwks", Access::Anyone),
    ("/chancery.v1.KeyService/ListSigningKeys", Access::Permission("keys.read")),
    ("/chancery.v1.KeyService/RotateSigningKey", Access::Permission("keys.rotate")),
    ("/chancery.v1.KeyService/RevokeSigningKey", Access::Permission("keys.revoke")),
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
