//! The same calls as JSON over HTTP/1.1, each caller on a connection of its own.

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    calls::request_id,
    http1::HttpGetter,
    load::{Caller, Failure, Outcome},
};

/// What a caller does with its method.
#[derive(Debug)]
enum Work {
    /// Each refresh uses the token from the one before.
    Refresh { client: String, token: String, calls: u64 },
    /// The same token every time.
    Introspect { token: String },
    /// Users sign in one after the other.
    Login { client: String, users: Vec<String>, password: String, next: usize },
}

impl Work {
    const fn path(&self) -> &'static str {
        match self {
            Self::Refresh { .. } => "/chancery.v1.AuthService/Refresh",
            Self::Introspect { .. } => "/chancery.v1.TokenService/Introspect",
            Self::Login { .. } => "/chancery.v1.AuthService/Login",
        }
    }

    fn message(&mut self) -> Value {
        match self {
            Self::Refresh { client, token, calls } => {
                json!({"clientId": client, "refreshToken": token, "requestId": request_id(*calls)})
            }
            Self::Introspect { token } => json!({"token": token}),
            Self::Login { client, users, password, next } => {
                let login = users.get(*next % users.len().max(1)).cloned().unwrap_or_default();
                *next += 1;
                json!({"clientId": client, "login": login, "password": password, "deviceLabel": "bench"})
            }
        }
    }

    /// Takes what the next call needs, and checks that the answer is what a successful call has.
    fn accept(&mut self, answer: &Value) -> anyhow::Result<()> {
        let text = |path: &str| answer.pointer(path).and_then(Value::as_str).map(str::to_owned);
        match self {
            Self::Refresh { token, calls, .. } => {
                *token = text("/tokens/refreshToken").context("no refresh token")?;
                *calls += 1;
            }
            Self::Introspect { .. } => {
                anyhow::ensure!(answer.pointer("/active") == Some(&Value::Bool(true)), "inactive");
            }
            Self::Login { .. } => drop(text("/tokens/accessToken").context("no access token")?),
        }
        Ok(())
    }
}

/// A caller of one method.
#[derive(Debug)]
pub(crate) struct JsonCaller {
    connection: HttpGetter,
    headers: String,
    work: Work,
}

impl JsonCaller {
    async fn new(address: &str, authorization: Option<&str>, work: Work) -> anyhow::Result<Self> {
        let connection = HttpGetter::connect_with(address, work.path(), &[]).await?;
        let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
        let path = work.path();
        let headers =
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{authorization}");
        Ok(Self { connection, headers, work })
    }

    /// A chain of refreshes.
    pub(crate) async fn refresh(address: &str, client: &str, token: String) -> anyhow::Result<Self> {
        Self::new(address, None, Work::Refresh { client: client.to_owned(), token, calls: 0 }).await
    }

    /// A confidential client that introspects a token.
    pub(crate) async fn introspect(address: &str, authorization: &str, token: String) -> anyhow::Result<Self> {
        Self::new(address, Some(authorization), Work::Introspect { token }).await
    }

    /// Sign-ins of these users.
    pub(crate) async fn login(address: &str, client: &str, users: Vec<String>, password: &str) -> anyhow::Result<Self> {
        let (client, password) = (client.to_owned(), password.to_owned());
        Self::new(address, None, Work::Login { client, users, password, next: 0 }).await
    }

    async fn once(&mut self) -> anyhow::Result<Result<(), Failure>> {
        let message = self.work.message().to_string();
        let request = format!("{}content-length: {}\r\n\r\n{message}", self.headers, message.len());
        let (status, body) = self.connection.exchange(request.into_bytes()).await?;
        if status != 200 {
            return Ok(Err(Failure { label: format!("HTTP {status}"), lost: false }));
        }
        let answer = serde_json::from_slice(body)?;
        self.work.accept(&answer)?;
        Ok(Ok(()))
    }
}

impl Caller for JsonCaller {
    async fn call(&mut self) -> Outcome {
        match self.once().await {
            Ok(Ok(())) => Outcome::Answered,
            Ok(Err(failure)) if matches!(self.work, Work::Refresh { .. }) => Outcome::Broken(failure),
            Ok(Err(failure)) => Outcome::Failed(failure),
            Err(error) => Outcome::Broken(Failure { label: format!("{error:#}"), lost: true }),
        }
    }
}
