use std::{ffi::OsString, path::Path};

use clap::{Args, Command, FromArgMatches};
use secrecy::ExposeSecret;

use super::*;

mod sealing_keys;

/// A sealing key, 43 characters long.
const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// A machine large enough for every sample.
const MACHINE: Machine = Machine { cores: 2, memory: None, open_files: None };

/// A draft from `CHANCERY_…` variables.
pub(super) fn draft_from_variables(pairs: &[(&str, &str)]) -> Draft {
    let mut draft = Draft::default();
    draft.read_variables(pairs.iter().map(|(name, value)| (format!("CHANCERY_{name}").into(), value.into())));
    draft
}

fn read_line(draft: &mut Draft, line: &[&str]) -> Result<(), clap::Error> {
    let command = ServerFlags::augment_args(DatabaseFlags::augment_args(Command::new("chancery")));
    let matches = command.try_get_matches_from([&["chancery"], line].concat())?;
    draft.read_database_flags(&DatabaseFlags::from_arg_matches(&matches)?);
    draft.read_server_flags(&ServerFlags::from_arg_matches(&matches)?);
    Ok(())
}

/// Reads a setting from a checked configuration.
type Arrival = fn(&Config) -> Option<String>;

/// The value is not visible to tests: it ends up in the mail server, or in checks of other settings.
const HIDDEN: Arrival = |_| None;

type Sample<'a> = (&'static str, &'a str, Arrival);

/// For every setting, a value that is not its default and where the value ends up.
fn samples<'a>(
    password_file: &'a str,
    secret_file: &'a str,
    templates: &'a str,
    (cert, key): (&'a str, &'a str),
) -> [Sample<'a>; 51] {
    [
        ("data_dir", "elsewhere", |c| Some(c.database.data_dir.display().to_string())),
        ("database", "sqlite:/elsewhere/x.db", |c| Some(format!("sqlite:{}", c.database.location))),
        ("database_connections", "5", |c| Some(c.database.connections.to_string())),
        ("sealing_key_file", "elsewhere.key", |c| Some(c.database.sealing_key_files.first()?.display().to_string())),
        ("sealing_key", SEALING_KEY, |c| Some(c.database.sealing_key.as_ref()?.expose_secret().to_owned())),
        ("grpc", "127.0.0.1:1", |c| Some(c.listen.grpc.to_string())),
        ("http", "127.0.0.1:2", |c| Some(c.listen.http.to_string())),
        ("telemetry", "127.0.0.1:3", |c| Some(c.listen.telemetry.to_string())),
        ("http_rpc", "all", |c| Some(c.listen.http_rpc.to_string())),
        ("check", "127.0.0.1:4", |c| Some(c.listen.check?.to_string())),
        ("issuer", "https://id.example.com", |c| c.listen.issuer.clone()),
        ("plaintext_beyond_loopback", "true", HIDDEN),
        ("tls_cert", cert, |c| Some(c.tls.grpc.as_ref()?.cert.display().to_string())),
        ("tls_key", key, |c| Some(c.tls.grpc.as_ref()?.key.display().to_string())),
        ("tls_client_ca", cert, |c| Some(c.tls.http.as_ref()?.client_ca.as_ref()?.display().to_string())),
        ("grpc_tls_cert", cert, |c| Some(c.tls.grpc.as_ref()?.cert.display().to_string())),
        ("grpc_tls_key", key, |c| Some(c.tls.grpc.as_ref()?.key.display().to_string())),
        ("grpc_tls_client_ca", cert, |c| Some(c.tls.grpc.as_ref()?.client_ca.as_ref()?.display().to_string())),
        ("http_tls_cert", cert, |c| Some(c.tls.http.as_ref()?.cert.display().to_string())),
        ("http_tls_key", key, |c| Some(c.tls.http.as_ref()?.key.display().to_string())),
        ("http_tls_client_ca", cert, |c| Some(c.tls.http.as_ref()?.client_ca.as_ref()?.display().to_string())),
        ("check_tls_cert", cert, |c| Some(c.tls.check.as_ref()?.cert.display().to_string())),
        ("check_tls_key", key, |c| Some(c.tls.check.as_ref()?.key.display().to_string())),
        ("check_tls_client_ca", cert, |c| Some(c.tls.check.as_ref()?.client_ca.as_ref()?.display().to_string())),
        ("telemetry_tls_cert", cert, |c| Some(c.tls.telemetry.as_ref()?.cert.display().to_string())),
        ("telemetry_tls_key", key, |c| Some(c.tls.telemetry.as_ref()?.key.display().to_string())),
        ("telemetry_tls_client_ca", cert, |c| {
            Some(c.tls.telemetry.as_ref()?.client_ca.as_ref()?.display().to_string())
        }),
        ("connection_age", "60", |c| Some(c.connections.public.age?.as_secs().to_string())),
        ("drain", "7", |c| Some(c.connections.drain.as_secs().to_string())),
        ("max_connections", "100", |c| Some(c.connections.public.connections.to_string())),
        ("max_connections_per_address", "10", |c| Some(c.connections.public.per_address.to_string())),
        ("header_seconds", "20", |c| Some(c.connections.public.head.as_secs().to_string())),
        ("idle_seconds", "620", |c| Some(c.connections.public.idle.as_secs().to_string())),
        ("log", "chancery=debug", |c| Some(c.log.filter.clone())),
        ("log_format", "json", |c| Some(format!("{:?}", c.log.format).to_lowercase())),
        ("hashing_threads", "3", |c| Some(c.hashing.threads.to_string())),
        ("hashing_queue", "7", |c| Some(c.hashing.queue.to_string())),
        ("hashing_memory_mib", "512", |c| Some(c.hashing.memory_mib.to_string())),
        ("mail_smtp", "smtps://mail.example.org:4650", |c| {
            let server = format!("{:?}", c.mail.as_ref()?.server.as_ref()?);
            Some(server.strip_prefix("Smtp(")?.strip_suffix(')')?.to_owned())
        }),
        ("mail_from", "no-reply@example.org", HIDDEN),
        ("mail_username", "chancery", HIDDEN),
        ("mail_password_file", password_file, HIDDEN),
        ("mail_password", "open sesame", HIDDEN),
        // A file that exists wherever the tests run.
        ("mail_ca_file", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), HIDDEN),
        ("mail_templates", templates, HIDDEN),
        ("trusted_proxies", "10.0.0.0/8", |c| Some(c.browser.proxies.trusted.first()?.to_string())),
        ("forwarded_headers", "forwarded", |c| Some(c.browser.proxies.headers.as_str().to_owned())),
        ("check_secret_file", secret_file, HIDDEN),
        ("page_templates", templates, HIDDEN),
        ("page_texts", templates, HIDDEN),
        ("apply", "declared.toml", |c| Some(c.apply.as_ref()?.display().to_string())),
    ]
}

