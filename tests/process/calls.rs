//! Calls shared by several tests, and their error details.

use chancery::grpc::pb::{
    LoginRequest, RefreshRequest, TokenPair, auth_service_client::AuthServiceClient, login_response,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{place::Place, server::Server};

pub(crate) const PASSWORD: &str = "a long pass phrase for tests";
pub(crate) const CLIENT: &str = "app";

/// Starts a server with the user `grace` and a client whose tokens are fast to sign.
pub(crate) fn start(place: &Place) -> Server {
    let server = Server::on(place, &[]);
    server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    let flags = ["--public", "--first-party", "--audience", "api", "--alg", "ES256", "--scope", "read"];
    server.command(&[&["client", "create", CLIENT], &flags[..]].concat(), "");
    server
}

pub(crate) fn login_request(login: &str, password: &str) -> LoginRequest {
    LoginRequest {
        client_id: CLIENT.to_owned(),
        login: login.to_owned(),
        password: password.to_owned(),
        ..LoginRequest::default()
    }
}

pub(crate) async fn log_in(channel: Channel, login: &str, password: &str) -> Result<TokenPair, Status> {
    log_in_as(channel, CLIENT, login, password).await
}

/// Signs in through a client.
pub(crate) async fn log_in_as(
    channel: Channel,
    client: &str,
    login: &str,
    password: &str,
) -> Result<TokenPair, Status> {
    let request = LoginRequest { client_id: client.to_owned(), ..login_request(login, password) };
    let answer = AuthServiceClient::new(channel).login(request).await?;
    match answer.into_inner().result {
        Some(login_response::Result::Tokens(pair)) => Ok(pair),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refresh(channel: Channel, token: &str, request_id: &str) -> Result<TokenPair, Status> {
    refresh_as(channel, CLIENT, token, request_id).await
}

/// Refreshes as a client.
pub(crate) async fn refresh_as(
    channel: Channel,
    client: &str,
    token: &str,
    request_id: &str,
) -> Result<TokenPair, Status> {
    let request = RefreshRequest {
        client_id: client.to_owned(),
        refresh_token: token.to_owned(),
        request_id: request_id.to_owned(),
        ..RefreshRequest::default()
    };
    Ok(AuthServiceClient::new(channel).refresh(request).await?.into_inner().tokens.unwrap())
}

/// The server's error reason; `None` if the status did not come from the server.
pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == "chancery").map(|info| info.reason)
}

/// Whether an error says that nothing happened and when to retry.
pub(crate) fn may_be_retried(status: &Status) -> bool {
    let code = matches!(status.code(), tonic::Code::Aborted | tonic::Code::Unavailable);
    code && reason(status).is_some() && status.get_details_retry_info().is_some()
}

/// The complete response to a page request; `None` if nothing is listening.
pub(crate) async fn page(address: &str, path: &str) -> Option<String> {
    raw_page(address.to_owned(), format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

/// The complete response to a request as it is written.
pub(crate) async fn raw_page(address: String, request: String) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}
