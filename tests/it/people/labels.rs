//! Texts that one person chooses and others read: every character in them can be seen. And the name by which the users
//! of an application know it.

use chancery::{
    error::{Error, Result},
    secret::Password,
    service::{
        Admin, ClientPatch, MePatch, NewClientRequest, NewRoleRequest, NewUserRequest, RolePatch, UserPasswordReset,
    },
};

use crate::{
    accounts::{AccountsFixture, NEW, typed_code},
    support::{ISSUER, PASSWORD, first_party, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        the_name_of_a_device_keeps_nobody_out,
        no_text_that_others_read_has_characters_that_nobody_sees,
        mails_name_the_application_by_its_display_name,
        a_display_name_is_set_changed_and_removed,
    }
}

fn assert_names<T>(result: Result<T>, field: &str, what: &str) {
    let Err(Error::Invalid(violations)) = result else { panic!("{what} is accepted in {field}") };
    assert!(violations.iter().any(|v| v.field == field), "{what}: {field} in {violations:?}");
}

async fn no_text_that_others_read_has_characters_that_nobody_sees(fixture: &AccountsFixture) {
    let (service, admin) = (fixture.service(), Admin::command());
    let role = NewRoleRequest { name: "clerk".into(), ..NewRoleRequest::default() };
    service.roles.create(&admin, role).await.unwrap();
    for hidden in
        ['\u{202e}', '\u{2066}', '\u{200e}', '\u{200f}', '\u{200b}', '\u{200d}', '\u{2060}', '\u{ad}', '\n', '\0']
    {
        let (text, what) = (format!("a{hidden}b"), format!("{hidden:?}"));
        let mut request = login_of("shop", "ada", PASSWORD);
        request.device.user_agent.clone_from(&text);
        assert_names(sign_in(service, request).await, "end_user.user_agent", &what);
        let client = NewClientRequest { display_name: text.clone(), ..first_party("new", &["api"]) };
        assert_names(service.clients.create(&admin, client).await, "display_name", &what);
        let patch = ClientPatch { display_name: Some(text.clone()), ..ClientPatch::default() };
        assert_names(service.clients.update(&admin, "shop", &patch, None).await, "display_name", &what);
        let client = NewClientRequest { claims: vec![format!("a=\"{text}\"")], ..first_party("new", &["api"]) };
        assert_names(service.clients.create(&admin, client).await, "claims", &what);
        let role = NewRoleRequest { name: "new".into(), description: text.clone(), ..NewRoleRequest::default() };
        assert_names(service.roles.create(&admin, role).await, "description", &what);
        let patch = RolePatch { description: Some(text.clone()), ..RolePatch::default() };
        assert_names(service.roles.update(&admin, "clerk", patch, None).await, "description", &what);
        let user = NewUserRequest { name: text.clone(), ..NewUserRequest::default() };
        assert_names(service.users.create(&admin, user).await, "name", &what);
        assert_names(fixture.register("new@example.org", &text).await, "name", &what);
        assert_names(fixture.register(&format!("{text}@example.org"), "").await, "email", &what);
    }
    for (field, name) in [("display_name", "x".repeat(65)), ("display_name", " Shop".to_owned())] {
        let client = NewClientRequest { display_name: name, ..first_party("new", &["api"]) };
        assert_names(service.clients.create(&admin, client).await, field, "a long or indented name");
    }
}

async fn the_name_of_a_device_keeps_nobody_out(fixture: &AccountsFixture) {
    let service = fixture.service();
    for (label, want) in [
        ("iPhone 1\u{fe0f}\u{20e3}".to_owned(), "iPhone 1\u{fe0f}\u{20e3}".to_owned()),
        ("Ada\u{200e}'s\u{202e}\nphone\0".to_owned(), "Ada'sphone".to_owned()),
        ("a\u{2066}".to_owned(), "a".to_owned()),
        ("\u{200b}".to_owned(), String::new()),
        ("é".repeat(10_000), "é".repeat(256)),
    ] {
        let mut request = login_of("shop", "ada", PASSWORD);
        request.device.label.clone_from(&label);
        sign_in(service, request).await.unwrap();
        let sessions = service.users.sessions(&Admin::command(), "ada").await.unwrap();
        assert!(sessions.iter().any(|session| session.device_label == want), "{label:?}");
    }
}

