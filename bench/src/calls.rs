//! The measured calls. Each caller makes one call after the other.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::grpc::pb::{
    IntrospectRequest, IssueClientTokenRequest, LoginRequest, RefreshRequest, TokenPair,
    auth_service_client::AuthServiceClient, login_response, token_service_client::TokenServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig},
};
use tonic_types::StatusExt;

use crate::load::{Caller, Failure, Outcome};

/// Connections to one server, shared by callers in turn.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Vec<Channel>);

impl Connections {
    /// Opens `number` connections.
    pub(crate) async fn open(address: &str, number: usize) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for _ in 0..number.max(1) {
            let endpoint = Channel::from_shared(format!("http://{address}"))?;
            all.push(endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?);
        }
        Ok(Self(all))
    }

    /// Opens `number` connections with TLS that trust this authority.
    pub(crate) async fn open_tls(address: &str, number: usize, ca: &str) -> anyhow::Result<Self> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
        let mut all = Vec::new();
        for _ in 0..number.max(1) {
            let endpoint = Channel::from_shared(format!("https://{address}"))?.tls_config(tls.clone())?;
            all.push(endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?);
        }
        Ok(Self(all))
    }

    /// The connection for the caller with this number.
    pub(crate) fn for_caller(&self, caller: usize) -> anyhow::Result<Channel> {
        self.0.get(caller % self.0.len().max(1)).cloned().context("no connection")
    }
}

/// A confidential client's `authorization` value.
pub(crate) fn basic_auth(client: &str, secret: &str) -> anyhow::Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}"))).parse()?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request with this `authorization` value.
pub(crate) fn authorized<T>(message: T, authorization: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.clone());
    request
}

/// The gRPC code in its usual spelling, and the reason.
pub(crate) fn failure(status: &Status) -> Failure {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let code = screaming_snake_case(&format!("{:?}", status.code()));
    // A status sent by the server has no local source.
    let lost = status.source().is_some() && reason.is_empty();
    Failure { label: format!("{code} {reason}").trim().to_owned(), lost }
}

/// `ResourceExhausted` as `RESOURCE_EXHAUSTED`.
fn screaming_snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn outcome_of<T>(answer: Result<T, Status>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(status) => Outcome::Failed(failure(&status)),
    }
}

/// A request id as long as a UUID, for the `n`th call of a chain.
pub(crate) fn request_id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// A chain of refreshes: each uses the token from the one before.
#[derive(Debug)]
pub(crate) struct Chain {
    rpc: AuthServiceClient<Channel>,
    client: String,
    token: String,
    calls: u64,
}

impl Chain {
    /// Creates a chain that starts with this refresh token.
    pub(crate) fn new(channel: Channel, client: &str, token: String) -> Self {
        Self { rpc: AuthServiceClient::new(channel), client: client.to_owned(), token, calls: 0 }
    }

    /// The next request.
    pub(crate) fn request(&self) -> RefreshRequest {
        RefreshRequest {
            client_id: self.client.clone(),
            refresh_token: self.token.clone(),
            // As every client should do, so that a lost response loses nothing.
            request_id: request_id(self.calls),
            ..RefreshRequest::default()
        }
    }

    /// Refreshes once; returns the new token pair.
    pub(crate) async fn refresh(&mut self) -> Result<TokenPair, Status> {
        let answer = self.rpc.refresh(self.request()).await?;
        let pair = answer.into_inner().tokens.unwrap_or_default();
        self.token.clone_from(&pair.refresh_token);
        self.calls += 1;
        Ok(pair)
    }
}

impl Caller for Chain {
    async fn call(&mut self) -> Outcome {
        match self.refresh().await {
            Ok(_) => Outcome::Answered,
            Err(status) => Self::outcome(&status),
        }
    }
}

impl Chain {
    /// What a refused refresh means for the chain: only a lost one may be sent again.
    pub(crate) fn outcome(status: &Status) -> Outcome {
        match failure(status) {
            lost if lost.lost => Outcome::Failed(lost),
            refused => Outcome::Broken(refused),
        }
    }
}

