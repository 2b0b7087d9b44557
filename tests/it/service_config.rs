//! The service config that clients of gRPC are offered names methods that exist, and only such as may be called twice.

use std::collections::BTreeSet;

use chancery::service::ACCESS;
use serde_json::Value;

/// Changes that a repeated call makes once, or whose repetition does no harm: a second session at most.
const REPEATABLE: [&str; 5] = ["Login", "Refresh", "Logout", "IssueClientToken", "Revoke"];

#[test]
fn every_method_of_the_service_config_exists_and_may_be_repeated() {
    let text = std::fs::read_to_string("proto/service_config.json").unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let names = config["methodConfig"][0]["name"].as_array().unwrap();
    let mut found = BTreeSet::new();
    for name in names {
        let start = match (name["service"].as_str().unwrap(), name["method"].as_str()) {
            (service, Some(method)) => format!("/{service}/{method}"),
            (service, None) => format!("/{service}/"),
        };
        let whole = name["method"].is_string();
        let of: Vec<_> = ACCESS
            .iter()
            .map(|(path, _)| *path)
            .filter(|p| if whole { *p == start } else { p.starts_with(&start) })
            .collect();
        assert!(!of.is_empty(), "{start}");
        found.extend(of);
    }
    for path in found {
        let method = path.rsplit('/').next().unwrap();
        let reads = ["Get", "List", "Watch", "Introspect"].iter().any(|start| method.starts_with(start));
        assert!(reads || REPEATABLE.contains(&method), "{path}");
    }
    assert_eq!(config["loadBalancingConfig"][0]["round_robin"], serde_json::json!({}));
}
