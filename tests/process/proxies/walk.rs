//! What must hold, whichever proxy it is.

use std::{fs, time::Duration};

use super::stage::Stage;
use crate::{guard_life::rotate_secret, watching::log_out};

/// How late an answer may be on a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// The documented time until a request is refused while the guard hangs.
const HANGS: Duration = Duration::from_secs(6);
/// A token in form only: a guard looks for its key.
const STRANGE: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA";
const ORIGIN: (&str, &str) = ("Origin", "https://app.example.com");
const ASKS_FOR: (&str, &str) = ("Access-Control-Request-Method", "DELETE");

pub(super) async fn assert_identity_is_passed_on(stage: &Stage) {
    let pair = stage.sign_in().await;
    let answer = stage.get(&pair.access_token).await;
    assert!(answer.status == 200 && answer.is_from_the_service(), "{answer:?}");
    let seen = stage.backend.take().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/orders/7?full=yes"));
    assert!(seen.header("x-chancery-subject").starts_with("usr_"), "{seen:?}");
    assert!(seen.header("x-chancery-permissions").contains("orders.line-items.7"), "{seen:?}");
}

pub(super) async fn assert_bodies_and_large_headers_pass(stage: &Stage) {
    let bearer = format!("Bearer {}", stage.sign_in().await.access_token);
    let body: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let cookie = "c".repeat(6000);
    let headers = [("Authorization", bearer.as_str()), ("Cookie", &cookie), ("Content-Type", "application/json")];
    let answer = stage.ask("POST", &headers, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = stage.backend.take().pop().unwrap();
    assert!(seen.body == body && seen.header("cookie") == cookie && seen.method.as_str() == "POST");

    let chunks: Vec<u8> = body
        .chunks(10_000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    let headers = [("Authorization", bearer.as_str()), ("Transfer-Encoding", "chunked")];
    let answer = stage.ask("PUT", &headers, &chunks).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(stage.backend.take().pop().unwrap().body == body);
}

pub(super) async fn assert_refusals_are_passed_on(stage: &Stage) {
    let bearer = |token: &str| format!("Bearer {token}");
    let good = bearer(&stage.sign_in().await.access_token);
    let (junk, poor) = (bearer("junk"), bearer(&stage.poor_token));
    for (headers, status, challenge) in [
        (&[][..], 401, "Bearer realm=\"api\""),
        (&[("Authorization", "Bearer")], 401, "Bearer realm=\"api\""),
        (&[("Authorization", "Bearer ")], 401, "Bearer realm=\"api\""),
        (&[("Authorization", "Basic YTpi")], 401, "Bearer realm=\"api\""),
        (&[("Authorization", junk.as_str())], 401, "Bearer error=\"invalid_token\""),
        (&[("Authorization", poor.as_str())], 403, "Bearer error=\"insufficient_scope\""),
    ] {
        let answer = stage.ask("GET", headers, b"").await;
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        let [value] = answer.all("www-authenticate")[..] else { panic!("{headers:?}: {answer:?}") };
        assert!(value.starts_with(challenge), "{headers:?}: {value}");
    }
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str())];
    assert!(matches!(stage.ask("GET", &twice, b"").await.status, 400 | 401));
    assert!(stage.backend.take().is_empty(), "nothing has reached the service");
}

pub(super) async fn assert_callers_cannot_name_themselves(stage: &Stage) {
    let bearer = format!("Bearer {}", stage.sign_in().await.access_token);
    let authorization = ("Authorization", bearer.as_str());
    assert_eq!(stage.ask("GET", &[authorization], b"").await.status, 200);
    let honest = stage.backend.take().pop().unwrap().identity();
    for name in ["X-Chancery-Subject", "x-chancery-roles", "X_Chancery_Subject", "X.Chancery.Subject", "X-Chancery-New"]
    {
        let answer = stage.ask("GET", &[authorization, (name, "root")], b"").await;
        // A proxy may drop the header itself.
        assert!(matches!(answer.status, 200 | 400), "{name}: {answer:?}");
        for seen in stage.backend.take() {
            assert_eq!(seen.identity(), honest, "{name}");
        }
        let answer = stage.ask("GET", &[(name, "root")], b"").await;
        assert!(matches!(answer.status, 400 | 401) && stage.backend.take().is_empty(), "{name}: {answer:?}");
    }
    // A header that the caller declares to be for the proxy alone must not carry the identity away.
    let dropped = ("Connection", "close, X-Chancery-Subject");
    let answer = stage.ask("GET", &[authorization, dropped], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.backend.take().pop().unwrap().identity(), honest);
}

