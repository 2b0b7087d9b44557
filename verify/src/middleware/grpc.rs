//! Refusals as gRPC statuses.

use std::sync::Arc;

use tonic::{Code, Request, Status, metadata::MetadataMap, server::NamedService, service::Interceptor};

use super::{TokenLayer, Verified, add_headers};
use crate::{Claims, Gate, Refusal};

/// A service keeps its name behind the layer, so that the router finds it.
impl<S: NamedService> NamedService for Verified<S> {
    const NAME: &'static str = S::NAME;
}

/// The layer's check for `with_interceptor`. It cannot wait: before the keys are there, and once when
/// a token names a key that is not known yet, it answers `UNAVAILABLE`, and has them fetched beside.
/// [`Verifier::ready`](crate::Verifier::ready) at start spares the first caller that.
#[derive(Clone, Debug)]
pub struct TokenInterceptor(Gate);

impl From<TokenLayer> for TokenInterceptor {
    fn from(layer: TokenLayer) -> Self {
        Self(layer.gate)
    }
}

impl From<Gate> for TokenInterceptor {
    fn from(gate: Gate) -> Self {
        Self(gate)
    }
}

impl Interceptor for TokenInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata().as_ref();
        let values = headers.get_all(http::header::AUTHORIZATION).iter().map(http::HeaderValue::as_bytes);
        let claims = self.0.admit_now(values).map_err(|refusal| status(&refusal))?;
        // Claims of an outer layer with other terms must not pass for this one's.
        request.extensions_mut().remove::<Arc<Claims>>();
        if let Some(claims) = claims {
            request.extensions_mut().insert(claims);
        }
        Ok(request)
    }
}

/// The refusal as a status, with `www-authenticate` among its metadata.
pub(super) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::BadRequest(_) => Code::InvalidArgument,
        Refusal::NoToken | Refusal::Token(_) | Refusal::StepUp { .. } => Code::Unauthenticated,
        Refusal::Scope(_) | Refusal::Permission(_) => Code::PermissionDenied,
        Refusal::Unavailable(_) => Code::Unavailable,
    };
    let mut headers = http::HeaderMap::new();
    add_headers(&mut headers, refusal);
    Status::with_metadata(code, refusal.to_string(), MetadataMap::from_headers(headers))
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::{Verifier, testing::TestIssuer};

    fn ask(gate: Gate, authorization: Option<String>) -> Result<Option<String>, (Code, Option<String>)> {
        let mut request = Request::new(());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        let answer = TokenInterceptor::from(gate).call(request);
        answer.map(|r| r.extensions().get::<Arc<Claims>>().map(|c| c.subject.clone())).map_err(|status| {
            let challenge = status.metadata().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
            (status.code(), challenge)
        })
    }

    #[test]
    fn an_interceptor_passes_claims_on_or_answers_with_a_status() {
        let issuer = TestIssuer::new("https://i");
        let gate = Gate::new(issuer.verifier("api"));
        let bearer = |token: String| Some(format!("Bearer {token}"));
        let good = issuer.token("ada", "api").mint();
        assert_eq!(ask(gate.clone(), bearer(good.clone())), Ok(Some("ada".to_owned())));
        assert_eq!(ask(gate.clone(), None), Err((Code::Unauthenticated, Some("Bearer realm=\"api\"".to_owned()))));
        let expired = issuer.token("ada", "api").lives_for(-1).mint();
        assert_eq!(ask(gate.clone(), bearer(expired)).unwrap_err().0, Code::Unauthenticated);
        let refused = ask(gate.require_permission("orders.write"), bearer(good.clone())).unwrap_err();
        assert_eq!(refused.0, Code::PermissionDenied);
        assert!(refused.1.unwrap().contains("insufficient_scope"));
        let blind = Gate::new(Verifier::new("https://i", "api").jwks_url("http://127.0.0.1:9/"));
        assert_eq!(ask(blind, bearer(good)), Err((Code::Unavailable, None)));
    }
}
