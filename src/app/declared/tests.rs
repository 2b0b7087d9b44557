mod exports;
mod limits;
mod logins;

use std::{fs, path::Path};

use super::{
    change::Change,
    compared,
    file::Declaration,
    keys::{Kind, OF_ACCOUNT_CLIENT},
    render::{client_fields, client_request},
    state::{PresentClient, PresentRole, State},
    value::{Fields, Form, Value},
};
use crate::{
    domain::declared::{Declared, DeclaredKind},
    entropy::SeededEntropy,
    secret::{ClientSecret, ClientSecretHash},
    service::{ACCOUNT_CLIENT, check_new_client},
    time::Ttl,
};

const ISSUER: &str = "https://id.example";
const BUILT_IN: [&str; 3] = ["administrator", "user-administrator", "auditor"];

fn parse(text: &str) -> Result<Declaration, Vec<String>> {
    Declaration::parse(Path::new("chancery.toml"), text)
}

/// A database as a first start leaves it.
fn state() -> State {
    let built_in = |name: &str| {
        let fields = Fields::from([("require_mfa", Value::Switch(false))]);
        (name.to_owned(), PresentRole { fields, built_in: true })
    };
    let setting = |name: &str, value: &str| (name.to_owned(), (value.to_owned(), value.to_owned()));
    State {
        issuer: ISSUER.to_owned(),
        settings: [setting("refresh_grace", "10s"), setting("access_token_lifetime_ceiling", "1h")].into(),
        roles: BUILT_IN.into_iter().map(built_in).collect(),
        ..State::default()
    }
}

/// The client of an entry, as the database would have it.
fn client(text: &str) -> (String, PresentClient) {
    let file = parse(text).unwrap();
    let entry = file.of(Kind::Client).next().unwrap();
    let fields: Fields = entry.fields.iter().map(|(name, given)| (*name, given.value.clone())).collect();
    let request = client_request(&entry.name(), &fields, ISSUER);
    let config = check_new_client(&request, ISSUER, Ttl::from_secs(3600)).unwrap();
    let public = request.public;
    let fields = client_fields(&config, public, request.roles, ISSUER);
    let secret = (!public).then(|| hash(1));
    (entry.name(), PresentClient { fields, disabled: false, secret, previous_secret: None })
}

fn hash(seed: u64) -> ClientSecretHash {
    ClientSecret::generate(&SeededEntropy::new(seed)).hash()
}

fn lines(text: &str, state: &State, prune: bool) -> Vec<String> {
    compared(&parse(text).unwrap(), state, prune).unwrap().lines()
}

fn problems(text: &str, state: &State) -> Vec<String> {
    parse(text).and_then(|file| compared(&file, state, false)).unwrap_err()
}

fn declared(kind: DeclaredKind, name: &str) -> Declared {
    Declared { kind, name: name.to_owned(), pruned: false }
}

const SHOP: &str = "[[client]]\nclient_id = \"shop\"\npublic = true\nfirst_party = true\naudiences = [\"a\"]\n";

#[test]
fn every_problem_of_a_file_is_reported_at_once_with_its_line() {
    let text = "\
[settings]
refresh_grace = \"2h\"
nonsense = 5

[[client]]
client_id = \"shop\"
public = true
first_party = true
audiences = \"a\"
tpyo = 1
secret = \"x\"
token_lifetime = \"soon\"

[[client]]
client_id = \"shop\"

[[role]]
description = \"nameless\"

[extra]
";
    let said = parse(text).unwrap_err();
    for (line, what) in [
        (9, "audiences: must be an array of strings"),
        (10, "tpyo: is nothing that a client has"),
        (11, "secret: secrets are taken from files only; set secret_file"),
        (12, "token_lifetime: must be a length of time"),
        (14, "client shop is there already, in line 5"),
        (17, "a role needs name"),
        (20, "extra is none of settings, audience, role, client and user"),
    ] {
        assert!(
            said.iter().any(|s| s.starts_with(&format!("chancery.toml, line {line}: {what}"))),
            "{line}: {said:#?}"
        );
    }
    assert_eq!(said.len(), 7, "{said:#?}");
    let said = parse("[[client]\nx = ").unwrap_err();
    assert!(said.iter().all(|s| s.starts_with("chancery.toml, line ")), "{said:?}");
}