/// Variables without which a setting would be refused.
const CHECK: (&str, &str) = ("CHECK", "127.0.0.1:4");
const PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

fn required_with(name: &str, (cert, key): (&str, &str)) -> Draft {
    if let Some(listener) = name.strip_suffix("tls_cert").or_else(|| name.strip_suffix("tls_key")) {
        let (other, file) = if name.ends_with("cert") { ("TLS_KEY", key) } else { ("TLS_CERT", cert) };
        let other = format!("{}{other}", listener.to_uppercase());
        return draft_from_variables(
            &[CHECK, PROXY, (&other, file)].as_slice()[if listener == "check_" { 0 } else { 2 }..],
        );
    }
    if name.ends_with("tls_client_ca") {
        return draft_from_variables(&[CHECK, PROXY, ("TLS_CERT", cert), ("TLS_KEY", key)]);
    }
    const SMTP: (&str, &str) = ("MAIL_SMTP", "smtps://mail.example.org");
    const FROM: (&str, &str) = ("MAIL_FROM", "no-reply@example.org");
    draft_from_variables(match name {
        "database_connections" => &[("DATABASE", "postgres://127.0.0.1:1/x")],
        "plaintext_beyond_loopback" => &[("HTTP", "0.0.0.0:80"), ("ISSUER", "https://id.example.com")],
        "mail_smtp" => &[FROM],
        "mail_from" => &[SMTP],
        "mail_templates" => &[SMTP, FROM],
        "forwarded_headers" => &[("TRUSTED_PROXIES", "10.0.0.1")],
        "check" => &[("TRUSTED_PROXIES", "127.0.0.1")],
        "check_secret_file" => &[("CHECK", "127.0.0.1:4"), ("TRUSTED_PROXIES", "127.0.0.1")],
        "mail_username" => &[SMTP, FROM, ("MAIL_PASSWORD", "open sesame")],
        "mail_password_file" | "mail_password" => &[SMTP, FROM, ("MAIL_USERNAME", "chancery")],
        // Without TLS, the contents of the file do not matter.
        "mail_ca_file" => &[("MAIL_SMTP", "smtp+plain://127.0.0.1:25"), FROM],
        _ => &[],
    })
}

