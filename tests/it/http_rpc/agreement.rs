//! The same random calls over gRPC, gRPC-Web and JSON have the same answers. Three servers with the same contents get the
//! same calls, each over another wire, so that calls that change something can be compared as well.

mod messages;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    grpc::DESCRIPTORS,
    service::{ACCESS, Admin, ClientCredentials, HttpRpc, NewClientRequest},
    time::Ttl,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions, prost::Message};
use serde_json::{Value, json};
use tonic::{Code, Status, transport::Channel};
use tonic_types::pb::Status as WireStatus;

use self::messages::{Random, any_message};
use super::requests::{call, call_web, routes};
use crate::{
    support::{App, ISSUER, PASSWORD, first_party},
    wire::served,
};

/// Random calls of each method.
const ROUNDS: usize = 20;

/// How a server is called.
enum Wire {
    Grpc(Channel),
    GrpcWeb(Router),
    Json(Router),
}

/// A server with the same contents as the others, and what it has given out.
struct Server {
    app: App,
    wire: Wire,
    boss: String,
    given: BTreeMap<&'static str, Vec<String>>,
}

/// Names of fields whose values later calls refer to.
const REMEMBERED: [&str; 6] = ["accessToken", "refreshToken", "sessionId", "challenge", "etag", "deviceToken"];

/// What comes back: the answer, or code, message and details.
type Outcome = Result<Value, (i32, String, Value)>;

impl Server {
    async fn start(wire: impl AsyncFnOnce(&App) -> Wire) -> Self {
        let app = App::sqlite().await;
        let boss = NewClientRequest {
            public: false,
            roles: vec!["administrator".into()],
            serves: vec!["api".into()],
            ..first_party("boss", &["api", ISSUER])
        };
        let ClientCredentials::Basic { secret, .. } = app.confidential(boss).await else { panic!("no secret") };
        app.client("portal", &["api", ISSUER]).await;
        app.user("root").await;
        app.service.users.set_role(&Admin::command(), "root", "administrator", true).await.unwrap();
        let wire = wire(&app).await;
        let boss = format!("Basic {}", STANDARD.encode(format!("boss:{}", secret.expose())));
        Self { app, wire, boss, given: BTreeMap::new() }
    }

