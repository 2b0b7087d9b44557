//! The calls that are measured, each by a caller that makes them one after the other.

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
    transport::Channel,
};
use tonic_types::StatusExt;

use crate::load::{Caller, Outcome, Refusal};

/// Connections to one server, handed out in turn.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Vec<Channel>);

impl Connections {
    /// Connects `number` times.
    pub(crate) async fn open(address: &str, number: usize) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for _ in 0..number.max(1) {
            let endpoint = Channel::from_shared(format!("http://{address}"))?;
            all.push(endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?);
        }
        Ok(Self(all))
    }

    /// The connection of the caller with this number.
    pub(crate) fn of(&self, caller: usize) -> anyhow::Result<Channel> {
        self.0.get(caller % self.0.len().max(1)).cloned().context("no connection")
    }
}

/// A confidential client's proof of who it is.
pub(crate) fn basic(client: &str, secret: &str) -> anyhow::Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}"))).parse()?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request with that proof.
fn authorized<T>(message: T, authorization: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.clone());
    request
}

/// The code as it is written everywhere, and the reason.
pub(crate) fn refusal(status: &Status) -> Refusal {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let code = snake(&format!("{:?}", status.code()));
    // A status that a server sent has no cause on this side.
    let lost = status.source().is_some() && reason.is_empty();
    Refusal { label: format!("{code} {reason}").trim().to_owned(), lost }
}

/// `ResourceExhausted` as `RESOURCE_EXHAUSTED`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn simple<T>(answer: Result<T, Status>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(status) => Outcome::Refused(refusal(&status)),
    }
}

/// An id as long as a UUID, for the `n`th call of a chain.
pub(crate) fn request_id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// A chain of refreshes: each uses the token that the one before it gave.
#[derive(Debug)]
pub(crate) struct Chain {
    rpc: AuthServiceClient<Channel>,
    client: String,
    token: String,
    calls: u64,
}

impl Chain {
    /// A chain that begins with this refresh token.
    pub(crate) fn new(channel: Channel, client: &str, token: String) -> Self {
        Self { rpc: AuthServiceClient::new(channel), client: client.to_owned(), token, calls: 0 }
    }

    /// The next request.
    pub(crate) fn request(&self) -> RefreshRequest {
        RefreshRequest {
            client_id: self.client.clone(),
            refresh_token: self.token.clone(),
            // As every client should, so that a lost answer loses nothing.
            request_id: request_id(self.calls),
            ..RefreshRequest::default()
        }
    }

    /// One refresh; the answer's pair.
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
            Err(status) => match refusal(&status) {
                lost if lost.lost => Outcome::Refused(lost),
                refused => Outcome::Broken(refused),
            },
        }
    }
}

/// Somebody who asks for tokens of a client itself.
#[derive(Debug)]
pub(crate) struct ClientTokens {
    rpc: AuthServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl ClientTokens {
    /// A caller that is this client.
    pub(crate) fn new(channel: Channel, authorization: MetadataValue<Ascii>) -> Self {
        Self { rpc: AuthServiceClient::new(channel), authorization }
    }

    /// One token.
    pub(crate) async fn issue(&mut self) -> Result<chancery::grpc::pb::IssueClientTokenResponse, Status> {
        let request = authorized(IssueClientTokenRequest::default(), &self.authorization);
        self.rpc.issue_client_token(request).await.map(tonic::Response::into_inner)
    }
}

impl Caller for ClientTokens {
    async fn call(&mut self) -> Outcome {
        simple(self.issue().await)
    }
}

/// Somebody who asks about tokens.
#[derive(Debug)]
pub(crate) struct Introspections {
    rpc: TokenServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    tokens: Tokens,
}

/// Which tokens are asked about.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// The same one again and again.
    Same(String),
    /// Each once, by whoever comes next.
    Distinct(Arc<(Vec<String>, AtomicUsize)>),
}

impl Tokens {
    /// Each of these once.
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

impl Introspections {
    /// A caller that is this client.
    pub(crate) fn new(channel: Channel, authorization: MetadataValue<Ascii>, tokens: Tokens) -> Self {
        Self { rpc: TokenServiceClient::new(channel), authorization, tokens }
    }

    /// One answer.
    pub(crate) async fn ask(&mut self, token: String) -> Result<chancery::grpc::pb::IntrospectResponse, Status> {
        let request = IntrospectRequest { token, ..IntrospectRequest::default() };
        let request = authorized(request, &self.authorization);
        self.rpc.introspect(request).await.map(tonic::Response::into_inner)
    }
}

impl Caller for Introspections {
    async fn call(&mut self) -> Outcome {
        let Some(token) = self.tokens.next() else { return Outcome::Finished };
        match self.ask(token).await {
            Ok(answer) if !answer.active => Outcome::Refused(Refusal { label: "OK inactive".to_owned(), lost: false }),
            other => simple(other),
        }
    }
}

/// Somebody who signs users in, one after the other.
#[derive(Debug)]
pub(crate) struct Logins {
    rpc: AuthServiceClient<Channel>,
    client: String,
    users: Vec<String>,
    password: String,
    next: usize,
}

impl Logins {
    /// A caller for these users.
    pub(crate) fn new(channel: Channel, client: &str, users: Vec<String>, password: &str) -> Self {
        Self {
            rpc: AuthServiceClient::new(channel),
            client: client.to_owned(),
            users,
            password: password.to_owned(),
            next: 0,
        }
    }

    /// One sign-in.
    pub(crate) async fn log_in(&mut self) -> Result<Option<TokenPair>, Status> {
        let user = self.users.get(self.next % self.users.len().max(1)).cloned().unwrap_or_default();
        self.next += 1;
        let request = LoginRequest {
            client_id: self.client.clone(),
            login: user,
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

impl Caller for Logins {
    async fn call(&mut self) -> Outcome {
        simple(self.log_in().await)
    }
}

/// The pair of a sign-in that must succeed.
pub(crate) async fn sign_in(logins: &mut Logins) -> anyhow::Result<TokenPair> {
    match logins.log_in().await {
        Ok(Some(pair)) => Ok(pair),
        Ok(None) => bail!("a sign-in was answered without tokens"),
        Err(status) => bail!("a sign-in was refused: {}", refusal(&status).label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_named_as_the_protocol_names_it() {
        assert_eq!(refusal(&Status::resource_exhausted("")).label, "RESOURCE_EXHAUSTED");
        assert_eq!(refusal(&Status::unknown("")).label, "UNKNOWN");
        assert!(!refusal(&Status::unavailable("")).lost);
    }
}
