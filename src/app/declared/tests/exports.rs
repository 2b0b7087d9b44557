//! Whatever the database has, its export says.

use std::collections::BTreeMap;

use proptest::{option, prelude::*, sample::subsequence};

use super::{
    super::{
        compared,
        export::export,
        keys::{Key, Kind},
        render::{client_fields, client_request},
        state::PresentClient,
        value::{Fields, Form, Value},
    },
    ISSUER, hash, parse, state,
};
use crate::{service::check_new_client, time::Ttl};

fn texts(all: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(all, 0..=all.len()).prop_map(|some| Value::List(some.into_iter().map(str::to_owned).collect()))
}

fn in_any_order(all: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let some = subsequence(all, 0..=all.len()).prop_shuffle();
    some.prop_map(|some| Value::List(some.into_iter().map(str::to_owned).collect()))
}

fn one_of(all: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::sample::select(all).prop_map(|text| Value::Text(text.to_owned()))
}

fn pairs(all: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Value> {
    let table = |some: Vec<(&str, &str)>| some.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    subsequence(all, 0..=all.len()).prop_map(move |some| Value::Table(table(some)))
}

/// A value of each key, or none; not all of them fit together.
fn fields() -> impl Strategy<Value = Fields> {
    let value = |key: &Key| match key.name {
        "algorithm" => one_of(&["RS256", "ES256", "EdDSA"]).boxed(),
        "link_template" => one_of(&["https://shop.example/{kind}?token={token}"]).boxed(),
        "site" => one_of(&["https://shop.example/auth", "http://localhost:8000/auth"]).boxed(),
        "site_home" => one_of(&["/", "/welcome"]).boxed(),
        "logo_uri" => one_of(&["/logo.svg", "https://cdn.example/l.png"]).boxed(),
        "accent_color" => one_of(&["#123456", "#abcdef"]).boxed(),
        "display_name" => one_of(&["The \"Shop\"", "Zoë's", "\\ 𝄞", "#"]).boxed(),
        "grants" => texts(&["direct_login", "refresh_token", "client_credentials", "guest"]).boxed(),
        "audiences" => in_any_order(&["$issuer", "shop-api", "stock"]).boxed(),
        "scopes" => texts(&["orders.read", "orders.write"]).boxed(),
        "permissions" => texts(&["users.read", "orders.read@shop-api", "x@y@z"]).boxed(),
        "cors_origins" => texts(&["https://a.example", "http://localhost:5173"]).boxed(),
        "claims" => pairs(&[("team", "team"), ("tier", "\"gold\""), ("https://x.example/y z", "a.b")]).boxed(),
        "guest_data" => pairs(&[("cart", "return_both"), ("list", "keep_account")]).boxed(),
        _ if key.form == Form::Length => (1i64..40 * 86_400).prop_map(Value::Length).boxed(),
        _ => any::<bool>().prop_map(Value::Switch).boxed(),
    };
    let apart = |key: &&Key| !["client_id", "serves", "roles", "disabled"].contains(&key.name);
    let all: Vec<_> = Kind::Client.keys().iter().filter(apart).map(|k| (Just(k.name), option::of(value(k)))).collect();
    all.prop_map(|all| all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn an_export_of_any_client_says_what_the_database_has(mut fields in fields(), disabled: bool) {
        // What seldom fits is made to fit.
        if !fields.get("first_party").is_some_and(Value::switch) {
            for name in ["site", "site_home", "browser_tokens"] {
                fields.remove(name);
            }
        }
        if !fields.contains_key("site") {
            fields.remove("site_home");
            fields.remove("browser_tokens");
        }
        if fields.get("public").is_some_and(Value::switch) {
            fields.remove("permissions");
            fields.remove("trusted_end_user");
        }
        let request = client_request("shop", &fields, ISSUER);
        let config = check_new_client(&request, ISSUER, Ttl::from_secs(3600));
        prop_assume!(config.is_ok());
        let (public, secret) = (request.public, (!request.public).then(|| hash(1)));
        let fields = client_fields(&config.unwrap(), public, Vec::new(), ISSUER);
        let mut state = state();
        let client = PresentClient { fields, disabled, secret, previous_secret: None };
        state.clients = BTreeMap::from([("shop".to_owned(), client)]);
        let text = export(&state);
        let file = parse(&text).map_err(|problems| TestCaseError::fail(format!("{problems:?}: {text}")))?;
        let plan = compared(&file, &state, true);
        let plan = plan.map_err(|problems| TestCaseError::fail(format!("{problems:?}: {text}")))?;
        prop_assert!(plan.is_empty() && plan.notes().is_empty(), "{:?} {:?}: {}", plan.lines(), plan.notes(), text);
    }
}
