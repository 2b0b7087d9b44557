//! Implements `GuardService`, for services on the same machine.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_verify::{Claims, Refusal};
use tonic::{Request, Response, Status};

use crate::{
    decision::Decider,
    pb::guard::{
        self, CheckRequest, CheckResponse,
        check_response::Result as CheckResult,
        guard_service_server::{GuardService, GuardServiceServer},
    },
};

/// Maximum size of a request, in bytes: four times the largest token.
const MAX_REQUEST: usize = 64 * 1024;

/// The name of the service, for health checks.
pub(crate) const NAME: &str = "chancery.guard.v1.GuardService";

pub(crate) fn service(decider: Decider) -> GuardServiceServer<Check> {
    GuardServiceServer::new(Check(decider)).max_decoding_message_size(MAX_REQUEST)
}

#[derive(Debug)]
pub(crate) struct Check(Decider);

#[tonic::async_trait]
impl GuardService for Check {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let CheckRequest { token, scopes, permissions } = request.into_inner();
        if token.is_empty() {
            return Err(Status::invalid_argument("token is missing"));
        }
        let result = match self.0.decide_token(&token, scopes, permissions).await {
            Ok(claims) => CheckResult::Claims(claims_message(&claims, &token)),
            Err(refusal) if self.0.gate().is_observing() => {
                self.0.gate().count_refusal(&refusal);
                CheckResult::Observed(refusal_message(&refusal))
            }
            Err(refusal) => CheckResult::Refusal(refusal_message(&refusal)),
        };
        Ok(Response::new(CheckResponse { result: Some(result) }))
    }
}

fn claims_message(claims: &Claims, token: &str) -> guard::Claims {
    guard::Claims {
        subject: claims.subject.clone(),
        client_id: claims.client_id.clone(),
        session_id: claims.session_id.clone().unwrap_or_default(),
        scopes: claims.scopes.clone(),
        permissions: claims.entitlements.clone(),
        roles: claims.roles.clone(),
        expire_time_ms: claims.expires_at_ms,
        claims_json: payload_json(token).unwrap_or_default(),
    }
}

/// The payload of a verified token, as JSON text.
fn payload_json(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    String::from_utf8(bytes).ok()
}

fn refusal_message(refusal: &Refusal) -> guard::Refusal {
    guard::Refusal {
        http_status: i32::from(refusal.status()),
        error: refusal.code().unwrap_or_default().to_owned(),
        description: refusal.to_string(),
        www_authenticate: refusal.www_authenticate().unwrap_or_default(),
    }
}
