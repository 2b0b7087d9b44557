//! Every text of every method against input that no honest caller sends. The fields come from the descriptors, so a
//! new method or field is tried as soon as it exists.

pub(crate) mod base;
mod fields;
mod messages;
mod raw;
mod reasons;

use chancery::grpc::{
    DESCRIPTORS,
    pb::{self, client_service_client::ClientServiceClient, user_service_client::UserServiceClient},
};
use futures_util::{StreamExt, stream};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use self::base::{Bases, Caller};
use crate::{support::App, wire::served};

on_each_engine! {
    #[tokio::test]
    App => {
        no_text_in_any_field_of_any_method_fails_the_server,
        no_metadata_fails_the_server,
        no_filter_fails_the_server,
        a_page_token_of_another_method_filter_or_form_is_refused,
    }
}

/// Texts that are valid UTF-8, each with its name.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("nul", "a\0b".to_owned()),
        ("control characters", "a\u{1}\u{7f}\u{85}\r\nb".to_owned()),
        ("a combining mark alone", "\u{301}".to_owned()),
        ("combining marks", format!("a{}", "\u{301}".repeat(20_000))),
        ("bidi controls", "\u{202e}a\u{2066}b\u{200f}".to_owned()),
        ("no characters", "\u{ffff}\u{fdd0}\u{feff}\u{10ffff}".to_owned()),
        ("60 kB", "x".repeat(60_000)),
        ("60 kB without ASCII", "\u{1f980}".repeat(15_000)),
        ("1 MB", "x".repeat(1_000_000)),
        ("JSON with NUL", r#"{"a":"\u0000"}"#.to_owned()),
        ("JSON with a surrogate", r#"{"a":"\ud800"}"#.to_owned()),
        ("deep JSON", format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126))),
        ("deeper JSON", format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000))),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into_bytes()))
    // A surrogate, encoded like a character, is not UTF-8.
    .chain([("a surrogate", vec![0x61, 0xed, 0xa0, 0x80])])
    .collect()
}

/// How many methods are tried at once, and how many fields of each: most calls wait, for the database or for the least
/// time of an answer.
const AT_ONCE: usize = 2;

/// Codes that say that the server failed, or that its answer could not be read.
const FAILURES: [Code; 4] = [Code::Internal, Code::Unknown, Code::Unavailable, Code::DeadlineExceeded];

fn check(answer: &Result<Vec<u8>, Status>, what: &str, failures: &mut Vec<String>) {
    let Err(status) = answer else { return };
    let named = status.get_details_error_info().is_some_and(|info| info.domain == "chancery");
    if FAILURES.contains(&status.code()) || !named {
        failures.push(format!("{what}: {:?} {:.200}", status.code(), status.message()));
    }
}

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTORS).unwrap()
}

/// Every method: its path, the name of its request, and whether its answer is a stream.
fn methods(set: &FileDescriptorSet) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    for file in set.file.iter().filter(|f| f.package() == "chancery.v1") {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/chancery.v1.{}/{}", service.name(), method.name());
                all.push((path, method.input_type().to_owned(), method.server_streaming()));
            }
        }
    }
    all
}

async fn no_text_in_any_field_of_any_method_fails_the_server(app: &App) {
    let channel = served(app).await;
    let bases = Bases::of(app, &channel).await;
    let (set, texts) = (descriptors(), texts());
    let tried = methods(&set).into_iter().map(|method| put_texts(app, &bases, &channel, (&set, &texts), method));
    let all: Vec<(usize, Vec<String>)> = stream::iter(tried).buffer_unordered(AT_ONCE).collect().await;
    let calls: usize = all.iter().map(|(calls, _)| calls).sum();
    let failures: Vec<String> = all.into_iter().flat_map(|(_, failures)| failures).collect();
    assert!(calls > 1000, "{calls}");
    assert!(failures.is_empty(), "{} of {calls} calls:\n{}", failures.len(), failures.join("\n"));
}