fn keys() -> Vec<Key> {
    sections().into_iter().flat_map(|(_, keys)| keys).collect()
}

/// A line of a file.
fn toml_line(key: &Key, value: &str) -> String {
    let quoted = format!("{value:?}");
    let bare = ["plaintext", "database_", "hashing_", "max_", "header_", "idle_", "connection_", "drain"]
        .iter()
        .any(|start| key.name.starts_with(start));
    let list = format!("[{quoted}]");
    let value = match key.name {
        _ if bare => value,
        "trusted_proxies" => &list,
        _ => &quoted,
    };
    format!("{} = {value}\n", key.name)
}

/// A flag with its value.
fn flag_words<'a>(key: &Key, flag: &'a str, value: &'a str) -> Vec<&'a str> {
    if key.name == "plaintext_beyond_loopback" { vec![flag] } else { vec![flag, value] }
}

fn assert_arrived(draft: Draft, (name, value, arrival): Sample<'_>, way: &str) {
    let config = draft.for_server(false, MACHINE).unwrap_or_else(|problems| panic!("{name} by {way}: {problems:?}"));
    if let Some(arrived) = arrival(&config) {
        assert_eq!(arrived, value, "{name} by {way}");
    }
    let shown = match &config.shown[name] {
        Json::String(text) => text.clone(),
        Json::Array(list) => list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let want = if matches!(name, "sealing_key" | "mail_password") { "set" } else { value };
    assert_eq!(shown, want.trim_start_matches("sqlite:"), "{name} by {way}");
}

#[test]
fn every_setting_arrives_by_file_variable_and_flag() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.toml");
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "open sesame\n").unwrap();
    let templates = dir.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, "of the check, which nobody types".replace(' ', "-")).unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let tls = (cert_file.to_str().unwrap(), key_file.to_str().unwrap());
    let (password_file, secret_file) = (password_file.to_str().unwrap(), secret_file.to_str().unwrap());
    let samples = samples(password_file, secret_file, templates.to_str().unwrap(), tls);
    let mut ways = 0;
    for key in keys() {
        let sample = samples.into_iter().find(|(name, ..)| *name == key.name);
        let sample @ (name, value, _) = sample.unwrap_or_else(|| panic!("{} has no sample", key.name));
        let mut draft = required_with(name, tls);
        draft.read_variables([(key.variable().into(), value.into())]);
        assert_arrived(draft, sample, "variable");
        ways += 1;
        if key.in_file() {
            std::fs::write(&file, toml_line(&key, value)).unwrap();
            let mut draft = required_with(name, tls);
            draft.read_file(&file);
            assert_arrived(draft, sample, "file");
            ways += 1;
        }
        if let Some(flag) = key.flag() {
            let mut draft = required_with(name, tls);
            read_line(&mut draft, &flag_words(&key, &flag, value)).unwrap();
            assert_arrived(draft, sample, "flag");
            ways += 1;
        }
    }
    assert_eq!(ways, 3 * samples.len() - 2 * 2, "two secrets are set by their variables alone");
}

#[test]
fn variables_override_the_file_and_flags_override_both() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.toml");
    std::fs::write(&file, "grpc = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:1\"\ntelemetry = \"127.0.0.1:1\"\n").unwrap();
    let mut draft = Draft::default();
    draft.read_file(&file);
    for name in ["CHANCERY_HTTP", "CHANCERY_TELEMETRY"] {
        draft.read_variables([(name.into(), "127.0.0.1:2".into())]);
    }
    read_line(&mut draft, &["--telemetry", "127.0.0.1:3"]).unwrap();
    let Listen { grpc, http, telemetry, .. } = draft.for_server(false, MACHINE).unwrap().listen;
    assert_eq!([grpc, http, telemetry].map(|address| address.port()), [1, 2, 3]);
}

