use super::*;

#[test]
fn every_problem_is_told_at_once() {
    let settings = Settings {
        grpc: Some("nonsense".into()),
        http: Some("0.0.0.0:80".into()),
        issuer: Some("ftp://x".into()),
        database: Some("mysql://x".into()),
        hashing_threads: Some(0),
        hashing_queue: Some(1_000_000),
        hashing_memory_mib: Some(1),
        ..Settings::default()
    };
    let problems = Config::check(settings, false, Machine::of_a_command()).unwrap_err();
    let hashing = ["hashing_threads:", "hashing_queue:", "hashing_memory_mib:"];
    for key in ["grpc:", "http:", "issuer:", "database:"].into_iter().chain(hashing) {
        assert!(problems.iter().any(|p| p.starts_with(key)), "{key} in {problems:?}");
    }
}

#[test]
fn unknown_keys_and_variables_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "grcp = \"127.0.0.1:1\"\n").unwrap();
    assert!(format!("{:#}", Settings::from_file(&file).unwrap_err()).contains("grcp"));
    for name in ["CHANCERY_GRCP", "CHANCERY_HASHING_THREADS"] {
        let variables = [(name.to_owned(), "many".to_owned())];
        assert!(Settings::from_variables(variables.into_iter()).unwrap_err().to_string().contains(name));
    }
}
