//! JSON objects as `google.protobuf.Struct`, whose numbers are all doubles.

use prost_types::{ListValue, Struct, Value as WireValue, value::Kind};
use serde_json::{Map, Number, Value};

use crate::{
    domain::user::MAX_DEPTH,
    error::{Error, Result, Violation},
};

/// The largest integer below which a double represents every integer exactly: 2^53 - 1.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
/// Maximum number of violations reported at once, because they are sent in a header.
const MAX_VIOLATIONS: usize = 10;
/// Maximum length of the path in a violation, in bytes.
const MAX_PATH: usize = 256;

/// A JSON object as a `Struct`. Numbers that a double cannot represent are rounded to the nearest one.
pub(super) fn to_struct(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, value)| (name, to_value(value))).collect() }
}

/// Any JSON as a `Value`.
pub(super) fn to_value(value: Value) -> WireValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(b),
        // Without the feature `arbitrary_precision`, every JSON number has a nearest double.
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(s) => Kind::StringValue(s),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(to_value).collect() }),
        Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    WireValue { kind: Some(kind) }
}

/// A `Struct` in a request field as a JSON object. Whole numbers become integers, because that is what callers mean.
///
/// # Errors
/// A violation for each value that JSON cannot represent, that a double cannot represent exactly, or that is nested
/// too deep.
pub(super) fn from_struct(field: &'static str, message: Struct) -> Result<Map<String, Value>> {
    let mut reader = Reader::new(field, "import the user, or use the command line");
    let object = reader.object(message, MAX_DEPTH);
    if reader.violations.is_empty() { Ok(object) } else { Err(Error::Invalid(reader.violations)) }
}

/// A `Value` in a request field as JSON, by the same rules.
///
/// # Errors
/// Those of [`from_struct`].
pub(super) fn from_value(field: &'static str, message: WireValue) -> Result<Value> {
    let mut reader = Reader::new(field, "send it as a text");
    let value = reader.value(message, MAX_DEPTH + 1);
    if reader.violations.is_empty() { Ok(value) } else { Err(Error::Invalid(reader.violations)) }
}

struct Reader {
    /// Path of the value being read.
    path: String,
    /// What to do about a number that this field cannot hold.
    advice: &'static str,
    violations: Vec<Violation>,
}

impl Reader {
    fn new(field: &str, advice: &'static str) -> Self {
        Self { path: field.to_owned(), advice, violations: Vec::new() }
    }

    fn refuse(&mut self, problem: impl Into<String>) -> Value {
        if self.violations.len() < MAX_VIOLATIONS {
            let mut path = self.path.clone();
            if path.len() > MAX_PATH {
                path.truncate(path.floor_char_boundary(MAX_PATH));
                path.push('…');
            }
            self.violations.push(Violation { field: path.into(), description: problem.into() });
        }
        Value::Null
    }