#[test]
fn settings_that_are_not_set_have_their_documented_defaults() {
    let mut config = Draft::default().for_server(false, MACHINE).unwrap();
    for name in ["data_dir", "grpc", "http", "telemetry", "log", "log_format"] {
        let key = keys().into_iter().find(|key| key.name == name).unwrap();
        assert_eq!(config.shown[name].as_str(), key.default().as_deref(), "{name}");
    }
    assert_eq!(config.database.location.to_string(), "chancery-data/chancery.db");
    assert_eq!(config.listen.default_issuer().unwrap(), "http://127.0.0.1:8080");
    assert_eq!(config.listen.http_rpc, crate::service::HttpRpc::Account);
    assert_eq!(config.hashing, Hashing { threads: 2, queue: 80, memory_mib: 65 });
    config = Draft::default().for_server(true, MACHINE).unwrap();
    assert_eq!(config.database.location.to_string(), "chancery-dev/chancery.db");
    assert_eq!(config.listen.http_rpc, crate::service::HttpRpc::All);
}

#[test]
fn problems_of_file_variables_and_flags_are_reported_together_with_their_origin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.toml");
    let text = "grcp = 1\nhttp = 80\n\nhashing_queue = \"many\"\nmail_password = \"x\"\n[mail]\nsmtp = \"x\"\n";
    std::fs::write(&file, text).unwrap();
    let mut draft = Draft::default();
    draft.read_file(&file);
    let variables = [
        ("CHANCERY_GRCP", "x"),
        ("CHANCERY_HASHING_THREADS", "many"),
        ("CHANCERY_LOG_FORMAT", "xml"),
        ("CHANCERY_PLAINTEXT_BEYOND_LOOPBACK", "perhaps"),
        ("CHANCERY_DATABASE", "mysql://x"),
        ("CHANCERY_CONFIG", "chancery.toml"),
        ("PATH", "/bin"),
    ];
    draft.read_variables(variables.map(|(name, value)| (name.into(), value.into())));
    read_line(&mut draft, &["--grpc", "nonsense", "--telemetry", "1.2.3.4:5", "--issuer", "ftp://x"]).unwrap();
    let problems = draft.for_server(false, MACHINE).unwrap_err();
    let path = file.display();
    let want = [
        format!("{path}, line 1: grcp: is not a setting"),
        format!("{path}, line 2: http: must be a string, not a whole number"),
        format!("{path}, line 4: hashing_queue: must be a whole number, not a string"),
        format!("{path}, line 5: mail_password: a secret is not read from a file; set CHANCERY_MAIL_PASSWORD"),
        format!("{path}, line 6: mail: is not a setting"),
        "CHANCERY_DATABASE: must begin with postgres:// or sqlite:".to_owned(),
        "CHANCERY_GRCP: is not a setting".to_owned(),
        "CHANCERY_HASHING_THREADS: must be a whole number".to_owned(),
        "CHANCERY_LOG_FORMAT: must be text or json".to_owned(),
        "CHANCERY_PLAINTEXT_BEYOND_LOOPBACK: must be true or false".to_owned(),
        "--grpc: \"nonsense\" is not an address and port such as 127.0.0.1:8080".to_owned(),
        "--telemetry: listening beyond loopback needs TLS (--tls-cert and --tls-key), or --plaintext-beyond-loopback \
         behind a proxy that has TLS"
            .to_owned(),
        "--issuer: must begin with https:// (http:// is for loopback only)".to_owned(),
    ];
    assert_eq!(problems, want);
}

#[test]
fn every_syntax_error_in_a_file_is_reported_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.toml");
    std::fs::write(&file, "grpc =\nhttp = \"127.0.0.1:1\"\nlog = 'x\n").unwrap();
    let mut draft = draft_from_variables(&[("GRCP", "x")]);
    draft.read_file(&file);
    draft.read_file(Path::new("/nonexistent/chancery.toml"));
    let problems = draft.for_server(false, MACHINE).unwrap_err();
    for (n, want) in ["CHANCERY_GRCP: ", "chancery.toml, line 1: ", "chancery.toml, line 3: "].into_iter().enumerate() {
        assert!(problems[n].contains(want), "{want} in {problems:?}");
    }
    assert!(problems.last().unwrap().starts_with("cannot read /nonexistent/chancery.toml: "), "{problems:?}");
}