    /// A text that refers to something given out, as in `@refreshToken:2`, counted from the newest.
    fn resolved(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
                Some((name, back)) => {
                    let given = self.given.get(name).map_or(&[][..], Vec::as_slice);
                    let found = given.iter().rev().nth(back.parse().unwrap());
                    found.map_or_else(|| json!("chr_nothing"), |text| json!(text))
                }
                None => value.clone(),
            },
            Value::Array(all) => all.iter().map(|one| self.resolved(one)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, one)| (name.clone(), self.resolved(one)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    fn remember(&mut self, answer: &Value) {
        match answer {
            Value::Array(all) => all.iter().for_each(|one| self.remember(one)),
            Value::Object(fields) => {
                if let (Some("https://id.example.com"), Some(token)) =
                    (answer["audience"].as_str(), answer["accessToken"].as_str())
                {
                    self.given.entry("own").or_default().push(token.to_owned());
                }
                for (field, value) in fields {
                    match REMEMBERED.iter().find(|name| *name == field).zip(value.as_str()) {
                        Some((name, text)) if !text.is_empty() => {
                            self.given.entry(name).or_default().push(text.to_owned());
                        }
                        _ => self.remember(value),
                    }
                }
            }
            _ => {}
        }
    }

    async fn call(&mut self, pool: &DescriptorPool, method: &MethodDescriptor, random: &Random) -> Outcome {
        let message = self.resolved(&random.message);
        let credentials = match random.credentials.as_str() {
            "boss" => self.boss.clone(),
            "wrong" => format!("Basic {}", STANDARD.encode("boss:wrong")),
            "" => String::new(),
            token => format!("Bearer {}", self.resolved(&json!(token)).as_str().unwrap()),
        };
        let headers: Vec<(&str, &str)> =
            if credentials.is_empty() { vec![] } else { vec![("authorization", credentials.as_str())] };
        let name = format!("{}/{}", method.parent_service().full_name(), method.name());
        let bytes = || {
            let message = DynamicMessage::deserialize(method.input(), &message);
            message.unwrap_or_else(|error| panic!("{error}: {random:?}")).encode_to_vec()
        };
        let answered = match &self.wire {
            Wire::Grpc(channel) => grpc(channel.clone(), &name, &headers, bytes()).await,
            Wire::GrpcWeb(routes) => call_web(routes, &format!("/{name}"), &headers, &bytes(), false).await,
            Wire::Json(routes) => {
                let short = name.strip_prefix("chancery.v1.").unwrap();
                let answer = call(routes, short, &headers, &message).await;
                let outcome = of_json(answer.status.is_success(), answer.json());
                if let Ok(answer) = &outcome {
                    self.remember(answer);
                }
                return outcome;
            }
        };
        let outcome = answered.map(|bytes| shown(&DynamicMessage::decode(method.output(), &*bytes).unwrap()));
        if let Ok(answer) = &outcome {
            self.remember(answer);
        }
        outcome.map_err(|status| (status.code().into(), status.message().to_owned(), details(pool, &status)))
    }
}

fn shown(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// The details of a status as the JSON wire shows them.
fn details(pool: &DescriptorPool, status: &Status) -> Value {
    let details = WireStatus::decode(status.details()).unwrap().details;
    let details = details.iter().map(|any| {
        let name = any.type_url.rsplit('/').next().unwrap();
        let message = DynamicMessage::decode(pool.get_message_by_name(name).unwrap(), &*any.value).unwrap();
        json!({"type": name, "debug": serde_json::to_value(message).unwrap()})
    });
    details.collect()
}

fn of_json(success: bool, mut body: Value) -> Outcome {
    if success {
        return Ok(body);
    }
    let name = body["code"].as_str().unwrap();
    let code = (0..17).map(Code::from).find(|code| connect_name(*code) == name).unwrap_or_else(|| panic!("{name}"));
    for detail in body["details"].as_array_mut().unwrap() {
        detail.as_object_mut().unwrap().remove("value").unwrap();
    }
    Err((code.into(), body["message"].as_str().unwrap().to_owned(), body["details"].take()))
}

/// `InvalidArgument` is `invalid_argument`.
fn connect_name(code: Code) -> String {
    let name = format!("{code:?}").replace("Cancelled", "Canceled");
    let parts = name.split_inclusive(|_: char| true).map(|letter| {
        if letter.chars().all(char::is_uppercase) { format!("_{}", letter.to_lowercase()) } else { letter.to_owned() }
    });
    parts.collect::<String>().trim_start_matches('_').to_owned()
}

async fn grpc(channel: Channel, name: &str, headers: &[(&str, &str)], message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut request = tonic::Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
        assert_eq!(*name, "authorization");
    }
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = format!("/{name}").parse().unwrap();
    client.unary(request, path, messages::Bytes).await.map(tonic::Response::into_inner)
}

/// What differs between servers of the same contents stands for itself: ids, tokens, keys and the like are long words.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
            let is_known =
                |word: &str| word.len() < 20 || word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let masked = words.map(|word| if is_known(word) { word } else { "#" });
            let masked = masked.collect::<String>();
            // Places in status lists are drawn.
            match masked.split_once("\"idx\":") {
                Some((before, after)) => {
                    json!(format!("{before}#{}", after.trim_start_matches(|c: char| c.is_ascii_digit())))
                }
                None => json!(masked),
            }
        }
        Value::Array(all) => {
            // Many lists are in the order of ids, which are random.
            let mut all: Vec<Value> = all.iter().map(masked).collect();
            all.sort_by_key(ToString::to_string);
            all.into()
        }
        Value::Object(fields) => {
            // What the libraries call themselves.
            let fields = fields.iter().filter(|(name, _)| *name != "userAgent");
            fields.map(|(name, one)| (name.clone(), masked(one))).collect::<serde_json::Map<_, _>>().into()
        }
        // 1 and 1.0 are the same number.
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn masked_outcome(outcome: &Outcome) -> Outcome {
    match outcome {
        // Of what happened at one instant, the order of ids decides what is on this page and what on the next.
        Ok(answer) if answer["nextPageToken"].as_str().is_some_and(|token| !token.is_empty()) => {
            let lists = answer.as_object().unwrap().values().filter_map(Value::as_array);
            Ok(lists.map(|list| json!(list.len())).collect())
        }
        Ok(answer) => Ok(masked(answer)),
        Err((code, message, details)) => {
            Err((*code, masked(&json!(message)).as_str().unwrap().to_owned(), masked(details)))
        }
    }
}

