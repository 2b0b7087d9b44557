//! Parts of good requests.

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{grpc::pb, service::ClientCredentials};
use prost_types::{FieldMask, ListValue, Struct, Value, value::Kind};

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
pub(super) fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
}

/// An object with a text, a list with a text, and an object with a text in it.
#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
pub(super) fn object() -> Option<Struct> {
    let text = || Value { kind: Some(Kind::StringValue("x".into())) };
    let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![text()] })) };
    let inner = Struct { fields: [("c".to_owned(), text())].into() };
    let inner = Value { kind: Some(Kind::StructValue(inner)) };
    Some(Struct { fields: [("a".to_owned(), text()), ("b".to_owned(), list), ("d".to_owned(), inner)].into() })
}

pub(super) fn role_message() -> pb::Role {
    pb::Role { description: "for tests".into(), permissions: vec!["read@api".into()], ..pb::Role::default() }
}

pub(super) fn client_message(serves: String) -> pb::Client {
    pb::Client {
        first_party: true,
        audiences: vec!["api".into()],
        serves: if serves.is_empty() { vec![] } else { vec![serves] },
        scopes: vec!["read".into()],
        permissions: vec!["read@api".into()],
        claims: [("team".to_owned(), "team".to_owned())].into(),
        link_template: "https://shop.example/{kind}?token={token}".into(),
        ..pb::Client::default()
    }
}

/// The value of the header `authorization` for a client.
pub(super) fn basic(who: ClientCredentials) -> String {
    let ClientCredentials::Basic { client_id, secret } = who else { panic!("no secret") };
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{}", secret.expose())))
}