#[test]
fn what_the_services_refuse_is_refused_with_its_line_before_anything_is_done() {
    let text = "\
[settings]
refresh_grace = \"2h\"
nonsense = 5

[[client]]
client_id = \"-\"
public = true
grants = [\"client_credentials\", \"magic\"]
permissions = [\"users.read\"]
roles = [\"nobody\"]

[[role]]
name = \"Clerk\"

[[role]]
name = \"administrator\"
permissions = [\"users.read\"]

[[user]]
name = \"ada\"
roles = [\"nobody\"]
emails = [\"nonsense\"]

[[audience]]
name = \"a b\"
";
    let said = problems(text, &state());
    for (line, what) in [
        (2, "settings: refresh_grace: must be 0s to 1m"),
        (3, "settings: nonsense: must be one of "),
        (6, "client -: client_id: \"-\" must be 1 to 64 characters"),
        (8, "client -: grants: client_credentials is for confidential clients"),
        (8, "client -: grants: \"magic\" must be direct_login"),
        (9, "client -: permissions: must be empty for a public client"),
        (13, "role Clerk: name: must be 1 to 64 characters"),
        (22, "user ada: emails: "),
        (25, "audience a b: name: may contain only printable ASCII"),
    ] {
        assert!(
            said.iter().any(|s| s.starts_with(&format!("chancery.toml, line {line}: {what}"))),
            "{line}: {said:#?}"
        );
    }
    // What only the database knows.
    let text = "[[role]]\nname = \"administrator\"\npermissions = [\"users.read\"]\n\n[[user]]\nname = \"ada\"\nroles = [\"nobody\"]\n";
    let said = problems(text, &state());
    assert_eq!(
        said,
        [
            "chancery.toml, line 7: user ada: roles: there is no role nobody",
            "chancery.toml, line 3: role administrator: permissions: the role is built in: require_mfa alone can be changed",
        ]
    );
}

#[test]
fn an_entry_says_all_of_its_client_and_each_difference_is_a_line() {
    let mut state = state();
    assert_eq!(
        lines(SHOP, &state, false),
        [
            "+ client shop",
            "+ client shop: public: true",
            "+ client shop: first_party: true",
            "+ client shop: grants: direct_login, refresh_token",
            "+ client shop: audiences: a",
            "+ client shop: algorithm: RS256",
            "+ client shop: token_lifetime: 5m",
            "+ client shop: session_idle: 7d",
            "+ client shop: session_absolute: 30d",
        ]
    );
    state.clients.extend([client(&format!("{SHOP}scopes = [\"s\"]\nclaims = {{ team = \"team\" }}\n"))]);
    let changed = SHOP.replace("[\"a\"]", "[\"a\", \"$issuer\"]");
    assert_eq!(
        lines(&format!("{changed}token_lifetime = 600\n"), &state, false),
        [
            "~ client shop: audiences: a → a, $issuer",
            "~ client shop: scopes: s → (none)",
            "~ client shop: token_lifetime: 5m → 10m",
            "~ client shop: claims: team = team → (none)",
        ]
    );
}

#[test]
fn what_means_the_same_is_no_difference() {
    let mut state = state();
    let one = "scopes = [\"x\", \"y\"]\nsite = \"https://shop.example/auth\"\nsession_idle = \"1d\"\ncors_origins = [\"https://a.example\", \"https://b.example\"]\n";
    state.clients.extend([client(&format!("{SHOP}{one}"))]);
    let other = "scopes = [\"y\", \"x\", \"y\"]\nsite = \"https://shop.example/auth\"\nsession_idle = 86400\n\
        cors_origins = [\"https://b.example\", \"https://a.example\"]\nsite_home = \"/\"\ndisplay_name = \"\"\nalgorithm = \"RS256\"\n\
        grants = [\"refresh_token\", \"direct_login\"]\ndisabled = false\n";
    assert_eq!(lines(&format!("{SHOP}{other}"), &state, false), [""; 0]);
    assert_eq!(
        lines("[settings]\nrefresh_grace = 10\naccess_token_lifetime_ceiling = \"60m\"\n", &state, false),
        [""; 0]
    );
}

#[test]
fn a_setting_of_the_same_file_counts_for_its_clients() {
    let text = format!(
        "[settings]\naccess_token_lifetime_ceiling = \"2h\"\n{SHOP}token_lifetime = \"90m\"\nsession_idle = \"2h\"\n"
    );
    assert!(compared(&parse(&text).unwrap(), &state(), false).is_ok());
    let said = problems(&text.replace("2h\"\n[[", "30m\"\n[["), &state());
    assert!(said[0].contains("token_lifetime: must be 1 to 1800 seconds"), "{said:?}");
}

#[test]
fn a_kind_of_client_is_for_good() {
    let mut state = state();
    state.clients.extend([client(SHOP)]);
    let said = problems(&SHOP.replace("public = true\n", ""), &state);
    assert_eq!(
        said,
        ["chancery.toml, line 1: client shop: public: it is true for good; another client has to take its place"]
    );
}

#[test]
fn a_secret_of_an_old_file_is_not_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("worker.secret");
    let write = |seed| {
        let secret = ClientSecret::generate(&SeededEntropy::new(seed));
        fs::write(&path, format!("{}\n", secret.expose())).unwrap();
    };
    let text = "[[client]]\nclient_id = \"worker\"\nsecret_file = \"worker.secret\"\n";
    let read = || Declaration::parse(&dir.path().join("c.toml"), text).unwrap();
    let mut state = state();
    write(1);
    let plan = compared(&read(), &state, false).unwrap();
    assert_eq!(plan.lines().last().unwrap(), "+ client worker: secret: set (from worker.secret)");
    assert_eq!((plan.notes(), plan.remember.secrets.len()), (&[][..], 1));
    state.clients.extend([client("[[client]]\nclient_id = \"worker\"\n")]);
    assert!(compared(&read(), &state, false).unwrap().is_empty(), "it has it");
    write(2);
    let changed = "~ client worker: secret: changed (from worker.secret; the one before counts for another day)";
    assert_eq!(compared(&read(), &state, false).unwrap().lines(), [changed]);
    // Another process has given it that and, after it, a third.
    let had = |seeds: &[u64]| seeds.iter().map(|seed| hash(*seed)).collect();
    for (now, before, remembered) in [(3, 2, &[][..]), (4, 3, &[1, 2, 3])] {
        let worker = state.clients.get_mut("worker").unwrap();
        (worker.secret, worker.previous_secret) = (Some(hash(now)), Some(hash(before)));
        state.remembered.secrets = [("worker".to_owned(), had(remembered))].into();
        let plan = compared(&read(), &state, false).unwrap();
        assert!(plan.is_empty() && plan.notes()[0].contains("a secret that it had before"), "{:?}", plan.notes());
    }
    assert!(!format!("{:?}{:?}", read(), read().entries).contains("chs_"));
}

#[test]
fn only_what_files_have_named_is_pruned() {
    let mut state = state();
    let with_site = format!("{SHOP}site = \"https://shop.example/auth\"\n");
    let [old, own, by_hand] = ["old", ACCOUNT_CLIENT, "by-hand"]
        .map(|id| with_site.replace("shop\"", &format!("{id}\"")).replace("shop.example", &format!("{id}.example")));
    state.clients.extend([old, own, by_hand].iter().map(|text| client(text)));
    let fields = Fields::from([("permissions", Value::List(Vec::new()))]);
    state.roles.insert("clerk".to_owned(), PresentRole { fields, built_in: false });
    state.settings.insert("refresh_grace".to_owned(), ("20s".to_owned(), "10s".to_owned()));
    state.remembered.declared = vec![
        declared(DeclaredKind::Client, "old"),
        declared(DeclaredKind::Client, ACCOUNT_CLIENT),
        declared(DeclaredKind::Client, "deleted"),
        declared(DeclaredKind::Role, "clerk"),
        declared(DeclaredKind::Role, "administrator"),
        declared(DeclaredKind::Setting, "refresh_grace"),
    ];
    let plan = compared(&parse("").unwrap(), &state, false).unwrap();
    assert!(plan.is_empty());
    let notes: Vec<_> = plan.notes().iter().map(|note| note.split(" is in").next().unwrap()).collect();
    assert_eq!(notes, ["client old", "role clerk", "setting refresh_grace"]);
    assert_eq!(
        lines("", &state, true),
        [
            "~ setting refresh_grace: 20s → 10s (its default; the file names it no more)",
            "- client old: is disabled, and gives its site up: the file names it no more",
            "- role clerk: is deleted: the file names it no more",
        ]
    );
    // A client that takes the place of another takes its site.
    let renamed = with_site.replace("shop.example", "old.example");
    let said = problems(&renamed, &state);
    assert!(said[0].contains("site: there is a site at old.example already, that of the client old"), "{said:?}");
    let plan = compared(&parse(&renamed).unwrap(), &state, true).unwrap();
    assert!(matches!(&plan.changes[1..3], [Change::PruneClient { .. }, Change::NewClient { .. }]), "{plan:?}");
    // So does what it serves.
    state.audiences.insert("api".to_owned(), Some("old".to_owned()));
    let worker = "[[client]]\nclient_id = \"worker\"\nserves = [\"api\"]\n";
    assert!(problems(worker, &state)[0].contains("api is served by the client old"));
    assert!(lines(worker, &state, true).contains(&"~ audience api: served by: old → worker".to_owned()));
}

#[test]
fn what_was_disabled_by_hand_stays_so_and_what_was_pruned_comes_back() {
    let mut state = state();
    state.clients.extend([client(SHOP)]);
    state.clients.get_mut("shop").unwrap().disabled = true;
    let plan = compared(&parse(SHOP).unwrap(), &state, false).unwrap();
    assert!(plan.is_empty() && plan.notes()[0].contains("is disabled, and stays so"), "{:?}", plan.notes());
    let enabled = ["~ client shop: disabled: true → false"];
    assert_eq!(lines(&format!("{SHOP}disabled = false\n"), &state, false), enabled);
    state.remembered.declared = vec![Declared { pruned: true, ..declared(DeclaredKind::Client, "shop") }];
    assert_eq!(lines(SHOP, &state, false), enabled);
}

#[test]
fn an_audience_has_one_owner() {
    let worker = "[[client]]\nclient_id = \"worker\"\nserves = [\"a\"]\n";
    let mut state = state();
    let audience = "[[audience]]\nname = \"a\"\nowner = \"other\"\n";
    let said = problems(&format!("{worker}{audience}"), &state);
    assert!(said.iter().any(|s| s.contains("line 3: client worker: serves: a is served by other already")), "{said:?}");
    let said = problems(audience, &state);
    assert_eq!(said, ["chancery.toml, line 3: audience a: owner: there is no client other"]);
    state
        .clients
        .extend([client("[[client]]\nclient_id = \"worker\"\n"), client("[[client]]\nclient_id = \"other\"\n")]);
    assert_eq!(lines(worker, &state, false), ["+ audience a", "~ audience a: served by: (none) → worker"]);
    state.audiences.insert("a".to_owned(), Some("other".to_owned()));
    let said = problems(worker, &state);
    assert!(said[0].contains("a is served by the client other, of which this file says nothing"), "{said:?}");
    let both = format!("{worker}[[client]]\nclient_id = \"other\"\n");
    assert_eq!(lines(&both, &state, false), ["~ audience a: served by: other → worker"]);
    let none = both.replace("serves = [\"a\"]\n", "");
    assert_eq!(lines(&none, &state, false), ["~ audience a: served by: other → (none)"]);
}

#[test]
fn of_the_issuers_own_client_only_what_is_said_is_compared() {
    let mut state = state();
    let own = format!("[[client]]\nclient_id = \"{ACCOUNT_CLIENT}\"\n");
    let said = problems(&own, &state);
    assert!(said[0].contains("it is not there"), "{said:?}");
    let (_, mut present) = client(&SHOP.replace("[\"a\"]", "[\"$issuer\"]"));
    present.fields.insert("grants", Value::List(Vec::new()));
    present.fields.insert("site", Value::Text(format!("{ISSUER}/auth")));
    state.clients.insert(ACCOUNT_CLIENT.to_owned(), present);
    assert_eq!(lines(&own, &state, true), [""; 0]);
    let change = format!("{own}registration = true\nsite_home = \"/welcome\"\n");
    let wants = ["registration: false → true", "site_home: (none) → /welcome"]
        .map(|f| format!("~ client {ACCOUNT_CLIENT}: {f}"));
    assert_eq!(lines(&change, &state, false), wants);
    let said = problems(&format!("{own}grants = []\nsite = \"https://x.example\"\n"), &state);
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn every_key_of_a_client_is_known_to_requests_and_to_exports() {
    let (_, present) = client(SHOP);
    let apart = ["client_id", "serves", "disabled"];
    for key in Kind::Client.keys() {
        let value = present.fields.get(key.name);
        assert_eq!(value.is_none(), apart.contains(&key.name), "{}", key.name);
        let form = value.map_or(key.form, |value| match value {
            Value::Switch(_) => Form::Switch,
            Value::Text(_) => Form::Text,
            Value::Length(_) => Form::Length,
            Value::List(_) => Form::List,
            Value::Table(_) => Form::Table,
        });
        assert_eq!(form, key.form, "{}", key.name);
    }
    assert!(OF_ACCOUNT_CLIENT.iter().all(|name| Kind::Client.key(name).is_some()));
    assert!(present.fields.keys().all(|name| Kind::Client.key(name).is_some()));
}
