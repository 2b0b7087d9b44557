//! Random messages of any shape, by their descriptors. Texts come from what the field is likely to hold, so that many
//! calls get past the first check.

use bytes::{Buf, BufMut};
use proptest::{collection::vec, option::weighted, prelude::*, sample::select};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::support::{ISSUER, PASSWORD};

/// Messages inside messages are this deep at most.
const DEPTH: usize = 3;

/// A random call. Texts such as `@refreshToken:0` are what the server gave out.
#[derive(Clone, Debug)]
pub(super) struct Random {
    pub(super) message: Value,
    pub(super) credentials: String,
}

/// A random call of a method that takes such a message.
pub(super) fn any_message(shape: &MessageDescriptor, method: &str) -> BoxedStrategy<Random> {
    let mine = method.ends_with("Me")
        || method.contains("My")
        || method == "ChangePassword"
        || method.ends_with("SessionData");
    let usual = if mine { "@own:0" } else { "boss" };
    let credentials = prop_oneof![
        7 => Just(usual),
        1 => select(vec!["", "boss", "wrong", "@accessToken:0", "@accessToken:1", "nonsense"]),
    ];
    let by_message = [
        "Login",
        "ContinueLogin",
        "StartGuestSession",
        "UpgradeGuest",
        "Refresh",
        "Register",
        "VerifyEmail",
        "ResetPassword",
    ]
    .contains(&method);
    let credentials =
        if by_message { prop_oneof![6 => Just(""), 1 => credentials].boxed() } else { credentials.boxed() };
    (message(shape, DEPTH), credentials)
        .prop_map(|(message, credentials)| Random { message, credentials: credentials.to_owned() })
        .boxed()
}

fn message(shape: &MessageDescriptor, depth: usize) -> BoxedStrategy<Value> {
    match shape.full_name() {
        "google.protobuf.Timestamp" => {
            select(vec!["2030-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2031-02-03T04:05:06.789Z"])
                .prop_map(Value::from)
                .boxed()
        }
        "google.protobuf.Duration" => {
            select(vec!["0s", "60s", "900s", "-5s", "0.500s", "315576000000s"]).prop_map(Value::from).boxed()
        }
        "google.protobuf.FieldMask" => {
            let masks =
                ["", "displayName", "scopes", "email", "attributes", "nonsense", "name,displayName", "permissions"];
            select(masks.to_vec()).prop_map(Value::from).boxed()
        }
        "google.protobuf.Struct" => {
            let structs =
                [json!({}), json!({"plan": "gold"}), json!({"a": {"b": [1, true, null, "x"]}}), json!({"n": 1.5})];
            select(structs.to_vec()).boxed()
        }
        // A message whose fields exclude each other is this JSON, as it stands.
        "google.protobuf.Value" => {
            let values =
                [json!(null), json!(true), json!(-1.5), json!("x"), json!([1, [{}]]), json!({"a": {"b": [2]}})];
            select(values.to_vec()).boxed()
        }
        _ => fields(shape, depth),
    }
}

fn fields(shape: &MessageDescriptor, depth: usize) -> BoxedStrategy<Value> {
    let mut all: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    let mut seen = Vec::new();
    for field in shape.fields() {
        // At most one of those that exclude each other.
        let group = field.containing_oneof().filter(|one| !one.is_synthetic()).map(|one| one.name().to_owned());
        if group.as_ref().is_some_and(|group| seen.contains(group)) {
            continue;
        }
        seen.extend(group);
        let likely = if ["client_id", "owner", "namespace", "value", "login", "password", "token", "refresh_token"]
            .contains(&field.name())
        {
            0.93
        } else {
            0.4
        };
        let name = field.json_name().to_owned();
        let value = weighted(likely, values(&field, depth));
        all = (all, value)
            .prop_map(move |(mut fields, value)| {
                fields.extend(value.map(|value| (name.clone(), value)));
                fields
            })
            .boxed();
    }
    all.prop_map(Value::Object).boxed()
}

fn values(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    if field.is_map() {
        return Just(json!({})).boxed();
    }
    let one = value(field, depth);
    if field.is_list() { vec(one, 0..3).prop_map(Value::Array).boxed() } else { one }
}

fn value(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    match field.kind() {
        Kind::Message(shape) if depth > 0 => message(&shape, depth - 1),
        Kind::Message(_) => Just(json!({})).boxed(),
        Kind::Enum(values) => {
            let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
            select(names).prop_map(Value::from).boxed()
        }
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            select(vec![0_i64, 1, 60, -1, i64::MAX]).prop_map(|n| json!(n.to_string())).boxed()
        }
        Kind::Uint64 | Kind::Fixed64 => select(vec![0_u64, 1, u64::MAX]).prop_map(|n| json!(n.to_string())).boxed(),
        // A part of a list shows its order.
        Kind::Int32 if field.name() == "page_size" => select(vec![0, 200, -1, i32::MAX]).prop_map(Value::from).boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            select(vec![0, 1, 2, 50, -1, i32::MAX]).prop_map(Value::from).boxed()
        }
        Kind::Uint32 | Kind::Fixed32 => select(vec![0_u32, 1, 50, u32::MAX]).prop_map(Value::from).boxed(),
        Kind::Double | Kind::Float => select(vec![0.0, 1.5, -2.0]).prop_map(Value::from).boxed(),
        Kind::Bytes => select(vec!["", "AA==", "3q2+7w=="]).prop_map(Value::from).boxed(),
        Kind::String => text(field.name()),
    }
}

/// Texts for a field of this name, and any others.
fn text(name: &str) -> BoxedStrategy<Value> {
    let likely: &[&str] = match name {
        "client_id" | "client" => &["app", "portal", "app", "nobody", ""],
        "login" | "user" | "user_id" | "name" | "username" | "user_name" => {
            &["ada", "root", "grace", "linus", "nobody"]
        }
        "password" | "current_password" | "new_password" => &[PASSWORD, PASSWORD, "short", "another horse battery"],
        "token" => &["@accessToken:0", "@refreshToken:0", "@refreshToken:1", "nonsense"],
        "refresh_token" => &["@refreshToken:0", "@refreshToken:0", "@refreshToken:1", "@refreshToken:3", "nonsense"],
        "session_id" => &["@sessionId:0", "@sessionId:1", "ses_nothing"],
        "device_token" => &["@deviceToken:0", "nonsense", ""],
        "challenge" => &["@challenge:0", "nonsense"],
        "etag" => &["", "", "@etag:0", "nonsense"],
        "audience" | "audiences" | "serves" => &["api", ISSUER, "other", "nobody"],
        "scopes" | "scope" => &["read", "write", "everything"],
        "email" => &["ada@example.com", "grace@example.com", "no address"],
        "namespace" => &["cart", "cart", "form.1", "No Name"],
        "role" | "role_id" | "roles" => &["administrator", "support", "nothing"],
        "permissions" => &["users.read", "orders.read@api", "no permission"],
        "language" => &["de", "en", "xx-invalid-language"],
        "request_id" => &["first", "second", ""],
        "page_token" => &["", "", "nonsense"],
        "display_name" | "device_label" => &["Ada", "Ünïcode \u{1F600}", ""],
        _ => &["", "x", "1"],
    };
    prop_oneof![
        9 => select(likely.to_vec()).prop_map(Value::from),
        1 => "\\PC{0,12}".prop_filter("a reference", |text| !text.starts_with('@')).prop_map(Value::from),
        1 => Just(json!("a\u{0}b\u{202e}\u{feff}")),
    ]
    .boxed()
}

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
