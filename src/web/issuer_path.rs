//! An issuer with a path, such as `https://example.com/auth`. Its documents are found below the path, and the two
//! metadata documents also where RFC 8414 §3 puts them, with the path at the end. All stay at the root too, for proxies
//! that remove the path.

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
    response::{IntoResponse, Response},
};
use tower::ServiceExt;

use super::browser::not_found;

/// Documents with a place at the root of the host, whatever the issuer's path.
const AT_THE_ROOT: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

/// The path of an issuer, without a slash at its end; `None` if that is nothing.
pub(super) fn of(issuer: &str) -> Option<&str> {
    let (_, rest) = issuer.split_once("://")?;
    let path = rest.get(rest.find('/')?..)?.trim_end_matches('/');
    Some(path).filter(|path| !path.is_empty())
}

/// The same routes, also below the issuer's path.
pub(super) fn also_below(routes: Router, path: String) -> Router {
    let below = routes.clone();
    routes.fallback(async move |mut request: Request<Body>| {
        match without(&path, request.uri()) {
            Some(uri) => *request.uri_mut() = uri,
            None => return not_found(),
        }
        let answer: Result<Response, _> = below.oneshot(request).await;
        answer.into_response()
    })
}

/// The URI without the issuer's path; `None` if the URI is not the issuer's.
fn without(issuer_path: &str, uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let at_the_root = AT_THE_ROOT.into_iter().find(|document| path.strip_prefix(document) == Some(issuer_path));
    let below = || path.strip_prefix(issuer_path).filter(|rest| rest.starts_with('/'));
    let path = at_the_root.or_else(below)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_issuer_has_no_slash_at_its_end() {
        for (issuer, path) in [
            ("https://id.example.com", None),
            ("https://id.example.com/", None),
            ("https://id.example.com/auth", Some("/auth")),
            ("https://id.example.com:8443/a/b/", Some("/a/b")),
        ] {
            assert_eq!(of(issuer), path, "{issuer}");
        }
    }

    #[test]
    fn a_uri_is_the_issuers_below_its_path_or_with_the_path_at_its_end() {
        let without = |uri: &str| without("/auth", &uri.parse().unwrap()).map(|uri| uri.to_string());
        for (uri, document) in [
            ("/auth/.well-known/jwks.json", Some("/.well-known/jwks.json")),
            ("/auth/statuslists/1?x=y", Some("/statuslists/1?x=y")),
            ("/.well-known/oauth-authorization-server/auth", Some("/.well-known/oauth-authorization-server")),
            ("/.well-known/openid-configuration/auth", Some("/.well-known/openid-configuration")),
            ("/auth", None),
            ("/authentic/.well-known/jwks.json", None),
            ("/.well-known/jwks.json/auth", None),
            ("/.well-known/oauth-authorization-server/auth/", None),
        ] {
            assert_eq!(without(uri).as_deref(), document, "{uri}");
        }
    }
}
