//! The two metadata documents. They say only what works: there are no HTTP endpoints for tokens yet, so
//! none is named, and the documents are partial.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::{domain::keys::Algorithm, service::Service};

/// RFC 8414 §2, as far as it is true.
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

/// `OpenID` Connect Discovery §3, as far as it is true.
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
