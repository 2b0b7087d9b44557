//! Refusals as gRPC statuses.

use tonic::{Code, Request, Status, metadata::MetadataMap, server::NamedService, service::Interceptor};

use super::{TokenLayer, Verified, add_headers, mark_admitted, was_counted};
use crate::{Gate, Refusal};

/// Keeps the inner service's name, so that the router can find it.
impl<S: NamedService> NamedService for Verified<S> {
    const NAME: &'static str = S::NAME;
}

/// The layer's check as an interceptor, for `with_interceptor`. An interceptor cannot wait: it answers
/// `UNAVAILABLE` until the first keys are fetched, and once when a token names an unknown key, while the keys
/// are fetched in the background. Call [`Verifier::ready`](crate::Verifier::ready) at start to spare the first
/// caller that.
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
        let counted = was_counted(request.extensions(), &self.0);
        let admission = self.0.admit_now_once(values, counted).map_err(|refusal| status(&refusal))?;
        mark_admitted(request.extensions_mut(), admission, &self.0);
        Ok(request)
    }
}

/// The refusal as a gRPC status, with `www-authenticate` in its metadata.
pub(super) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::BadRequest(_) => Code::InvalidArgument,
        Refusal::NoToken | Refusal::InvalidToken(_) | Refusal::StepUp { .. } => Code::Unauthenticated,
        Refusal::MissingScope(_) | Refusal::MissingPermission(_) => Code::PermissionDenied,
        Refusal::Unavailable(_) => Code::Unavailable,
    };
    let mut headers = http::HeaderMap::new();
    add_headers(&mut headers, refusal);
    Status::with_metadata(code, refusal.to_string(), MetadataMap::from_headers(headers))
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Claims, Verifier, testing::TestIssuer};

    fn call(gate: Gate, authorization: Option<String>) -> Result<Option<String>, (Code, Option<String>)> {
        let mut request = Request::new(());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        let result = TokenInterceptor::from(gate).call(request);
        result.map(|r| r.extensions().get::<Arc<Claims>>().map(|c| c.subject.clone())).map_err(|status| {
            let challenge = status.metadata().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
            (status.code(), challenge)
        })
    }

    #[test]
    fn an_interceptor_adds_claims_or_answers_with_a_status() {
        let issuer = TestIssuer::new("https://i");
        let gate = Gate::new(issuer.verifier("api"));
        let bearer = |token: String| Some(format!("Bearer {token}"));
        let good = issuer.token("ada", "api").mint();
        assert_eq!(call(gate.clone(), bearer(good.clone())), Ok(Some("ada".to_owned())));
        assert_eq!(call(gate.clone(), None), Err((Code::Unauthenticated, Some("Bearer realm=\"api\"".to_owned()))));
        let expired = issuer.token("ada", "api").expires_in(-1).mint();
        assert_eq!(call(gate.clone(), bearer(expired)).unwrap_err().0, Code::Unauthenticated);
        let refused = call(gate.require_permission("orders.write"), bearer(good.clone())).unwrap_err();
        assert_eq!(refused.0, Code::PermissionDenied);
        assert!(refused.1.unwrap().contains("insufficient_scope"));
        let without_keys =
            Gate::new(Verifier::builder("https://i", "api").jwks_url("http://127.0.0.1:9/").build().unwrap());
        assert_eq!(call(without_keys, bearer(good)), Err((Code::Unavailable, None)));
    }
}
