//! Variables that are no settings: those that Kubernetes sets for services, and those that are empty.

use std::process::Stdio;

use crate::{
    place::Place,
    refused::Refused,
    server::{Server, command, run},
};

/// What Kubernetes sets in a pod beside services named `chancery`, `chancery-grpc`, `chancery-http` and
/// `chancery-config`.
fn service_links() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for service in ["CHANCERY", "CHANCERY_GRPC", "CHANCERY_HTTP", "CHANCERY_CONFIG", "CHANCERY_DATABASE"] {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.171.239"),
            ("SERVICE_PORT", "50051"),
            ("SERVICE_PORT_GRPC", "50051"),
            ("PORT", "tcp://10.0.171.239:50051"),
            ("PORT_50051_TCP", "tcp://10.0.171.239:50051"),
            ("PORT_50051_TCP_PROTO", "tcp"),
            ("PORT_50051_TCP_PORT", "50051"),
            ("PORT_50051_TCP_ADDR", "10.0.171.239"),
        ] {
            all.push((format!("{service}_{name}"), value.to_owned()));
        }
    }
    all
}

#[test]
fn variables_of_services_in_kubernetes_are_no_settings_of_the_server_the_commands_or_the_guard() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let server = Server::with_variables(&place, &service_links(), &[]);
    assert!(server.issuer.starts_with("http://127.0.0.1:"), "{}", server.issuer);
    for line in ["user list", "config show", "config check", "migrate --check"] {
        let mut command = command(&line.split(' ').collect::<Vec<_>>());
        let out = run(command.args(place.flags()).envs(service_links()), b"");
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    }
    let mut guard = command(&["guard", "--issuer", "http://127.0.0.1:1", "--audience", "api", "--http", "127.0.0.1:0"]);
    let mut child = guard.envs(service_links()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("ready http=127.0.0.1:"), "{line}");
}

#[tokio::test]
async fn a_variable_that_is_misspelt_is_still_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("CHANCERY_PORT", "8080"),
        ("CHANCERY_GRPC_PORT", "50051"),
        ("CHANCERY_SERVICE_HOST", "id.example.com"),
        ("CHANCERY_ISUER", "https://id.example.com"),
        ("CHANCERY_PORT_50051_TCP_ADRR", "10.0.0.1"),
    ] {
        for line in ["serve", "user list", "config check"] {
            let says = &[&*format!("{name}: is not a setting")];
            Refused { line, variables: &[(name, value)], says, ..Refused::default() }.check(dir.path()).await;
        }
    }
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let mut all: Vec<String> =
        chancery::app::config::sections().into_iter().flat_map(|(_, keys)| keys).map(|key| key.variable()).collect();
    all.extend(["CHANCERY_CONFIG", "CHANCERY_NO_SETTING_AT_ALL"].map(str::to_owned));
    let empty: Vec<_> = all.into_iter().map(|name| (name, String::new())).collect();
    drop(Server::with_variables(&place, &empty, &[]));
    for line in ["user list", "config check"] {
        let mut command = command(&line.split(' ').collect::<Vec<_>>());
        let out = run(command.args(place.flags()).envs(empty.clone()), b"");
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    }
    let shown = |variables: &[(String, String)]| {
        let out = run(command(&["config", "show"]).envs(variables.iter().cloned()), b"");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    assert_eq!(String::from_utf8(shown(&empty)).unwrap(), String::from_utf8(shown(&[])).unwrap());
    // One that is set names the file.
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "log = \"debug\"\n").unwrap();
    let set = [("CHANCERY_CONFIG".to_owned(), file.to_str().unwrap().to_owned())];
    assert!(String::from_utf8(shown(&set)).unwrap().contains("\"log\": \"debug\""));
}