/// A client that requests tokens for itself.
#[derive(Debug)]
pub(crate) struct ClientTokenCaller {
    rpc: AuthServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl ClientTokenCaller {
    /// Creates a caller with this client's credentials.
    pub(crate) fn new(channel: Channel, authorization: MetadataValue<Ascii>) -> Self {
        Self { rpc: AuthServiceClient::new(channel), authorization }
    }

    /// Issues one token.
    pub(crate) async fn issue(&mut self) -> Result<chancery::grpc::pb::IssueClientTokenResponse, Status> {
        let request = authorized(IssueClientTokenRequest::default(), &self.authorization);
        self.rpc.issue_client_token(request).await.map(tonic::Response::into_inner)
    }
}

impl Caller for ClientTokenCaller {
    async fn call(&mut self) -> Outcome {
        outcome_of(self.issue().await)
    }
}

/// A client that introspects tokens.
#[derive(Debug)]
pub(crate) struct IntrospectCaller {
    rpc: TokenServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    tokens: Tokens,
}

/// Which tokens to introspect.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// The same token every time.
    Same(String),
    /// Each token once, shared by all callers.
    Distinct(Arc<(Vec<String>, AtomicUsize)>),
}

impl Tokens {
    /// Uses each of these tokens once.
    pub(crate) fn distinct(all: Vec<String>) -> Self {
        Self::Distinct(Arc::new((all, AtomicUsize::new(0))))
    }

    fn next(&self) -> Option<String> {
        match self {
            Self::Same(token) => Some(token.clone()),
            Self::Distinct(all) => all.0.get(all.1.fetch_add(1, Ordering::Relaxed)).cloned(),
        }
    }
}

impl IntrospectCaller {
    /// Creates a caller with this client's credentials.
    pub(crate) fn new(channel: Channel, authorization: MetadataValue<Ascii>, tokens: Tokens) -> Self {
        Self { rpc: TokenServiceClient::new(channel), authorization, tokens }
    }

    /// Introspects this token from now on.
    pub(crate) fn use_token(&mut self, token: String) {
        self.tokens = Tokens::Same(token);
    }

    /// Introspects one token.
    pub(crate) async fn introspect(&mut self, token: String) -> Result<chancery::grpc::pb::IntrospectResponse, Status> {
        let request = IntrospectRequest { token, ..IntrospectRequest::default() };
        let request = authorized(request, &self.authorization);
        self.rpc.introspect(request).await.map(tonic::Response::into_inner)
    }
}

impl Caller for IntrospectCaller {
    async fn call(&mut self) -> Outcome {
        let Some(token) = self.tokens.next() else { return Outcome::Finished };
        match self.introspect(token).await {
            Ok(answer) if !answer.active => Outcome::Failed(Failure { label: "OK inactive".to_owned(), lost: false }),
            other => outcome_of(other),
        }
    }
}

/// A caller that signs users in, one after the other.
#[derive(Debug)]
pub(crate) struct LoginCaller {
    rpc: AuthServiceClient<Channel>,
    client: String,
    users: Vec<String>,
    password: String,
    next: usize,
}

impl LoginCaller {
    /// Creates a caller for these users.
    pub(crate) fn new(channel: Channel, client: &str, users: Vec<String>, password: &str) -> Self {
        Self {
            rpc: AuthServiceClient::new(channel),
            client: client.to_owned(),
            users,
            password: password.to_owned(),
            next: 0,
        }
    }

    /// Signs the next user in; returns `None` if the server asks for another step.
    pub(crate) async fn log_in(&mut self) -> Result<Option<TokenPair>, Status> {
        let login = self.users.get(self.next % self.users.len().max(1)).cloned().unwrap_or_default();
        self.next += 1;
        let request = LoginRequest {
            client_id: self.client.clone(),
            login,
            password: self.password.clone(),
            device_label: "bench".to_owned(),
            ..LoginRequest::default()
        };
        let answer = self.rpc.login(request).await?.into_inner();
        Ok(match answer.result {
            Some(login_response::Result::Tokens(pair)) => Some(pair),
            _ => None,
        })
    }
}

impl Caller for LoginCaller {
    async fn call(&mut self) -> Outcome {
        outcome_of(self.log_in().await)
    }
}

/// Signs in; fails if there are no tokens.
pub(crate) async fn must_sign_in(caller: &mut LoginCaller) -> anyhow::Result<TokenPair> {
    match caller.log_in().await {
        Ok(Some(pair)) => Ok(pair),
        Ok(None) => bail!("a sign-in was answered without tokens"),
        Err(status) => bail!("a sign-in was refused: {}", failure(&status).label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_labelled_with_the_usual_name_of_its_code() {
        assert_eq!(failure(&Status::resource_exhausted("")).label, "RESOURCE_EXHAUSTED");
        assert_eq!(failure(&Status::unknown("")).label, "UNKNOWN");
        assert!(!failure(&Status::unavailable("")).lost);
    }
}