pub(super) async fn assert_preflights_pass(stage: &Stage) {
    let answer = stage.ask("OPTIONS", &[ORIGIN, ASKS_FOR], b"").await;
    assert!(answer.status == 204 && answer.all("access-control-allow-origin") == ["*"], "{answer:?}");
    let seen = stage.backend.take().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.identity()), ("OPTIONS", vec![]));
    for name in ["X-Chancery-Subject", "X_Chancery_Subject", "X-Chancery-New"] {
        stage.ask("OPTIONS", &[ORIGIN, ASKS_FOR, (name, "root")], b"").await;
        assert!(stage.backend.take().iter().all(|seen| seen.identity().is_empty()), "{name}");
    }
    for (method, headers) in [
        ("OPTIONS", &[][..]),
        ("OPTIONS", &[ORIGIN]),
        ("OPTIONS", &[ASKS_FOR]),
        ("OPTIONS", &[ORIGIN, ASKS_FOR, ("Authorization", "Bearer junk")]),
        ("GET", &[ORIGIN, ASKS_FOR]),
        ("POST", &[ORIGIN, ASKS_FOR, ("X-Forwarded-Method", "OPTIONS"), ("X-HTTP-Method-Override", "OPTIONS")]),
        ("options", &[ORIGIN, ASKS_FOR]),
    ] {
        let answer = stage.ask(method, headers, b"").await;
        assert!(matches!(answer.status, 400 | 401 | 405), "{method} {headers:?}: {answer:?}");
        assert!(stage.backend.take().is_empty(), "{method} {headers:?} has reached the service");
    }
}

