//! `KeyService`.

use serde_json::Value;
use tonic::{Request, Response, Status};

use super::proto::pb::{self, key_service_server::KeyService};
use crate::{domain::settings::JWKS_MAX_AGE, service::Service};

/// The service behind the messages.
#[derive(Clone, Debug)]
pub(super) struct Keys(pub(super) Service);

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let ring = self.0.live().snapshot().ring.clone();
        let max_age = prost_types::Duration { seconds: JWKS_MAX_AGE.seconds(), nanos: 0 };
        Ok(Response::new(pb::GetJwksResponse {
            jwks_json: ring.jwks.clone(),
            keys: ring.stored.iter().map(|k| key(&k.public_jwk)).collect(),
            max_age: Some(max_age),
        }))
    }
}

fn key(jwk: &Value) -> pb::JsonWebKey {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    pb::JsonWebKey {
        kid: text("kid"),
        kty: text("kty"),
        alg: text("alg"),
        r#use: text("use"),
        n: text("n"),
        e: text("e"),
        crv: text("crv"),
        x: text("x"),
        y: text("y"),
    }
}
