//! Mails that nobody asked for in a language are in that of their reader, on both engines.

use chancery::service::{Admin, NewUserRequest, UserPasswordReset, UserPatch};

use crate::{
    accounts::AccountsFixture,
    browser_account::fixture::{SiteFixture, follow, submit},
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        an_administrator_invites_in_the_language_of_the_user,
    }
}

mod at_a_site {
    use super::*;

    on_each_engine! {
        #[tokio::test]
        SiteFixture => {
            a_user_without_a_language_is_written_to_in_that_of_the_page,
            both_addresses_are_told_of_a_change_in_the_language_of_the_user,
        }
    }

    async fn a_user_without_a_language_is_written_to_in_that_of_the_page(fixture: &SiteFixture) {
        fixture.user("grace").await;
        let mut browser = fixture.browser();
        let ask = async |browser: &mut crate::browser::Browser| {
            let page = browser.get("/auth/forgot?ui_locales=de").await;
            let to = page.body.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            submit(browser, &to, &page, &[("username", "grace")]).await;
            fixture.send_mails().await.remove(0).subject
        };
        assert_eq!(ask(&mut browser).await, "Ihr Passwort für shop zurücksetzen");
        // A stranger's page does not decide over the mails of somebody who has a language.
        let patch = UserPatch { language: Some("en".into()), ..UserPatch::default() };
        fixture.service().users.update(&Admin::command(), "grace", &patch, None).await.unwrap();
        assert_eq!(ask(&mut browser).await, "Reset your password for shop");
    }

    async fn both_addresses_are_told_of_a_change_in_the_language_of_the_user(fixture: &SiteFixture) {
        fixture.user("grace").await;
        let patch = UserPatch { language: Some("de".into()), ..UserPatch::default() };
        fixture.service().users.update(&Admin::command(), "grace", &patch, None).await.unwrap();
        let mut browser = fixture.signed_in("grace", PASSWORD).await;
        let account = browser.get("/auth/account").await;
        let fields = [("action", "change_email"), ("email", "new@example.org"), ("current_password", PASSWORD)];
        let asked = submit(&mut browser, "/auth/account", &account, &fields).await;
        let page = follow(&mut browser, &asked).await;
        let mails = fixture.send_mails().await;
        assert_eq!(mails[0].subject, "Bestätigen Sie Ihre Adresse für shop");
        let code = mails[0].code.clone().unwrap();
        let form = page.body.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let csrf = page.field("csrf");
        let fields = [("csrf", csrf.as_str()), ("action", "verify_email"), ("form", &form), ("code", &code)];
        browser.post("/auth/account", &fields).await;
        let mails = fixture.send_mails().await;
        let subjects: Vec<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
        assert_eq!(subjects, ["Ihre E-Mail-Adresse bei shop wurde geändert"; 2]);
    }
}

async fn an_administrator_invites_in_the_language_of_the_user(fixture: &AccountsFixture) {
    for (name, language, invitation) in
        [("grace", "de", "lädt Sie zu shop ein"), ("heidi", "", "invites you to shop"), ("ida", "fr", "invites you")]
    {
        let user = NewUserRequest {
            name: name.into(),
            emails: vec![format!("{name}@example.com")],
            language: language.into(),
            ..NewUserRequest::default()
        };
        fixture.service().users.create(&Admin::command(), user).await.unwrap();
        let reset = UserPasswordReset { user: name, client_id: "shop", keep_current: true };
        fixture.service().users.start_reset(&Admin::command(), reset).await.unwrap();
        let mails = fixture.send_mails().await;
        assert!(mails[0].subject.contains(invitation), "{language}: {}", mails[0].subject);
    }
}
