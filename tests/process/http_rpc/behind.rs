//! The same calls through nginx and Caddy, configured in one line.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};

use super::{calls, learned, start, streamed};
use crate::proxies::{Kind, free_port};

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a proxy in front of a server, with nothing but its defaults.
async fn proxy(kind: Kind, program: &Path, dir: &Path, (port, server): (u16, &str)) -> Proxy {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut command = Command::new(program);
    if kind == Kind::Nginx {
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .collect();
        let around = format!("daemon off;\nmaster_process off;\nuser root;\npid {};\nevents {{}}\n", at("nginx.pid"));
        let site = format!("server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{server}; }} }}");
        fs::write(at("nginx.conf"), format!("{around}http {{\naccess_log off;\n{folders}{site}\n}}\n")).unwrap();
        command.args(["-e", &at("error.log"), "-c", &at("nginx.conf")]);
    } else {
        let site = format!("http://127.0.0.1:{port} {{\n\treverse_proxy {server}\n}}\n");
        fs::write(at("Caddyfile"), format!("{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}}\n{site}")).unwrap();
        command.args(["run", "--adapter", "caddyfile", "--config", &at("Caddyfile")]);
    }
    command.env("HOME", dir).env("XDG_CONFIG_HOME", dir).env("XDG_DATA_HOME", dir);
    let proxy = Proxy(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let up = async {
        let mut ticks = interval(Duration::from_millis(20));
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ticks.tick().await;
        }
    };
    timeout(Duration::from_secs(30), up).await.expect("the proxy does not start");
    proxy
}

async fn assert_calls_pass(kind: Kind) {
    let Some(program) = kind.program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, mut person) = start(&dir.path().join("data"));
    let port = free_port();
    let _proxy = proxy(kind, &program, dir.path(), (port, &server.http)).await;
    person["issuer"] = json!(format!("http://127.0.0.1:{port}"));
    person["versions"] = json!(["1.1"]);
    let came = tokio::task::spawn_blocking(move || calls("node.mjs", &person)).await.unwrap();
    assert_eq!(came["JSON, HTTP/1.1"], learned());
    assert_eq!(came["gRPC-Web, HTTP/1.1"], streamed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_pass_through_nginx_with_its_defaults() {
    assert_calls_pass(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_pass_through_caddy_with_its_defaults() {
    assert_calls_pass(Kind::Caddy).await;
}
