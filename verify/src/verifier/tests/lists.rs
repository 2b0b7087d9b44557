//! Tests verifiers that use token status lists.

use std::io::Write;

use super::*;

/// An issuer that serves the same list at every URI.
pub(super) struct ListIssuer {
    key: Signer,
    pub(super) server: FakeIssuer,
    pub(super) verifier: Verifier,
    pub(super) clock: Arc<FixedClock>,
}

impl ListIssuer {
    pub(super) async fn start(fail_open: Duration) -> Self {
        let key = Signer::new("a");
        let server = FakeIssuer::start(DOWN.to_owned()).await;
        let clock = Arc::new(FixedClock::new(NOW));
        let keys = KeySet::from_json(jwks_of(&[&key]).as_bytes()).unwrap();
        let verifier = Verifier::with_policy(Policy::new(server.issuer(), "api"))
            .jwks(keys)
            .clock(clock.clone())
            .status_lists()
            .fail_open_for(fail_open)
            .build()
            .unwrap();
        Self { key, server, verifier, clock }
    }

    /// Another verifier, which fetches its keys. It has them already.
    pub(super) async fn with_keys_over_http(&self) -> Verifier {
        let builder = Verifier::with_policy(Policy::new(self.server.issuer(), "api")).jwks_url(&self.server.url);
        let verifier = builder.clock(self.clock.clone()).status_lists().build().unwrap();
        self.server.set_response(&ok_response(&jwks_of(&[&self.key]), ""));
        let now = Moment::now(&*self.clock);
        verifier.keys.current(now, &verifier.clock).await.unwrap();
        verifier
    }

    pub(super) fn uri(&self) -> String {
        format!("{}/statuslists/1", self.server.issuer())
    }

    pub(super) fn token(&self, index: u64, uri: &str) -> String {
        self.key.sign(
            "at+jwt",
            &json!({
                "iss": self.server.issuer(), "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
                "exp": NOW / 1000 + 86_400, "jti": "x", "status": { "status_list": { "idx": index, "uri": uri } },
            }),
        )
    }

    /// A signed list with these status bytes and changes to its claims.
    pub(super) fn list(&self, bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(bytes).unwrap();
        let now = self.clock.now_ms() / 1000;
        let mut claims = json!({
            "sub": self.uri(), "iat": now, "exp": now + 3600, "ttl": 15,
            "status_list": { "bits": 1, "lst": B64.encode(zlib.finish().unwrap()) },
        });
        change(&mut claims);
        self.key.sign("statuslist+jwt", &claims)
    }

    pub(super) fn set_list(&self, list: &str) {
        self.server.set_response(&ok_response(list, "content-type: application/statuslist+jwt\r\n"));
    }

    pub(super) async fn verify_index(&self, index: u64) -> Result<(), VerifyError> {
        self.verifier.verify(&self.token(index, &self.uri())).await.map(drop)
    }
}

pub(super) const STRICT: Duration = Duration::ZERO;
const LENIENT: Duration = Duration::from_mins(5);

#[tokio::test]
async fn r06_a_set_bit_refuses_and_the_list_is_fetched_once_while_it_is_fresh() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0b0000_0100, 0], |_| {}));
    assert_eq!(issuer.verify_index(1).await, Ok(()));
    assert_eq!(issuer.verify_index(2).await, Err(VerifyError::Revoked));
    assert_eq!(issuer.verify_index(15).await, Ok(()));
    assert_eq!(issuer.verify_index(16).await, Err(VerifyError::Claim("status")), "beyond the end");
    assert_eq!(issuer.server.requests(), 1);
    assert_eq!(issuer.verifier.health().revocations, Freshness::Fresh);
}

#[tokio::test]
async fn r13_a_revocation_is_seen_after_the_ttl_without_requests_waiting() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0], |_| {}));
    issuer.verify_index(3).await.unwrap();
    issuer.set_list(&issuer.list(&[0b1000], |_| {}));
    issuer.clock.advance_ms(7_499);
    issuer.verify_index(3).await.unwrap();
    assert_eq!(issuer.server.requests(), 1);
    // At half of its `ttl` a list in use is fetched again in the background.
    issuer.clock.advance_ms(1);
    assert!(issuer.verifier.verify_now(&issuer.token(3, &issuer.uri())).is_ok());
    eventually(|| issuer.verifier.verify_now(&issuer.token(3, &issuer.uri())).is_err()).await;
    assert_eq!(issuer.verify_index(3).await, Err(VerifyError::Revoked));
    // A request waits for a list that was not in use meanwhile.
    issuer.set_list(&issuer.list(&[0], |_| {}));
    issuer.clock.advance_ms(15_000);
    assert_eq!(issuer.verify_index(3).await, Ok(()));
}

#[tokio::test]
async fn r06_without_its_list_a_token_is_refused_temporarily() {
    let issuer = ListIssuer::start(LENIENT).await;
    for _ in 0..5 {
        let refused = issuer.verify_index(1).await.unwrap_err();
        assert_eq!(refused, VerifyError::RevocationsUnknown);
        assert!(refused.is_temporary());
    }
    assert_eq!(issuer.server.requests(), 1, "at most one fetch a second");
    assert!(!issuer.verifier.health().ready);
    issuer.clock.advance_ms(1_000);
    issuer.set_list(&issuer.list(&[0], |_| {}));
    issuer.verify_index(1).await.unwrap();
    assert!(issuer.verifier.health().ready);
}