/// Puts every text into every field of a method's request. Returns how many calls that took, and the failures.
async fn put_texts(
    app: &App,
    bases: &Bases<'_>,
    channel: &Channel,
    (set, texts): (&FileDescriptorSet, &[(&'static str, Vec<u8>)]),
    (path, input, streams): (String, String, bool),
) -> (usize, Vec<String>) {
    // The request itself is good, so that each refusal below is the text's.
    let (caller, message) = bases.request(&path).await;
    let answer = raw::call(channel, &path, bases.credentials(caller).as_deref(), message.encoded, streams).await;
    let want = message.answer;
    match &answer {
        Err(status) if Some(status.code()) != want => panic!("{path} without a text: {status:?}"),
        Ok(_) if want.is_some() => panic!("{path} without a text: {want:?} expected"),
        _ => {}
    }
    let fields = fields::texts_of(set, &input);
    let calls = fields.len() * texts.len();
    let tried = fields.iter().map(async |field| {
        let mut failures = Vec::new();
        for (name, text) in texts {
            let (caller, message) = bases.request(&path).await;
            let poisoned = field.put(&message.encoded, text);
            let credentials = bases.credentials(caller);
            let answer = raw::call(channel, &path, credentials.as_deref(), poisoned, streams).await;
            check(&answer, &format!("{path} {field} with {name}"), &mut failures);
        }
        failures
    });
    let mut failures: Vec<String> = stream::iter(tried).buffer_unordered(AT_ONCE).concat().await;
    healthy(app, bases, channel, &path, &mut failures).await;
    (calls, failures)
}

/// What everybody needs goes on: lists of users and clients can be read, and sessions are refreshed.
async fn healthy(app: &App, bases: &Bases<'_>, channel: &Channel, after: &str, failures: &mut Vec<String>) {
    let mut page_token = String::new();
    loop {
        let message = pb::ListUsersRequest { page_size: 500, page_token, filter: String::new() };
        match UserServiceClient::new(channel.clone()).list_users(bases.ask(message)).await {
            Ok(page) => page_token = page.into_inner().next_page_token,
            Err(status) => {
                failures.push(format!("ListUsers after {after}: {status:?}"));
                break;
            }
        }
        if page_token.is_empty() {
            break;
        }
    }
    let message = pb::ListClientsRequest { page_size: 500, ..Default::default() };
    if let Err(status) = ClientServiceClient::new(channel.clone()).list_clients(bases.ask(message)).await {
        failures.push(format!("ListClients after {after}: {status:?}"));
    }
    if let Err(error) = app.refresh(&bases.refresh_token().await, "").await {
        failures.push(format!("Refresh after {after}: {error:?}"));
    }
}

async fn no_metadata_fails_the_server(app: &App) {
    let channel = served(app).await;
    let bases = Bases::of(app, &channel).await;
    let basic = |text: &[u8]| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        [b"Basic ", STANDARD.encode(text).as_bytes()].concat()
    };
    let mut values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"Bearer ".to_vec(),
        b"Bearer a.b.c".to_vec(),
        "Bearer \u{301}\u{202e}".as_bytes().to_vec(),
        vec![0x42, 0xed, 0xa0, 0x80, 0xff],
        basic(b"a\0b:c\0d"),
        basic("a\u{301}:\u{202e}".as_bytes()),
        basic(b"%00:%00"),
        basic(b"%ed%a0%80:%ff"),
        basic(&b"x".repeat(5000)),
        basic(&[&b"a:"[..], &b"x".repeat(5000)].concat()),
    ];
    values.push([&b"Bearer "[..], &b"x".repeat(9000)].concat());
    let (bases, channel) = (&bases, &channel);
    let tried = methods(&descriptors()).into_iter().map(|method| put_headers(bases, channel, &values, method));
    let mut failures: Vec<String> = stream::iter(tried).buffer_unordered(AT_ONCE).concat().await;
    healthy(app, bases, channel, "metadata", &mut failures).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Sends every value in every header that is read. Returns the failures.
async fn put_headers(
    bases: &Bases<'_>,
    channel: &Channel,
    values: &[Vec<u8>],
    (path, _, streams): (String, String, bool),
) -> Vec<String> {
    let names = ["authorization", "x-request-id", "x-forwarded-for", "user-agent", "grpc-timeout", "x-any-bin"];
    let tried = names.into_iter().map(async |name| {
        let mut failures = Vec::new();
        for value in values {
            let (_, message) = bases.request(&path).await;
            let answer = raw::with_header(channel, &path, (name, value), message.encoded, streams).await;
            let text = String::from_utf8_lossy(value);
            check(&answer, &format!("{path} {name}: {text:.40}"), &mut failures);
        }
        failures
    });
    stream::iter(tried).buffer_unordered(AT_ONCE).concat().await
}

/// The terms of each method's filter, as its comment in the proto lists them.
const FILTERS: [(&str, &[&str]); 4] = [
    ("/chancery.v1.UserService/ListUsers", &["login", "subject", "name", "email", "role", "disabled"]),
    ("/chancery.v1.ClientService/ListClients", &["disabled", "public", "audience"]),
    ("/chancery.v1.AuditService/ListAuditEvents", &["kind", "actor", "subject", "session_id", "event_time"]),
    ("/chancery.v1.AuditService/WatchAuditEvents", &["kind", "actor", "subject", "session_id", "event_time"]),
];

async fn filter(bases: &Bases<'_>, channel: &Channel, path: &str, text: &str) -> Result<Vec<u8>, Status> {
    // The number of the field is the same in all of these requests but one.
    let message = if path.ends_with("WatchAuditEvents") {
        pb::WatchAuditEventsRequest { filter: text.to_owned() }.encode_to_vec()
    } else {
        pb::ListUsersRequest { filter: text.to_owned(), ..Default::default() }.encode_to_vec()
    };
    let credentials = bases.credentials(Caller::Administrator);
    raw::call(channel, path, credentials.as_deref(), message, path.ends_with("WatchAuditEvents")).await
}

async fn no_filter_fails_the_server(app: &App) {
    let channel = served(app).await;
    let bases = Bases::of(app, &channel).await;
    let mut failures = Vec::new();
    let known: Vec<_> = methods(&descriptors()).into_iter().filter(|(_, input, _)| has_filter(input)).collect();
    assert_eq!(known.len(), FILTERS.len(), "every method with a filter is in the table");
    for (path, names) in FILTERS {
        for name in names {
            let values =
                ["a\0", "\u{1}\r\n", "\u{301}", "\u{202e}a", "\u{10ffff}", "\\\"", "*", "\u{301}*", "@", "a@\0"];
            for value in values {
                for sign in ["=", ">=", "<"] {
                    let text = format!("{name} {sign} \"{value}\"");
                    check(&filter(&bases, &channel, path, &text).await, &format!("{path} {text:?}"), &mut failures);
                }
            }
            // Of two values neither may win silently.
            let one = if ["disabled", "public"].contains(name) { ["true", "false"] } else { ["ada", "root"] };
            for [a, b] in [one, [one[0], one[0]], [one[1], one[0]]] {
                let text = format!("{name} = {a} AND {name} = {b}");
                let answer = filter(&bases, &channel, path, &text).await;
                if !answer.is_err_and(|s| s.code() == Code::InvalidArgument) {
                    failures.push(format!("{path} {text} is accepted"));
                }
            }
        }
    }
    for both in ["login = ada AND subject = root", "subject = a AND login = ada"] {
        let answer = filter(&bases, &channel, FILTERS[0].0, both).await;
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument, "{both}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn has_filter(input: &str) -> bool {
    fields::texts_of(&descriptors(), input).iter().any(|field| field.to_string() == "filter")
}

/// The list methods, with a request that has a token.
fn with_token(path: &str, page_token: String) -> Option<Vec<u8>> {
    let method = path.rsplit('/').next().unwrap();
    let (user_id, page_size, filter) = ("ada".to_owned(), 1, String::new());
    Some(match method {
        "ListUsers" => pb::ListUsersRequest { page_size, page_token, filter }.encode_to_vec(),
        "ListClients" => pb::ListClientsRequest { page_size, page_token, filter }.encode_to_vec(),
        "ListAuditEvents" => pb::ListAuditEventsRequest { page_size, page_token, filter }.encode_to_vec(),
        "ListRoles" => pb::ListRolesRequest { page_size, page_token }.encode_to_vec(),
        "ListSigningKeys" => pb::ListSigningKeysRequest { page_size, page_token }.encode_to_vec(),
        "ListMySessions" => pb::ListMySessionsRequest { page_size, page_token }.encode_to_vec(),
        "ListUserSessions" => pb::ListUserSessionsRequest { user_id, page_size, page_token }.encode_to_vec(),
        _ => return None,
    })
}

async fn a_page_token_of_another_method_filter_or_form_is_refused(app: &App) {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let channel = served(app).await;
    let bases = Bases::of(app, &channel).await;
    app.user("bob").await;
    app.sign_in().await;
    app.sign_in().await;
    let list = async |path: &str, token: String| {
        let caller = if path.contains("ListMySessions") { Caller::User } else { Caller::Administrator };
        let credentials = bases.credentials(caller);
        raw::call(&channel, path, credentials.as_deref(), with_token(path, token).unwrap(), false).await
    };
    let set = descriptors();
    let paged = |input: &str| fields::texts_of(&set, input).iter().any(|field| field.to_string() == "page_token");
    let lists: Vec<String> = methods(&set).into_iter().filter(|(_, i, _)| paged(i)).map(|(path, ..)| path).collect();
    let mut tokens = Vec::new();
    for path in &lists {
        let answer = list(path, String::new()).await.unwrap();
        // The token is the second field of each of these answers.
        let token = fields::text_in(&answer, 2).unwrap_or_else(|| panic!("{path} has one page only"));
        list(path, token.clone()).await.unwrap_or_else(|status| panic!("{path}: {status:?}"));
        tokens.push(token);
    }
    for (at, path) in lists.iter().enumerate() {
        for (other, token) in tokens.iter().enumerate().filter(|(other, _)| *other != at) {
            let refused = list(path, token.clone()).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{path} with the token of {}", lists[other]);
        }
        let good = URL_SAFE_NO_PAD.decode(&tokens[at]).unwrap();
        let altered = ["\0", "a\u{1}", "\u{301}", "'; --", &"x".repeat(200), ""];
        for text in altered {
            let token = URL_SAFE_NO_PAD.encode([&good[..8], text.as_bytes()].concat());
            match list(path, token).await {
                Ok(_) => {
                    let nothing = text.is_empty() || text.contains('\0') || path.contains("ListAuditEvents");
                    assert!(!nothing, "{path} accepts {text:?} as a token");
                }
                Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{path} {text:?}: {status:?}"),
            }
        }
    }
    let filtered =
        pb::ListUsersRequest { page_token: tokens[0].clone(), filter: "disabled = false".into(), page_size: 1 };
    for (path, token) in lists.iter().zip(&tokens).filter(|(path, _)| has_filter_at(&set, path)) {
        let message = pb::ListUsersRequest { page_token: token.clone(), ..filtered.clone() };
        let message = if path.contains("Audit") {
            pb::ListUsersRequest { filter: "actor = a".into(), ..message }
        } else {
            message
        };
        let credentials = bases.credentials(Caller::Administrator);
        let refused = raw::call(&channel, path, credentials.as_deref(), message.encode_to_vec(), false).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument, "{path} with the token of no filter");
    }
}

fn has_filter_at(set: &FileDescriptorSet, path: &str) -> bool {
    methods(set).iter().any(|(p, input, _)| p == path && has_filter(input))
}
