//! What can go wrong: reasons, their HTTP statuses, and the bodies of errors.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use super::{
    comments::{Comments, first_sentence},
    reference,
    schemas::Schemas,
};
use crate::{
    error::Reason,
    grpc::documented::{COMMON, OF_THE_DATABASE},
};

/// The codes of gRPC, their names in Connect, and the HTTP statuses of these (Connect protocol, "Error codes").
const CODES: [(&str, &str, u16); 16] = [
    ("CANCELLED", "canceled", 499),
    ("UNKNOWN", "unknown", 500),
    ("INVALID_ARGUMENT", "invalid_argument", 400),
    ("DEADLINE_EXCEEDED", "deadline_exceeded", 504),
    ("NOT_FOUND", "not_found", 404),
    ("ALREADY_EXISTS", "already_exists", 409),
    ("PERMISSION_DENIED", "permission_denied", 403),
    ("RESOURCE_EXHAUSTED", "resource_exhausted", 429),
    ("FAILED_PRECONDITION", "failed_precondition", 400),
    ("ABORTED", "aborted", 409),
    ("OUT_OF_RANGE", "out_of_range", 400),
    ("UNIMPLEMENTED", "unimplemented", 501),
    ("INTERNAL", "internal", 500),
    ("UNAVAILABLE", "unavailable", 503),
    ("DATA_LOSS", "data_loss", 500),
    ("UNAUTHENTICATED", "unauthenticated", 401),
];
/// The details of errors besides `google.rpc.ErrorInfo`.
const DETAILS: [&str; 5] = ["BadRequest", "PreconditionFailure", "RequestInfo", "ResourceInfo", "RetryInfo"];

/// What a reason is about, and the codes that come with it.
struct Meaning {
    text: String,
    /// The names in Connect, and the HTTP statuses.
    codes: Vec<(&'static str, u16)>,
}

/// All reasons, by their names.
pub(super) struct Errors {
    reasons: BTreeMap<String, Meaning>,
}

impl Errors {
    /// Reads the reasons and their codes from the comments of `ErrorReason`.
    pub(super) fn of(pool: &DescriptorPool, comments: &Comments) -> Self {
        let values = pool.get_enum_by_name("chancery.v1.ErrorReason");
        let values = values.iter().flat_map(|reasons| reasons.values().collect::<Vec<_>>());
        let reasons = values.filter(|value| value.number() != 0).map(|value| {
            let text = comments.get(&value.parent_file(), value.path()).to_owned();
            let meaning = Meaning { codes: codes(&text), text };
            (value.name().to_owned(), meaning)
        });
        Self { reasons: reasons.collect() }
    }

    /// The names in Connect of the codes of a reason.
    #[cfg(test)]
    pub(super) fn connect_codes(&self, reason: &str) -> Vec<&'static str> {
        self.reasons
            .get(reason)
            .map(|meaning| meaning.codes.iter().map(|(name, _)| *name).collect())
            .unwrap_or_default()
    }

    /// The responses of a method for which these reasons are documented, by status.
    pub(super) fn responses(&self, documented: &BTreeSet<&'static str>) -> Map<String, Value> {
        let common = COMMON.iter().filter(|reason| **reason != Reason::MethodUnknown);
        let database = OF_THE_DATABASE.iter().filter(|_| !documented.is_empty());
        let mut names = documented.clone();
        names.extend(common.chain(database).map(|reason| reason.as_str()));
        let mut by_status: BTreeMap<u16, (BTreeSet<&str>, Vec<&str>)> = BTreeMap::new();
        for name in names {
            for (code, status) in self.reasons.get(name).map(|meaning| meaning.codes.as_slice()).unwrap_or_default() {
                let (codes, reasons) = by_status.entry(*status).or_default();
                codes.insert(code);
                reasons.push(name);
            }
        }
        let responses = by_status.into_iter();
        responses
            .map(|(status, (codes, reasons))| (status.to_string(), self.response(status, &codes, &reasons)))
            .collect()
    }

