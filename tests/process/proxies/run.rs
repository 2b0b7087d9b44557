//! Runs the proxies.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{interval, timeout};

use super::{
    asked::{free_port, try_ask},
    printed::{block, with_addresses},
};
use crate::server::BIN;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Envoy,
}

/// The ports that a proxy connects to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    pub(crate) guard_http: u16,
    pub(crate) guard_grpc: u16,
    pub(crate) service: u16,
}

pub(crate) struct Proxy {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
        }
    }

    /// The program; `None` if this run goes without it.
    #[expect(clippy::print_stdout, reason = "whoever reads the results should know what was not tested")]
    pub(crate) fn program(self) -> Option<PathBuf> {
        let name = self.name();
        let without = std::env::var("CHTEST_WITHOUT_PROXIES").unwrap_or_default();
        if without.split_whitespace().any(|one| one == name) {
            println!("NOT RUN: {name} is missing, so its configuration in docs/guard.md is not tested");
            return None;
        }
        let target = Path::new(BIN).parent().and_then(Path::parent).unwrap();
        let program = target.join("proxies/bin").join(name);
        assert!(program.exists(), "{name} is missing: run scripts/proxies, or scripts/test");
        Some(program)
    }

    /// The configuration as printed, with these addresses.
    fn configuration(self, port: u16, behind: Behind) -> String {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let (guard, service) = (local(behind.guard_http), local(behind.service));
        match self {
            Self::Nginx => {
                let listen = format!("listen {};", local(port));
                let all = [("listen 8000;", listen), ("127.0.0.1:9080", guard), ("127.0.0.1:3000", service)];
                with_addresses(block("nginx", "nginx"), &all)
            }
            Self::Caddy => {
                let all = [(":8000", format!(":{port}")), ("127.0.0.1:9080", guard), ("127.0.0.1:3000", service)];
                with_addresses(block("Caddy", "caddyfile"), &all)
            }
            Self::Envoy => {
                let value = |port: u16| format!("port_value: {port}");
                let all = [
                    ("0.0.0.0", "127.0.0.1".to_owned()),
                    ("port_value: 8000", value(port)),
                    ("port_value: 9081", value(behind.guard_grpc)),
                    ("port_value: 3000", value(behind.service)),
                ];
                with_addresses(block("Envoy", "yaml"), &all)
            }
        }
    }

    /// Writes the configuration, and what has to be around it in a test, and returns the program's arguments.
    fn prepare(self, dir: &Path, port: u16, behind: Behind) -> Vec<String> {
        let (text, at) = (self.configuration(port, behind), |name: &str| dir.join(name).to_str().unwrap().to_owned());
        let args: &[&str] = match self {
            Self::Nginx => {
                fs::write(at("api.conf"), text).unwrap();
                fs::write(at("nginx.conf"), nginx_around(&at)).unwrap();
                &["-e", &at("error.log"), "-c", &at("nginx.conf")]
            }
            Self::Caddy => {
                let around = "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n\n";
                fs::write(at("Caddyfile"), format!("{around}{text}\n")).unwrap();
                &["run", "--adapter", "caddyfile", "--config", &at("Caddyfile")]
            }
            Self::Envoy => {
                fs::write(at("envoy.yaml"), text).unwrap();
                &["--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c", &at("envoy.yaml")]
            }
        };
        args.iter().map(|&arg| arg.to_owned()).collect()
    }
}

/// What Debian's nginx.conf says, but in a folder of this test, and in one process.
fn nginx_around(at: &dyn Fn(&str) -> String) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|name| format!("{name}_temp_path {};\n", at(name))).collect();
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}include {};\n}}\n",
        at("nginx.pid"),
        at("api.conf")
    )
}

impl Proxy {
    /// Starts a proxy and waits until it answers. Another process may take the free port first, so it tries again.
    #[expect(clippy::print_stdout, reason = "why a proxy did not start is part of the result")]
    pub(crate) async fn start(kind: Kind, program: &Path, dir: &Path, behind: Behind) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let log = dir.join(format!("{}.log", kind.name()));
            let out = File::create(&log).unwrap();
            let mut command = Command::new(program);
            command.args(kind.prepare(dir, port, behind)).env("HOME", dir).env("XDG_CONFIG_HOME", dir);
            command.env("XDG_DATA_HOME", dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
            let mut proxy = Self { child: command.spawn().unwrap(), port };
            if proxy.answers().await {
                return proxy;
            }
            println!("{} ended: {}", kind.name(), fs::read_to_string(&log).unwrap());
        }
        panic!("{} does not start", kind.name());
    }

    /// Waits until it answers; returns whether it does before it ends.
    async fn answers(&mut self) -> bool {
        let waiting = async {
            let mut ticks = interval(Duration::from_millis(20));
            loop {
                if try_ask(self.port, "GET", "/", &[], b"").await.is_some() {
                    return true;
                }
                if self.child.try_wait().unwrap().is_some() {
                    return false;
                }
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the proxy does not answer")
    }
}
