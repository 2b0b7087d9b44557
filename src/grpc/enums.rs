//! Conversions between domain enums and wire enums.

use std::collections::BTreeMap;

use super::proto::pb;
use crate::{
    domain::{audit::AuditKind, client::Grant, factor::FactorKind, guest::GuestDataPolicy, keys::Algorithm},
    error::{Error, Result},
};

/// The wire value of a grant.
pub(super) const fn grant(grant: Grant) -> pb::Grant {
    match grant {
        Grant::DirectLogin => pb::Grant::DirectLogin,
        Grant::RefreshToken => pb::Grant::RefreshToken,
        Grant::ClientCredentials => pb::Grant::ClientCredentials,
        Grant::Guest => pb::Grant::Guest,
    }
}

/// Parses the grants of a request into their names.
pub(super) fn parse_grants(values: &[i32]) -> Result<Vec<String>> {
    values.iter().map(|value| parse_grant(*value).map(|grant| grant.as_str().to_owned())).collect()
}

fn parse_grant(value: i32) -> Result<Grant> {
    match pb::Grant::try_from(value) {
        Ok(pb::Grant::DirectLogin) => Ok(Grant::DirectLogin),
        Ok(pb::Grant::RefreshToken) => Ok(Grant::RefreshToken),
        Ok(pb::Grant::ClientCredentials) => Ok(Grant::ClientCredentials),
        Ok(pb::Grant::Guest) => Ok(Grant::Guest),
        Ok(pb::Grant::Unspecified) | Err(_) => {
            let problem = "must be GRANT_DIRECT_LOGIN, GRANT_REFRESH_TOKEN, GRANT_CLIENT_CREDENTIALS or GRANT_GUEST";
            Err(Error::invalid("grants", problem))
        }
    }
}

/// The wire value of a policy for guests' data.
pub(super) const fn guest_data_policy(policy: GuestDataPolicy) -> pb::GuestDataPolicy {
    match policy {
        GuestDataPolicy::KeepGuest => pb::GuestDataPolicy::KeepGuest,
        GuestDataPolicy::KeepAccount => pb::GuestDataPolicy::KeepAccount,
        GuestDataPolicy::ReturnBoth => pb::GuestDataPolicy::ReturnBoth,
    }
}

/// Parses a policy for guests' data; nothing if it is unspecified.
pub(super) fn parse_guest_data_policy(field: &'static str, value: i32) -> Result<Option<GuestDataPolicy>> {
    match pb::GuestDataPolicy::try_from(value) {
        Ok(pb::GuestDataPolicy::Unspecified) => Ok(None),
        Ok(pb::GuestDataPolicy::KeepGuest) => Ok(Some(GuestDataPolicy::KeepGuest)),
        Ok(pb::GuestDataPolicy::KeepAccount) => Ok(Some(GuestDataPolicy::KeepAccount)),
        Ok(pb::GuestDataPolicy::ReturnBoth) => Ok(Some(GuestDataPolicy::ReturnBoth)),
        Err(_) => {
            let problem = "must be GUEST_DATA_POLICY_KEEP_GUEST, GUEST_DATA_POLICY_KEEP_ACCOUNT or \
                GUEST_DATA_POLICY_RETURN_BOTH";
            Err(Error::invalid(field, problem))
        }
    }
}

/// The policies of a client by namespace, as the wire type.
pub(super) fn guest_data(policies: &BTreeMap<String, GuestDataPolicy>) -> BTreeMap<String, i32> {
    policies.iter().map(|(namespace, policy)| (namespace.clone(), guest_data_policy(*policy).into())).collect()
}

/// Policies in the form that the service reads, `NAMESPACE=POLICY`. A name with `=` in it would be read as another.
pub(super) fn parse_guest_data(policies: &BTreeMap<String, i32>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for (namespace, value) in policies {
        if namespace.contains('=') {
            return Err(Error::invalid("guest_data", "the name of a namespace must not contain ="));
        }
        let policy = parse_guest_data_policy("guest_data", *value)?.unwrap_or_default();
        texts.push(format!("{namespace}={}", policy.as_str()));
    }
    Ok(texts)
}

/// The wire value of an algorithm.
pub(super) const fn algorithm(algorithm: Algorithm) -> pb::SignatureAlgorithm {
    match algorithm {
        Algorithm::Rs256 => pb::SignatureAlgorithm::Rs256,
        Algorithm::Es256 => pb::SignatureAlgorithm::Es256,
        Algorithm::EdDsa => pb::SignatureAlgorithm::Eddsa,
    }
}

/// Parses the algorithm of a request; `None` if it is unspecified.
pub(super) fn parse_algorithm(value: i32) -> Result<Option<Algorithm>> {
    match pb::SignatureAlgorithm::try_from(value) {
        Ok(pb::SignatureAlgorithm::Unspecified) => Ok(None),
        Ok(pb::SignatureAlgorithm::Rs256) => Ok(Some(Algorithm::Rs256)),
        Ok(pb::SignatureAlgorithm::Es256) => Ok(Some(Algorithm::Es256)),
        Ok(pb::SignatureAlgorithm::Eddsa) => Ok(Some(Algorithm::EdDsa)),
        Err(_) => {
            let problem = "must be SIGNATURE_ALGORITHM_RS256, SIGNATURE_ALGORITHM_ES256 or SIGNATURE_ALGORITHM_EDDSA";
            Err(Error::invalid("algorithm", problem))
        }
    }
}

/// The wire value of a kind of second factors.
pub(super) const fn factor_kind(kind: FactorKind) -> pb::FactorKind {
    match kind {
        FactorKind::Totp => pb::FactorKind::Totp,
        FactorKind::Passkey => pb::FactorKind::Passkey,
        FactorKind::RecoveryCode => pb::FactorKind::RecoveryCode,
    }
}

