//! TLS of a server's and a guard's listeners, with certificates that are replaced while they run.

use std::{process::Command, time::Duration};

use chancery::grpc::pb::{
    GetJwksRequest, LogoutRequest, auth_service_client::AuthServiceClient, key_service_client::KeyServiceClient,
};
use chancery_verify::{TlsFiles, Verifier, Watch};
use tokio::time::{interval, timeout};

use crate::{
    authority::{Authority, Pair, Trust},
    calls::{PASSWORD, log_in, log_in_as},
    guard::{Guard, secret_file},
    server::{Server, command},
    watching::watcher,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a server with TLS on every listener, the user `grace` and the client `app`.
fn start(dir: &std::path::Path, pair: &Pair, more: &[&str]) -> Server {
    let flags = [&["--tls-cert", &pair.cert, "--tls-key", &pair.key], more].concat();
    let server = Server::start(&dir.join("data"), &flags);
    server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    let client = ["client", "create", "app", "--public", "--first-party", "--audience", "api", "--alg", "ES256"];
    server.command(&client, "");
    server
}

/// Waits until this is true.
async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let trying = async {
        let mut ticks = interval(Duration::from_millis(10));
        while !is_true().await {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, trying).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_demo_makes_its_own_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--dev", "--tls"]);
    let ca = dir.path().join("data/tls-ca.pem");
    let trust = Trust { ca: ca.to_str().unwrap(), own: None };
    assert!(server.issuer.starts_with("https://127.0.0.1:"), "{}", server.issuer);
    let channel = trust.channel(&server.grpc).await.unwrap();
    let ada = "correct horse battery staple";
    let pair = log_in_as(channel, "demo-app", "ada", ada).await.unwrap();
    let files = TlsFiles::new().ca_file(&ca);
    let watch =
        Watch::builder(&format!("https://{}", server.grpc), "demo-service", "demo-service-secret-known-to-everybody");
    let watch = watch.tls_files(files.clone()).build().unwrap();
    let verifier = Verifier::builder(&server.issuer, "demo-api").tls_files(files).watch(watch).build().unwrap();
    until("the token is not accepted", async || verifier.verify(&pair.access_token).await.is_ok()).await;
    // The pages know that they were asked over TLS: their cookies are for TLS alone.
    let first = trust.page(&server.http, "/auth/login", "").await.unwrap();
    let location = first.lines().find_map(|line| line.strip_prefix(&format!("location: {}", server.issuer)));
    let page = trust.page(&server.http, location.unwrap_or_else(|| panic!("{first}")), "").await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("__Host-") && page.contains("Secure"), "{page}");
    // Under another name of this machine there is the way to this one.
    let other_name = server.http.replace("127.0.0.1", "localhost");
    let elsewhere = trust.page(&other_name, "/", "").await.unwrap();
    let way = format!("\r\nlocation: {}/\r\n", server.issuer);
    assert!(elsewhere.starts_with("HTTP/1.1 307") && elsewhere.contains(&way), "{elsewhere}");
    let ready = trust.page(&server.telemetry, "/readyz", "").await.unwrap();
    assert!(ready.ends_with("ready\n"), "{ready}");
    let health = command(&["health", "--tls", "--telemetry", &server.telemetry]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&health.stdout), "ready\n", "{health:?}");
}

