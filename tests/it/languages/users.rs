//! The language of a user, through the API, on both engines.

use chancery::{
    grpc::pb::{self, account_service_client::AccountServiceClient},
    service::{Admin, ClientCredentials, ImportOutcome, ImportRow, NewUserRequest, UserPatch},
};
use prost_types::FieldMask;
use tonic::Request;

use crate::{
    accounts::{AccountsFixture, typed_code},
    admin::{AdminClient, fields},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        administrators_set_and_remove_the_language_of_a_user,
        an_import_brings_languages,
    }
}

mod registered {
    use super::*;

    on_each_engine! {
        #[tokio::test]
        AccountsFixture => {
            an_account_has_the_language_of_its_registration,
            users_set_their_own_language,
        }
    }

    async fn an_account_has_the_language_of_its_registration(fixture: &AccountsFixture) {
        let pending = fixture.register_in("grace@example.com", "de-AT").await;
        let mails = fixture.send_mails().await;
        assert_eq!(mails[0].subject, "Bestätigen Sie Ihre Adresse für shop");
        fixture.verify(&typed_code(&pending, &mails[0])).await.unwrap();
        assert_eq!(language_of(&fixture.app, "grace@example.com").await, "de-at");
        // A stranger registers with the address, in another language: its owner is told in their own.
        fixture.register_in("grace@example.com", "en").await;
        assert_eq!(fixture.send_mails().await[0].subject, "Sie haben bereits ein Konto bei shop");
        fixture.request_reset("grace@example.com").await;
        assert_eq!(fixture.send_mails().await[0].subject, "Ihr Passwort für shop zurücksetzen");
    }

    async fn users_set_their_own_language(fixture: &AccountsFixture) {
        let app = &fixture.app;
        let client = AdminClient::of(app).await;
        let (ClientCredentials::Bearer(token), _) = fixture.bearer("ada", PASSWORD).await else {
            panic!("a bearer token")
        };
        let authorization = format!("Bearer {token}");
        let mut account = AccountServiceClient::new(client.channel.clone());
        let ask = |message| {
            let mut request = Request::new(message);
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
            request
        };
        let masked = |language: &str, paths: &[&str]| pb::UpdateMeRequest {
            language: language.into(),
            update_mask: Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }),
            ..Default::default()
        };
        let unmasked = pb::UpdateMeRequest { language: "de".into(), ..Default::default() };
        let me = account.update_me(ask(unmasked)).await.unwrap().into_inner().user.unwrap();
        assert_eq!(me.language, "de");
        let wrong = account.update_me(ask(masked("de_DE", &["language"]))).await.unwrap_err();
        assert_eq!(fields(&wrong), ["language"]);
        account.update_me(ask(masked("", &["language"]))).await.unwrap();
        assert_eq!(language_of(app, "ada").await, "");
        // Outside of the mask, it is only that of the mail.
        account.update_me(ask(masked("de", &["profile"]))).await.unwrap();
        assert_eq!(language_of(app, "ada").await, "");
    }
}

async fn language_of(app: &App, name: &str) -> String {
    let user = app.service.users.get(&Admin::command(), name).await.unwrap().user;
    user.language.map(|language| language.as_str().to_owned()).unwrap_or_default()
}

async fn administrators_set_and_remove_the_language_of_a_user(app: &App) {
    let admin = AdminClient::of(app).await;
    let user = pb::User { name: "grace".into(), language: "pt-BR".into(), ..pb::User::default() };
    let message = pb::CreateUserRequest { user: Some(user), password: PASSWORD.into(), request_id: String::new() };
    let made = admin.users().create_user(admin.ask(message)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(made.language, "pt-br");
    let update = async |language: &str, paths: &[&str]| {
        let user = pb::User { user_id: made.user_id.clone(), language: language.into(), ..pb::User::default() };
        let update_mask = Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
        let message = pb::UpdateUserRequest { user: Some(user), update_mask };
        admin.users().update_user(admin.ask(message)).await.map(|answer| answer.into_inner().user.unwrap())
    };
    let changed = update("de", &[]).await.unwrap();
    assert_eq!((changed.language.as_str(), changed.etag != made.etag), ("de", true));
    assert_eq!(update("de", &["language"]).await.unwrap().etag, changed.etag, "the same changes nothing");
    assert_eq!(fields(&update("de_DE", &["language"]).await.unwrap_err()), ["language"]);
    assert_eq!(update("", &["language"]).await.unwrap().language, "");
    // A deleted user speaks no language.
    app.service.users.update(&Admin::command(), "grace", &patch("de"), None).await.unwrap();
    app.service.users.delete(&Admin::command(), "grace", None).await.unwrap();
    let bad = NewUserRequest { name: "x".into(), language: "no language".into(), ..NewUserRequest::default() };
    assert!(app.service.users.create(&Admin::command(), bad).await.is_err());
}

fn patch(language: &str) -> UserPatch {
    UserPatch { language: Some(language.to_owned()), ..UserPatch::default() }
}

async fn an_import_brings_languages(app: &App) {
    let row = |language: &str| ImportRow {
        subject: "customer-1".into(),
        name: Some("grace".into()),
        language: language.into(),
        ..ImportRow::default()
    };
    let import = async |row| app.service.import.write(&Admin::command(), &[row]).await.unwrap().remove(0);
    let ImportOutcome::Refused(violations) = import(row("x")).await else { panic!("it is no language") };
    assert_eq!(violations[0].field, "language");
    assert_eq!(import(row("de")).await, ImportOutcome::Created);
    assert_eq!(language_of(app, "grace").await, "de");
    assert_eq!(import(row("en")).await, ImportOutcome::Present, "users may have chosen another meanwhile");
    assert_eq!(language_of(app, "grace").await, "de");
}
