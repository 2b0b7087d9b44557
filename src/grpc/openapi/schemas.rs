//! The schemas of messages, by the JSON mapping of protobuf.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as ProtoValue,
};
use serde_json::{Map, Value, json};

use super::{comments::Comments, reference};

/// The package whose names stand without it.
const OURS: &str = "chancery.v1.";
/// The values of `google.api.FieldBehavior` that schemas can express.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

/// The schemas that were asked for so far, and those that these need.
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    behavior: Option<ExtensionDescriptor>,
    /// Messages that stand in requests, where fields can be left out.
    taken: BTreeSet<String>,
    /// `None` while a schema is being written.
    all: BTreeMap<String, Option<Value>>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(pool: &DescriptorPool, comments: &'a Comments) -> Self {
        let behavior = pool.get_extension_by_name("google.api.field_behavior");
        let mut taken = BTreeSet::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            with_parts(&method.input(), &mut taken);
        }
        Self { comments, behavior, taken, all: BTreeMap::new() }
    }

    /// All schemas, by their names.
    pub(super) fn into_components(self) -> Map<String, Value> {
        self.all.into_iter().filter_map(|(name, schema)| Some((name, schema?))).collect()
    }

    /// The schema of a message.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = component(message.full_name());
        if !self.all.contains_key(&name) {
            self.all.insert(name.clone(), None);
            let schema = self.object(message);
            self.all.insert(name.clone(), Some(schema));
        }
        reference("schemas", &name)
    }

    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let about = self.comments.get(&message.parent_file(), message.path()).to_owned() + &alternatives(message);
        let mut schema = json!({ "type": "object", "description": about });
        let mut properties = Map::new();
        let mut required = Vec::new();
        // Answers have every field but those that say whether they are set.
        let full = message.full_name().starts_with(OURS) && !self.taken.contains(message.full_name());
        for field in message.fields() {
            let behavior = self.behavior(&field);
            if behavior.contains(&REQUIRED) || full && !field.supports_presence() {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.property(&field, &behavior));
        }
        let Some(object) = schema.as_object_mut() else { return schema };
        object.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            object.insert("required".to_owned(), required.into());
        }
        schema
    }

    /// The numbers of a field's behaviours.
    fn behavior(&self, field: &FieldDescriptor) -> Vec<i32> {
        let Some(extension) = &self.behavior else { return Vec::new() };
        let options = field.options();
        let list = options.get_extension(extension);
        list.as_list().unwrap_or_default().iter().filter_map(ProtoValue::as_enum_number).collect()
    }

    fn property(&mut self, field: &FieldDescriptor, behavior: &[i32]) -> Value {
        let mut schema = self.value(field);
        let about = self.comments.get(&field.parent_message().parent_file(), field.path()).to_owned();
        if let Some(object) = schema.as_object_mut() {
            if !about.is_empty() {
                let own = object.get("description").and_then(Value::as_str).map(|own| format!("{about}\n\n{own}"));
                object.insert("description".to_owned(), own.unwrap_or(about).into());
            }
            if behavior.contains(&OUTPUT_ONLY) {
                object.insert("readOnly".to_owned(), true.into());
            }
            if behavior.contains(&INPUT_ONLY) {
                object.insert("writeOnly".to_owned(), true.into());
            }
        }
        schema
    }

    fn value(&mut self, field: &FieldDescriptor) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let values = self.kind(&entry.map_entry_value_field().kind());
            return json!({ "type": "object", "additionalProperties": values });
        }
        let one = self.kind(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(kind) => self.enumeration(kind),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            // JavaScript's numbers do not hold them: they travel as text.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" })
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$" })
            }
            Kind::Float | Kind::Double => {
                json!({ "oneOf": [{ "type": "number" }, { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] }] })
            }
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor) -> Value {
        let name = component(kind.full_name());
        if !self.all.contains_key(&name) {
            let file = kind.parent_file();
            let values = kind.values();
            let lines = values.map(|value| format!("- `{}`: {}", value.name(), self.comments.get(&file, value.path())));
            let about: Vec<_> = [self.comments.get(&file, kind.path()).to_owned()].into_iter().chain(lines).collect();
            let about = about.join("\n");
            let names: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
            let schema = json!({ "type": "string", "description": about, "enum": names });
            self.all.insert(name.clone(), Some(schema));
        }
        reference("schemas", &name)
    }
}

/// Adds the names of a message and of those within it.
fn with_parts(message: &MessageDescriptor, names: &mut BTreeSet<String>) {
    if names.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(part) = field.kind() {
                with_parts(&part, names);
            }
        }
    }
}

/// What excludes each other, in words: `oneOf` beside `properties` makes some generators drop the properties.
fn alternatives(message: &MessageDescriptor) -> String {
    let all = message.oneofs().filter(|one| !one.is_synthetic()).map(|one| {
        let names: Vec<String> = one.fields().map(|field| format!("`{}`", field.json_name())).collect();
        format!("\n\nAt most one of {} is set.", names.join(" and "))
    });
    all.collect()
}

/// The name of the schema of a message or an enum. Names within others keep these, as generators write them.
pub(super) fn component(full_name: &str) -> String {
    match full_name.strip_prefix(OURS) {
        Some(ours) => ours.replace('.', "_"),
        None => full_name.to_owned(),
    }
}

/// The schemas of messages with a JSON form of their own.
fn well_known(full_name: &str) -> Option<Value> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({
            "type": "string",
            "description": "In seconds, such as `300s` or `0.500s`.",
            "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        }),
        "FieldMask" => json!({
            "type": "string",
            "description": "Names as in JSON, separated by commas, such as `name,email`.",
        }),
        "Struct" => json!({ "type": "object", "additionalProperties": true }),
        "Value" => json!({}),
        "ListValue" => json!({ "type": "array", "items": {} }),
        "Empty" => json!({ "type": "object", "additionalProperties": false }),
        "Any" => json!({
            "type": "object",
            "properties": { "@type": { "type": "string" } },
            "additionalProperties": true,
        }),
        "BoolValue" => json!({ "type": "boolean" }),
        "StringValue" => json!({ "type": "string" }),
        "Int32Value" | "UInt32Value" => json!({ "type": "integer" }),
        "Int64Value" | "UInt64Value" => json!({ "type": "string", "pattern": "^-?[0-9]{1,20}$" }),
        "BytesValue" => json!({ "type": "string", "contentEncoding": "base64" }),
        _ => return None,
    })
}
