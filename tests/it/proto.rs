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
fn g15_every_item_of_the_contract_has_a_comment() {
    let all = comments(&ours());
    assert!(all.len() > 80, "{}", all.len());
    let bare: Vec<_> = all.iter().filter(|(_, comment)| comment.is_empty()).map(|(name, _)| name).collect();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn g15_names_follow_the_rules() {
    let snake = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    for file in &ours().file {
        for service in &file.service {
            for method in &service.method {
                assert_eq!(method.input_type(), format!(".chancery.v1.{}Request", method.name()));
                assert_eq!(method.output_type(), format!(".chancery.v1.{}Response", method.name()));
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
fn g15_the_committed_field_list_is_up_to_date() {
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

/// What a field's options say by `google.api.field_behavior`, which the types of prost do not keep.
mod behavior {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Files {
        #[prost(message, repeated, tag = "1")]
        pub(super) file: Vec<File>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct File {
        #[prost(string, tag = "2")]
        pub(super) package: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) messages: Vec<Type>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Type {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) fields: Vec<Field>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Field {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "8")]
        pub(super) options: Option<Options>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Options {
        #[prost(int32, repeated, packed = "false", tag = "1052")]
        pub(super) behavior: Vec<i32>,
    }
}

#[test]
fn g15_every_field_says_who_sets_it() {
    const OUTPUT_ONLY: i32 = 3;
    let set = behavior::Files::decode(DESCRIPTORS).unwrap();
    let mut count = 0;
    for message in set.file.iter().filter(|f| f.package == "chancery.v1").flat_map(|f| &f.messages) {
        for field in &message.fields {
            let said = field.options.clone().unwrap_or_default().behavior;
            let name = format!("{}.{}", message.name, field.name);
            assert!(!said.is_empty(), "{name} has no google.api.field_behavior");
            let of_requests = message.name.ends_with("Request");
            assert!(!of_requests || !said.contains(&OUTPUT_ONLY), "{name} is a field of a request");
            let of_answers = message.name.ends_with("Response");
            assert!(!of_answers || said == [OUTPUT_ONLY], "{name} is a field of an answer");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn g15_comments_do_not_repeat_field_options() {
    for (name, comment) in comments(&ours()) {
        for word in ["Required.", "Optional.", "Output only.", "Required of"] {
            assert!(!comment.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn g15_every_method_documents_its_effect_its_callers_and_its_errors() {
    let set = ours();
    let reasons = set.file.iter().flat_map(|f| &f.enum_type).find(|e| e.name() == "ErrorReason").unwrap();
    let reasons: Vec<_> = reasons.value.iter().map(prost_types::EnumValueDescriptorProto::name).collect();
    let comments: BTreeMap<_, _> = comments(&set).into_iter().collect();
    for service in set.file.iter().flat_map(|f| &f.service) {
        for method in &service.method {
            let name = format!("chancery.v1.{}.{}", service.name(), method.name());
            let comment = &comments[&name];
            assert!(comment.starts_with(method.name()), "{name}: {comment}");
            let (_, rest) = comment.split_once("Caller: ").unwrap_or_else(|| panic!("{name} names no caller"));
            let (_, rest) = rest.split_once("Reasons: ").unwrap_or_else(|| panic!("{name} names no reasons"));
            for word in rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|w| w.contains('_')) {
                assert!(reasons.contains(&word), "{name}: {word}");
            }
        }
    }
}

#[test]
fn g15_every_file_names_the_packages_of_its_stubs() {
    for file in &ours().file {
        let options = file.options.as_ref().unwrap();
        let go = "github.com/chancery-id/chancery/gen/go/chancery/v1;chanceryv1";
        assert_eq!((options.go_package(), options.java_package()), (go, "com.chancery.v1"), "{}", file.name());
        assert!(options.java_multiple_files() && options.csharp_namespace() == "Chancery.V1", "{}", file.name());
    }
}

#[test]
fn error_details_have_googles_names_and_numbers() {
    let files = |bytes: &[u8]| {
        let set = FileDescriptorSet::decode(bytes).unwrap();
        let messages = set.file.into_iter().filter(|f| f.package() == "google.rpc").flat_map(|f| f.message_type);
        let mut lines = String::new();
        messages.for_each(|message| fields(&message, message.name(), &mut lines));
        lines.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let (ours, google) = (files(DESCRIPTORS), files(tonic_types::pb::FILE_DESCRIPTOR_SET));
    assert!(ours.len() >= 15, "{ours:?}");
    assert!(ours.is_subset(&google), "{:?}", ours.difference(&google));
}