#[tokio::test]
async fn lists_stay_usable_for_fail_open_while_the_issuer_is_down() {
    for (fail_open, last) in [(STRICT, 0), (LENIENT, 300_000)] {
        let issuer = ListIssuer::start(fail_open).await;
        issuer.set_list(&issuer.list(&[0b10], |_| {}));
        issuer.verify_index(0).await.unwrap();
        issuer.server.set_response(DOWN);
        issuer.clock.advance_ms(14_999 + last);
        assert_eq!(issuer.verify_index(0).await, Ok(()), "{fail_open:?}");
        assert_eq!(issuer.verify_index(1).await, Err(VerifyError::Revoked), "known revocations stay known");
        issuer.clock.advance_ms(1);
        assert_eq!(issuer.verify_index(0).await, Err(VerifyError::RevocationsUnknown), "{fail_open:?}");
        assert!(matches!(issuer.verifier.health().revocations, Freshness::Stale(_)));
        assert!(!issuer.verifier.health().ready);
    }
}

#[tokio::test]
async fn r08_lists_elsewhere_are_neither_accepted_nor_fetched() {
    let issuer = ListIssuer::start(STRICT).await;
    let elsewhere = FakeIssuer::start(DOWN.to_owned()).await;
    issuer.set_list(&issuer.list(&[0], |_| {}));
    let at = |place: &str| issuer.token(0, place);
    let near = format!("{}.evil.example/statuslists/1", issuer.server.issuer());
    let outside = format!("{}/other/1", issuer.server.issuer());
    for token in [at(&format!("{}/statuslists/1", elsewhere.issuer())), at(&near), at(&outside)] {
        assert_eq!(issuer.verifier.verify(&token).await.unwrap_err(), VerifyError::Claim("status"));
    }
    let none = issuer.key.sign(
        "at+jwt",
        &json!({
            "iss": issuer.server.issuer(), "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
            "exp": NOW / 1000 + 86_400, "jti": "x",
        }),
    );
    assert_eq!(issuer.verifier.verify(&none).await.unwrap_err(), VerifyError::Claim("status"));
    assert_eq!((issuer.server.requests(), elsewhere.requests()), (0, 0));
}

#[tokio::test]
async fn r06_r07_bad_lists_are_refused() {
    let stranger = Signer::new("a");
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 8] = [
        ("another sub", |c| c["sub"] = json!("https://elsewhere/statuslists/1")),
        ("no exp", |c| drop(c.as_object_mut().unwrap().remove("exp"))),
        ("expired", |c| c["exp"] = json!(NOW / 1000)),
        ("three bits", |c| c["status_list"]["bits"] = json!(3)),
        ("no bits", |c| c["status_list"]["bits"] = json!(0)),
        ("padded", |c| c["status_list"]["lst"] = json!("eNrbuRgAAhcBXQ==")),
        ("not zlib", |c| c["status_list"]["lst"] = json!("AAAA")),
        ("no list", |c| drop(c.as_object_mut().unwrap().remove("status_list"))),
    ];
    for (what, change) in changes {
        let issuer = ListIssuer::start(LENIENT).await;
        issuer.set_list(&issuer.list(&[0], change));
        assert_eq!(issuer.verify_index(0).await, Err(VerifyError::RevocationsUnknown), "{what}");
    }
    let issuer = ListIssuer::start(LENIENT).await;
    let claims =
        json!({ "sub": issuer.uri(), "exp": NOW / 1000 + 60, "status_list": { "bits": 1, "lst": "eNpjAAAAAQAB" } });
    for (what, token) in [
        ("signed by another", stranger.sign("statuslist+jwt", &claims)),
        ("another typ", issuer.key.sign("at+jwt", &claims)),
        ("tampered", format!("{}A", issuer.key.sign("statuslist+jwt", &claims))),
    ] {
        issuer.clock.advance_ms(1_000);
        issuer.set_list(&token);
        assert_eq!(issuer.verify_index(0).await, Err(VerifyError::RevocationsUnknown), "{what}");
    }
    issuer.clock.advance_ms(1_000);
    issuer.set_list(&issuer.key.sign("statuslist+jwt", &claims));
    assert_eq!(issuer.verify_index(0).await, Ok(()), "the list itself is good");
}

#[tokio::test]
async fn a_missing_list_does_not_make_a_verifier_with_another_list_unready() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0], |_| {}));
    issuer.verify_index(0).await.unwrap();
    issuer.server.set_response("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let elsewhere = format!("{}/statuslists/2", issuer.server.issuer());
    let refused = issuer.verifier.verify(&issuer.token(0, &elsewhere)).await.unwrap_err();
    assert_eq!(refused, VerifyError::RevocationsUnknown);
    assert!(issuer.verifier.health().ready);
}

#[tokio::test]
async fn r06_a_strict_verifier_uses_no_list_past_its_end() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0], |c| c["exp"] = json!(NOW / 1000 + 5)));
    issuer.verify_index(0).await.unwrap();
    issuer.server.set_response(DOWN);
    issuer.clock.advance_ms(4_999);
    issuer.verify_index(0).await.unwrap();
    issuer.clock.advance_ms(1);
    assert_eq!(issuer.verify_index(0).await, Err(VerifyError::RevocationsUnknown));
}

#[tokio::test]
async fn a_list_in_use_is_refreshed_without_requests_and_recovers_from_failure() {
    let issuer = ListIssuer::start(STRICT).await;
    // The `ttl` is one second: this test takes real time.
    issuer.set_list(&issuer.list(&[0], |c| c["ttl"] = json!(1)));
    issuer.verify_index(0).await.unwrap();
    issuer.server.set_response(DOWN);
    issuer.clock.advance_ms(1_000);
    eventually(|| !issuer.verifier.health().ready).await;
    issuer.set_list(&issuer.list(&[0], |_| {}));
    eventually(|| issuer.verifier.health().ready).await;
    issuer.verify_index(0).await.unwrap();
}
