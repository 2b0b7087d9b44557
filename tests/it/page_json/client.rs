//! A program that draws its own pages: it keeps cookies, sends JSON, and reads steps.

use axum::http::{StatusCode, header};
use serde_json::{Map, Value, json};

use crate::browser::{Browser, ORIGIN, Page};

/// What `fetch` sends from a page of the same origin.
const FETCH: [(&str, &str); 4] = [
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("accept", "application/json"),
];

/// An answer in JSON.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) page: Page,
    pub(crate) json: Value,
}

/// Asks for a page.
pub(crate) async fn get(browser: &mut Browser, path: &str) -> Step {
    Step::of(browser.send("GET", path, &FETCH, String::new()).await)
}

/// Sends fields.
pub(crate) async fn post(browser: &mut Browser, path: &str, fields: Value) -> Step {
    let headers = [&FETCH[..], &[("origin", ORIGIN), ("content-type", "application/json")]].concat();
    Step::of(browser.send("POST", path, &headers, fields.to_string()).await)
}

/// Fills in a step and sends it where it says.
pub(crate) async fn submit(browser: &mut Browser, step: &Step, typed: Value) -> Step {
    post(browser, step.url(), step.filled(&step.json["fields"], &typed)).await
}

/// Does something else that a step offers.
pub(crate) async fn act(browser: &mut Browser, step: &Step, action: &str, typed: Value) -> Step {
    post(browser, step.url(), step.filled(&step.action(action)["fields"], &typed)).await
}

/// Signs in from the beginning.
pub(crate) async fn sign_in(browser: &mut Browser, return_to: &str, username: &str, password: &str) -> Step {
    let step = get(browser, &format!("/auth/login?return_to={return_to}")).await;
    assert_eq!(step.name(), "login", "{}", step.json);
    submit(browser, &step, json!({ "username": username, "password": password })).await
}

impl Step {
    pub(crate) fn of(page: Page) -> Self {
        let kind = page.headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(kind == "application/json" || kind == "application/problem+json", "{kind}: {}", page.body);
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(page.headers[header::VARY], "accept, accept-language, cookie");
        assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(page.headers.contains_key("x-request-id"), "{:?}", page.headers);
        assert!(!page.headers.contains_key(header::LOCATION) && !page.status.is_redirection(), "{page:?}");
        let json: Value = serde_json::from_str(&page.body).unwrap_or_else(|e| panic!("{e}: {}", page.body));
        let problem = kind == "application/problem+json";
        assert_eq!((problem, problem), (json["step"].is_null(), json["reason"].is_string()), "{json}");
        Self { page, json }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.page.status
    }

    /// The name of the step; the reason of a problem.
    pub(crate) fn name(&self) -> &str {
        self.json["step"].as_str().or(self.json["reason"].as_str()).unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        self.json["url"].as_str().unwrap_or_else(|| panic!("nothing to send: {}", self.json))
    }

    /// Where the way leads back to the application, below the origin.
    pub(crate) fn done(&self) -> &str {
        let location = self.json["done"]["location"].as_str().unwrap_or_else(|| panic!("not done: {}", self.json));
        location.strip_prefix(ORIGIN).unwrap()
    }

    pub(crate) fn link(&self, name: &str) -> &str {
        self.json["links"][name].as_str().unwrap_or_else(|| panic!("no link {name}: {}", self.json))
    }

    pub(crate) fn action(&self, name: &str) -> &Value {
        let all = self.json["actions"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no action {name}: {}", self.json))
    }

    /// The names of the fields that people fill.
    pub(crate) fn asks_for(&self) -> Vec<&str> {
        let all = self.json["fields"].as_array().unwrap().iter();
        all.filter(|field| field["type"] != "hidden").map(|field| field["name"].as_str().unwrap()).collect()
    }

    /// The codes of the messages, each with its field.
    pub(crate) fn says(&self) -> Vec<(&str, Option<&str>)> {
        let all = self.json["messages"].as_array().unwrap_or_else(|| panic!("{}", self.json)).iter();
        all.map(|one| {
            assert!(!one["text"].as_str().unwrap().is_empty(), "{one}");
            (one["code"].as_str().unwrap(), one["field"].as_str())
        })
        .collect()
    }

    /// What is to be sent: the values that the fields have, what was typed, and the form token.
    pub(crate) fn filled(&self, fields: &Value, typed: &Value) -> Value {
        let mut out = Map::new();
        for field in fields.as_array().unwrap() {
            if let Some(value) = field.get("value") {
                out.insert(field["name"].as_str().unwrap().to_owned(), value.clone());
            }
        }
        out.extend(typed.as_object().unwrap().clone());
        out.insert("csrf".to_owned(), self.json["csrf"].clone());
        Value::Object(out)
    }

    /// The document without what differs from run to run.
    pub(crate) fn shape(&self) -> Value {
        masked(None, &self.json)
    }
}

/// The same value, with what is sealed or random masked.
fn masked(name: Option<&str>, value: &Value) -> Value {
    let sealed = |field: &Value| {
        field["type"] == "hidden"
            && !["action", "kind", "return_to", "revision"].iter().any(|name| field["name"] == **name)
    };
    match value {
        Value::Object(members) => {
            let sealed = sealed(value);
            let member = |(key, value): (&String, &Value)| {
                let value = if sealed && key == "value" { json!("…") } else { masked(Some(key), value) };
                (key.clone(), value)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(all) => all.iter().map(|one| masked(None, one)).collect(),
        Value::String(text) => match name {
            Some("csrf" | "session_id" | "request_id") => json!("…"),
            _ => json!(without_sealed(text)),
        },
        other => other.clone(),
    }
}

/// An address without what is sealed in its query, and without the id of a step.
fn without_sealed(text: &str) -> String {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let path = path.find("/step/").map_or(path.to_owned(), |at| format!("{}/step/…", &path[..at]));
    let names = query.map(|query| {
        let names = query.split('&').map(|pair| format!("{}=…", pair.split('=').next().unwrap()));
        format!("?{}", names.collect::<Vec<_>>().join("&"))
    });
    format!("{path}{}", names.unwrap_or_default())
}
