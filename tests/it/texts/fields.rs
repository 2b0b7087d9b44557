//! The text fields of a message, from the descriptors, and encoded messages with one of them replaced.

use std::fmt;

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// A text field, by the fields that lead to it.
pub(super) struct TextField {
    steps: Vec<Step>,
}

struct Step {
    name: String,
    number: u32,
    /// Whether several of them stand side by side. A copy of the first is changed and added.
    repeated: bool,
}

impl fmt::Display for TextField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.steps.iter().map(|s| s.name.as_str()).collect();
        f.write_str(&names.join("."))
    }
}

impl TextField {
    /// The message with this text in the field.
    pub(super) fn put(&self, message: &[u8], text: &[u8]) -> Vec<u8> {
        put(&self.steps, message, text)
    }
}

fn put(steps: &[Step], message: &[u8], text: &[u8]) -> Vec<u8> {
    let Some((step, rest)) = steps.split_first() else { return text.to_vec() };
    let inner = if rest.is_empty() {
        text.to_vec()
    } else {
        // The last occurrence of a field counts, and messages are merged: what is added replaces only the text.
        let first = if step.repeated { bytes_in(message, step.number).unwrap_or_default() } else { Vec::new() };
        put(rest, &first, text)
    };
    let mut out = message.to_vec();
    encode_key(step.number, WireType::LengthDelimited, &mut out);
    encode_varint(inner.len() as u64, &mut out);
    out.extend(inner);
    out
}

/// The first occurrence of a field with a length.
fn bytes_in(mut message: &[u8], number: u32) -> Option<Vec<u8>> {
    while !message.is_empty() {
        let (found, wire_type) = decode_key(&mut message).unwrap();
        if found == number && wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut message).unwrap()).unwrap();
            return Some(message[..length].to_vec());
        }
        skip_field(wire_type, found, &mut message, prost::encoding::DecodeContext::default()).unwrap();
    }
    None
}

/// The text in a field.
pub(super) fn text_in(message: &[u8], number: u32) -> Option<String> {
    bytes_in(message, number).map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Every text field of a message and of the messages in it: also items of lists, and keys and values of maps.
pub(super) fn texts_of(set: &FileDescriptorSet, name: &str) -> Vec<TextField> {
    let mut out = Vec::new();
    walk(set, name, &mut Vec::new(), &mut out);
    out
}

fn walk<'a>(
    set: &'a FileDescriptorSet,
    name: &'a str,
    path: &mut Vec<(&'a str, &'a FieldDescriptorProto)>,
    out: &mut Vec<TextField>,
) {
    let message = find(set, name);
    for field in &message.field {
        path.push((name, field));
        match field.r#type() {
            Type::String | Type::Bytes => out.push(TextField { steps: path.iter().map(|(_, f)| step(f)).collect() }),
            // google.protobuf.Value contains itself: one list in one object will do.
            Type::Message if path.iter().filter(|(seen, _)| *seen == field.type_name()).count() < 2 => {
                walk(set, field.type_name(), path, out);
            }
            _ => {}
        }
        path.pop();
    }
}

fn step(field: &FieldDescriptorProto) -> Step {
    use prost_types::field_descriptor_proto::Label;
    Step {
        name: field.name().to_owned(),
        number: u32::try_from(field.number()).unwrap(),
        repeated: field.label() == Label::Repeated,
    }
}

/// A message by its full name, which starts with a dot.
fn find<'a>(set: &'a FileDescriptorSet, name: &str) -> &'a DescriptorProto {
    for file in &set.file {
        let Some(rest) = name.strip_prefix(&format!(".{}.", file.package())) else { continue };
        let mut parts = rest.split('.');
        let first = parts.next().unwrap();
        let Some(mut message) = file.message_type.iter().find(|m| m.name() == first) else { continue };
        for part in parts {
            message = message.nested_type.iter().find(|m| m.name() == part).unwrap();
        }
        return message;
    }
    panic!("{name} is not in the descriptors")
}
