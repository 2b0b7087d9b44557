//! What signed-in users and strangers may write.

use std::time::Duration;

use chancery::{
    error::{Error, Reason, Result},
    secret::Password,
    service::{Me, MePatch},
    time::Ttl,
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    accounts::{AccountsFixture, NEW, code, reason, typed_code},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_signed_in_user_changes_their_profile_only_so_often,
        the_thief_of_a_token_leaves_the_owner_the_means_to_end_the_session,
        a_code_that_cannot_be_right_does_not_wait_for_writers,
        a_text_that_is_no_code_uses_up_no_attempt,
    }
}

async fn set_profile(fixture: &AccountsFixture, me: &Me, n: usize) -> Result<()> {
    let profile = json!({ "n": n }).as_object().cloned();
    let patch = MePatch { profile, ..MePatch::default() };
    fixture.service().accounts.update(&fixture.service().context(), me, patch).await.map(|_| ())
}

async fn a_signed_in_user_changes_their_profile_only_so_often(fixture: &AccountsFixture) {
    fixture.app.user("bob").await;
    let ada = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    let again = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    let bob = fixture.me(&fixture.bearer("bob", PASSWORD).await.0).await;
    let mut done = 0;
    let after = loop {
        match set_profile(fixture, &ada, done).await {
            Ok(()) => done += 1,
            Err(Error::RateLimited { after }) => break after,
            Err(other) => panic!("{other:?}"),
        }
        assert!(done <= 100, "there is no limit");
    };
    assert_eq!((done, after), (30, Ttl::from_secs(10)));
    assert_eq!(reason(set_profile(fixture, &again, 100).await), Reason::RateLimited, "in every session");
    let unchanged = set_profile(fixture, &ada, done - 1).await;
    assert!(unchanged.is_ok(), "what changes nothing costs nothing: {unchanged:?}");
    let email = MePatch { email: Some("ada@example.org".into()), ..MePatch::default() };
    let context = fixture.service().context();
    assert_eq!(reason(fixture.service().accounts.update(&context, &ada, email).await), Reason::RateLimited);
    assert!(set_profile(fixture, &bob, 0).await.is_ok(), "others have budgets of their own");
    fixture.app.pass(after).await;
    assert!(set_profile(fixture, &ada, 100).await.is_ok());
    assert_eq!(reason(set_profile(fixture, &ada, 101).await), Reason::RateLimited);
}

async fn the_thief_of_a_token_leaves_the_owner_the_means_to_end_the_session(fixture: &AccountsFixture) {
    let thief = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    for n in 0..31 {
        let _ = set_profile(fixture, &thief, n).await;
    }
    let owner = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    let (accounts, context) = (&fixture.service().accounts, fixture.service().context());
    assert_eq!(accounts.revoke_session(&owner, Some(thief.session().as_str())).await.unwrap().sessions, 1);
    let (current, new) = (Password::new(PASSWORD.into()), Password::new(NEW.into()));
    accounts.change_password(&context, &owner, current, new).await.unwrap();
    // One session changes the password only so often.
    let mut phrases = (0..).map(|n| format!("{NEW} {n}"));
    let mut current = NEW.to_owned();
    let refused = loop {
        let new = phrases.next().unwrap();
        let (old, next) = (Password::new(current.clone()), Password::new(new.clone()));
        match accounts.change_password(&context, &owner, old, next).await {
            Ok(_) => current = new,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.reason(), Reason::RateLimited);
}

/// What waits for a writer, waits longer than this.
const SOON: Duration = Duration::from_secs(3);

async fn a_code_that_cannot_be_right_does_not_wait_for_writers(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.org").await;
    let used = fixture.request_reset("grace@example.org").await;
    let used_code = typed_code(&used, &fixture.send_mails().await[0]);
    fixture.reset(&used_code, NEW).await.unwrap();
    let nobodys = fixture.request_reset("grace@example.org").await;
    let mail = fixture.send_mails().await.pop().unwrap();
    // Somebody writes, and takes their time.
    let mut tx = fixture.service().store().write().await.unwrap();
    for ticket in [&used.ticket, &nobodys.ticket] {
        let id = ticket.split_once('.').unwrap().0.parse().unwrap();
        tx.ticket_give_back(&id).await.unwrap();
    }
    for (what, presented) in [
        ("a used ticket", code(&used.ticket, "12345678")),
        ("no ticket", code("tkt_00000000000000000000000000.x", "12345678")),
        ("no code", code(&nobodys.ticket, "1234")),
        ("letters", code(&nobodys.ticket, "abcdefgh")),
    ] {
        let refused = timeout(SOON, fixture.reset(&presented, NEW)).await;
        assert_eq!(refused.map(reason).ok(), Some(Reason::CodeInvalid), "{what}");
    }
    let elsewhere = timeout(SOON, fixture.verify(&typed_code(&nobodys, &mail))).await;
    assert_eq!(elsewhere.map(reason).ok(), Some(Reason::CodeInvalid), "a ticket for something else");
    drop(tx);
    assert!(fixture.reset(&typed_code(&nobodys, &mail), PASSWORD).await.is_ok());
}

async fn a_text_that_is_no_code_uses_up_no_attempt(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.org").await;
    let pending = fixture.request_reset("grace@example.org").await;
    let mail = fixture.send_mails().await.remove(0);
    let right = mail.code.clone().unwrap();
    for text in ["", "1234567", "123456789", "1234567a", "١٢٣٤٥٦٧٨", "0000000000000000000"] {
        assert_eq!(reason(fixture.reset(&code(&pending.ticket, text), NEW).await), Reason::CodeInvalid, "{text:?}");
    }
    // Guesses do: of five, four are wrong.
    for n in 0..4 {
        let guess = format!("{n:08}");
        if guess != right {
            assert_eq!(reason(fixture.reset(&code(&pending.ticket, &guess), NEW).await), Reason::CodeInvalid);
        }
    }
    assert!(fixture.reset(&typed_code(&pending, &mail), NEW).await.is_ok());
}