#[test]
fn secrets_have_no_flags_and_nothing_prints_them() {
    let mut flags = Draft::default();
    for name in ["--sealing-key", "--mail-password"] {
        assert!(read_line(&mut flags, &[name, "x"]).is_err(), "{name}");
    }
    let mut draft = draft_from_variables(&[
        ("SEALING_KEY", SEALING_KEY),
        ("MAIL_SMTP", "smtps://mail.example.org"),
        ("MAIL_FROM", "no-reply@example.org"),
        ("MAIL_USERNAME", "chancery"),
        ("MAIL_PASSWORD", "canary of the mail server"),
    ]);
    let url = "postgres://ada:canary@db/chancery";
    read_line(&mut draft, &["--database", url]).unwrap();
    let command = DatabaseFlags::augment_args(Command::new("chancery"));
    let matches = command.try_get_matches_from(["chancery", "--database", url]).unwrap();
    let unchecked = format!("{draft:?}{:?}", DatabaseFlags::from_arg_matches(&matches).unwrap());
    let config = draft.for_server(false, MACHINE).unwrap();
    let shown = Json::Object(config.shown.clone()).to_string();
    assert!(shown.contains("\"sealing_key\":\"set\"") && shown.contains("\"mail_password\":\"set\""), "{shown}");
    let printed = format!("{unchecked}{config:?}{shown}");
    for secret in ["canary", SEALING_KEY] {
        assert!(!printed.contains(secret), "{printed}");
    }
    // Error messages do not print them either.
    let wrong = draft_from_variables(&[("SEALING_KEY", "canary"), ("DATABASE", "postgres://ada:canary@a b/x")]);
    let problems = wrong.for_server(false, MACHINE).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(!problems.concat().contains("canary"), "{problems:?}");
}

#[test]
fn a_sealing_key_that_a_key_file_overrides_need_not_be_valid() {
    let draft = draft_from_variables(&[("SEALING_KEY", "nonsense"), ("SEALING_KEY_FILE", "elsewhere.key")]);
    assert!(draft.for_server(false, MACHINE).is_ok());
}

#[test]
fn a_command_ignores_mail_settings_but_still_refuses_unknown_names() {
    let wrong = [("MAIL_SMTP", "http://x"), ("MAIL_TEMPLATES", "/nonexistent")];
    assert!(draft_from_variables(&wrong).for_command().is_ok());
    assert_eq!(draft_from_variables(&wrong).for_server(false, MACHINE).unwrap_err().len(), 3);
    assert!(draft_from_variables(&[("TEST_ENGINES", "sqlite")]).for_command().is_err());
}

#[cfg(unix)]
#[test]
fn text_that_is_not_utf_8_is_accepted_only_as_a_path() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(b"caf\xe9".to_vec());
    let mut draft = Draft::default();
    draft.read_variables([("CHANCERY_DATA_DIR".into(), bytes()), ("UNRELATED".into(), bytes())]);
    assert!(draft.for_command().is_ok());
    let mut draft = Draft::default();
    draft.read_variables([("CHANCERY_LOG".into(), bytes()), ("CHANCERY_MAIL_PASSWORD".into(), bytes())]);
    let problems = draft.for_command().unwrap_err();
    assert_eq!(problems, ["CHANCERY_LOG: is not UTF-8 text", "CHANCERY_MAIL_PASSWORD: is not UTF-8 text"]);
}

#[test]
fn a_demo_listens_on_loopback_only() {
    let draft = draft_from_variables(&[("HTTP", "0.0.0.0:80"), ("PLAINTEXT_BEYOND_LOOPBACK", "true")]);
    let problems = draft.for_server(true, MACHINE).unwrap_err();
    assert!(problems.len() == 1 && problems[0].starts_with("CHANCERY_HTTP: --dev listens"), "{problems:?}");
    let open = |more: &[(&str, &str)]| {
        let all = [&[("HTTP", "0.0.0.0:80"), ("PLAINTEXT_BEYOND_LOOPBACK", "true")], more].concat();
        draft_from_variables(&all).for_server(false, MACHINE).map(|_| ())
    };
    assert_eq!(open(&[]).unwrap_err(), ["--issuer (issuer): listening beyond loopback needs --issuer https://…"]);
    assert_eq!(open(&[("ISSUER", "https://id.example.com")]), Ok(()));
}

