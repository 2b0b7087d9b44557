//! JSON output of commands is an API message with its field names.

use std::collections::{BTreeMap, BTreeSet};

use chancery::grpc::DESCRIPTORS;
use prost::Message;
use prost_types::{EnumDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use serde_json::{Map, Value};

use crate::{
    calls::{PASSWORD, log_in, start},
    place::Place,
    server::{command, run},
};

/// The messages and enums of the API, by full name.
#[derive(Default)]
struct Api {
    /// The fields of each message, with the type of fields that are messages or enums.
    messages: BTreeMap<String, BTreeMap<String, String>>,
    enums: BTreeMap<String, BTreeSet<String>>,
}

impl Api {
    fn new() -> Self {
        let mut api = Self::default();
        for file in FileDescriptorSet::decode(DESCRIPTORS).unwrap().file {
            for message in &file.message_type {
                let kind = |field: &prost_types::FieldDescriptorProto| match field.r#type() {
                    Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
                    _ => String::new(),
                };
                let fields = message.field.iter().map(|f| (f.name().to_owned(), kind(f))).collect();
                api.messages.insert(format!("{}.{}", file.package(), message.name()), fields);
            }
            for of in &file.enum_type {
                let names = |of: &EnumDescriptorProto| of.value.iter().map(|v| v.name().to_owned()).collect();
                api.enums.insert(format!("{}.{}", file.package(), of.name()), names(of));
            }
        }
        api
    }

    /// Checks recursively that every member of the object is a field of the message.
    fn check(&self, line: &str, message: &str, object: &Map<String, Value>) {
        let fields = &self.messages[message];
        for (name, value) in object {
            let kind = fields.get(name).unwrap_or_else(|| panic!("`{line}`: {message} has no field {name}"));
            let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            for value in values {
                if kind.starts_with("chancery.") && self.messages.contains_key(kind) {
                    self.check(line, kind, value.as_object().unwrap());
                } else if let Some(names) = self.enums.get(kind) {
                    assert!(names.contains(value.as_str().unwrap()), "`{line}`: {kind} has no value {value}");
                } else if kind == "google.protobuf.Timestamp" {
                    let parsed: Result<prost_types::Timestamp, _> = value.as_str().unwrap().parse();
                    assert!(parsed.is_ok(), "`{line}`: {name} is {value}");
                }
            }
        }
    }
}

/// The names of all commands that have no commands below them.
fn names(path: &[&str], all: &mut BTreeSet<String>) {
    let below = subcommands(&help(path));
    if below.is_empty() {
        all.insert(path.join(" "));
    }
    for name in &below {
        names(&[path, &[name]].concat(), all);
    }
}

/// The commands with a `--json` flag.
fn commands(path: &[&str], all: &mut BTreeSet<String>) {
    let help = help(path);
    if help.contains("--json") {
        all.insert(path.join(" "));
    }
    for name in &subcommands(&help) {
        commands(&[path, &[name]].concat(), all);
    }
}

fn help(path: &[&str]) -> String {
    String::from_utf8(run(command(path).arg("--help"), b"").stdout).unwrap()
}

