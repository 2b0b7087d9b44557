//! What becomes of the data of guests who sign in at a client's site.

use std::collections::BTreeMap;

use crate::{
    domain::{
        guest::{GuestDataPolicy, MAX_POLICIES},
        session_data::Namespace,
    },
    error::Violations,
};

/// Parses `NAMESPACE=POLICY`.
pub(super) fn guest_data(violations: &mut Violations, texts: &[String]) -> BTreeMap<String, GuestDataPolicy> {
    let mut policies = BTreeMap::new();
    if texts.len() > MAX_POLICIES {
        violations.add("guest_data", format!("must be at most {MAX_POLICIES}"));
        return policies;
    }
    for text in texts {
        let (namespace, policy) = text.split_once('=').unwrap_or((text, ""));
        if let Err(problem) = namespace.parse::<Namespace>() {
            violations.add("guest_data", format!("the name of a namespace {problem}"));
        } else if policies.contains_key(namespace) {
            violations.add("guest_data", format!("{namespace} is there twice"));
        } else {
            match policy.parse() {
                Ok(policy) => {
                    policies.insert(namespace.to_owned(), policy);
                }
                Err(problem) => violations.add("guest_data", format!("{namespace}: the policy {problem}")),
            }
        }
    }
    policies
}