#[test]
fn proxies_are_a_list_in_each_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chancery.toml");
    std::fs::write(&file, "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n").unwrap();
    let mut by_file = Draft::default();
    by_file.read_file(&file);
    let by_variable = draft_from_variables(&[("TRUSTED_PROXIES", "10.0.0.0/8, ::1")]);
    let mut by_flag = Draft::default();
    read_line(&mut by_flag, &["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"]).unwrap();
    let arrived = |draft: Draft| {
        let proxies = draft.for_server(false, MACHINE).unwrap().browser.proxies;
        let trusted: Vec<_> = proxies.trusted.iter().map(ToString::to_string).collect();
        assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    };
    arrived(by_file);
    arrived(by_variable);
    arrived(by_flag);
    let problems = draft_from_variables(&[("TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.1/8")]).for_server(false, MACHINE);
    let want = "CHANCERY_TRUSTED_PROXIES: 10.0.0.1/8 has bits beyond its prefix; the network is 10.0.0.0/8";
    assert_eq!(problems.unwrap_err(), [want]);
    std::fs::write(&file, "trusted_proxies = \"10.0.0.0/8\"\n").unwrap();
    let mut draft = Draft::default();
    draft.read_file(&file);
    let problems = draft.for_server(false, MACHINE).unwrap_err();
    assert!(problems[0].ends_with("trusted_proxies: must be an array of strings, not a string"), "{problems:?}");
}

#[test]
fn the_check_is_on_in_a_demo_and_elsewhere_where_it_is_set() {
    let listen = |dev, set: &[(&str, &str)]| draft_from_variables(set).for_server(dev, MACHINE).map(|c| c.listen);
    assert_eq!(listen(false, &[]).unwrap().check, None);
    let demo = listen(true, &[]).unwrap();
    assert_eq!((demo.check, demo.check_moves), (Some("127.0.0.1:8082".parse().unwrap()), true));
    let set = listen(true, &[("CHECK", "127.0.0.1:0")]).unwrap();
    assert_eq!((set.check, set.check_moves), (Some("127.0.0.1:0".parse().unwrap()), false));
    let same = listen(false, &[("CHECK", "127.0.0.1:8080"), ("TRUSTED_PROXIES", "127.0.0.1")]).unwrap_err();
    assert_eq!(same, ["CHANCERY_CHECK: 127.0.0.1:8080 is the address of http too"]);
    let alone = listen(false, &[("CHECK", "127.0.0.1:8082")]).unwrap_err();
    assert_eq!(
        alone,
        ["--trusted-proxy (trusted_proxies): is required for the check at 127.0.0.1:8082: nobody else may ask"]
    );
}

#[test]
fn a_check_beyond_loopback_wants_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let open = [
        ("TRUSTED_PROXIES", "10.0.0.0/8"),
        ("CHECK", "0.0.0.0:8082"),
        ("PLAINTEXT_BEYOND_LOOPBACK", "true"),
        ("ISSUER", "https://id.example.com"),
    ];
    let problems = draft_from_variables(&open).for_server(false, MACHINE).unwrap_err();
    assert_eq!(problems, ["--check-secret-file (check_secret_file): is required for a check beyond loopback"]);
    let with_file = [&open[..], &[("CHECK_SECRET_FILE", file.to_str().unwrap())]].concat();
    for (text, good) in
        [("0123456789abcdef0123456789abcdef\n", true), ("short\n", false), ("a b\n", false), ("", false)]
    {
        std::fs::write(&file, text).unwrap();
        let config = draft_from_variables(&with_file).for_server(false, MACHINE);
        assert_eq!(config.is_ok(), good, "{text:?}");
        if let Ok(config) = config {
            assert!(config.browser.check_secret.is_some());
            assert!(!format!("{config:?}{:?}", config.shown).contains("0123"));
        }
    }
    let idle = draft_from_variables(&[("CHECK_SECRET_FILE", "x")]).for_server(false, MACHINE).unwrap_err();
    assert_eq!(idle, ["CHANCERY_CHECK_SECRET_FILE: has no effect without a listener for the check"]);
    let idle = draft_from_variables(&[("FORWARDED_HEADERS", "forwarded")]).for_server(false, MACHINE).unwrap_err();
    assert_eq!(idle, ["CHANCERY_FORWARDED_HEADERS: has no effect without CHANCERY_TRUSTED_PROXIES"]);
}
