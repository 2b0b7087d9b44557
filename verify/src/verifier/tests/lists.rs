//! Verifiers that follow token status lists.

use std::io::Write;

use super::*;

/// An issuer whose lists all have the same bytes.
struct Listed {
    key: Signer,
    served: Issuer,
    verifier: Verifier,
    clock: Arc<FixedClock>,
}

impl Listed {
    async fn start(fail_open: Duration) -> Self {
        let key = Signer::new("a");
        let served = Issuer::start(DOWN.to_owned()).await;
        let clock = Arc::new(FixedClock::new(NOW));
        let keys = KeySet::from_json(set(&[&key]).as_bytes()).unwrap();
        let verifier = Verifier::with_policy(Policy::new(served.issuer(), "api"))
            .jwks(keys)
            .clock(clock.clone())
            .status_lists()
            .fail_open_for(fail_open);
        Self { key, served, verifier, clock }
    }

    fn uri(&self) -> String {
        format!("{}/statuslists/1", self.served.issuer())
    }

    fn token(&self, index: u64, uri: &str) -> String {
        self.key.sign(
            "at+jwt",
            &json!({
                "iss": self.served.issuer(), "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
                "exp": NOW / 1000 + 86_400, "jti": "x", "status": { "status_list": { "idx": index, "uri": uri } },
            }),
        )
    }

