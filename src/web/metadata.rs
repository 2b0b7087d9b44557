//! The two metadata documents. They are partial: there are no HTTP token endpoints yet, so they list none.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{domain::keys::Algorithm, service::Service};

/// Authorization server metadata (RFC 8414 §2), limited to what is implemented.
pub(super) async fn authorization_server(State(service): State<Arc<Service>>) -> Json<Value> {
    let issuer = service.issuer().trim_end_matches('/');
    Json(json!({
        "issuer": service.issuer(),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": [],
        "grant_types_supported": [],
        "status_list_aggregation_endpoint": service.status_lists.lists_uri(),
    }))
}

/// Provider metadata (`OpenID` Connect Discovery §3), limited to what is implemented.
pub(super) async fn openid_configuration(State(service): State<Arc<Service>>) -> Json<Value> {
    let issuer = service.issuer().trim_end_matches('/');
    Json(json!({
        "issuer": service.issuer(),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
    }))
}