async fn mails_name_the_application_by_its_display_name(fixture: &AccountsFixture) {
    let (service, admin) = (fixture.service(), Admin::command());
    let name = "Ben & Söhne <Shop>";
    let patch = ClientPatch { display_name: Some(name.into()), ..ClientPatch::default() };
    service.clients.update(&admin, "shop", &patch, None).await.unwrap();
    fixture.register("grace@example.org", "").await.unwrap();
    let pending = fixture.register("grace@example.org", "").await.unwrap();
    let mut mails = fixture.send_mails().await;
    fixture.verify(&typed_code(&pending, mails.last().unwrap())).await.unwrap();
    fixture.register("grace@example.org", "").await.unwrap();
    let reset = fixture.request_reset("grace@example.org").await;
    mails.extend(fixture.send_mails().await);
    fixture.reset(&typed_code(&reset, mails.last().unwrap()), NEW).await.unwrap();
    let me = fixture.me(&fixture.bearer("grace@example.org", NEW).await.0).await;
    let context = service.context();
    let (old, new) = (Password::new(NEW.into()), Password::new(PASSWORD.into()));
    service.accounts.change_password(&context, &me, old, new).await.unwrap();
    let patch = MePatch { email: Some("hopper@example.org".into()), ..MePatch::default() };
    let (_, pending) = service.accounts.update(&context, &me, patch).await.unwrap();
    mails.extend(fixture.send_mails().await);
    fixture.verify(&typed_code(&pending.unwrap(), mails.last().unwrap())).await.unwrap();
    let user = NewUserRequest { emails: vec!["new@example.org".into()], ..NewUserRequest::default() };
    service.users.create(&admin, user).await.unwrap();
    let reset = UserPasswordReset { user: "new@example.org", client_id: "shop", keep_current: false };
    service.users.start_reset(&admin, reset).await.unwrap();
    mails.extend(fixture.send_mails().await);
    let kinds: std::collections::BTreeSet<_> = mails.iter().map(|m| m.kind).collect();
    let want = ["account_exists", "email_changed", "invitation", "password_changed", "password_reset", "verify_email"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), want);
    for mail in &mails {
        assert!(mail.subject.contains(name), "{}: {}", mail.kind, mail.subject);
        assert!(mail.text.contains(name), "{}: {}", mail.kind, mail.text);
        let html = &mail.html;
        assert!(html.contains("Ben &amp; Söhne &lt;Shop&gt;") && !html.contains("<Shop>"), "{}: {html}", mail.kind);
        assert!(!mail.text.contains(ISSUER), "{}: {}", mail.kind, mail.text);
    }
}

async fn a_display_name_is_set_changed_and_removed(fixture: &AccountsFixture) {
    let (service, admin) = (fixture.service(), Admin::command());
    let client = NewClientRequest { display_name: "The Shop".into(), ..first_party("new", &["api"]) };
    service.clients.create(&admin, client).await.unwrap();
    let name =
        |service: &chancery::service::Service| service.clients.get(&admin, "new").unwrap().display_name().to_owned();
    assert_eq!(name(service), "The Shop");
    let other = fixture.app.second_process().await;
    assert_eq!(name(&other), "The Shop", "as it is stored");
    for (text, want) in [("Zoë's", "Zoë's"), ("", "new"), ("new", "new")] {
        let patch = ClientPatch { display_name: Some(text.into()), ..ClientPatch::default() };
        assert_eq!(service.clients.update(&admin, "new", &patch, None).await.unwrap().display_name(), want);
    }
}