    fn response(&self, status: u16, codes: &BTreeSet<&str>, reasons: &[&str]) -> Value {
        let lines = reasons.iter().map(|reason| {
            let text = self.reasons.get(*reason).map_or("", |meaning| meaning.text.as_str());
            format!("- `{reason}`: {}.", first_sentence(text))
        });
        let mut headers = json!({ "x-request-id": reference("headers", "RequestId") });
        if let (Some(headers), Some((name, component))) = (headers.as_object_mut(), header_of(status)) {
            headers.insert(name.to_owned(), reference("headers", component));
        }
        let details = json!({ "oneOf": [error_info(reasons), reference("schemas", "OtherErrorDetail")] });
        let schema = json!({
            "type": "object",
            "required": ["code", "details"],
            "properties": {
                "code": { "type": "string", "enum": codes },
                "message": reference("schemas", "ErrorMessage"),
                "details": { "type": "array", "items": details },
            },
        });
        json!({
            "description": lines.collect::<Vec<_>>().join("\n"),
            "headers": headers,
            "content": { "application/json": { "schema": schema } },
        })
    }

    /// The schemas of errors beside those of messages.
    pub(super) fn components(&self) -> Map<String, Value> {
        let one = |name: &&str| {
            let full = format!("google.rpc.{name}");
            json!({
                "title": name,
                "type": "object",
                "required": ["type", "value", "debug"],
                "properties": {
                    "type": { "type": "string", "enum": [full] },
                    "value": reference("schemas", "EncodedErrorDetail"),
                    "debug": reference("schemas", &full),
                },
            })
        };
        let metadata = json!({
            "type": "object",
            "description": format!("More about the failure. What each reason means, and what stands here:\n{}", self.list()),
            "additionalProperties": { "type": "string" },
        });
        let other = json!({
            "description": "Other details of an error, by which a program can show or do something.",
            "oneOf": DETAILS.iter().map(one).collect::<Vec<_>>(),
        });
        let message = json!({ "type": "string", "description": "For people. Programs go by the reason." });
        let encoded =
            json!({ "type": "string", "description": "The detail in base64, for programs that have its type." });
        let all = [
            ("EncodedErrorDetail", encoded),
            ("ErrorMessage", message),
            ("ErrorMetadata", metadata),
            ("OtherErrorDetail", other),
        ];
        all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
    }

    fn list(&self) -> String {
        let lines = self.reasons.iter().map(|(name, meaning)| format!("- `{name}`: {}", meaning.text));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Adds the schemas of the details.
pub(super) fn add_details(pool: &DescriptorPool, schemas: &mut Schemas<'_>) {
    for name in DETAILS {
        if let Some(message) = pool.get_message_by_name(&format!("google.rpc.{name}")) {
            schemas.message(&message);
        }
    }
}

/// The codes that the comment of a reason names, after `Code`.
fn codes(comment: &str) -> Vec<(&'static str, u16)> {
    let (_, list) = comment.rsplit_once("Code ").unwrap_or_default();
    let words: BTreeSet<&str> = list.split(|c: char| !c.is_ascii_uppercase() && c != '_').collect();
    let named = CODES.iter().filter(|(name, ..)| words.contains(name));
    named.map(|(_, connect, status)| (*connect, *status)).collect()
}

/// The header that comes with some errors of a status.
const fn header_of(status: u16) -> Option<(&'static str, &'static str)> {
    match status {
        401 => Some(("www-authenticate", "WwwAuthenticate")),
        409 | 429 | 503 => Some(("retry-after", "RetryAfter")),
        _ => None,
    }
}

/// The detail that has the reason.
fn error_info(reasons: &[&str]) -> Value {
    json!({
        "title": "ErrorInfo",
        "type": "object",
        "required": ["type", "value", "debug"],
        "properties": {
            "type": { "type": "string", "enum": ["google.rpc.ErrorInfo"] },
            "value": reference("schemas", "EncodedErrorDetail"),
            "debug": {
                "type": "object",
                "required": ["reason", "domain"],
                "properties": {
                    "reason": { "type": "string", "enum": reasons },
                    "domain": { "type": "string", "enum": ["chancery"] },
                    "metadata": reference("schemas", "ErrorMetadata"),
                },
            },
        },
    })
}
