//! A demo in a container: other containers reach it by a name, and browsers by the published port.

use chancery::grpc::pb::{GetJwksRequest, key_service_client::KeyServiceClient};
use chancery_verify::Verifier;

use crate::{
    calls::log_in_as,
    server::{BIN, Server},
};

#[tokio::test]
async fn a_demo_that_listens_anywhere_is_found_by_its_name_and_by_localhost() {
    let dir = tempfile::tempdir().unwrap();
    let open = ["--grpc", "0.0.0.0:0", "--http", "0.0.0.0:0", "--issuer", "http://chancery:8080"];
    let demo = [&["--dev", "--dev-anywhere"], &open[..]].concat();
    let server = Server::start(&dir.path().join("data"), &demo);
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.contains("EVERYBODY KNOWS ITS PASSWORDS"), "{log}");
    assert_eq!(server.issuer, "http://chancery:8080");
    let here = |address: &str| address.replace("0.0.0.0", "127.0.0.1");
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", here(&server.grpc))).unwrap();
    let channel = channel.connect().await.unwrap();
    let pair = log_in_as(channel.clone(), "demo-app", "ada", "correct horse battery staple").await.unwrap();
    KeyServiceClient::new(channel).get_jwks(GetJwksRequest {}).await.unwrap();
    let keys = format!("http://{}/.well-known/jwks.json", here(&server.http));
    let verifier = Verifier::builder("http://chancery:8080", "demo-api").jwks_url(keys).build().unwrap();
    verifier.verify(&pair.access_token).await.unwrap();
    // The pages are at the name by which a browser on the host reaches the published port.
    let port = server.http.rsplit(':').next().unwrap();
    let browser = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
        crate::calls::raw_page(here(&server.http), request)
    };
    let page = browser("/auth/login").await.unwrap();
    assert!(page.contains(&format!("\r\nlocation: http://localhost:{port}/auth/login?")), "{page}");
    let page = browser("/dev/mail").await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

#[test]
fn nothing_but_a_demo_with_a_name_listens_beyond_loopback_without_tls() {
    let refused = |flags: &[&str]| {
        let output = std::process::Command::new(BIN).arg("serve").args(flags).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (flags, says) in [
        (&["--dev", "--grpc", "0.0.0.0:0"][..], "--dev-anywhere lets it listen"),
        (&["--dev-anywhere"], "--dev-anywhere is for a demo (--dev)"),
        (&["--dev", "--dev-anywhere", "--http", "0.0.0.0:0"], "needs --issuer http://NAME:PORT"),
        (&["--dev", "--issuer", "http://chancery:8080"], "http:// is for loopback only"),
        (&["--tls"], "--tls makes the certificate of a demo (--dev)"),
        (&["--http", "0.0.0.0:0", "--issuer", "https://id.example.com"], "needs TLS (--tls-cert and --tls-key)"),
    ] {
        let said = refused(flags);
        assert!(said.contains(says), "{flags:?}: {said}");
    }
}
