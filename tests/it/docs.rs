//! The generated pages in docs/reference match the sources. `CHTEST_WRITE_DOCS=1` regenerates them.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, process::Command};

use chancery::{
    grpc::DESCRIPTORS,
    metrics::{ALERTS, Alert, Certificate, Guesses, Guests, Hashing, Metrics, Runtime},
    service::{ACCESS, Access},
};
use prost::Message;

use crate::proto::comments;

fn assert_up_to_date(name: &str, want: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    if std::env::var_os("CHTEST_WRITE_DOCS").is_some() {
        fs::write(&path, want).unwrap();
    }
    let have = fs::read_to_string(&path).unwrap_or_default();
    let hint = "is not what the sources say; CHTEST_WRITE_DOCS=1 cargo test --test it docs:: writes it anew";
    assert!(have == want, "{} {hint}", path.display());
}

#[test]
fn the_errors_page_is_up_to_date() {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut page =
        "# Errors\n\nEvery error carries a `google.rpc.ErrorInfo` with the domain `chancery` and a reason that is one of these.\nGenerated from `proto/chancery/v1/error_reason.proto`.\n\n| reason | meaning |\n|---|---|\n"
            .to_owned();
    for (name, comment) in comments(&set) {
        let Some(reason) = name.strip_prefix("chancery.v1.ErrorReason.") else { continue };
        if reason != "ERROR_REASON_UNSPECIFIED" {
            writeln!(page, "| `{reason}` | {} |", comment.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        }
    }
    assert!(page.lines().count() > 20, "{page}");
    assert_up_to_date("errors.md", &page);
}

#[test]
fn the_access_page_is_up_to_date() {
    let mut page = "# Who may call what\n\nA method that this table does not name is refused. Written from \
        `src/service/access/table.rs`.\n\n| method | caller |\n|---|---|\n"
        .to_owned();
    for (method, access) in ACCESS {
        let permitted;
        let caller = match access {
            Access::Permission(permission, _) => {
                permitted =
                    format!("a token for this server with the permission `{permission}`, or a client that has it");
                &permitted
            }
            Access::Anyone => "anyone",
            Access::Client => "a client: a confidential one that authenticates, or a public one that names itself",
            Access::ConfidentialClient => "a client that authenticates",
            Access::User => "a user's access token whose audience is the issuer",
            Access::SessionOrClient => {
                "a session's access token, of a user or a guest, whose audience is the issuer, or a client that authenticates"
            }
            Access::ClientOrUser => "a client, or a user's access token whose audience is the issuer",
        };
        writeln!(page, "| `{}` | {caller} |", method.trim_start_matches('/')).unwrap();
    }
    assert_up_to_date("access.md", &page);
}

fn help(path: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_chancery")).args(path).arg("--help").output().unwrap();
    assert!(out.status.success(), "{path:?}");
    String::from_utf8(out.stdout).unwrap().lines().map(|l| format!("{}\n", l.trim_end())).collect()
}

/// The names under `Commands:` in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|l| !l.is_empty()).filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    lines.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(str::to_owned).collect()
}

fn write_commands(page: &mut String, path: &[&str]) {
    let text = help(path);
    let names = subcommands(&text);
    writeln!(page, "\n## chancery {}\n\n```text\n{}```", path.join(" "), text.trim_end().to_owned() + "\n").unwrap();
    for name in &names {
        let mut below = path.to_vec();
        below.push(name);
        write_commands(page, &below);
    }
}

#[test]
fn the_command_line_page_is_up_to_date() {
    let mut page = "# The command line\n\nWhat `--help` prints, command by command.\n".to_owned();
    write_commands(&mut page, &[]);
    for command in ["serve", "user create", "client create", "keys revoke", "issuer set", "migrate", "token verify"] {
        assert!(page.contains(&format!("## chancery {command}\n")), "{command}");
    }
    assert_up_to_date("cli.md", &page.replace("## chancery \n", "## chancery\n"));
}