#[tokio::test]
async fn clients_and_guards_present_certificates_that_may_be_replaced_while_they_are_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new(&dir.path().join("servers")), Authority::new(&dir.path().join("clients")));
    let (own, client) = (servers.issue("server"), clients.issue("client"));
    let server = start(dir.path(), &own, &["--tls-client-ca", &clients.ca(), "--telemetry-tls-client-ca", "none"]);
    let (ca, trusted) = (servers.ca(), clients.ca());
    let stranger = Trust { ca: &ca, own: None };
    let known = Trust { ca: &ca, own: Some(&client) };
    let is_answered = async |trust: &Trust<'_>| match trust.channel(&server.grpc).await {
        Ok(channel) => KeyServiceClient::new(channel).get_jwks(GetJwksRequest {}).await.is_ok(),
        Err(_) => false,
    };
    assert!(!is_answered(&stranger).await && is_answered(&known).await);
    assert!(stranger.page(&server.http, "/.well-known/jwks.json", "").await.is_none());
    assert!(stranger.page(&server.telemetry, "/readyz", "").await.unwrap().contains("200 OK"));

    let secret = secret_file(dir.path(), &watcher(&server));
    let guard_pair = servers.issue("guard");
    let guard = [
        &["guard", "--issuer", &server.issuer, "--audience", "api", "--http", "127.0.0.1:0"][..],
        &["--watch", &format!("https://{}", server.grpc), "--client-id", "watcher", "--client-secret-file", &secret],
        &["--ca-file", &ca, "--client-cert", &client.cert, "--client-key", &client.key],
        &["--tls-cert", &guard_pair.cert, "--tls-key", &guard_pair.key, "--tls-client-ca", &trusted],
    ];
    let guard = Guard::started(command(&guard.concat()));
    let channel = known.channel(&server.grpc).await.unwrap();
    let pair = log_in(channel.clone(), "grace", PASSWORD).await.unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", pair.access_token);
    let checked = async |trust: &Trust<'_>| {
        let page = trust.page(&guard.address, "/check", &bearer).await?;
        page.split_whitespace().nth(1)?.parse::<u16>().ok()
    };
    until("the guard refuses the token", async || checked(&known).await == Some(200)).await;
    assert_eq!(checked(&stranger).await, None);

    // Both servers get certificates of another authority, which expire soon.
    let renewed = Authority::new(&dir.path().join("renewed"));
    for (old, name) in [(&own, "server"), (&guard_pair, "guard")] {
        let new = renewed.issue_until(name, 2027);
        std::fs::rename(&new.cert, &old.cert).unwrap();
        std::fs::rename(&new.key, &old.key).unwrap();
    }
    server.signal("HUP");
    guard.signal("HUP");
    let renewed_ca = renewed.ca();
    let known = Trust { ca: &renewed_ca, own: Some(&client) };
    until("the server has the old certificate", async || is_answered(&known).await).await;
    until("the guard has the old certificate", async || checked(&known).await == Some(200)).await;
    let ready = known.page(&guard.address, "/readyz", "").await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("guard-cert.pem expires in"), "{ready}");
    // What was open goes on, and the guard dials with what its file has by then.
    std::fs::copy(&renewed_ca, &ca).unwrap();
    let request = LogoutRequest { client_id: "app".to_owned(), refresh_token: pair.refresh_token.clone() };
    AuthServiceClient::new(channel).logout(request).await.unwrap();
    until("the guard does not see the end", async || checked(&known).await == Some(401)).await;
    let telemetry = Trust { ca: &renewed_ca, own: None };
    let metrics = telemetry.page(&server.telemetry, "/metrics", "").await.unwrap();
    assert!(metrics.contains("chancery_tls_certificate_expires{listener=\"grpc\"} 1798761600\n"), "{metrics}");
    assert!(metrics.contains("chancery_tls_handshakes_total{listener=\"http\",result=\"failed\"} 1\n"), "{metrics}");

    // Half a replacement is said at /readyz, and nobody is turned away over it.
    std::fs::write(&own.key, "").unwrap();
    server.signal("HUP");
    until("nothing is said of the broken files", async || {
        let ready = telemetry.page(&server.telemetry, "/readyz", "").await.unwrap();
        ready.contains("200 OK") && ready.contains("warning: grpc: the TLS files of")
    })
    .await;
    assert!(is_answered(&known).await);
}

#[tokio::test]
async fn a_guard_dials_with_the_certificates_that_its_files_have_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let old = Authority::new(&dir.path().join("old"));
    let pair = old.issue("server");
    let mut server = start(dir.path(), &pair, &[]);
    let secret = secret_file(dir.path(), &watcher(&server));
    let (grpc, http, ca) = (server.grpc.clone(), server.http.clone(), old.ca());
    let files = TlsFiles::new().ca_file(&ca);
    let watch = Watch::builder_with_secret_file(&format!("https://{grpc}"), "watcher", &secret).await.unwrap();
    let watch = watch.tls_files(files.clone()).build().unwrap();
    let verifier = Verifier::builder(&server.issuer, "api").tls_files(files).watch(watch).build().unwrap();
    let trust = Trust { ca: &ca, own: None };
    let token = log_in(trust.channel(&grpc).await.unwrap(), "grace", PASSWORD).await.unwrap();
    until("the token is refused", async || verifier.verify(&token.access_token).await.is_ok()).await;

    server.kill();
    let new = Authority::new(&dir.path().join("new"));
    let renewed = new.issue("server");
    std::fs::copy(new.ca(), &ca).unwrap();
    let flags = ["--tls-cert", &renewed.cert, "--tls-key", &renewed.key, "--grpc", &grpc, "--http", &http];
    let server = Server::start(&dir.path().join("data"), &flags);
    let token = log_in(trust.channel(&grpc).await.unwrap(), "grace", PASSWORD).await.unwrap();
    let request = LogoutRequest { client_id: "app".to_owned(), refresh_token: token.refresh_token.clone() };
    AuthServiceClient::new(trust.channel(&grpc).await.unwrap()).logout(request).await.unwrap();
    // Only a stream over a new connection can tell.
    until("the end is not seen", async || verifier.verify(&token.access_token).await.is_err()).await;
    drop(server);
}

#[tokio::test]
async fn grpc_and_http_share_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let pair = authority.issue("server");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for tls in [false, true] {
        let own = ["--tls-cert", &pair.cert, "--tls-key", &pair.key];
        let flags = [&["--grpc", &free, "--http", &free][..], if tls { &own } else { &[] }].concat();
        let data = dir.path().join(format!("data-{tls}"));
        let server = Server::start(&data, &flags);
        assert_eq!((&server.grpc, &server.http), (&free, &free));
        let ca = authority.ca();
        let trust = Trust { ca: &ca, own: None };
        let (channel, page) = if tls {
            (trust.channel(&free).await.unwrap(), trust.page(&free, "/.well-known/jwks.json", "").await.unwrap())
        } else {
            (server.channel().await, crate::calls::page(&free, "/.well-known/jwks.json").await.unwrap())
        };
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        let keys = KeyServiceClient::new(channel).get_jwks(GetJwksRequest {}).await.unwrap().into_inner();
        assert!(page.ends_with(&keys.jwks_json), "{page}");
    }
    let wrong = ["serve", "--grpc", &free, "--http", &free, "--grpc-tls-cert", &pair.cert, "--grpc-tls-key", &pair.key];
    let output = Command::new(crate::server::BIN).args(wrong).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("must have the same certificate, or none"), "{said}");
}
