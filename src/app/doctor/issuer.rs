//! Whether verifiers find the issuer, and at it the keys of this database.

use std::{collections::BTreeSet, path::Path, time::Duration};

use reqwest::{Certificate, Client, Identity, StatusCode, redirect::Policy};
use serde_json::Value;

use super::{Finding, IssuerTrust};
use crate::service::Service;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any of the documents has.
const MOST: usize = 1 << 20;

pub(super) async fn examine(service: &Service, trust: IssuerTrust) -> Vec<Finding> {
    match look(service, &trust).await {
        Ok(findings) => findings,
        Err(what) => vec![Finding::problem("issuer", what)],
    }
}

/// Whether the issuer answers, where there is no database with whose keys to compare its own.
pub(super) async fn answers(issuer: &str, trust: &IssuerTrust) -> Finding {
    match published(issuer, trust).await {
        Ok(keys) => {
            let what =
                format!("{issuer} answers with {} keys, which were not compared with the database's", keys.len());
            Finding::good("issuer", what)
        }
        Err(what) => Finding::problem("issuer", what),
    }
}

/// The ids of the keys that are published at an issuer that says it is this one.
async fn published(issuer: &str, trust: &IssuerTrust) -> Result<BTreeSet<String>, String> {
    let at = issuer.trim_end_matches('/');
    let client = client(trust)?;
    let metadata = fetch(&client, &format!("{at}/.well-known/oauth-authorization-server")).await?;
    let said = metadata.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if said != issuer {
        return Err(format!("what answers at {at} says that its issuer is {said:?}"));
    }
    Ok(kids(&fetch(&client, &format!("{at}/.well-known/jwks.json")).await?))
}

async fn look(service: &Service, trust: &IssuerTrust) -> Result<Vec<Finding>, String> {
    let issuer = service.issuer().trim_end_matches('/').to_owned();
    let published = published(service.issuer(), trust).await?;
    let page: Value = serde_json::from_slice(&service.live.snapshot().ring.page).unwrap_or_default();
    let own = kids(&page);
    if published != own {
        let missing: Vec<_> = own.difference(&published).collect();
        let extra: Vec<_> = published.difference(&own).collect();
        return Err(format!(
            "the keys at {issuer} are not those of this database: {} missing, {} of another; does a server with another \
             database, or a cache, answer there?",
            missing.len(),
            extra.len()
        ));
    }
    Ok(vec![Finding::good("issuer", format!("{issuer} answers with the {} keys of this database", own.len()))])
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn client(trust: &IssuerTrust) -> Result<Client, String> {
    let mut builder = Client::builder().redirect(Policy::none()).timeout(TIMEOUT);
    if let Some(path) = &trust.ca {
        let pem = read(path)?;
        let all =
            Certificate::from_pem_bundle(&pem).map_err(|_| format!("{}: no certificate in PEM", path.display()))?;
        builder = builder.tls_certs_only(all);
    }
    if let Some((cert, key)) = &trust.client {
        let identity = Identity::from_pem(&[read(cert)?, b"\n".to_vec(), read(key)?].concat());
        let named = |_| format!("{} and {} are no certificate and its key", cert.display(), key.display());
        builder = builder.identity(identity.map_err(named)?);
    }
    builder.build().map_err(|error| format!("no HTTPS connection can be made: {}", causes(&error)))
}

async fn fetch(client: &Client, url: &str) -> Result<Value, String> {
    let failed = |error: reqwest::Error| format!("{url} cannot be fetched: {}", causes(&error.without_url()));
    let mut response = client.get(url).send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(format!("{url} answers {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST {
            return Err(format!("{url} answers with more than {MOST} bytes"));
        }
    }
    serde_json::from_slice(&body).map_err(|_| format!("{url} does not answer with JSON"))
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn kids(jwks: &Value) -> BTreeSet<String> {
    let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|key| Some(key.get("kid")?.as_str()?.to_owned())).collect()
}