#[test]
fn the_configuration_page_is_up_to_date() {
    let mut page = "# Configuration\n\nA TOML file (`--config FILE` or `CHANCERY_CONFIG`), then variables, then flags: \
        the later wins. A name that is not\nknown is an error; a variable that is empty is not set, and those that Kubernetes sets \
        for services are not read.\n`chancery config check` reports every problem at once, with the file and line, the \
        variable or the flag it came from;\n`chancery config show` prints what counts. Both take the flags of `serve`. \
        Written from `src/app/config`.\n"
        .to_owned();
    for (about, keys) in chancery::app::config::sections() {
        writeln!(page, "\n## {about}\n\n| in the file | variable | flag | default | meaning |\n|---|---|---|---|---|")
            .unwrap();
        for key in keys {
            let code = |text: String| format!("`{text}`");
            let name = if key.in_file() { code(key.name.to_owned()) } else { "never".to_owned() };
            let flag = key.flag().map_or("none".to_owned(), code);
            let (default, meaning) = (key.default().unwrap_or_default(), key.meaning);
            writeln!(page, "| {name} | `{}` | {flag} | {default} | {meaning} |", key.variable()).unwrap();
        }
    }
    assert!(page.contains("| `grpc` | `CHANCERY_GRPC` | `--grpc` | 127.0.0.1:50051 |"), "{page}");
    assert_up_to_date("config.md", &page);
}

/// Metrics with every figure that a server registers.
fn metrics() -> Metrics {
    let mut metrics = Metrics::default();
    metrics.observe_hashing(Hashing::default);
    metrics.observe_guesses(Guesses::default);
    metrics.observe_guests(Guests::default);
    metrics.observe_token_sizes(|| (Vec::new(), 0));
    metrics.observe_runtime(Runtime::default);
    let certificate =
        Certificate { listener: "grpc", expires_at: 0, due_at: 0, handshakes: 0, failed: 0, is_stuck: false };
    metrics.observe_certificates(move || vec![certificate]);
    // A metric with labels is shown once it has counted something.
    metrics.rpc("", "", "", std::time::Duration::ZERO);
    metrics.mails().sent("");
    metrics.mails().failed("");
    metrics.mails().dropped("", 1);
    metrics.checks().count("");
    metrics
}

/// Name, kind and meaning of each metric.
fn described(text: &str) -> Vec<(String, String, String)> {
    let of =
        |line: &str, start: &str| line.strip_prefix(start)?.split_once(' ').map(|(n, r)| (n.to_owned(), r.to_owned()));
    let kinds: BTreeMap<String, String> = text.lines().filter_map(|line| of(line, "# TYPE ")).collect();
    let helps = text.lines().filter_map(|line| of(line, "# HELP "));
    helps.map(|(name, help)| (name.clone(), kinds[&name].clone(), help.trim_end_matches('.').to_owned())).collect()
}

#[test]
fn the_metrics_page_is_up_to_date() {
    let described = described(&metrics().text());
    let mut page = "# Metrics\n\nAt `/metrics` of the telemetry listener. Written from `src/metrics`. In a query, the name of a counter ends in `_total`, and those of a \
        histogram in `_bucket`, `_sum` and `_count`.\nThe alerts below are the rules of [`deploy/prometheus/chancery.rules.yaml`](../../deploy/prometheus/chancery.rules.yaml).\n\n\
        | metric | kind | meaning | alert |\n|---|---|---|---|\n"
        .to_owned();
    for (name, kind, help) in &described {
        let alerts = ALERTS.iter().filter(|alert| alert.metric == name);
        let links: Vec<_> = alerts.map(|alert| format!("[{}](#{})", alert.name, alert.name.to_lowercase())).collect();
        writeln!(page, "| `{name}` | {kind} | {help} | {} |", links.join(", ")).unwrap();
    }
    writeln!(page, "\n## Alerts").unwrap();
    for Alert { name, metric, expr, hold, severity, action } in ALERTS {
        assert!(described.iter().any(|(described, ..)| described == metric), "{name} is about {metric}");
        assert!(expr.contains(metric), "{name}");
        writeln!(page, "\n### {name}\n`{severity}`, if for {hold}:\n```text\n{expr}\n```\n{action}").unwrap();
    }
    assert_up_to_date("metrics.md", &page);
}

#[test]
fn the_rules_for_prometheus_are_up_to_date() {
    let mut rules = "# Written from src/metrics/alerts.rs.\ngroups:\n  - name: chancery\n    rules:\n".to_owned();
    for Alert { name, expr, hold, severity, action, .. } in ALERTS {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        write!(
            rules,
            "      - alert: {name}\n        expr: {}\n        for: {hold}\n        labels: {{ severity: {severity} }}\n        \
             annotations:\n          action: {}\n          runbook: docs/reference/metrics.md#{}\n",
            text(expr),
            text(action),
            name.to_lowercase()
        )
        .unwrap();
    }
    assert_up_to_date("../../deploy/prometheus/chancery.rules.yaml", &rules);
}
