//! What a guest and an account both had, within the bounds of an answer.

use prost::Message;

use super::{enums::guest_data_policy, proto::pb, structs::to_value};
use crate::domain::guest_conflict::GuestConflict;

/// Maximum size of all values of an answer together, in bytes as they are sent. Clients take answers of 4 MiB, and a
/// number takes up to eleven bytes for two of JSON.
const MAX_VALUES: usize = 1024 * 1024;

/// The conflicts as messages. The values of one are left out if they do not fit.
pub(super) fn conflicts(all: Vec<GuestConflict>) -> Vec<pb::GuestDataConflict> {
    let mut left = MAX_VALUES;
    all.into_iter().map(|conflict| message(conflict, &mut left)).collect()
}

fn message(conflict: GuestConflict, left: &mut usize) -> pb::GuestDataConflict {
    let policy = guest_data_policy(conflict.policy).into();
    let named = pb::GuestDataConflict { namespace: conflict.namespace, policy, ..Default::default() };
    // One at a time: parsed, a value takes many times as much.
    let guest_value = to_value(conflict.guest.to_value());
    let account_value = conflict.account.map(|value| to_value(value.to_value()));
    let bytes = guest_value.encoded_len() + account_value.as_ref().map_or(0, Message::encoded_len);
    let Some(rest) = left.checked_sub(bytes) else {
        return pb::GuestDataConflict { values_left_out: true, ..named };
    };
    *left = rest;
    pb::GuestDataConflict { guest_value: Some(guest_value), account_value, ..named }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{guest::GuestDataPolicy, session_data::DataValue};

    fn conflict(n: usize, value: &Value) -> GuestConflict {
        let value = DataValue::new(value.clone()).unwrap();
        GuestConflict {
            namespace: format!("n{n}"),
            policy: GuestDataPolicy::ReturnBoth,
            guest: value.clone(),
            account: Some(value),
        }
    }

    #[test]
    fn the_largest_conflicts_fit_into_an_answer_that_every_client_takes() {
        let large = Value::Array(vec![json!(1); 8191]);
        let mut all: Vec<_> = (0..64).map(|n| conflict(n, &large)).collect();
        all.push(conflict(64, &json!("small")));
        let answer = pb::UpgradeGuestResponse { conflicts: conflicts(all), ..Default::default() };
        assert!(answer.encoded_len() < 1100 * 1024, "{}", answer.encoded_len());
        let told: Vec<_> = answer.conflicts.iter().map(|conflict| !conflict.values_left_out).collect();
        assert_eq!((told[0], told[63], told[64], told.len()), (true, false, true, 65));
        for conflict in &answer.conflicts {
            assert_eq!(conflict.guest_value.is_some(), !conflict.values_left_out);
            assert_eq!(conflict.account_value.is_some(), !conflict.values_left_out);
        }
    }
}