/// The wire value of an audit event kind.
pub(super) const fn audit_kind(kind: AuditKind) -> pb::AuditEventKind {
    match kind {
        AuditKind::SignedIn => pb::AuditEventKind::SignedIn,
        AuditKind::SessionRevoked => pb::AuditEventKind::SessionRevoked,
        AuditKind::RefreshTokenReused => pb::AuditEventKind::RefreshTokenReused,
        AuditKind::SessionFastForwarded => pb::AuditEventKind::SessionFastForwarded,
        AuditKind::AccountThrottled => pb::AuditEventKind::AccountThrottled,
        AuditKind::UserCreated => pb::AuditEventKind::UserCreated,
        AuditKind::UserRegistered => pb::AuditEventKind::UserRegistered,
        AuditKind::UsersImported => pb::AuditEventKind::UsersImported,
        AuditKind::UserUpdated => pb::AuditEventKind::UserUpdated,
        AuditKind::EmailChanged => pb::AuditEventKind::EmailChanged,
        AuditKind::UserDisabled => pb::AuditEventKind::UserDisabled,
        AuditKind::UserEnabled => pb::AuditEventKind::UserEnabled,
        AuditKind::UserDeleted => pb::AuditEventKind::UserDeleted,
        AuditKind::PasswordSet => pb::AuditEventKind::PasswordSet,
        AuditKind::PasswordResetStarted => pb::AuditEventKind::PasswordResetStarted,
        AuditKind::RoleAssigned => pb::AuditEventKind::RoleAssigned,
        AuditKind::RoleUnassigned => pb::AuditEventKind::RoleUnassigned,
        AuditKind::RoleCreated => pb::AuditEventKind::RoleCreated,
        AuditKind::RoleUpdated => pb::AuditEventKind::RoleUpdated,
        AuditKind::RoleDeleted => pb::AuditEventKind::RoleDeleted,
        AuditKind::ClientCreated => pb::AuditEventKind::ClientCreated,
        AuditKind::ClientUpdated => pb::AuditEventKind::ClientUpdated,
        AuditKind::ClientSecretRotated => pb::AuditEventKind::ClientSecretRotated,
        AuditKind::ClientDisabled => pb::AuditEventKind::ClientDisabled,
        AuditKind::ClientEnabled => pb::AuditEventKind::ClientEnabled,
        AuditKind::ClientDeleted => pb::AuditEventKind::ClientDeleted,
        AuditKind::KeysRotated => pb::AuditEventKind::KeysRotated,
        AuditKind::KeyRevoked => pb::AuditEventKind::KeyRevoked,
        AuditKind::KeyTrusted => pb::AuditEventKind::KeyTrusted,
        AuditKind::SettingChanged => pb::AuditEventKind::SettingChanged,
        AuditKind::InstanceCreated => pb::AuditEventKind::InstanceCreated,
        AuditKind::IssuerChanged => pb::AuditEventKind::IssuerChanged,
        AuditKind::BackupStarted => pb::AuditEventKind::BackupStarted,
        AuditKind::DatabaseRestored => pb::AuditEventKind::DatabaseRestored,
        AuditKind::PasskeySuspected => pb::AuditEventKind::PasskeySuspected,
        AuditKind::AuditEventsDeleted => pb::AuditEventKind::AuditEventsDeleted,
        AuditKind::FactorAdded => pb::AuditEventKind::FactorAdded,
        AuditKind::FactorRemoved => pb::AuditEventKind::FactorRemoved,
        AuditKind::RecoveryCodesReplaced => pb::AuditEventKind::RecoveryCodesReplaced,
        AuditKind::RecoveryCodeUsed => pb::AuditEventKind::RecoveryCodeUsed,
        AuditKind::SealingKeyAdded => pb::AuditEventKind::SealingKeyAdded,
        AuditKind::SealingKeyRotated => pb::AuditEventKind::SealingKeyRotated,
        AuditKind::SealingKeyDropped => pb::AuditEventKind::SealingKeyDropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_event_kinds_have_the_same_names_on_the_wire_and_in_the_database() {
        for kind in AuditKind::ALL {
            assert_eq!(audit_kind(*kind).as_str_name(), format!("AUDIT_EVENT_KIND_{}", kind.as_str()));
        }
        // The numbers have gaps.
        let wire_count = (1..1000).filter(|n| pb::AuditEventKind::try_from(*n).is_ok()).count();
        assert_eq!(wire_count, AuditKind::ALL.len());
    }

    #[test]
    fn grants_and_algorithms_survive_a_round_trip() {
        for value in [Grant::DirectLogin, Grant::RefreshToken, Grant::ClientCredentials, Grant::Guest] {
            assert_eq!(parse_grants(&[grant(value).into()]).unwrap(), [value.as_str()]);
            assert_eq!(grant(value).as_str_name(), format!("GRANT_{}", value.as_str().to_uppercase()));
        }
        for value in Algorithm::ALL {
            assert_eq!(parse_algorithm(algorithm(value).into()).unwrap(), Some(value));
            let name = format!("SIGNATURE_ALGORITHM_{}", value.as_str().to_uppercase());
            assert_eq!(algorithm(value).as_str_name(), name);
        }
    }

    #[test]
    fn unknown_enum_values_are_refused_with_their_field() {
        for value in [0, 5, -1, i32::MAX] {
            assert!(parse_grants(&[1, value]).unwrap_err().to_string().starts_with("grants: "), "{value}");
        }
        assert_eq!(parse_algorithm(0).unwrap(), None);
        for value in [4, -1, i32::MAX] {
            assert!(parse_algorithm(value).unwrap_err().to_string().starts_with("algorithm: "), "{value}");
        }
    }
}
