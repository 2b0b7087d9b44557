//! Messages between JSON and protobuf, by the descriptors that are compiled in (the JSON mapping of protobuf).

use std::{collections::HashMap, io, sync::LazyLock};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::{Serialize, de::DeserializeSeed};
use serde_json::ser::{CompactFormatter, Formatter};
use tonic::{Code, Status};

use super::doubled::NoneTwice;
use crate::grpc::{proto::DESCRIPTORS, status::detailed_status};

/// Length of the prefix of a message, in bytes: a flag and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
pub(super) const PREFIX: usize = 5;
/// The longest text of a problem, which quotes names of the message, in bytes.
const MAX_PROBLEM: usize = 256;

/// What a method takes and gives.
#[derive(Debug)]
pub(super) struct Shape {
    input: MessageDescriptor,
    output: MessageDescriptor,
    pub(super) is_unary: bool,
}

/// Everything in the descriptors. Empty if they cannot be read, which a test excludes.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

static SHAPES: LazyLock<HashMap<String, Shape>> = LazyLock::new(|| {
    let methods = POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let shapes = methods.map(|method| {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let is_unary = !method.is_client_streaming() && !method.is_server_streaming();
        (path, Shape { input: method.input(), output: method.output(), is_unary })
    });
    shapes.collect()
});

/// The method with this path.
pub(super) fn shape(path: &str) -> Option<&'static Shape> {
    SHAPES.get(path)
}

/// The message that a JSON text stands for, with its prefix.
pub(super) fn read(shape: &Shape, json: &[u8]) -> Result<Bytes, Status> {
    let message = parse(&shape.input, json)
        .map_err(|problem| detailed_status(Code::InvalidArgument, &format!("the JSON cannot be read: {problem}")))?;
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // There is room for it.
    let _ = message.encode(&mut framed);
    Ok(framed.freeze())
}

fn parse(shape: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, String> {
    if json.trim_ascii().is_empty() {
        return Err("there is none; send {} for a message without fields".to_owned());
    }
    // A misspelt field must not count as one that is missing.
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize_with_options(shape.clone(), &mut reader, &options);
    let message = message
        .and_then(|message| reader.end().map(|()| message))
        .map_err(|error| problem(&field_at_fault(shape, json, &options), &error))?;
    none_twice(shape, json)?;
    Ok(message)
}

/// Fails if a field stands twice.
fn none_twice(shape: &MessageDescriptor, json: &[u8]) -> Result<(), String> {
    let seed = || NoneTwice(Some(shape.clone()));
    let checked = seed().deserialize(&mut serde_json::Deserializer::from_slice(json));
    checked.map_err(|error| {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let mut track = serde_path_to_error::Track::new();
        let _ = seed().deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
        problem(&track.path().to_string(), &error)
    })
}

/// The path of the field that cannot be read. The text is read again, because following the path takes time that good
/// messages do not need.
fn field_at_fault(shape: &MessageDescriptor, json: &[u8], options: &DeserializeOptions) -> String {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let reader = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let again = DynamicMessage::deserialize_with_options(shape.clone(), reader, options);
    if again.is_ok() { String::new() } else { track.path().to_string() }
}

/// What is wrong and where, without the value, which may be a secret.
fn problem(field: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (what, place) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let what = what.rsplit_once(", expected ").map_or_else(|| what.to_owned(), |(_, kind)| format!("must be {kind}"));
    let what = what.replace("must be a map", "must be an object");
    let what = what.get(..what.floor_char_boundary(MAX_PROBLEM)).unwrap_or_default();
    let field = field.get(..field.floor_char_boundary(MAX_PROBLEM)).unwrap_or_default();
    let place = if place.is_empty() { String::new() } else { format!(" (line {place})") };
    match field {
        "" | "." | "?" => format!("{what}{place}"),
        field => format!("{field}: {what}{place}"),
    }
}

/// The JSON of an answer's message, without its prefix. Fields that are not set are written as well, as far as "not set"
/// is not a value of its own: whoever reads `active` finds `false` and not nothing.
pub(super) fn write(shape: &Shape, message: &[u8]) -> Result<Vec<u8>, Status> {
    let unreadable = || detailed_status(Code::Unknown, "the answer cannot be written as JSON");
    let message = DynamicMessage::decode(shape.output.clone(), message).map_err(|_| unreadable())?;
    let mut json = serde_json::Serializer::with_formatter(Vec::with_capacity(1024), PlainNumbers);
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut json, &options).map_err(|_| unreadable())?;
    Ok(json.into_inner())
}

