//! Tests status lists that are older than others, or very many.

use super::{
    lists::{ListIssuer, STRICT},
    *,
};

#[tokio::test]
async fn an_older_list_never_replaces_a_newer_one() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0b10], |_| {}));
    assert_eq!(issuer.verify_index(1).await, Err(VerifyError::Revoked));
    // A cache or a replica that lags answers with a list from before the revocation.
    issuer.set_list(&issuer.list(&[0], |c| c["iat"] = json!(NOW / 1000 - 1)));
    issuer.clock.advance_ms(7_500);
    assert_eq!(issuer.verify_index(1).await, Err(VerifyError::Revoked));
    eventually(|| issuer.server.requests() == 2).await;
    issuer.clock.advance_ms(7_499);
    assert_eq!(issuer.verify_index(1).await, Err(VerifyError::Revoked));
    assert_eq!(issuer.verify_index(0).await, Ok(()), "the newer list is still within its time");
    issuer.clock.advance_ms(1);
    assert_eq!(issuer.verify_index(1).await, Err(VerifyError::RevocationsUnknown), "and then no list is");
    issuer.clock.advance_ms(1_000);
    issuer.set_list(&issuer.list(&[0], |c| c["iat"] = json!(NOW / 1000)));
    assert_eq!(issuer.verify_index(1).await, Ok(()), "one of the same second is not older");
}

#[tokio::test]
async fn a_list_that_has_expired_is_replaced_by_any() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0], |c| {
        c["iat"] = json!(NOW / 1000 + 30);
        c["exp"] = json!(NOW / 1000 + 60);
    }));
    issuer.verify_index(0).await.unwrap();
    issuer.clock.advance_ms(MINUTE);
    issuer.set_list(&issuer.list(&[0b1], |c| c["iat"] = json!(NOW / 1000 + 29)));
    assert_eq!(issuer.verify_index(0).await, Err(VerifyError::Revoked));
}

#[tokio::test]
async fn the_age_of_a_response_counts_towards_the_age_of_a_list() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.server.set_response(&ok_response(&issuer.list(&[0], |_| {}), "age: 10\r\n"));
    issuer.verify_index(0).await.unwrap();
    issuer.server.set_response(DOWN);
    issuer.clock.advance_ms(4_999);
    issuer.verify_index(0).await.unwrap();
    issuer.clock.advance_ms(1);
    assert_eq!(issuer.verify_index(0).await, Err(VerifyError::RevocationsUnknown));
}

#[tokio::test]
async fn more_than_1024_lists_start_no_task_each_and_drop_none_in_use() {
    let issuer = ListIssuer::start(STRICT).await;
    issuer.set_list(&issuer.list(&[0], |c| c["ttl"] = json!(3_600)));
    issuer.verify_index(0).await.unwrap();
    for n in 0..1_100 {
        // The response is a list for another URI, which is refused.
        let uri = format!("{}/statuslists/other-{n}", issuer.server.issuer());
        let refused = issuer.verifier.verify(&issuer.token(0, &uri)).await.unwrap_err();
        assert_eq!(refused, VerifyError::RevocationsUnknown);
        if n % 100 == 0 {
            issuer.clock.advance_ms(1_000);
            issuer.verify_index(0).await.unwrap();
        }
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks < 50, "{tasks} tasks");
    issuer.server.set_response(DOWN);
    issuer.verify_index(0).await.unwrap();
}
