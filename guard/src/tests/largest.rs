//! The largest token that the server issues.

use super::start_guard;

/// The server's limit for a token, `MAX_TOKEN`.
const MAX_TOKEN: usize = 4096;

#[tokio::test]
async fn the_headers_made_from_the_largest_token_have_at_most_12_kib() {
    let guard = start_guard(|gate| gate).await;
    // What the server writes into every token of a session, as short as it can be.
    let status = serde_json::json!({ "status_list": { "idx": 0, "uri": "https://i/status-lists/1" } });
    let session = "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    // A percent sign takes one byte in the token and three in a header.
    let mint = |length: usize| {
        let token = guard.issuer.token("a", "api").client("w").session(session).claim("status", status.clone());
        token.claim("auth_time", 1_893_456_000).claim("amr", vec!["pwd"]).permission(&"%".repeat(length)).mint()
    };
    let largest = (1..MAX_TOKEN).rev().map(mint).find(|token| token.len() <= MAX_TOKEN).unwrap();
    assert!(largest.len() > MAX_TOKEN - 4, "{}", largest.len());
    let bearer = format!("Bearer {largest}");
    let (status, headers, _) = guard.forward("/check", &[("authorization", &bearer)]).await;
    assert_eq!(status, 200);
    let ours = headers.iter().filter(|(name, _)| name.starts_with("x-chancery-"));
    let size: usize = ours.map(|(name, value)| name.len() + ": \r\n".len() + value.len()).sum();
    assert!((10_000..=12 * 1024).contains(&size), "{size}");
}
