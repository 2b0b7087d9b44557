//! Guests: people with a session but without an account, and what becomes of their data when they sign in.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{id::SessionId, time::Ttl};

/// How long a guest's session may be idle at most.
pub const GUEST_IDLE: Ttl = Ttl::from_days(1);
/// For how long requests of a browser may still be on their way without the cookie that it has just got, as a guest or by a
/// sign-in.
pub const SAME_BROWSER: Ttl = Ttl::from_secs(60);
/// Maximum number of policies that a client or a request may give.
pub const MAX_POLICIES: usize = 64;

/// What becomes of a guest's data in a namespace in which the account has data already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestDataPolicy {
    /// It takes the place of the account's.
    #[default]
    KeepGuest,
    /// The account's stays.
    KeepAccount,
    /// The account's stays, and the guest's becomes that of the new session.
    ReturnBoth,
}

impl GuestDataPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::KeepGuest, Self::KeepAccount, Self::ReturnBoth];

    /// The name on the command line and in the configuration of a client.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeepGuest => "keep_guest",
            Self::KeepAccount => "keep_account",
            Self::ReturnBoth => "return_both",
        }
    }
}

impl FromStr for GuestDataPolicy {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The API has the same names in capitals.
        let found = Self::ALL.into_iter().find(|policy| policy.as_str().eq_ignore_ascii_case(text));
        found.ok_or("must be keep_guest, keep_account or return_both")
    }
}

/// A browser in which somebody signs in. Only whoever has the visitor's cookie can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningBrowser {
    /// Its keyed hash.
    pub proof: [u8; 32],
    /// What becomes of the data of a guest that it has just become, without having sent the cookie yet.
    pub policies: GuestPolicies,
}

impl SigningBrowser {
    /// Under which id it stands among the forms that were spent.
    #[must_use]
    pub fn id_of(proof: &[u8; 32]) -> [u8; 16] {
        proof.first_chunk::<16>().copied().unwrap_or_default()
    }
}

/// The policies of one sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPolicies {
    /// The one for namespaces without their own.
    pub default: GuestDataPolicy,
    /// Those of single namespaces.
    pub of: BTreeMap<String, GuestDataPolicy>,
}

impl GuestPolicies {
    /// The policy for a namespace.
    #[must_use]
    pub fn policy(&self, namespace: &str) -> GuestDataPolicy {
        self.of.get(namespace).copied().unwrap_or(self.default)
    }
}

/// A guest's session that a sign-in ends, and whose data the account gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestJoin {
    /// The session.
    pub session: SessionId,
    /// What becomes of the data.
    pub policies: GuestPolicies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_a_policy_of_its_own_has_the_default() {
        let of = BTreeMap::from([("cart".to_owned(), GuestDataPolicy::ReturnBoth)]);
        let policies = GuestPolicies { of, default: GuestDataPolicy::KeepAccount };
        assert_eq!(policies.policy("cart"), GuestDataPolicy::ReturnBoth);
        assert_eq!(policies.policy("form"), GuestDataPolicy::KeepAccount);
        assert_eq!(GuestPolicies::default().policy("cart"), GuestDataPolicy::KeepGuest);
    }

    #[test]
    fn policies_have_the_same_names_everywhere() {
        for policy in GuestDataPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        assert!("KEEP".parse::<GuestDataPolicy>().is_err());
    }
}
