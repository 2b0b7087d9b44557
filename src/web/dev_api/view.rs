//! The `OpenAPI` document, as far as the page shows it.

use serde_json::{Map, Value};

/// A document.
pub(super) struct Api {
    pub(super) about: String,
    pub(super) server: String,
    pub(super) services: Vec<Service>,
    /// All types that methods take or answer with, by name.
    pub(super) types: Vec<Type>,
}

/// A service with its methods.
pub(super) struct Service {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) methods: Vec<Method>,
}

/// A method.
pub(super) struct Method {
    pub(super) id: String,
    /// `POST`, or `GET` for a document.
    pub(super) verb: &'static str,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) about: String,
    /// The first of the ways to authenticate: `bearer`, `basic` or nothing.
    pub(super) security: Option<String>,
    pub(super) request: Option<String>,
    pub(super) answer: Option<String>,
    /// Status and description of every error.
    pub(super) errors: Vec<(String, String)>,
}

/// A message or an enum.
pub(super) struct Type {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) about: String,
}

/// The type of a field.
pub(super) enum Kind {
    /// In words.
    Plain(String),
    /// Something before and after the name of another type.
    Named(&'static str, String),
}

impl Api {
    /// Reads a document.
    pub(super) fn of(json: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(json).unwrap_or_default();
        let schemas = object(&document, "/components/schemas");
        let services = list(&document, "/tags").iter().map(|tag| {
            let name = text(tag, "/name");
            let about = text(tag, "/description");
            let methods = methods_of(&document, &name);
            Service { name, about, methods }
        });
        Self {
            about: text(&document, "/info/description"),
            server: text(&document, "/servers/0/url"),
            services: services.collect(),
            types: schemas.iter().map(|(name, schema)| type_of(name, schema)).collect(),
        }
    }

    /// The type with a name.
    pub(super) fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.iter().find(|one| one.name == name)
    }
}

fn methods_of(document: &Value, tag: &str) -> Vec<Method> {
    let paths = object(document, "/paths");
    let all = paths
        .iter()
        .flat_map(|(path, item)| ["get", "post"].iter().filter_map(move |verb| Some((path, *verb, item.get(verb)?))));
    let tagged = all.filter(|(.., operation)| list(operation, "/tags").iter().any(|name| name == tag));
    tagged.map(|(path, verb, operation)| method(path, verb, operation)).collect()
}

fn method(path: &str, verb: &str, operation: &Value) -> Method {
    const SCHEMA: &str = "/content/application~1json/schema/$ref";
    let responses = object(operation, "/responses");
    let errors = responses.iter().filter(|(status, _)| *status != "200");
    let security = list(operation, "/security").first().and_then(Value::as_object);
    Method {
        id: text(operation, "/operationId"),
        verb: if verb == "get" { "GET" } else { "POST" },
        path: path.to_owned(),
        summary: text(operation, "/summary"),
        about: text(operation, "/description"),
        security: security.and_then(|way| way.keys().next().cloned()),
        request: referred(operation.pointer("/requestBody").unwrap_or(&Value::Null), SCHEMA),
        answer: referred(operation.pointer("/responses/200").unwrap_or(&Value::Null), SCHEMA),
        errors: errors.map(|(status, response)| (status.clone(), text(response, "/description"))).collect(),
    }
}

fn type_of(name: &str, schema: &Value) -> Type {
    let required: Vec<&str> = list(schema, "/required").iter().filter_map(Value::as_str).collect();
    let properties = object(schema, "/properties");
    let mut fields: Vec<Field> = properties
        .iter()
        .map(|(name, property)| Field {
            name: name.clone(),
            kind: kind(property),
            required: required.contains(&name.as_str()),
            about: text(property, "/description"),
        })
        .collect();
    fields.sort_by_key(|field| !field.required);
    Type { name: name.to_owned(), about: text(schema, "/description"), fields }
}

fn kind(schema: &Value) -> Kind {
    if let Some(name) = referred(schema, "/$ref") {
        return Kind::Named("", name);
    }
    if let Some(name) = referred(schema, "/items/$ref") {
        return Kind::Named("list of ", name);
    }
    let plain = text(schema, "/type");
    let of = |part: &str| text(schema, part);
    Kind::Plain(match plain.as_str() {
        "array" => format!("list of {}", of("/items/type")),
        "object" if !of("/additionalProperties/type").is_empty() => {
            format!("object of {}", of("/additionalProperties/type"))
        }
        "string" if !of("/format").is_empty() => format!("string ({})", of("/format")),
        _ => plain,
    })
}

fn referred(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str()?.rsplit('/').next().map(str::to_owned)
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.pointer(pointer).and_then(Value::as_object).unwrap_or(&NOTHING)
}
