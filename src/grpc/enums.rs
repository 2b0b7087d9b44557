//! Closed sets of values, as the wire numbers them.

use super::proto::pb;
use crate::{
    domain::{audit::AuditKind, client::Grant, keys::Algorithm},
    error::{Error, Result},
};

/// The wire's value of a grant.
pub(super) const fn grant(grant: Grant) -> pb::Grant {
    match grant {
        Grant::DirectLogin => pb::Grant::DirectLogin,
        Grant::RefreshToken => pb::Grant::RefreshToken,
        Grant::ClientCredentials => pb::Grant::ClientCredentials,
    }
}

/// The grants of a request, by their names.
pub(super) fn grants(values: &[i32]) -> Result<Vec<String>> {
    values.iter().map(|value| grant_of(*value).map(|grant| grant.as_str().to_owned())).collect()
}

fn grant_of(value: i32) -> Result<Grant> {
    match pb::Grant::try_from(value) {
        Ok(pb::Grant::DirectLogin) => Ok(Grant::DirectLogin),
        Ok(pb::Grant::RefreshToken) => Ok(Grant::RefreshToken),
        Ok(pb::Grant::ClientCredentials) => Ok(Grant::ClientCredentials),
        Ok(pb::Grant::Unspecified) | Err(_) => {
            let problem = "must be GRANT_DIRECT_LOGIN, GRANT_REFRESH_TOKEN or GRANT_CLIENT_CREDENTIALS";
            Err(Error::invalid("grants", problem))
        }
    }
}

/// The wire's value of an algorithm.
pub(super) const fn algorithm(algorithm: Algorithm) -> pb::SignatureAlgorithm {
    match algorithm {
        Algorithm::Rs256 => pb::SignatureAlgorithm::Rs256,
        Algorithm::Es256 => pb::SignatureAlgorithm::Es256,
        Algorithm::EdDsa => pb::SignatureAlgorithm::Eddsa,
    }
}

/// The algorithm of a request; none if it is unspecified.
pub(super) fn algorithm_of(value: i32) -> Result<Option<Algorithm>> {
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

/// The wire's value of a kind of audit event.
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_events_have_one_name_on_the_wire_and_in_the_database() {
        for kind in AuditKind::ALL {
            assert_eq!(audit_kind(*kind).as_str_name(), format!("AUDIT_EVENT_KIND_{}", kind.as_str()));
        }
        let of_the_wire = (1..).map_while(|n| pb::AuditEventKind::try_from(n).ok()).count();
        assert_eq!(of_the_wire, AuditKind::ALL.len());
    }

    #[test]
    fn grants_and_algorithms_come_back_from_the_wire() {
        for value in [Grant::DirectLogin, Grant::RefreshToken, Grant::ClientCredentials] {
            assert_eq!(grants(&[grant(value).into()]).unwrap(), [value.as_str()]);
            assert_eq!(grant(value).as_str_name(), format!("GRANT_{}", value.as_str().to_uppercase()));
        }
        for value in Algorithm::ALL {
            assert_eq!(algorithm_of(algorithm(value).into()).unwrap(), Some(value));
            let name = format!("SIGNATURE_ALGORITHM_{}", value.as_str().to_uppercase());
            assert_eq!(algorithm(value).as_str_name(), name);
        }
    }

    #[test]
    fn values_that_are_not_known_are_refused_by_their_field() {
        for value in [0, 4, -1, i32::MAX] {
            assert!(grants(&[1, value]).unwrap_err().to_string().starts_with("grants: "), "{value}");
        }
        assert_eq!(algorithm_of(0).unwrap(), None);
        for value in [4, -1, i32::MAX] {
            assert!(algorithm_of(value).unwrap_err().to_string().starts_with("algorithm: "), "{value}");
        }
    }
}
