//! Who asks for a page.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use chancery_verify::{Claims, VerifyError};
use serde_json::{Value, json};

use crate::{Shop, chancery::passed_back};

/// Somebody who asks for a page, and the request.
pub(crate) struct Visit {
    /// What the browser sent.
    pub(crate) parts: Parts,
    /// The id of whoever it is, a guest or a user; empty for somebody of whom nothing is known yet.
    pub(crate) subject: String,
    /// What people call them.
    pub(crate) name: String,
    /// Whether the browser is recognised. Nothing can be kept for one that is not.
    pub(crate) recognised: bool,
    claims: Option<Arc<Claims>>,
}

impl FromRequestParts<Shop> for Visit {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Self, Response> {
        let unavailable =
            |error| (StatusCode::BAD_GATEWAY, format!("Chancery does not say who is there: {error}")).into_response();
        let answer = shop.chancery.check(parts).send().await.map_err(unavailable)?;
        // A form that another site has made the browser send, for one.
        if answer.status() != StatusCode::OK {
            return Err(passed_back(answer).await);
        }
        let said = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            percent_decoded(value)
        };
        // Checked offline, as any API does it that gets the token as `Authorization: Bearer`.
        let claims = match said("x-chancery-token") {
            none if none.is_empty() => None,
            token => Some(shop.verifier.verify(&token).await.map_err(unverified)?),
        };
        let subject = claims.as_ref().map(|claims| claims.subject.clone()).unwrap_or_default();
        let name = Some(said("x-chancery-name")).filter(|name| !name.is_empty()).unwrap_or_else(|| subject.clone());
        let recognised = !said("x-chancery-visitor").is_empty();
        Ok(Self { claims, recognised, subject, name, parts: parts.clone() })
    }
}

fn unverified(error: VerifyError) -> Response {
    (StatusCode::UNAUTHORIZED, format!("This token is not for the shop: {error}")).into_response()
}

/// The values of the headers are percent-encoded.
fn percent_decoded(value: &str) -> String {
    form_urlencoded::parse(format!("v={}", value.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl Visit {
    /// What pages say about them.
    pub(crate) fn shown(&self) -> Value {
        json!({ "name": self.name, "signed_in": self.signed_in(), "clerk": self.may("orders.manage") })
    }

    /// Whether they have a permission at the shop's audience.
    pub(crate) fn may(&self, permission: &str) -> bool {
        self.signed_in() && self.claims.as_ref().is_some_and(|claims| claims.has_permission(permission))
    }

    /// Whether they have an account, and have signed in. A guest's token says of itself that it is one.
    pub(crate) fn signed_in(&self) -> bool {
        self.claims.as_ref().is_some_and(|claims| !claims.is_guest())
    }

    /// What a form has, by the names of its fields.
    pub(crate) fn field(form: &[u8], name: &str) -> String {
        let found = form_urlencoded::parse(form).find(|(field, _)| field == name);
        found.map(|(_, value)| value.trim().chars().take(200).collect()).unwrap_or_default()
    }
}
