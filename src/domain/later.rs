//! What a later release has stored in a JSON document that this one reads and writes back whole. In a rolling upgrade, or
//! after a step back, it must not be lost.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The most members of a document that are kept, and the most bytes of their names and values. No release stores more.
const MAX_MEMBERS: usize = 64;
const MAX_BYTES: usize = 16 * 1024;

/// The members of a JSON document that this release does not know. They are kept as they are and never printed: what is
/// in them, only a later release knows.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Later(Map<String, Value>);

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut left = MAX_BYTES;
        let mut fits = |name: &str, value: &Value| {
            let bytes = name.len() + value.to_string().len();
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let members = Map::deserialize(deserializer)?;
        Ok(Self(members.into_iter().take(MAX_MEMBERS).filter(|(name, value)| fits(name, value)).collect()))
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} members", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{client::ClientConfig, settings::Settings};

    #[test]
    fn settings_of_a_later_release_survive_a_change() {
        let mut stored = serde_json::to_value(Settings::default()).unwrap();
        stored["later_days"] = json!([7, { "a": "canary" }]);
        stored["limits"]["later_limit"] = json!(9);
        let mut read: Settings = serde_json::from_value(stored.clone()).unwrap();
        assert!(!format!("{read:?}").contains("canary"));
        read.sessions_per_user = 5;
        stored["sessions_per_user"] = json!(5);
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    }

    #[test]
    fn members_of_a_client_of_a_later_release_survive_a_change() {
        let stored = json!({
            "first_party": true, "grants": ["refresh_token"], "audiences": ["api"], "scopes": [], "permissions": [],
            "algorithm": "ES256", "token_lifetime": 300_000, "session_idle": 1000, "session_absolute": 2000,
            "claim_map": {}, "trusted_end_user": false, "later_name": "canary",
        });
        let read: ClientConfig = serde_json::from_value(stored).unwrap();
        assert!(!format!("{read:?}").contains("canary"));
        let changed = ClientConfig { registration: true, ..read };
        let written = serde_json::to_value(&changed).unwrap();
        assert_eq!((&written["later_name"], &written["registration"]), (&json!("canary"), &json!(true)));
        assert!(written.get("later").is_none(), "{written}");
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let many: Map<String, Value> = (0..1000).map(|n| (format!("m{n}"), json!(n))).collect();
        let kept: Later = serde_json::from_value(Value::Object(many)).unwrap();
        assert_eq!(kept.0.len(), MAX_MEMBERS);
        let kept: Later = serde_json::from_value(json!({ "long": "x".repeat(MAX_BYTES), "z": 1 })).unwrap();
        assert!(!kept.0.contains_key("long"));
    }
}