/// What makes the users and the clients usable again, whatever the last round did to them.
fn first_calls(methods: &[MethodDescriptor]) -> Vec<(&MethodDescriptor, Random)> {
    let login = |login| json!({"clientId": "portal", "login": login, "password": PASSWORD, "audience": ISSUER});
    let user = |name| json!({"user": {"name": name}, "password": PASSWORD});
    let role = json!({"userId": "root", "roleId": "administrator"});
    let all = [
        ("CreateUser", user("ada"), "boss"),
        ("CreateUser", user("root"), "boss"),
        ("EnableUser", json!({"userId": "ada"}), "boss"),
        ("EnableUser", json!({"userId": "root"}), "boss"),
        ("EnableClient", json!({"clientId": "portal"}), "boss"),
        ("AssignUserRole", role, "boss"),
        ("Login", login("root"), ""),
        ("Login", login("ada"), ""),
    ];
    let calls = all.into_iter().map(|(name, message, credentials)| {
        let method = methods.iter().find(|method| method.name() == name).unwrap();
        (method, Random { message, credentials: credentials.to_owned() })
    });
    calls.collect()
}

/// The outcome of a call on which all wires agree.
async fn agreed(
    pool: &DescriptorPool,
    servers: &mut [Server; 3],
    method: &MethodDescriptor,
    random: &Random,
    round: usize,
) -> Outcome {
    let mut outcomes = Vec::new();
    for server in servers {
        server.app.pass(Ttl::from_secs(2)).await;
        outcomes.push(masked_outcome(&server.call(pool, method, random).await));
    }
    for (wire, outcome) in ["gRPC-Web", "JSON"].iter().zip(&outcomes[1..]) {
        let name = method.full_name();
        assert_eq!(*outcome, outcomes[0], "round {round}: {name} over {wire}, with {random:?}");
    }
    outcomes.swap_remove(0)
}

#[tokio::test]
async fn the_same_calls_have_the_same_answers_and_reasons_over_every_wire() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let offered: BTreeSet<&str> =
        ACCESS.iter().map(|(path, _)| *path).filter(|path| HttpRpc::All.offers(path)).collect();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let methods: Vec<MethodDescriptor> = methods
        .filter(|method| !method.is_server_streaming())
        .filter(|m| offered.contains(&*format!("/{}/{}", m.parent_service().full_name(), m.name())))
        .collect();
    assert!(methods.len() >= 48, "{}", methods.len());
    let mut servers = [
        Server::start(async |app| Wire::Grpc(served(app).await)).await,
        Server::start(async |app| Wire::GrpcWeb(routes(&app.service, HttpRpc::All))).await,
        Server::start(async |app| Wire::Json(routes(&app.service, HttpRpc::All))).await,
    ];
    let seed = [19; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut succeeded, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let first = first_calls(&methods);
        let random = methods.iter().map(|method| {
            let random = any_message(&method.input(), method.name()).new_tree(&mut runner).unwrap().current();
            (method, random)
        });
        let calls: Vec<_> = first.into_iter().chain(random).collect();
        for (method, random) in calls {
            let outcome = agreed(&pool, &mut servers, method, &random, round).await;
            let counted = if outcome.is_ok() { &mut succeeded } else { &mut failed };
            counted.insert(method.name().to_owned());
        }
    }
    assert!(succeeded.len() >= 28, "too few calls succeed to say much: {succeeded:?}");
    assert!(failed.len() >= 40, "{failed:?}");
}
