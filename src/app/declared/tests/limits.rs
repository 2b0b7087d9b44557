//! Files that are very wrong, and secrets that do not work everywhere.

use std::fs;

use super::{
    super::{file::Declaration, state::State},
    SHOP, client, compared, declared, parse, state,
};
use crate::{
    domain::declared::{Declared, DeclaredKind},
    secret::ClientSecret,
};

#[test]
fn the_first_hundred_problems_are_said_with_their_lines() {
    let many = |line: &dyn Fn(usize) -> String| (1..=20_000).map(line).collect::<String>();
    let said = parse(&many(&|n| format!("k{n} = 1\n"))).unwrap_err();
    assert_eq!(said.len(), 101);
    assert!(said[0].starts_with("chancery.toml, line 1: k1 is none of"), "{}", said[0]);
    assert!(said[99].starts_with("chancery.toml, line 100: k100 is none of"), "{}", said[99]);
    assert_eq!(said[100], "and 19900 more");
    // What the parser refuses itself.
    let said = parse(&many(&|_| "a = 1\n".to_owned())).unwrap_err();
    assert!(said[0].starts_with("chancery.toml, line 2: "), "{}", said[0]);
    assert!((said.len(), said[100].as_str()) == (101, "and 19899 more"), "{}", said[100]);
    // What the services refuse.
    let file = parse(&(0..150).map(|n| format!("[[audience]]\nname = \"a {n}\"\n")).collect::<String>()).unwrap();
    let said = compared(&file, &state(), false).unwrap_err();
    assert_eq!((said.len(), said[100].as_str()), (101, "and 50 more"));
}

#[test]
fn a_secret_that_must_be_encoded_is_said_when_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[[client]]\nclient_id = \"worker\"\nsecret_file = \"secret\"\n";
    let present = client("[[client]]\nclient_id = \"worker\"\n");
    for (secret, says) in [
        ("kX+7dK2mQ9sV4tY1wZ8bN5cF3gH6jL0pRaS==", 1),
        ("kX%7dK2mQ9sV4tY1wZ8bN5cF3gH6jL0pRaS==", 1),
        ("kX/7dK2mQ9sV4tY1wZ8bN5cF3gH6jL0pRaS==", 0),
    ] {
        fs::write(dir.path().join("secret"), secret).unwrap();
        let read = Declaration::parse(&dir.path().join("c.toml"), text).unwrap();
        let (empty, mut with) = (state(), state());
        with.clients.extend([present.clone()]);
        for state in [&empty, &with] {
            let plan = compared(&read, state, false).unwrap();
            let notes = plan.notes().iter().filter(|note| note.contains("works only percent-encoded")).count();
            assert_eq!(notes, says, "{:?}", plan.notes());
            assert!(!plan.notes().iter().any(|note| note.contains(secret)));
        }
        with.clients.get_mut("worker").unwrap().secret = read.entries[0].secret.as_ref().map(ClientSecret::hash);
        assert_eq!(compared(&read, &with, false).unwrap().notes(), [""; 0]);
    }
}

#[test]
fn what_failed_to_come_back_gives_its_site_up_again() {
    let mut state = state();
    state.clients.extend([client(&format!("{SHOP}site = \"https://shop.example/auth\"\n"))]);
    state.remembered.declared = vec![Declared { pruned: true, ..declared(DeclaredKind::Client, "shop") }];
    let plan = |state: &State| compared(&parse("").unwrap(), state, true).unwrap();
    assert!(plan(&state).is_empty(), "somebody has enabled it");
    state.clients.get_mut("shop").unwrap().disabled = true;
    assert_eq!(plan(&state).lines(), ["- client shop: is disabled, and gives its site up: the file names it no more"]);
    assert!(compared(&parse("").unwrap(), &state, false).unwrap().notes().is_empty());
    state.clients.extend([client(SHOP)]);
    state.clients.get_mut("shop").unwrap().disabled = true;
    let plan = plan(&state);
    assert!(plan.is_empty() && plan.remember.is_empty(), "it stays pruned");
}
