//! `TokenService`.

use chancery_verify::Claims;
use tonic::{Request, Response, Status};

use super::{
    call::Call,
    convert::time,
    proto::pb::{self, token_service_server::TokenService},
};
use crate::time::Timestamp;

/// Implements `TokenService` for one call.
#[derive(Debug)]
pub(super) struct Tokens(pub(super) Call);

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn introspect(
        &self,
        request: Request<pb::IntrospectRequest>,
    ) -> Result<Response<pb::IntrospectResponse>, Status> {
        let client = self.0.client()?;
        let claims = self.0.service.tokens.introspect(&self.0.ctx, client, &request.get_ref().token).await;
        let claims = claims.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(claims.map(|c| (&*c).into()).unwrap_or_default()))
    }

    async fn revoke(&self, request: Request<pb::RevokeRequest>) -> Result<Response<pb::RevokeResponse>, Status> {
        let Call { ctx, credentials, .. } = &self.0;
        let message = request.into_inner();
        let done = self.0.service.tokens.revoke(ctx, credentials, &message.client_id, &message.token).await;
        let until = done.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RevokeResponse { access_token_valid_until: until.map(time) }))
    }
}

impl From<&Claims> for pb::IntrospectResponse {
    fn from(claims: &Claims) -> Self {
        let instant = |ms| Some(time(Timestamp::from_millis(ms)));
        let others = if claims.extra.is_empty() { Ok(String::new()) } else { serde_json::to_string(&claims.extra) };
        Self {
            active: true,
            scope: claims.scopes.join(" "),
            client_id: claims.client_id.clone(),
            token_type: "Bearer".to_owned(),
            expire_time: instant(claims.expires_at_ms),
            issue_time: instant(claims.issued_at_ms),
            sub: claims.subject.clone(),
            aud: claims.audience.first().cloned().unwrap_or_default(),
            iss: claims.issuer.clone(),
            jti: claims.token_id.clone(),
            session_id: claims.session_id.clone().unwrap_or_default(),
            entitlements: claims.entitlements.clone(),
            roles: claims.roles.clone(),
            auth_time: claims.auth_time_ms.and_then(instant),
            amr: claims.amr.clone(),
            acr: claims.acr.clone().unwrap_or_default(),
            // A map with string keys always serialises.
            claims_json: others.unwrap_or_default(),
        }
    }
}