pub(super) async fn assert_only_websockets_leave_http(stage: &Stage) {
    const FRAMES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let bearer = format!("Bearer {}", stage.sign_in().await.access_token);
    let preflight = [ORIGIN, ASKS_FOR];
    let token = [("Authorization", bearer.as_str()), ("Accept", "*/*")];
    let settings = [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
    for (method, headers) in [("OPTIONS", preflight), ("GET", token), ("OPTIONS", token)] {
        for values in [&["h2c"][..], &["H2C"], &["h2c, websocket"], &["websocket, h2c"], &["h2c", "websocket"], &["x"]]
        {
            let upgrades = values.iter().map(|value| ("Upgrade", *value));
            let all: Vec<_> = headers.into_iter().chain(settings).chain(upgrades).collect();
            let (status, _) = stage.ask_upgrade(method, &all, FRAMES).await;
            let seen = stage.backend.take();
            assert!(status != 101 && status != 500, "{method} {values:?}: {status}, {seen:?}");
            assert!(seen.iter().all(|seen| seen.upgrades().is_empty()), "{method} {values:?}: {seen:?}");
        }
    }
    let websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    for (method, headers) in [("OPTIONS", preflight), ("GET", preflight), ("OPTIONS", [ORIGIN, ORIGIN])] {
        let all: Vec<_> = headers.into_iter().chain(websocket).collect();
        let (status, _) = stage.ask_upgrade(method, &all, FRAMES).await;
        assert!(matches!(status, 400 | 401) && stage.backend.take().is_empty(), "{method} {headers:?}: {status}");
    }
    let all: Vec<_> = token.into_iter().chain(websocket).collect();
    let (status, back) = stage.ask_upgrade("GET", &all, b"hello").await;
    assert_eq!((status, back.as_slice()), (101, &b"hello"[..]), "a WebSocket with a token is opened");
    let seen = stage.backend.take();
    assert_eq!(seen[0].upgrades(), ["websocket"]);
    assert!(seen[0].header("x-chancery-subject").starts_with("usr_"), "{seen:?}");
}

pub(super) async fn assert_many_headers_pass(stage: &Stage) {
    // Envoy itself takes no more than 100.
    let count = if stage.kind == super::run::Kind::Envoy { 80 } else { 200 };
    let bearer = format!("Bearer {}", stage.sign_in().await.access_token);
    let names: Vec<String> = (0..count).map(|n| format!("X-{n}")).collect();
    let all: Vec<_> =
        names.iter().map(|name| (name.as_str(), "a")).chain([("Authorization", bearer.as_str())]).collect();
    let answer = stage.ask("GET", &all, b"").await;
    assert!(answer.status == 200 && answer.is_from_the_service(), "{answer:?}");
    let seen = stage.backend.take().pop().unwrap();
    assert!(seen.header("x-chancery-subject").starts_with("usr_"), "{seen:?}");
}

pub(super) async fn assert_secret_may_be_rotated(stage: &Stage) {
    fs::write(&stage.secret_file, rotate_secret(&stage.server)).unwrap();
    stage.relay.redirect_to(&stage.server.grpc);
    // Only a guard that watches again refuses a session that ended since.
    let pair = stage.sign_in().await;
    stage.until(&pair.access_token, 200).await;
    log_out(&stage.server, &pair).await.unwrap();
    stage.until(&pair.access_token, 401).await;
    stage.backend.take();
}

pub(super) async fn assert_logged_out_within_a_second(stage: &Stage) {
    for _ in 0..3 {
        let pair = stage.sign_in().await;
        stage.until(&pair.access_token, 200).await;
        log_out(&stage.server, &pair).await.unwrap();
        let took = stage.until(&pair.access_token, 401).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

pub(super) async fn assert_keys_may_be_rotated(stage: &Stage) {
    let before = stage.sign_in().await;
    let rotating = async {
        let (place, rotate) = (stage.server.place.clone(), ["keys", "rotate"]);
        tokio::task::spawn_blocking(move || place.command(&rotate, "")).await.unwrap();
    };
    let mut rotating = std::pin::pin!(rotating);
    let mut rotated = false;
    while !rotated {
        let answer = tokio::select! {
            () = &mut rotating => {
                rotated = true;
                stage.get(&before.access_token).await
            }
            answer = stage.get(&before.access_token) => answer,
        };
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(stage.get(&stage.sign_in().await.access_token).await.status, 200);
    // A key that leaked is replaced at once.
    let list = stage.server.command(&["keys", "list", "--json"], "");
    let kid = kid_of(&before.access_token);
    assert!(list.contains(&kid), "{list}");
    stage.server.command(&["keys", "revoke", &kid], "");
    stage.until(&before.access_token, 401).await;
    stage.until(&stage.sign_in().await.access_token, 200).await;
    stage.backend.take();
}

fn kid_of(token: &str) -> String {
    use base64::Engine;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

pub(super) async fn assert_nothing_passes_without_a_guard(stage: &mut Stage) {
    let token = stage.sign_in().await.access_token;
    stage.until(&token, 200).await;
    stage.backend.take();

    stage.freeze_guard().await;
    let answer = stage.get(&token).await;
    assert_eq!(answer.status, 503, "the guard hangs: {answer:?}");
    assert!(answer.took < HANGS + SLACK, "{:?}", answer.took);
    assert_eq!(stage.ask("OPTIONS", &[ORIGIN, ASKS_FOR], b"").await.status, 503);
    stage.guard.as_ref().unwrap().signal("CONT");
    assert!(stage.backend.take().is_empty(), "it has reached the service");
    stage.until(&token, 200).await;
    stage.backend.take();

    stage.guard = None;
    for (method, headers) in [("GET", &[("Authorization", token.as_str())][..]), ("OPTIONS", &[ORIGIN, ASKS_FOR])] {
        let answer = stage.ask(method, headers, b"").await;
        assert_eq!(answer.status, 503, "the guard is stopped: {answer:?}");
        assert!(answer.took < SLACK, "{:?}", answer.took);
    }
    assert!(stage.backend.take().is_empty(), "it has reached the service");
    stage.start_guard_again();
    stage.until(&token, 200).await;
}

pub(super) async fn assert_late_issuer_is_503(stage: &Stage) {
    let token = stage.sign_in().await.access_token;
    stage.until(&token, 200).await;
    stage.backend.take();
    stage.server.signal("STOP");
    stage.until_stale().await;
    let answer = stage.get(STRANGE).await;
    assert_eq!(answer.status, 503, "whether the key is a new one cannot be known: {answer:?}");
    assert!(answer.all("www-authenticate").is_empty() && answer.took < HANGS, "{answer:?}");
    assert!(stage.backend.take().is_empty());
    assert_eq!(stage.get(&token).await.status, 200, "the guard goes on for a while");
    stage.server.signal("CONT");
}
