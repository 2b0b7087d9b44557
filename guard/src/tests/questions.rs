//! Requests without a token: empty credentials, CORS preflights, and the paths that proxies append.

use super::*;

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://app.example.com"), ("access-control-request-method", "DELETE")];

#[tokio::test]
async fn an_empty_bearer_is_no_credential_so_its_challenge_has_no_error_code() {
    let guard = start_guard(|gate| gate).await;
    for value in ["Bearer", "Bearer ", "Bearer    ", "bearer"] {
        let (status, headers, _) = guard.forward("/check", &[("authorization", value)]).await;
        assert_eq!((status, headers["www-authenticate"].as_str()), (401, "Bearer realm=\"api\""), "{value:?}");
        let response = guard.envoy(http_request(&[("authorization", value)])).await;
        let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("{value:?} passed") };
        assert_eq!(denied.status.unwrap().code, 401, "{value:?}");
    }
    let CheckResult::Refusal(refusal) = guard.check("  ", &[]).await else { panic!("passed") };
    assert_eq!((refusal.http_status, refusal.error.as_str()), (401, ""));
}

#[tokio::test]
async fn any_path_below_check_is_answered_as_check_and_no_other() {
    let guard = start_guard(|gate| gate).await;
    let bearer = format!("Bearer {}", guard.full_token());
    for path in ["/check", "/check/", "/check/orders/7?token=x", "/check//..//healthz", "/check/%ff%00", "/check?a=b"] {
        assert_eq!(guard.forward(path, &[("authorization", &bearer)]).await.0, 200, "{path}");
        assert_eq!(guard.forward(path, &[]).await.0, 401, "{path}");
    }
    for path in ["/", "/checks", "/checkout", "/orders/check"] {
        assert_eq!(guard.forward(path, &[("authorization", &bearer)]).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_preflight_passes_without_identity_only_where_the_proxy_asks_for_that() {
    let guard = start_guard(|gate| gate.require_scope("a")).await;
    for path in ["/preflight", "/preflight/", "/preflight/orders"] {
        let (status, headers, _) = guard.forward(path, &PREFLIGHT).await;
        assert_eq!(status, 200, "{path}");
        // Present though empty, so that the proxy overwrites what the caller may have sent.
        assert_eq!(headers["x-chancery-subject"], "", "{path}");
    }
    assert_eq!(guard.forward("/check", &PREFLIGHT).await.0, 401);
    for headers in [&[][..], &PREFLIGHT[..1], &PREFLIGHT[1..], &[("origin", ""), PREFLIGHT[1]]] {
        assert_eq!(guard.forward("/preflight", headers).await.0, 401, "{headers:?}");
    }
    let smuggled = [PREFLIGHT[0], PREFLIGHT[1], ("x_chancery_subject", "root")];
    assert_eq!(guard.forward("/preflight", &smuggled).await.0, 400);
    let bearer = format!("Bearer {}", guard.issuer.token("eve", "api").mint());
    let with_token = [PREFLIGHT[0], PREFLIGHT[1], ("authorization", bearer.as_str())];
    assert_eq!(guard.forward("/preflight", &with_token).await.0, 403, "a token is checked");
}

#[tokio::test]
async fn envoy_lets_preflights_pass_only_on_routes_that_say_so() {
    let guard = start_guard(|gate| gate).await;
    let ask = |method: &str, headers: &[(&str, &str)]| HttpRequest { method: method.into(), ..http_request(headers) };
    let pass = [("preflight", "pass")];
    let response = guard.envoy_on_route(ask("OPTIONS", &PREFLIGHT), &pass).await;
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("refused") };
    assert!(ok.headers.is_empty(), "no identity");
    assert_eq!(ok.headers_to_remove.len(), 7);
    let smuggled = [PREFLIGHT[0], PREFLIGHT[1], ("x-chancery-roles", "admin")];
    for (http, extensions) in [
        (ask("OPTIONS", &PREFLIGHT), &[][..]),
        (ask("OPTIONS", &PREFLIGHT), &[("preflight", "no")]),
        (ask("DELETE", &PREFLIGHT), &pass),
        (ask("", &PREFLIGHT), &pass),
        (ask("OPTIONS", &PREFLIGHT[..1]), &pass),
        (ask("OPTIONS", &smuggled), &pass),
    ] {
        let response = guard.envoy_on_route(http, extensions).await;
        assert!(matches!(response.http_response, Some(HttpResponse::DeniedResponse(_))), "{response:?}");
    }
}