    /// A list in which the bits of `bytes` are set, with changes to its claims.
    fn list(&self, bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> String {
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

    fn serves(&self, list: &str) {
        self.served.says(&ok(list, "content-type: application/statuslist+jwt\r\n"));
    }

    async fn verdict(&self, index: u64) -> Result<(), VerifyError> {
        self.verifier.verify(&self.token(index, &self.uri())).await.map(drop)
    }
}

const STRICT: Duration = Duration::ZERO;
const LENIENT: Duration = Duration::from_mins(5);

#[tokio::test]
async fn r06_a_set_bit_refuses_and_the_list_is_fetched_once_while_it_is_fresh() {
    let issuer = Listed::start(STRICT).await;
    issuer.serves(&issuer.list(&[0b0000_0100, 0], |_| {}));
    assert_eq!(issuer.verdict(1).await, Ok(()));
    assert_eq!(issuer.verdict(2).await, Err(VerifyError::Revoked));
    assert_eq!(issuer.verdict(15).await, Ok(()));
    assert_eq!(issuer.verdict(16).await, Err(VerifyError::Claim("status")), "beyond the end");
    assert_eq!(issuer.served.asked(), 1);
    assert_eq!(issuer.verifier.health().revocations, Freshness::Fresh);
}

#[tokio::test]
async fn r13_a_revocation_is_seen_when_the_ttl_is_over_and_before_it_nobody_waits() {
    let issuer = Listed::start(STRICT).await;
    issuer.serves(&issuer.list(&[0], |_| {}));
    issuer.verdict(3).await.unwrap();
    issuer.serves(&issuer.list(&[0b1000], |_| {}));
    issuer.clock.advance_ms(7_499);
    issuer.verdict(3).await.unwrap();
    assert_eq!(issuer.served.asked(), 1);
    // At half of its time a list in use is read again, beside the check.
    issuer.clock.advance_ms(1);
    assert!(issuer.verifier.verify_now(&issuer.token(3, &issuer.uri())).is_ok());
    while issuer.verifier.verify_now(&issuer.token(3, &issuer.uri())).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.verdict(3).await, Err(VerifyError::Revoked));
    // One that was not in use meanwhile is waited for.
    issuer.serves(&issuer.list(&[0], |_| {}));
    issuer.clock.advance_ms(15_000);
    assert_eq!(issuer.verdict(3).await, Ok(()));
}

#[tokio::test]
async fn r06_without_its_list_a_token_is_refused_as_unknown_not_as_bad() {
    let issuer = Listed::start(LENIENT).await;
    for _ in 0..5 {
        let refused = issuer.verdict(1).await.unwrap_err();
        assert_eq!(refused, VerifyError::RevocationsUnknown);
        assert!(refused.is_temporary());
    }
    assert_eq!(issuer.served.asked(), 1, "asked once a second");
    assert!(!issuer.verifier.health().ready);
    issuer.clock.advance_ms(1_000);
    issuer.serves(&issuer.list(&[0], |_| {}));
    issuer.verdict(1).await.unwrap();
    assert!(issuer.verifier.health().ready);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_borne_for_as_long_as_said() {
    for (fail_open, last) in [(STRICT, 0), (LENIENT, 300_000)] {
        let issuer = Listed::start(fail_open).await;
        issuer.serves(&issuer.list(&[0b10], |_| {}));
        issuer.verdict(0).await.unwrap();
        issuer.served.says(DOWN);
        issuer.clock.advance_ms(14_999 + last);
        assert_eq!(issuer.verdict(0).await, Ok(()), "{fail_open:?}");
        assert_eq!(issuer.verdict(1).await, Err(VerifyError::Revoked), "what is known stays known");
        issuer.clock.advance_ms(1);
        assert_eq!(issuer.verdict(0).await, Err(VerifyError::RevocationsUnknown), "{fail_open:?}");
        assert!(matches!(issuer.verifier.health().revocations, Freshness::Stale(_)));
        assert!(!issuer.verifier.health().ready);
    }
}

#[tokio::test]
async fn r08_no_other_list_counts_and_nobody_else_is_asked() {
    let issuer = Listed::start(STRICT).await;
    let elsewhere = Issuer::start(DOWN.to_owned()).await;
    issuer.serves(&issuer.list(&[0], |_| {}));
    let at = |place: &str| issuer.token(0, place);
    let near = format!("{}.evil.example/statuslists/1", issuer.served.issuer());
    let outside = format!("{}/other/1", issuer.served.issuer());
    for token in [at(&format!("{}/statuslists/1", elsewhere.issuer())), at(&near), at(&outside)] {
        assert_eq!(issuer.verifier.verify(&token).await.unwrap_err(), VerifyError::Claim("status"));
    }
    let none = issuer.key.sign(
        "at+jwt",
        &json!({
            "iss": issuer.served.issuer(), "sub": "ada", "aud": "api", "client_id": "app", "iat": NOW / 1000,
            "exp": NOW / 1000 + 86_400, "jti": "x",
        }),
    );
    assert_eq!(issuer.verifier.verify(&none).await.unwrap_err(), VerifyError::Claim("status"));
    assert_eq!((issuer.served.asked(), elsewhere.asked()), (0, 0));
}

#[tokio::test]
async fn r06_r07_what_is_no_good_list_is_refused() {
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
        let issuer = Listed::start(LENIENT).await;
        issuer.serves(&issuer.list(&[0], change));
        assert_eq!(issuer.verdict(0).await, Err(VerifyError::RevocationsUnknown), "{what}");
    }
    let issuer = Listed::start(LENIENT).await;
    let claims =
        json!({ "sub": issuer.uri(), "exp": NOW / 1000 + 60, "status_list": { "bits": 1, "lst": "eNpjAAAAAQAB" } });
    for (what, token) in [
        ("signed by another", stranger.sign("statuslist+jwt", &claims)),
        ("another typ", issuer.key.sign("at+jwt", &claims)),
        ("tampered", format!("{}A", issuer.key.sign("statuslist+jwt", &claims))),
    ] {
        issuer.clock.advance_ms(1_000);
        issuer.serves(&token);
        assert_eq!(issuer.verdict(0).await, Err(VerifyError::RevocationsUnknown), "{what}");
    }
    issuer.clock.advance_ms(1_000);
    issuer.serves(&issuer.key.sign("statuslist+jwt", &claims));
    assert_eq!(issuer.verdict(0).await, Ok(()), "the list itself is good");
}

#[tokio::test]
async fn a_list_that_was_never_there_makes_nobody_unready_who_has_another() {
    let issuer = Listed::start(STRICT).await;
    issuer.serves(&issuer.list(&[0], |_| {}));
    issuer.verdict(0).await.unwrap();
    issuer.served.says("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let elsewhere = format!("{}/statuslists/2", issuer.served.issuer());
    let refused = issuer.verifier.verify(&issuer.token(0, &elsewhere)).await.unwrap_err();
    assert_eq!(refused, VerifyError::RevocationsUnknown);
    assert!(issuer.verifier.health().ready);
}

#[tokio::test]
async fn r06_a_strict_verifier_uses_no_list_past_its_end() {
    let issuer = Listed::start(STRICT).await;
    issuer.serves(&issuer.list(&[0], |c| c["exp"] = json!(NOW / 1000 + 5)));
    issuer.verdict(0).await.unwrap();
    issuer.served.says(DOWN);
    issuer.clock.advance_ms(4_999);
    issuer.verdict(0).await.unwrap();
    issuer.clock.advance_ms(1);
    assert_eq!(issuer.verdict(0).await, Err(VerifyError::RevocationsUnknown));
}

#[tokio::test]
async fn a_list_in_use_is_kept_fresh_without_anybody_asking_and_heals_by_itself() {
    let issuer = Listed::start(STRICT).await;
    // A `ttl` of one second: real time passes in this one.
    issuer.serves(&issuer.list(&[0], |c| c["ttl"] = json!(1)));
    issuer.verdict(0).await.unwrap();
    issuer.served.says(DOWN);
    issuer.clock.advance_ms(1_000);
    while issuer.verifier.health().ready {
        tokio::task::yield_now().await;
    }
    issuer.serves(&issuer.list(&[0], |_| {}));
    while !issuer.verifier.health().ready {
        tokio::task::yield_now().await;
    }
    issuer.verdict(0).await.unwrap();
}
