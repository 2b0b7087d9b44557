//! The wire contract: every item has its comment, names keep to the rules, and a change of any field
//! shows in proto/fields.txt.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use chancery::grpc::DESCRIPTORS;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Names and comments of every item of our own files, in the order of the files.
pub(crate) fn comments(set: &FileDescriptorSet) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in set.file.iter().filter(|f| f.package() == "chancery.v1") {
        let mut said: BTreeMap<Vec<i32>, String> = BTreeMap::new();
        for location in file.source_code_info.iter().flat_map(|i| &i.location) {
            said.insert(location.path.clone(), location.leading_comments().trim().to_owned());
        }
        for (path, name) in items(file) {
            all.push((name, said.get(&path).cloned().unwrap_or_default()));
        }
    }
    all
}

/// Path and full name of every item of a file (the numbers are those of descriptor.proto).
fn items(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut out = Vec::new();
    let index = |n: usize| i32::try_from(n).unwrap();
    for (n, service) in file.service.iter().enumerate() {
        let name = format!("{}.{}", file.package(), service.name());
        for (m, method) in service.method.iter().enumerate() {
            out.push((vec![6, index(n), 2, index(m)], format!("{name}.{}", method.name())));
        }
        out.push((vec![6, index(n)], name));
    }
    for (n, message) in file.message_type.iter().enumerate() {
        message_items(message, &[4, index(n)], file.package(), &mut out);
    }
    for (n, an_enum) in file.enum_type.iter().enumerate() {
        enum_items(an_enum, &[5, index(n)], file.package(), &mut out);
    }
    out
}

fn message_items(message: &DescriptorProto, path: &[i32], parent: &str, out: &mut Vec<(Vec<i32>, String)>) {
    let name = format!("{parent}.{}", message.name());
    let below = |kind: i32, n: usize| [path, &[kind, i32::try_from(n).unwrap()]].concat();
    for (n, field) in message.field.iter().enumerate() {
        out.push((below(2, n), format!("{name}.{}", field.name())));
    }
    for (n, oneof) in message.oneof_decl.iter().enumerate() {
        out.push((below(8, n), format!("{name}.{}", oneof.name())));
    }
    // The entries of maps are the compiler's own.
    let written = |m: &DescriptorProto| !m.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
    for (n, nested) in message.nested_type.iter().enumerate().filter(|(_, m)| written(m)) {
        message_items(nested, &below(3, n), &name, out);
    }
    for (n, an_enum) in message.enum_type.iter().enumerate() {
        enum_items(an_enum, &below(4, n), &name, out);
    }
    out.push((path.to_vec(), name));
}

fn enum_items(an_enum: &EnumDescriptorProto, path: &[i32], parent: &str, out: &mut Vec<(Vec<i32>, String)>) {
    let name = format!("{parent}.{}", an_enum.name());
    for (n, value) in an_enum.value.iter().enumerate() {
        out.push(([path, &[2, i32::try_from(n).unwrap()]].concat(), format!("{name}.{}", value.name())));
    }
    out.push((path.to_vec(), name));
}

fn ours() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    set.file.retain(|f| f.package() == "chancery.v1");
    set
}

#[test]
fn g15_every_item_of_the_contract_has_its_comment() {
    let all = comments(&ours());
    assert!(all.len() > 80, "{}", all.len());
    let bare: Vec<_> = all.iter().filter(|(_, comment)| comment.is_empty()).map(|(name, _)| name).collect();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn g15_names_keep_to_the_rules() {
    let snake = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    for file in &ours().file {
        for service in &file.service {
            for method in &service.method {
                // A verb that several services have is named after its thing too: Watch, WatchRevocations.
                let stem = format!(".chancery.v1.{}", method.name());
                let message = method.input_type().strip_suffix("Request").unwrap();
                assert!(message.starts_with(&stem), "{} takes {message}Request", method.name());
                assert_eq!(method.output_type(), format!("{message}Response"));
            }
        }
        for message in &file.message_type {
            assert!(message.field.iter().all(|f| snake(f.name())), "{}", message.name());
        }
        for an_enum in &file.enum_type {
            let first = &an_enum.value[0];
            assert!(first.name().ends_with("_UNSPECIFIED") && first.number() == 0, "{}", an_enum.name());
        }
    }
}

#[test]
fn g15_a_change_of_any_field_shows_in_the_committed_list() {
    let mut lines = String::new();
    for file in &ours().file {
        for message in &file.message_type {
            fields(message, message.name(), &mut lines);
        }
        for an_enum in &file.enum_type {
            for value in &an_enum.value {
                writeln!(lines, "{}.{} = {}", an_enum.name(), value.name(), value.number()).unwrap();
            }
        }
        for service in &file.service {
            for m in &service.method {
                let stream = if m.server_streaming() { "stream " } else { "" };
                writeln!(lines, "{}.{}({}) {stream}{}", service.name(), m.name(), m.input_type(), m.output_type())
                    .unwrap();
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/fields.txt");
    if std::env::var_os("CHTEST_WRITE_DOCS").is_some() {
        fs::write(&path, &lines).unwrap();
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(have == lines, "the contract differs from proto/fields.txt; CHTEST_WRITE_DOCS=1 writes it anew");
}

fn fields(message: &DescriptorProto, name: &str, lines: &mut String) {
    for field in &message.field {
        let kind =
            if field.type_name().is_empty() { format!("{:?}", field.r#type()) } else { field.type_name().into() };
        let many = if field.label() == prost_types::field_descriptor_proto::Label::Repeated { "repeated " } else { "" };
        writeln!(lines, "{name}.{} = {} {many}{kind}", field.name(), field.number()).unwrap();
    }
    for nested in &message.nested_type {
        fields(nested, &format!("{name}.{}", nested.name()), lines);
    }
}