/// Writes JSON without spaces, and whole numbers as such: protobuf's own printers write 7 where the value of a `Struct` is
/// 7, and not 7.0, which many readers take for no whole number.
#[derive(Clone, Copy, Debug)]
struct PlainNumbers;

/// Beyond it, a number of 64 bits with a point does not tell one whole number from the next.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

impl Formatter for PlainNumbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 && value.abs() <= MAX_WHOLE {
            return write!(writer, "{value:.0}");
        }
        CompactFormatter.write_f64(writer, value)
    }
}

/// The JSON of a message of this type, if it is known and can be read.
pub(super) fn shown(name: &str, message: &[u8]) -> Option<serde_json::Value> {
    let message = DynamicMessage::decode(POOL.get_message_by_name(name)?, message).ok()?;
    message.serialize(serde_json::value::Serializer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(path: &str, json: &str) -> Result<usize, String> {
        read(shape(path).unwrap(), json.as_bytes()).map(|bytes| bytes.len()).map_err(|s| s.message().to_owned())
    }

    const LOGIN: &str = "/chancery.v1.AuthService/Login";

    #[test]
    fn every_method_of_ours_has_a_shape() {
        for (path, _) in crate::service::ACCESS.iter().filter(|(path, _)| path.starts_with("/chancery.v1.")) {
            assert!(shape(path).is_some(), "{path}");
        }
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        assert_eq!(reads(LOGIN, r#"{"clientId":"a"}"#), reads(LOGIN, r#"{"client_id":"a"}"#));
        assert_eq!(reads(LOGIN, " {} "), Ok(PREFIX));
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        for (json, wanted) in [
            ("", "the JSON cannot be read: there is none; send {} for a message without fields"),
            ("{", "EOF while parsing an object (line 1 column 1)"),
            ("{} x", "trailing characters (line 1 column 4)"),
            ("[]", "must be an object"),
            ("null", "must be an object"),
            (r#"{"logn":"ada"}"#, "logn"),
            (r#"{"password":12345678}"#, "password: must be a string (line 1 column 20)"),
            (r#"{"scopes":"a"}"#, "scopes: must be a list"),
            (r#"{"endUser":{"address":7}}"#, "endUser.address: must be a string"),
            (r#"{"password":"\ud800"}"#, "password: "),
        ] {
            let problem = reads(LOGIN, json).unwrap_err();
            assert!(problem.contains(wanted), "{json}: {problem}");
            assert!(!problem.contains("12345678"), "{problem}");
        }
        let deep = format!("{}1{}", r#"{"endUser":"#.repeat(200), "}".repeat(200));
        assert!(reads(LOGIN, &deep).is_err());
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_by_name() {
        for (json, wanted) in [
            (r#"{"login":"ada","login":"bob"}"#, "'login' stands twice"),
            (r#"{"clientId":"a","client_id":"b"}"#, "'client_id' stands twice"),
            (r#"{"endUser":{"userAgent":"a","user_agent":"b"}}"#, "endUser"),
        ] {
            let problem = reads(LOGIN, json).unwrap_err();
            assert!(problem.contains(wanted) && problem.contains("stands twice"), "{json}: {problem}");
        }
        let user = |attributes: &str| format!(r#"{{"user":{{"name":"a","attributes":{attributes}}}}}"#);
        let create = "/chancery.v1.UserService/CreateUser";
        assert!(reads(create, &user(r#"{"a_b":1,"aB":2,"ab":3}"#)).is_ok(), "keys are no fields");
        assert!(reads(create, &user(r#"{"a":1,"a":2}"#)).is_err());
    }

    #[test]
    fn whole_numbers_have_no_point() {
        let attributes: serde_json::Value =
            serde_json::json!({"n": 7, "deep": {"id": -42}, "half": 1.5, "large": 1e300});
        let user = serde_json::json!({"user": {"name": "a", "attributes": attributes}}).to_string();
        let create = shape("/chancery.v1.UserService/CreateUser").unwrap();
        let message = read(create, user.as_bytes()).unwrap();
        let echo = Shape { input: create.input.clone(), output: create.input.clone(), is_unary: true };
        let json = String::from_utf8(write(&echo, &message[PREFIX..]).unwrap()).unwrap();
        assert!(json.contains(r#""n":7"#) && json.contains(r#""id":-42"#) && json.contains("1.5"), "{json}");
        assert!(!json.contains("7.0") && !json.contains("42.0"), "{json}");
    }

    #[test]
    fn an_answer_has_its_false_values_and_no_empty_messages() {
        let json = write(shape("/chancery.v1.TokenService/Introspect").unwrap(), b"").unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["active"], serde_json::Value::Bool(false));
        assert!(json.get("expireTime").is_none(), "{json}");
    }
}
