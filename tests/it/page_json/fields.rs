//! Each page has the same in JSON as in HTML: fields, buttons that send something, links and messages.

use std::collections::{BTreeMap, BTreeSet};

use chancery::web::pages::{Pages, Sample, StepName, Surroundings, Text};
use serde_json::{Value, json};

use crate::pages::markup::{self, Element};

const SURROUNDINGS: Surroundings<'_> = Surroundings { origin: "https://shop.example", expires_at: None };

/// Every sample that has a step, with its JSON and the main part of its HTML.
fn both() -> Vec<(Sample, Value, Element)> {
    let pages = Pages::new(None).unwrap();
    let all = Sample::all().into_iter().filter_map(|sample| {
        let json = serde_json::from_str(&pages.document(&sample.look, &sample.view, SURROUNDINGS)?).unwrap();
        let html = markup::parse(&pages.render(&sample.look, &sample.view)).unwrap();
        Some((sample, json, html))
    });
    all.collect()
}

/// The part of a page that is its own.
fn main_of(html: &Element) -> &Element {
    html.all("main")[0]
}

/// A field: its name, type, autocomplete, whether it is required, and what it holds.
type Field = (String, String, String, bool, Option<Value>);

fn html_fields(form: &Element) -> Vec<Field> {
    let inputs = form.all("input").into_iter().filter(|input| input.get("name").is_some_and(|name| name != "csrf"));
    let field = |input: &Element| {
        let text = |name| input.get(name).map(str::to_owned);
        let (kind, value) = (text("type").unwrap(), text("value").filter(|value| !value.is_empty()));
        let (required, value) = match kind.as_str() {
            // It is sent back in any case.
            "hidden" => (true, value.map(Value::from)),
            "checkbox" => (input.get("required").is_some(), Some(json!(input.get("checked").is_some()))),
            _ => (input.get("required").is_some(), value.map(Value::from)),
        };
        (text("name").unwrap(), kind, text("autocomplete").unwrap_or("off".to_owned()), required, value)
    };
    inputs.map(field).collect()
}

fn json_fields(fields: &Value) -> Vec<Field> {
    let field = |field: &Value| {
        let text = |name: &str| field[name].as_str().unwrap().to_owned();
        let required = field["required"].as_bool().unwrap();
        (text("name"), text("type"), text("autocomplete"), required, field.get("value").cloned())
    };
    fields.as_array().unwrap().iter().map(field).collect()
}

/// What can be sent from a page in JSON.
fn json_forms(json: &Value) -> Vec<Vec<Field>> {
    let own = json_fields(&json["fields"]);
    let actions = json["actions"].as_array().unwrap().iter().map(|action| json_fields(&action["fields"]));
    let actions_alone = json["step"] == "account" || json["step"] == "mfa" && own.is_empty();
    let own = Some(own).filter(|_| json["url"].is_string() && !actions_alone);
    own.into_iter().chain(actions).collect()
}

/// What can be sent from a page in HTML: each form and, of those with several buttons, each button. Forms that differ in
/// the session alone are one.
fn html_forms(html: &Element) -> Vec<Vec<Field>> {
    let mut out: Vec<Vec<Field>> = Vec::new();
    for form in main_of(html).all("form") {
        let mut fields = html_fields(form);
        for field in fields.iter_mut().filter(|field| ["session_id", "factor_id"].contains(&field.0.as_str())) {
            field.4 = None;
        }
        if !out.contains(&fields) {
            out.push(fields.clone());
        }
        // A button that has a name is sent, and what people fill in does not matter then.
        for button in form.all("button").into_iter().filter(|button| button.get("name").is_some()) {
            let value = button.get("value").map(Value::from);
            let own = (button.get("name").unwrap().to_owned(), "hidden".to_owned(), "off".to_owned(), true, value);
            let hidden = fields.iter().filter(|field| field.1 == "hidden").cloned();
            out.push(hidden.chain([own]).collect());
        }
    }
    out
}

#[test]
fn every_page_has_the_same_fields_in_json_as_in_html() {
    for (sample, json, html) in both() {
        assert_eq!(json_forms(&json), html_forms(&html), "{}", sample.name);
        for form in main_of(&html).all("form") {
            let token = form.all("input").into_iter().find(|input| input.get("name") == Some("csrf")).unwrap();
            assert_eq!(json["csrf"].as_str(), token.get("value"), "{}", sample.name);
            assert_eq!(json["url"].as_str(), form.get("action"), "{}", sample.name);
        }
        let forms = main_of(&html).all("form").len();
        assert_eq!(forms == 0, json["csrf"].is_null(), "{}", sample.name);
        assert_eq!(json["csrf"].is_null(), json["url"].is_null(), "{}", sample.name);
    }
}

#[test]
fn every_page_leads_to_the_same_places_in_json_as_in_html() {
    for (sample, json, html) in both() {
        let links = main_of(&html).all("a").into_iter().filter_map(|a| Some((a.get("id")?, a.get("href")?)));
        let links: BTreeMap<String, &str> = links.map(|(id, href)| (id.replace('-', "_"), href)).collect();
        let own = json["links"].as_object().unwrap().iter();
        let own: BTreeMap<String, &str> = own.map(|(name, to)| (name.clone(), to.as_str().unwrap())).collect();
        assert_eq!(own, links, "{}", sample.name);
    }
}

#[test]
fn every_page_says_the_same_in_json_as_in_html() {
    for (sample, json, html) in both() {
        let page = main_of(&html).text();
        for message in json["messages"].as_array().unwrap() {
            let text = message["text"].as_str().unwrap();
            assert!(!text.is_empty() && page.contains(text), "{}: {text}: {page}", sample.name);
        }
        let said = main_of(&html).with("role", "alert").len() + main_of(&html).with("role", "status").len();
        assert_eq!(said > 0, json["messages"] != json!([]), "{}", sample.name);
    }
}

#[test]
fn no_page_says_what_was_typed_as_a_secret() {
    for (sample, json, _) in both() {
        let forms = json_forms(&json);
        for (name, kind, _, _, value) in forms.iter().flatten() {
            let secret = kind == "password" || name == "code";
            assert!(!secret || value.is_none(), "{}: {name}", sample.name);
        }
    }
}

#[test]
fn the_steps_are_a_closed_list_and_each_has_a_sample() {
    let names: Vec<&str> = StepName::ALL.iter().map(|step| step.as_str()).collect();
    insta::assert_snapshot!(names.join("\n"));
    let seen: BTreeSet<&str> = Sample::all().iter().filter_map(|sample| Some(sample.view.step()?.as_str())).collect();
    let unseen: Vec<&str> = names.into_iter().filter(|name| !seen.contains(name)).collect();
    assert_eq!(unseen, ["done"], "the answer without a page");
}

#[test]
fn each_page_in_json_is_as_it_was() {
    for (sample, mut json, _) in both() {
        json.sort_all_objects();
        insta::assert_snapshot!(format!("json {}", sample.name), serde_json::to_string_pretty(&json).unwrap());
    }
}

#[test]
fn each_message_has_a_code_of_one_form() {
    assert_eq!(Text::CODES.len(), Text::KEYS.len());
    for code in Text::CODES {
        assert!(!code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{code}");
    }
}
