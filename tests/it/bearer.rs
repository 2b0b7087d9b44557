//! The server's API, the guard and `chancery-verify` read `Authorization` alike.

use chancery::grpc::pb::{GetMeRequest, account_service_client::AccountServiceClient};
use chancery_guard::{Guard, ListenAddrs};
use chancery_verify::{Gate, Verifier};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Request;

use crate::{
    support::{App, ISSUER, PASSWORD, login_of, sign_in},
    wire::served,
};

/// Values of `Authorization` and the status of what is read from them; the crate is tested with the same table.
const VALUES: &str = include_str!("../../verify/testdata/bearer.txt");

/// The lines of the table, with the token in place of `a.b.c`.
fn table(token: &str) -> Vec<(u16, String)> {
    let lines = VALUES.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(": ").unwrap());
    let value = |text: &str| text.trim_matches('|').replace("\\t", "\t").replace("a.b.c", token);
    lines.map(|(status, text)| (status.parse().unwrap(), value(text))).collect()
}

/// The status that the guard's HTTP listener answers.
async fn guard_status(address: std::net::SocketAddr, value: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /check HTTP/1.1\r\nhost: x\r\nauthorization: {value}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_server_the_guard_and_the_crate_agree_on_blanks_after_bearer() {
    let app = App::sqlite().await;
    app.client("portal", &[ISSUER]).await;
    let mut login = login_of("portal", "ada", PASSWORD);
    login.audience = ISSUER.into();
    let token = sign_in(&app.service, login).await.unwrap().access.token.expose().to_owned();
    let keys = chancery_verify::KeySet::from_json(app.service.live.snapshot().ring.jwks.as_bytes()).unwrap();
    let clock = std::sync::Arc::new(chancery_verify::FixedClock::new(app.service.now().millis()));
    let verifier = Verifier::builder(ISSUER, ISSUER).jwks(keys).clock(clock).build().unwrap();
    let gate = Gate::new(verifier);
    let listen = ListenAddrs { http: Some("127.0.0.1:0".parse().unwrap()), ..ListenAddrs::default() };
    let guard = Guard::bind(gate.clone(), &listen).await.unwrap();
    let address = guard.addresses();
    let address = address.trim_start_matches("http=").parse().unwrap();
    tokio::spawn(guard.serve(std::future::pending()));
    let channel = served(&app).await;
    for (status, value) in table(&token) {
        let crate_status = gate.admit([value.as_bytes()]).await.map_or_else(|refusal| refusal.status(), |_| 200);
        assert_eq!(crate_status, status, "the crate: {value:?}");
        assert_eq!(guard_status(address, &value).await, status, "the guard: {value:?}");
        let mut request = Request::new(GetMeRequest::default());
        let bytes = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", bytes);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        let answer = AccountServiceClient::new(channel.clone()).get_me(request).await;
        assert_eq!(answer.is_ok(), status == 200, "the server: {value:?}: {answer:?}");
    }
}