    /// Reads a value at `step` below the current path.
    fn descend<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    fn object(&mut self, message: Struct, levels: usize) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in message.fields {
            let value = self.descend(&format!(".{name}"), |reader| reader.value(value, levels));
            object.insert(name, value);
        }
        object
    }

    /// Reads a value; `levels` counts the levels of nesting still allowed, including the one that contains it.
    fn value(&mut self, value: WireValue, levels: usize) -> Value {
        match value.kind {
            None => self.refuse("must have a value; null is a value too"),
            Some(Kind::NullValue(_)) => Value::Null,
            Some(Kind::BoolValue(b)) => Value::Bool(b),
            Some(Kind::StringValue(s)) => Value::String(s),
            Some(Kind::NumberValue(n)) => self.number(n),
            Some(Kind::ListValue(_) | Kind::StructValue(_)) if levels <= 1 => {
                self.refuse(format!("is nested deeper than {MAX_DEPTH} levels"))
            }
            Some(Kind::StructValue(members)) => Value::Object(self.object(members, levels - 1)),
            Some(Kind::ListValue(list)) => {
                let items = list.values.into_iter().enumerate();
                // List indexes start at 1 in google.rpc.BadRequest.
                let read = |(n, item)| {
                    self.descend(&format!("[{}]", n + 1), |reader: &mut Self| reader.value(item, levels - 1))
                };
                Value::Array(items.map(read).collect())
            }
        }
    }

    fn number(&mut self, n: f64) -> Value {
        if n.fract() != 0.0 || !n.is_finite() {
            return match Number::from_f64(n) {
                Some(number) => Value::Number(number),
                None => self.refuse("must be a finite number"),
            };
        }
        if n.abs() > MAX_EXACT {
            let advice = self.advice;
            return self
                .refuse(format!("is a whole number beyond 2^53-1, which this field cannot hold exactly; {advice}"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        let whole = n as i64;
        Value::Number(whole.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use serde_json::json;

    use super::*;
    use crate::grpc::pb;

    fn exact_integer() -> impl Strategy<Value = i64> {
        let most = 9_007_199_254_740_991_i64;
        prop_oneof![-most..=most, Just(most), Just(-most), -10_i64..10]
    }

    /// JSON that is accepted: integers within the exact range, and fractions.
    fn accepted_json() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            exact_integer().prop_map(Value::from),
            any::<f64>()
                .prop_filter("whole or not finite", |n| n.fract() != 0.0 && n.is_finite())
                .prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::btree_map(".{0,6}", value, 0..6).prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn accepted_json_survives_a_round_trip_over_the_wire_and_as_text(object in accepted_json()) {
            let wire = to_struct(object.clone()).encode_to_vec();
            let back = from_struct("attributes", Struct::decode(&*wire).unwrap()).unwrap();
            prop_assert_eq!(&back, &object);
            let text = Value::Object(back).to_string();
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(&text).unwrap(), object);
        }

        #[test]
        fn whole_numbers_within_the_exact_range_become_integers(n in exact_integer()) {
            let object = from_struct("attributes", to_struct(json!({ "n": n }).as_object().unwrap().clone())).unwrap();
            prop_assert_eq!(Value::Object(object).to_string(), format!("{{\"n\":{n}}}"));
        }
    }

    fn refused(value: Kind) -> Vec<(String, String)> {
        let one = |name: &str, kind| Struct { fields: [(name.to_owned(), WireValue { kind: Some(kind) })].into() };
        let list = ListValue {
            values: vec![WireValue { kind: Some(Kind::BoolValue(true)) }, WireValue { kind: Some(value) }],
        };
        let message = one("limits", Kind::StructValue(one("max", Kind::ListValue(list))));
        match from_struct("attributes", message) {
            Err(Error::Invalid(all)) => all.into_iter().map(|v| (v.field.into_owned(), v.description)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_that_json_or_a_double_cannot_represent_are_refused_with_their_path() {
        for n in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let want = [("attributes.limits.max[2]".to_owned(), "must be a finite number".to_owned())];
            assert_eq!(refused(Kind::NumberValue(n)), want);
        }
        for n in [9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 1e300] {
            let all = refused(Kind::NumberValue(n));
            assert_eq!(all[0].0, "attributes.limits.max[2]");
            assert!(all[0].1.contains("the command line"), "{all:?}");
        }
        let none = Struct { fields: [("a".to_owned(), WireValue { kind: None })].into() };
        assert!(from_struct("profile", none).unwrap_err().to_string().starts_with("profile.a: "));
    }

    #[test]
    fn a_number_that_a_double_cannot_represent_is_rounded_to_the_nearest() {
        let object = json!({ "n": 9_007_199_254_740_993_i64, "m": u64::MAX }).as_object().unwrap().clone();
        let message = to_struct(object);
        assert_eq!(message.fields["n"].kind, Some(Kind::NumberValue(9_007_199_254_740_992.0)));
        assert_eq!(message.fields["m"].kind, Some(Kind::NumberValue(18_446_744_073_709_551_616.0)));
    }

    fn nested(levels: usize) -> Struct {
        let mut message = Struct::default();
        for _ in 1..levels {
            let value = WireValue { kind: Some(Kind::StructValue(message)) };
            message = Struct { fields: [("a".to_owned(), value)].into() };
        }
        message
    }

    #[test]
    fn nesting_is_limited_and_accepted_objects_can_be_decoded_again() {
        let deepest = from_struct("attributes", nested(MAX_DEPTH)).unwrap();
        assert!(!crate::domain::user::is_deeper_than(MAX_DEPTH, &deepest));
        let error = from_struct("attributes", nested(MAX_DEPTH + 1)).unwrap_err().to_string();
        assert!(error.contains("is nested deeper than 16 levels"), "{error}");
        // Nested in a user in a response, as a client decodes it.
        let user = pb::User { attributes: Some(to_struct(deepest)), ..pb::User::default() };
        let wire = pb::GetUserResponse { user: Some(user) }.encode_to_vec();
        assert!(pb::GetUserResponse::decode(&*wire).is_ok());
    }

    /// Nests messages up to the maximum request size, without recursion. Each level is the `struct_value` of an entry
    /// in the `fields` of the level above.
    #[test]
    fn a_deeply_nested_request_is_refused_while_it_is_decoded() {
        let mut inner: Vec<u8> = Vec::new();
        loop {
            let mut value = vec![0x2a];
            prost::encoding::encode_varint(inner.len() as u64, &mut value);
            value.extend(&inner);
            let mut entry = vec![0x0a, 0x00, 0x12];
            prost::encoding::encode_varint(value.len() as u64, &mut entry);
            entry.extend(&value);
            let mut level = vec![0x0a];
            prost::encoding::encode_varint(entry.len() as u64, &mut level);
            level.extend(&entry);
            if level.len() > super::super::MAX_REQUEST {
                break;
            }
            inner = level;
        }
        assert!(inner.len() > 60_000);
        let error = Struct::decode(&*inner).unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }

    #[test]
    fn violations_are_limited_in_number_and_length() {
        let value = || WireValue { kind: Some(Kind::NumberValue(f64::NAN)) };
        let fields = (0..2000).map(|n| (format!("{n}{}", "é".repeat(300)), value())).collect();
        let Err(Error::Invalid(all)) = from_struct("attributes", Struct { fields }) else { panic!("accepted") };
        assert_eq!(all.len(), MAX_VIOLATIONS);
        assert!(all.iter().all(|v| v.field.len() <= MAX_PATH + '…'.len_utf8()));
    }
}