fn subcommands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|l| !l.is_empty()).filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    lines.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn json_members_are_fields_of_their_api_message() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    let foreign = dir.path().join("foreign.json");
    std::fs::write(&foreign, r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":"ES256","kid":"old","use":"sig"}"#).unwrap();
    let users = dir.path().join("users.jsonl");
    std::fs::write(&users, "{\"subject\":\"old-1\",\"name\":\"old\"}\n").unwrap();
    let (foreign, users) = (foreign.to_str().unwrap(), users.to_str().unwrap());
    let until = (chancery::time::Clock::now(&chancery::time::SystemClock)).plus(chancery::time::Ttl::from_days(1));
    server.command(&["keys", "trust", foreign, "--until", &until.to_string()], "");
    server.command(&["role", "create", "clerk", "--permission", "orders.read@api"], "");

    let api = Api::new();
    let mut seen = BTreeSet::new();
    let mut check = |args: &[&str], stdin: &str, messages: &[&str]| {
        let line = args.join(" ");
        let printed = server.command(args, stdin);
        // One document on several lines, or one per line.
        let documents: Vec<Value> =
            serde_json::Deserializer::from_str(&printed).into_iter().map(Result::unwrap).collect();
        assert!(!documents.is_empty(), "`{line}` prints nothing");
        for document in &documents {
            let object = document.as_object().unwrap();
            if messages.is_empty() {
                continue;
            }
            // Our own keys and those of other issuers are different messages.
            let message = messages[usize::from(messages.len() > 1 && object.contains_key("foreign"))];
            let mut object = object.clone();
            // A created client is printed flat, with the client secret next to its members.
            if line.starts_with("client create") {
                let secret = object.remove("client_secret").expect("the secret is printed");
                api.check(
                    &line,
                    "chancery.v1.CreateClientResponse",
                    &[("client_secret".to_owned(), secret)].into_iter().collect(),
                );
            }
            api.check(&line, &format!("chancery.v1.{message}"), &object);
        }
        seen.insert(args[..2].join(" "));
        documents
    };

    let attributes = r#"{"team":"t1","limits":{"max":5}}"#;
    let create = ["user", "create", "ada", "--password-stdin", "--email", "ada@example.com", "--role", "clerk"];
    let made =
        check(&[&create[..], &["--attributes", attributes, "--json"]].concat(), PASSWORD, &["CreateUserResponse"]);
    assert_eq!((&made[0]["user"]["name"], &made[0]["user"]["emails"][0]), (&"ada".into(), &"ada@example.com".into()));
    check(&["user", "import", users, "--json"], "", &["ImportUsersResponse"]);
    server.command(&["user", "disable", "old"], "");
    let service =
        ["client", "create", "service", "--first-party", "--audience", "api", "--alg", "ES256", "--role", "clerk"];
    let more = ["--claim", "team=team", "--scope", "read", "--permission", "orders.write@api", "--json"];
    let made = check(&[&service[..], &more].concat(), "", &["Client"]);
    assert_eq!(made[0]["algorithm"], "SIGNATURE_ALGORITHM_ES256");
    check(&["client", "rotate-secret", "service", "--json"], "", &["RotateClientSecretResponse"]);
    check(&["user", "list", "--json"], "", &["User"]);
    check(&["user", "show", "ada"], "", &["User"]);
    check(&["user", "show", "ada", "--json"], "", &["User"]);
    check(&["user", "update", "ada", "--name", "ada-2", "--json"], "", &["User"]);
    check(&["client", "list", "--json"], "", &["Client"]);
    check(&["client", "show", "app"], "", &["Client"]);
    check(&["client", "show", "app", "--json"], "", &["Client"]);
    check(&["client", "update", "app", "--session-idle", "1d", "--json"], "", &["Client"]);
    check(&["role", "create", "reader", "--permission", "orders.read@api", "--json"], "", &["Role"]);
    check(&["role", "update", "reader", "--description", "reads", "--json"], "", &["Role"]);
    check(&["role", "list", "--json"], "", &["Role"]);
    check(&["role", "show", "clerk"], "", &["Role"]);
    check(&["role", "show", "clerk", "--json"], "", &["Role"]);
    // Settings are no part of the API.
    check(&["settings", "list", "--json"], "", &[]);
    check(&["settings", "show", "refresh_grace", "--json"], "", &[]);
    check(&["settings", "set", "refresh_grace", "5s", "--json"], "", &[]);
    let keys = check(&["keys", "list", "--json"], "", &["SigningKey", "JsonWebKey"]);
    assert!(keys.iter().any(|key| key["foreign"] == true), "{keys:?}");
    check(&["session", "list", "grace", "--json"], "", &["Session"]);
    check(&["user", "sessions", "grace", "--json"], "", &["Session"]);
    check(&["user", "factors", "grace", "--json"], "", &["ListUserFactorsResponse"]);
    let events = check(&["audit", "list", "--json"], "", &["AuditEvent"]);
    assert!(events.iter().any(|event| event["kind"] == "AUDIT_EVENT_KIND_SIGNED_IN"), "{events:?}");

    check(&["sealing-key", "list", "--json"], "", &[]);
    // These are no part of the API either, and their own tests look at what they print.
    seen.extend(["doctor", "migrate"].map(str::to_owned));
    check_that_all_were_seen(&seen);
}

/// Every command with the flag was looked at, and whatever lists, shows or creates has the flag.
fn check_that_all_were_seen(seen: &BTreeSet<String>) {
    let mut with_the_flag = BTreeSet::new();
    commands(&[], &mut with_the_flag);
    let missing: Vec<_> = with_the_flag.difference(seen).collect();
    assert!(missing.is_empty(), "not looked at: {missing:?}");
    let mut all = BTreeSet::new();
    names(&[], &mut all);
    let shows = |name: &&String| name.ends_with(" list") || name.ends_with(" show") || name.ends_with(" create");
    let without: Vec<_> = all.iter().filter(shows).filter(|name| !with_the_flag.contains(*name)).collect();
    assert_eq!(without, ["config show"], "without --json; `config show` prints nothing else");
    assert!(with_the_flag.len() >= 9, "{with_the_flag:?}");
}
