//! What is refused changes nothing, and uses up little.

use chancery::{
    error::{Reason, Result},
    service::{Me, MePatch, PendingTicket, UserView},
    time::Ttl,
};
use serde_json::{Map, Value, json};

use crate::{
    accounts::{AccountsFixture, reason},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_change_of_several_fields_counts_once_and_is_made_whole,
        a_change_whose_mail_is_refused_changes_nothing,
        a_change_whose_name_is_taken_sends_no_mail,
        refused_changes_leave_the_budget_alone_and_are_bounded,
    }
}

fn profile(n: usize) -> Option<Map<String, Value>> {
    json!({ "n": n }).as_object().cloned()
}

async fn update(fixture: &AccountsFixture, me: &Me, patch: MePatch) -> Result<(UserView, Option<PendingTicket>)> {
    fixture.service().accounts.update(&fixture.service().context(), me, patch).await
}

async fn ada(fixture: &AccountsFixture) -> Me {
    fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await
}

async fn account(fixture: &AccountsFixture, me: &Me) -> (Vec<String>, Map<String, Value>) {
    let view = fixture.service().accounts.me(me).await.unwrap();
    (view.logins, view.user.attributes)
}

async fn a_change_of_several_fields_counts_once_and_is_made_whole(fixture: &AccountsFixture) {
    let me = ada(fixture).await;
    for n in 0..29 {
        update(fixture, &me, MePatch { profile: profile(n), ..MePatch::default() }).await.unwrap();
    }
    let all = |name: &str, n| MePatch {
        name: Some(name.into()),
        profile: profile(n),
        email: Some(format!("{name}@example.org")),
        ..MePatch::default()
    };
    let (view, pending) = update(fixture, &me, all("lovelace", 100)).await.unwrap();
    assert_eq!(view.logins, ["lovelace"]);
    let mail = fixture.send_mails().await.remove(0);
    let code = crate::accounts::typed_code(&pending.unwrap(), &mail);
    let before = account(fixture, &me).await;
    assert_eq!(reason(update(fixture, &me, all("byron", 101)).await), Reason::RateLimited);
    assert_eq!(account(fixture, &me).await, before);
    assert!(fixture.send_mails().await.is_empty());
    fixture.verify(&code).await.unwrap();
    assert_eq!(account(fixture, &me).await.0, ["lovelace", "lovelace@example.org"], "the code is of the new version");
}

async fn a_change_whose_mail_is_refused_changes_nothing(fixture: &AccountsFixture) {
    let me = ada(fixture).await;
    let email = || MePatch { email: Some("ada@example.org".into()), ..MePatch::default() };
    let mut asked = 0;
    while update(fixture, &me, email()).await.is_ok() {
        asked += 1;
        assert!(asked < 20, "there is no limit");
    }
    let before = account(fixture, &me).await;
    let both = MePatch { name: Some("lovelace".into()), profile: profile(1), ..email() };
    assert_eq!(reason(update(fixture, &me, both).await), Reason::TooManyAttempts);
    let unknown = MePatch { profile: profile(1), language: "no language".into(), ..email() };
    assert_eq!(reason(update(fixture, &me, unknown).await), Reason::InvalidArgument);
    assert_eq!(account(fixture, &me).await, before);
}

async fn a_change_whose_name_is_taken_sends_no_mail(fixture: &AccountsFixture) {
    fixture.app.user("bob").await;
    let me = ada(fixture).await;
    for _ in 0..20 {
        let both = MePatch { name: Some("bob".into()), email: Some("ada@example.org".into()), ..MePatch::default() };
        assert_eq!(reason(update(fixture, &me, both).await), Reason::AlreadyExists);
    }
    assert!(fixture.send_mails().await.is_empty());
    let email = MePatch { email: Some("ada@example.org".into()), ..MePatch::default() };
    assert!(update(fixture, &me, email).await.is_ok(), "refused requests for mails do not count");
}

async fn refused_changes_leave_the_budget_alone_and_are_bounded(fixture: &AccountsFixture) {
    fixture.app.user("bob").await;
    let me = ada(fixture).await;
    let taken = || MePatch { name: Some("bob".into()), ..MePatch::default() };
    for _ in 0..10 {
        assert_eq!(reason(update(fixture, &me, taken()).await), Reason::AlreadyExists);
    }
    for n in 0..30 {
        let change = MePatch { profile: profile(n), ..MePatch::default() };
        update(fixture, &me, change).await.unwrap_or_else(|e| panic!("{n}: {e}"));
    }
    fixture.app.pass(Ttl::from_secs(600)).await;
    for n in 0..60 {
        assert_eq!(reason(update(fixture, &me, taken()).await), Reason::AlreadyExists, "{n}");
    }
    assert_eq!(reason(update(fixture, &me, taken()).await), Reason::RateLimited);
    fixture.app.pass(Ttl::from_secs(5)).await;
    assert_eq!(reason(update(fixture, &me, taken()).await), Reason::AlreadyExists);
}
