//! A password is taken away only from who can get another, and the one taken away is not chosen again.

use chancery::{
    error::{Error, Reason},
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest, NextStep, ResetRequest, SignedIn, UserPasswordReset},
};

use crate::{
    accounts::{
        AccountsFixture, NEW, clicked_link, continue_sign_in, reason, reset_request, sign_in_challenge, step,
        typed_code,
    },
    support::{PASSWORD, first_party, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        no_reset_starts_that_the_user_could_not_complete,
        a_temporary_password_is_not_chosen_again,
        a_password_that_an_administrator_wants_replaced_is_not_chosen_again,
        a_void_link_says_nothing_about_the_password,
        who_asks_for_too_many_mails_is_told_so,
        the_bearer_of_a_revoked_token_is_told_so,
    }
}

async fn user(fixture: &AccountsFixture, name: &str) {
    let user = NewUserRequest {
        name: name.into(),
        emails: vec![format!("{name}@example.org")],
        password: Some(Password::new(PASSWORD.into())),
        ..NewUserRequest::default()
    };
    fixture.service().users.create(&Admin::command(), user).await.unwrap();
}

async fn no_reset_starts_that_the_user_could_not_complete(fixture: &AccountsFixture) {
    let (service, admin) = (fixture.service(), Admin::command());
    user(fixture, "grace").await;
    let link_template = || Some("https://shop.example/{kind}?token={token}".to_owned());
    let worker = NewClientRequest { id: "worker".into(), audiences: vec!["api".into()], ..NewClientRequest::default() };
    let closed = NewClientRequest { link_template: link_template(), ..first_party("closed", &["api"]) };
    for client in [worker, closed, first_party("linkless", &["api"])] {
        service.clients.create(&admin, client).await.unwrap();
    }
    service.clients.set_disabled(&admin, "closed", true).await.unwrap();
    let (_, session) = fixture.bearer("grace", PASSWORD).await;
    let start = async |user: &str, client_id: &str| {
        let reset = UserPasswordReset { user, client_id, keep_current: false };
        service.users.start_reset(&Admin::command(), reset).await
    };
    for client in ["worker", "closed", "linkless"] {
        let Err(Error::Invalid(violations)) = start("grace", client).await else { panic!("{client}") };
        assert_eq!(violations[0].field, "client_id", "{client}");
    }
    // Ada has no address.
    assert_eq!(reason(start("ada", "shop").await), Reason::FailedPrecondition);
    user(fixture, "late").await;
    service.users.disable(&admin, "late").await.unwrap();
    assert_eq!(reason(start("late", "shop").await), Reason::FailedPrecondition);
    service.users.enable(&admin, "late").await.unwrap();
    assert!(fixture.send_mails().await.is_empty());
    for name in ["ada", "grace", "late"] {
        assert!(sign_in(service, login_of("shop", name, PASSWORD)).await.is_ok(), "{name} has kept the password");
    }
    assert!(crate::support::refresh(service, "shop", &session, "", &[], "").await.is_ok());
    assert_eq!(start("grace", "shop").await.unwrap().ended.sessions, 2);
}

/// The violation that says that the new password is the old one.
fn is_the_old_one<T>(result: chancery::error::Result<T>) -> bool {
    let Err(Error::Invalid(violations)) = result else { return false };
    violations[0].field == "new_password" && violations[0].description.contains("another one")
}

async fn a_temporary_password_is_not_chosen_again(fixture: &AccountsFixture) {
    user(fixture, "grace").await;
    let service = fixture.service();
    service.users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let challenge = sign_in_challenge(fixture, "shop", "grace").await;
    let chosen = |text: &str| NextStep { new_password: Password::new(text.into()), ..step(&challenge) };
    assert!(is_the_old_one(continue_sign_in(service, chosen(PASSWORD)).await));
    // Nor in another way.
    let pending = fixture.request_reset("grace").await;
    let code = typed_code(&pending, &fixture.send_mails().await[0]);
    assert!(is_the_old_one(fixture.reset(&code, PASSWORD).await));
    let signed_in = continue_sign_in(service, chosen(NEW)).await.unwrap();
    assert!(matches!(signed_in, SignedIn::Tokens(_)), "the challenge stayed valid");
    assert!(sign_in(service, login_of("shop", "grace", NEW)).await.is_ok());
}

async fn a_password_that_an_administrator_wants_replaced_is_not_chosen_again(fixture: &AccountsFixture) {
    user(fixture, "grace").await;
    let reset = UserPasswordReset { user: "grace", client_id: "shop", keep_current: true };
    fixture.service().users.start_reset(&Admin::command(), reset).await.unwrap();
    let link = clicked_link(&fixture.send_mails().await[0]);
    assert!(is_the_old_one(fixture.reset(&link, PASSWORD).await));
    fixture.reset(&link, NEW).await.unwrap();
    // Who has only forgotten it may remember it.
    fixture.send_mails().await;
    let pending = fixture.request_reset("grace").await;
    let code = typed_code(&pending, &fixture.send_mails().await[0]);
    fixture.reset(&code, NEW).await.unwrap();
}

async fn a_void_link_says_nothing_about_the_password(fixture: &AccountsFixture) {
    user(fixture, "grace").await;
    let reset = UserPasswordReset { user: "grace", client_id: "shop", keep_current: true };
    fixture.service().users.start_reset(&Admin::command(), reset).await.unwrap();
    let link = clicked_link(&fixture.send_mails().await[0]);
    fixture.service().users.require_new_password(&Admin::command(), "grace").await.unwrap();
    assert_eq!(reason(fixture.reset(&link, PASSWORD).await), Reason::CodeInvalid);
    assert_eq!(reason(fixture.reset(&link, NEW).await), Reason::CodeInvalid);
}

async fn who_asks_for_too_many_mails_is_told_so(fixture: &AccountsFixture) {
    let (service, ctx) = (fixture.service(), fixture.service().context());
    let none = chancery::service::ClientCredentials::None;
    let refused = loop {
        let request: ResetRequest<'_> = reset_request("ada");
        if let Err(refused) = service.accounts.request_password_reset(&ctx, &none, request).await {
            break refused;
        }
    };
    assert_eq!(refused.reason(), Reason::TooManyAttempts);
    let text = refused.to_string();
    assert!(text.starts_with("too many mails were requested; try again in"), "{text}");
}

async fn the_bearer_of_a_revoked_token_is_told_so(fixture: &AccountsFixture) {
    let service = fixture.service();
    let (bearer, _) = fixture.bearer("ada", PASSWORD).await;
    let other = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    let me = fixture.me(&bearer).await;
    service.accounts.revoke_session(&other, Some(me.session().as_str())).await.unwrap();
    for refused in [
        crate::support::admit_me(service, &bearer).await.map(|_| ()),
        service.accounts.revoke_session(&me, None).await.map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.reason(), Reason::TokenInvalid);
        assert!(refused.to_string().starts_with("the token was revoked"), "{refused}");
    }
    let nonsense = chancery::service::ClientCredentials::Bearer("x".into());
    let refused = crate::support::admit_me(service, &nonsense).await.unwrap_err();
    assert!(refused.to_string().starts_with("the token is missing"), "{refused}");
}
