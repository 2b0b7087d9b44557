//! Runs real scenarios once, as small as possible.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{path::Path, process::Command};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_chancery-bench");

/// Runs the program; returns its JSON and its standard output.
fn run(scenarios: &[&str], extra: &[&str]) -> (Value, String) {
    let server = Path::new(BIN).with_file_name("chancery");
    assert!(server.is_file(), "the server is missing: cargo build -p chancery");
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("out.json");
    let scenarios = scenarios.iter().flat_map(|name| ["--scenario", name]);
    let small = ["--runs", "1", "--seconds", "0.3", "--warmup", "0.1", "--chains", "8", "--tasks", "2"];
    let mut command = Command::new(BIN);
    command.arg("run").args(scenarios).args(small).args(["--connections", "2", "--json"]).arg(&json).args(extra);
    let out = command.arg("--data-dir").arg(dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let all = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    // Only the JSON file is left: the data directories have been removed.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    (all, String::from_utf8(out.stdout).unwrap())
}

#[test]
fn a_small_run_measures_refreshes_and_their_ceilings() {
    let (all, table) = run(&["refresh", "jwks", "latency"], &[]);
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let measured_runs = |row: &Value| row["runs"].as_array().unwrap().len();
    assert_eq!(rows.iter().map(measured_runs).sum::<usize>(), 3, "refresh, JWKS and latency have one run each");
    for row in rows {
        assert!(row["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["met"].is_boolean(), "{row}");
        assert!(table.contains(row["name"].as_str().unwrap()), "{table}");
        for run in row["runs"].as_array().unwrap() {
            assert_eq!((&run["refused"], &run["chain_breaks"]), (&serde_json::json!({}), &Value::from(0)), "{row}");
        }
    }
    assert!(rows[0]["ceilings"][0].as_f64().unwrap() > 0.0);
}

#[test]
fn a_small_run_measures_checks_of_a_browser_and_pages() {
    let (all, _) = run(&["check", "pages"], &[]);
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row["median"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["runs"][0]["refused"], serde_json::json!({}), "{row}");
    }
}

#[test]
fn a_small_run_measures_session_data() {
    let (all, _) = run(&["session-data"], &[]);
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["median"].as_f64().unwrap() > 0.0), "{rows:?}");
    let puts = &rows[0]["runs"][0];
    assert_eq!((&puts["refused"], &puts["chain_breaks"]), (&serde_json::json!({}), &Value::from(0)), "{puts}");
}

#[test]
fn a_small_run_measures_table_growth() {
    let (all, _) = run(&["growth"], &["--few", "100", "--many", "3000"]);
    let bytes = &all["rows"][2];
    assert!((300.0..1500.0).contains(&bytes["median"].as_f64().unwrap()), "{bytes}");
}

#[test]
fn a_small_run_lets_guests_in_and_refuses_those_of_one_address() {
    let (all, _) = run(&["guests"], &[]);
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let bytes = rows[2]["median"].as_f64().unwrap();
    assert!((300.0..1500.0).contains(&bytes), "{bytes}");
}

#[test]
fn an_unknown_scenario_is_named() {
    let out = Command::new(BIN).args(["run", "--scenario", "nothing"]).output().unwrap();
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("nothing is not a scenario"));
}
