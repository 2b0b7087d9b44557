//! `KeyService`.

use serde_json::Value;
use tonic::{Request, Response, Status};

use super::{
    admin::Page,
    call::Call,
    convert::time,
    delivery::{Messages, Source, messages},
    enums::{algorithm, parse_algorithm},
    proto::pb::{self, key_service_server::KeyService},
};
use crate::{
    domain::{
        keys::{KeyState, StoredKey},
        settings::JWKS_MAX_AGE,
    },
    error::Result as ServiceResult,
    service::{KeyWatcher, Keyring, RotationPlan},
};

/// Implements `KeyService` for one call.
#[derive(Debug)]
pub(super) struct Keys(pub(super) Call);

type JwksStream = Messages<pb::WatchJwksResponse>;

#[tonic::async_trait]
impl KeyService for Keys {
    type WatchJwksStream = JwksStream;

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let ring = self.0.service.live.snapshot().ring.clone();
        let (jwks_json, keys, max_age) = published(&ring);
        Ok(Response::new(pb::GetJwksResponse { jwks_json, keys, max_age }))
    }

    async fn watch_jwks(&self, _: Request<pb::WatchJwksRequest>) -> Result<Response<JwksStream>, Status> {
        let watcher = self.0.service.signing_keys.watch().await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(messages(watcher, self.0.ctx.clone())))
    }

    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        let admin = self.0.admin()?;
        let message = request.into_inner();
        let page = Page::new("SigningKeys", "", (message.page_size, &message.page_token));
        let page = page.map_err(|e| self.0.status(&e))?;
        let stored = self.0.service.signing_keys.list(admin);
        let (keys, next_page_token) = page.cut_sorted(stored.into_iter().map(|k| (k.id.as_str().to_owned(), k)));
        let keys = keys.iter().map(signing_key).collect();
        Ok(Response::new(pb::ListSigningKeysResponse { keys, next_page_token }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<pb::RotateSigningKeyRequest>,
    ) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
        let admin = self.0.admin()?;
        let only = parse_algorithm(request.get_ref().algorithm).map_err(|e| self.0.status(&e))?;
        let plans = self.0.service.signing_keys.rotate_early(admin, only).await.map_err(|e| self.0.status(&e))?;
        let planned = |p: RotationPlan| pb::PlannedRotation {
            algorithm: algorithm(p.algorithm).into(),
            kid: p.kid,
            sign_time: Some(time(p.at)),
        };
        Ok(Response::new(pb::RotateSigningKeyResponse { rotations: plans.into_iter().map(planned).collect() }))
    }

    async fn revoke_signing_key(
        &self,
        request: Request<pb::RevokeSigningKeyRequest>,
    ) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
        let admin = self.0.admin()?;
        let revoked =
            self.0.service.signing_keys.revoke(admin, &request.get_ref().kid).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RevokeSigningKeyResponse {
            kid: revoked.kid,
            algorithm: revoked.algorithm.parse().map_or(0, |a| algorithm(a).into()),
            safe_time: Some(time(revoked.safe_from)),
        }))
    }
}

impl Source for KeyWatcher {
    type Message = pb::WatchJwksResponse;
    const METHOD: &'static str = "/chancery.v1.KeyService/WatchJwks";

    async fn next(&mut self) -> ServiceResult<Self::Message> {
        let ring = Self::next(self).await?;
        let (jwks_json, keys, max_age) = published(&ring);
        Ok(pb::WatchJwksResponse { jwks_json, keys, max_age })
    }
}

fn published(ring: &Keyring) -> (String, Vec<pb::JsonWebKey>, Option<prost_types::Duration>) {
    let max_age = prost_types::Duration { seconds: JWKS_MAX_AGE.seconds(), nanos: 0 };
    let ours = ring.stored.iter().map(|k| jwk(&k.public_jwk));
    let foreign = ring.foreign.iter().map(|k| {
        let expire_time = Some(time(k.expires_at));
        pb::JsonWebKey { foreign: true, expire_time, ..jwk(&k.public_jwk) }
    });
    (ring.jwks.clone(), ours.chain(foreign).collect(), Some(max_age))
}

fn signing_key(key: &StoredKey) -> pb::SigningKey {
    let state = match key.state {
        KeyState::Active => pb::SigningKeyState::Active,
        KeyState::Next => pb::SigningKeyState::Next,
        KeyState::Retired => pb::SigningKeyState::Retired,
    };
    pb::SigningKey {
        key_id: key.id.as_str().to_owned(),
        kid: key.kid.clone(),
        algorithm: algorithm(key.algorithm).into(),
        state: state.into(),
        create_time: Some(time(key.created_at)),
        activate_time: key.activated_at.map(time),
        retire_time: key.retired_at.map(time),
        rotate_time: key.rotate_at.map(time),
    }
}

fn jwk(jwk: &Value) -> pb::JsonWebKey {
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
        foreign: false,
        expire_time: None,
    }
}
