//! What changes nothing leaves nothing behind: no event, no entry in the feed, no new version, no mail.

use chancery::{
    domain::audit::AuditFilter,
    error::Reason,
    secret::Password,
    service::{Admin, ClientPatch, MePatch, NewRoleRequest, NewUserRequest, RolePatch, UserPatch},
};
use serde_json::json;

use crate::{
    accounts::{AccountsFixture, reason},
    support::{PASSWORD, first_party},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_user_who_changes_nothing_leaves_no_trace,
        an_administrator_who_changes_nothing_leaves_no_trace,
        a_new_password_is_another_one,
    }
}

/// What a change would leave: audit events, the feed's number, and the versions of user, client and role.
async fn traces(fixture: &AccountsFixture) -> Vec<String> {
    let (service, admin) = (fixture.service(), Admin::command());
    let mut tx = service.store().read().await.unwrap();
    let events = tx.audit_page(&AuditFilter::default(), None, 1000).await.unwrap().len();
    let feed = tx.feed_head().await.unwrap().map(|(head, _)| head);
    drop(tx);
    let user = service.users.get(&admin, "grace").await.unwrap().user.security_version;
    let client = service.clients.get(&admin, "other").unwrap().revision;
    let role = service.roles.get(&admin, "clerk").unwrap().revision;
    let mails = fixture.send_mails().await.len();
    vec![format!("{events} {feed:?} {user} {client} {role} {mails}")]
}

async fn prepare(fixture: &AccountsFixture) {
    let (service, admin) = (fixture.service(), Admin::command());
    let role = NewRoleRequest {
        name: "clerk".into(),
        description: "sells".into(),
        permissions: vec!["b.read@api".into(), "a.read@api".into()],
        ..NewRoleRequest::default()
    };
    service.roles.create(&admin, role).await.unwrap();
    let user = NewUserRequest {
        name: "grace".into(),
        emails: vec!["z@example.org".into(), "a@example.org".into()],
        password: Some(Password::new(PASSWORD.into())),
        attributes: json!({ "profile": { "color": "blue" }, "n": 1 }).as_object().cloned().unwrap(),
        roles: vec!["clerk".into()],
        ..NewUserRequest::default()
    };
    service.users.create(&admin, user).await.unwrap();
    service.clients.create(&admin, first_party("other", &["api"])).await.unwrap();
}

async fn a_user_who_changes_nothing_leaves_no_trace(fixture: &AccountsFixture) {
    prepare(fixture).await;
    fixture.app.user("solo").await;
    let admin = Admin::command();
    let emails = UserPatch { emails: Some(vec!["solo@example.org".into()]), ..UserPatch::default() };
    fixture.service().users.update(&admin, "solo", &emails, None).await.unwrap();
    let ended = fixture.me(&fixture.bearer("grace", PASSWORD).await.0).await;
    let me = fixture.me(&fixture.bearer("grace", PASSWORD).await.0).await;
    let solo = fixture.me(&fixture.bearer("solo", PASSWORD).await.0).await;
    let (accounts, context) = (&fixture.service().accounts, fixture.service().context());
    assert_eq!(accounts.revoke_session(&me, Some(ended.session().as_str())).await.unwrap().sessions, 1);
    let before = traces(fixture).await;
    let patch = MePatch {
        name: Some("grace".into()),
        profile: json!({ "color": "blue" }).as_object().cloned(),
        ..MePatch::default()
    };
    let (view, _) = accounts.update(&context, &me, patch).await.unwrap();
    assert_eq!(view.logins[0], "grace");
    let patch = MePatch { email: Some("solo@example.org".into()), ..MePatch::default() };
    let (_, pending) = accounts.update(&context, &solo, patch).await.unwrap();
    assert!(pending.is_none(), "the address is the user's already");
    assert_eq!(accounts.revoke_session(&me, Some(ended.session().as_str())).await.unwrap().sessions, 0);
    assert_eq!(accounts.revoke_session(&me, None).await.unwrap().sessions, 0);
    assert_eq!(traces(fixture).await, before);
    // One of several addresses is a change: it becomes the only one.
    let patch = MePatch { email: Some("z@example.org".into()), ..MePatch::default() };
    assert!(accounts.update(&context, &me, patch).await.unwrap().1.is_some());
}

async fn an_administrator_who_changes_nothing_leaves_no_trace(fixture: &AccountsFixture) {
    prepare(fixture).await;
    fixture.app.user("gone").await;
    let (service, admin) = (fixture.service(), Admin::command());
    service.users.disable(&admin, "gone").await.unwrap();
    service.clients.set_disabled(&admin, "app", true).await.unwrap();
    let before = traces(fixture).await;
    let patch = UserPatch {
        name: Some("grace".into()),
        emails: Some(vec!["z@example.org".into(), "a@example.org".into()]),
        attributes: json!({ "n": 1, "profile": { "color": "blue" } }).as_object().cloned(),
        language: Some(String::new()),
    };
    let version = service.users.get(&admin, "grace").await.unwrap().user.security_version;
    let view = service.users.update(&admin, "grace", &patch, Some(version)).await.unwrap();
    assert_eq!(view.user.security_version, version);
    assert_eq!(reason(service.users.update(&admin, "grace", &patch, Some(version - 1)).await), Reason::EtagMismatch);
    assert_eq!(service.users.disable(&admin, "gone").await.unwrap(), None);
    assert!(!service.users.enable(&admin, "grace").await.unwrap());
    assert_eq!(service.users.end_sessions(&admin, "grace", &[]).await.unwrap().sessions, 0);
    assert!(!service.users.set_role(&admin, "grace", "clerk", true).await.unwrap());
    assert!(!service.users.set_role(&admin, "grace", "auditor", false).await.unwrap());
    let patch = ClientPatch {
        scopes: Some(vec!["read".into(), "write".into()]),
        registration: Some(false),
        display_name: Some("other".into()),
        ..ClientPatch::default()
    };
    service.clients.update(&admin, "other", &patch, None).await.unwrap();
    assert!(!service.clients.set_disabled(&admin, "app", true).await.unwrap());
    assert!(!service.clients.set_disabled(&admin, "other", false).await.unwrap());
    let permissions = Some(vec!["a.read@api".into(), "b.read@api".into()]);
    let patch = RolePatch { description: Some("sells".into()), permissions, require_mfa: None };
    service.roles.update(&admin, "clerk", patch, None).await.unwrap();
    for (name, value) in [("rsa_bits", "2048"), ("access_token_lifetime_ceiling", "3600"), ("login_failures_free", "5")]
    {
        service.instance.set(&admin, name, value).await.unwrap();
    }
    assert_eq!(traces(fixture).await, before);
}

async fn a_new_password_is_another_one(fixture: &AccountsFixture) {
    let me = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
    let before = fixture.service().passwords.figures().hashed;
    let (accounts, context) = (&fixture.service().accounts, fixture.service().context());
    let (old, new) = (Password::new(PASSWORD.into()), Password::new(PASSWORD.into()));
    let refused = accounts.change_password(&context, &me, old, new).await;
    assert_eq!(reason(refused), Reason::InvalidArgument);
    assert_eq!(fixture.service().passwords.figures().hashed, before, "and nothing is computed");
}
