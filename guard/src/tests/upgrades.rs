//! Requests that want to change the protocol of their connection.

use super::*;

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://app.example.com"), ("access-control-request-method", "DELETE")];
const REFUSED: [&str; 8] =
    ["h2c", "H2C", "h2c, websocket", "websocket, h2c", "websocket,websocket", "HTTP/2.0", "TLS/1.0", ""];

#[tokio::test]
async fn nothing_but_a_websocket_may_leave_http_even_while_the_guard_observes() {
    for observes in [false, true] {
        let guard = start_guard(|gate| gate.observe(observes)).await;
        let bearer = format!("Bearer {}", guard.full_token());
        for value in REFUSED {
            let with_token = [("authorization", bearer.as_str()), ("upgrade", value)];
            let (status, _, body) = guard.forward("/check", &with_token).await;
            assert_eq!((status, body.as_str()), (400, "Upgrade must be websocket and nothing else\n"), "{value:?}");
            let response = guard.envoy(http_request(&with_token)).await;
            let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("{value:?} passed") };
            assert_eq!(denied.status.unwrap().code, 400, "{value:?}");
        }
        let twice = [("authorization", bearer.as_str()), ("upgrade", "websocket"), ("Upgrade", "h2c")];
        assert_eq!(guard.forward("/check", &twice).await.0, 400);
        for value in ["websocket", "WebSocket"] {
            let (status, headers, _) =
                guard.forward("/check", &[("authorization", bearer.as_str()), ("upgrade", value)]).await;
            assert_eq!((status, headers["x-chancery-subject"].as_str()), (200, "ada%20lovelace"), "{value}");
        }
    }
}

#[tokio::test]
async fn a_request_that_wants_another_protocol_is_no_preflight() {
    let guard = start_guard(|gate| gate).await;
    assert_eq!(guard.forward("/preflight", &PREFLIGHT).await.0, 200);
    for value in REFUSED {
        let headers = [PREFLIGHT[0], PREFLIGHT[1], ("upgrade", value)];
        assert_eq!(guard.forward("/preflight", &headers).await.0, 400, "{value:?}");
    }
    let headers = [PREFLIGHT[0], PREFLIGHT[1], ("upgrade", "websocket")];
    assert_eq!(guard.forward("/preflight", &headers).await.0, 401);
    let ask = HttpRequest { method: "OPTIONS".into(), ..http_request(&headers) };
    let response = guard.envoy_on_route(ask, &[("preflight", "pass")]).await;
    assert!(matches!(response.http_response, Some(HttpResponse::DeniedResponse(_))), "{response:?}");
}

#[tokio::test]
async fn an_empty_authorization_header_is_no_preflight_either() {
    let guard = start_guard(|gate| gate).await;
    let headers = [PREFLIGHT[0], PREFLIGHT[1], ("authorization", "")];
    assert_eq!(guard.forward("/preflight", &headers).await.0, 401);
}

#[tokio::test]
async fn a_request_with_as_many_headers_as_proxies_let_pass_is_checked() {
    let guard = start_guard(|gate| gate).await;
    let bearer = format!("Bearer {}", guard.full_token());
    let names: Vec<String> = (0..240).map(|n| format!("x-{n}")).collect();
    let many = names.iter().map(|name| (name.as_str(), "a")).chain([("authorization", bearer.as_str())]);
    assert_eq!(guard.forward("/check", &many.collect::<Vec<_>>()).await.0, 200);
}
