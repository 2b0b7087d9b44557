//! Where people call from, as sessions and mails show it.

use chancery::{
    grpc::pb::{self, account_service_client::AccountServiceClient, auth_service_client::AuthServiceClient},
    secret::TypedCode,
    service::{Admin, ClientCredentials, NewClientRequest, RequestContext, SignedIn},
};
use tonic_types::StatusExt;

use crate::{
    accounts::{AccountsFixture, continue_sign_in, reset_request},
    support::{PASSWORD, first_party, login_from, login_of},
    wire::served,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_session_of_a_public_client_shows_its_connection,
        a_session_shows_what_a_trusted_client_states_and_nothing_of_another_confidential_one,
        a_mail_asked_for_through_a_public_client_says_from_where,
        every_method_checks_the_address_of_the_end_user_alike,
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn from_home(fixture: &AccountsFixture) -> RequestContext {
    RequestContext { peer: "192.0.2.7".into(), user_agent: FIREFOX.into(), ..fixture.service().context() }
}

/// Address and user agent of a user's newest session.
async fn newest(fixture: &AccountsFixture, user: &str) -> (String, String) {
    let sessions = fixture.service().users.sessions(&Admin::command(), user).await.unwrap();
    let newest = sessions.into_iter().max_by(|a, b| a.id.as_str().cmp(b.id.as_str())).unwrap();
    (newest.address, newest.user_agent)
}

async fn a_session_of_a_public_client_shows_its_connection(fixture: &AccountsFixture) {
    // What a public client states is what anybody could state.
    let request = login_from("app", "ada", PASSWORD, "198.51.100.1");
    let (nobody, context) = (ClientCredentials::None, from_home(fixture));
    let signed_in = fixture.service().sign_ins.sign_in(&context, &nobody, request).await.unwrap();
    assert!(matches!(signed_in, SignedIn::Tokens(_)));
    assert_eq!(newest(fixture, "ada").await, ("192.0.2.7".to_owned(), FIREFOX.to_owned()));
    // Over the wire: the address of the connection, and the header.
    let mut auth = AuthServiceClient::new(served(&fixture.app).await);
    let login = pb::LoginRequest {
        client_id: "app".into(),
        login: "ada".into(),
        password: PASSWORD.into(),
        ..pb::LoginRequest::default()
    };
    fixture.app.pass(chancery::time::Ttl::from_secs(1)).await;
    auth.login(login).await.unwrap();
    let (address, user_agent) = newest(fixture, "ada").await;
    assert!(address == "127.0.0.1" && user_agent.starts_with("tonic/"), "{address} {user_agent}");
}

async fn a_session_shows_what_a_trusted_client_states_and_nothing_of_another_confidential_one(
    fixture: &AccountsFixture,
) {
    let context = from_home(fixture);
    for (id, trusted, want) in
        [("web", true, ("2001:db8::7", "Safari/1")), ("silent", true, ("", "")), ("backend", false, ("", ""))]
    {
        let client = NewClientRequest { public: false, trusted_end_user: trusted, ..first_party(id, &["api"]) };
        let credentials = fixture.app.confidential(client).await;
        let mut request = login_from(id, "ada", PASSWORD, if id == "silent" { "" } else { "2001:DB8::0:7" });
        request.device.user_agent = if id == "silent" { String::new() } else { "Safari/1".into() };
        fixture.app.pass(chancery::time::Ttl::from_secs(1)).await;
        fixture.service().sign_ins.sign_in(&context, &credentials, request).await.unwrap();
        let (address, user_agent) = newest(fixture, "ada").await;
        assert_eq!((address.as_str(), user_agent.as_str()), want, "{id}");
    }
}

async fn a_mail_asked_for_through_a_public_client_says_from_where(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.org").await;
    let (accounts, nobody) = (&fixture.service().accounts, ClientCredentials::None);
    accounts.request_password_reset(&from_home(fixture), &nobody, reset_request("grace@example.org")).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    assert!(mail.text.contains("192.0.2.7, Firefox (Linux)"), "{}", mail.text);
    // The steps of a sign-in say it too.
    let strict = NewClientRequest { require_email: true, ..first_party("strict", &["api"]) };
    fixture.service().clients.create(&Admin::command(), strict).await.unwrap();
    let request = login_of("strict", "ada", PASSWORD);
    let signed_in = fixture.service().sign_ins.sign_in(&from_home(fixture), &nobody, request).await.unwrap();
    let SignedIn::Challenge(challenge) = signed_in else { panic!("{signed_in:?}") };
    let next = |challenge: &chancery::service::Challenge, code: &str| chancery::service::NextStep {
        client_id: "strict".into(),
        email: "ada@example.org".into(),
        code: TypedCode::new(code.into()),
        ..crate::accounts::step(challenge)
    };
    let SignedIn::Challenge(second) = continue_sign_in(fixture.service(), next(&challenge, "")).await.unwrap() else {
        panic!("a code comes first")
    };
    let code = fixture.send_mails().await.remove(0).code.unwrap();
    let last = next(&second, &code);
    fixture.service().sign_ins.continue_sign_in(&from_home(fixture), &nobody, last).await.unwrap();
    assert_eq!(newest(fixture, "ada").await, ("192.0.2.7".to_owned(), FIREFOX.to_owned()));
}

async fn every_method_checks_the_address_of_the_end_user_alike(fixture: &AccountsFixture) {
    let channel = served(&fixture.app).await;
    let (mut auth, mut accounts) = (AuthServiceClient::new(channel.clone()), AccountServiceClient::new(channel));
    let long = "1".repeat(10_240);
    for address in ["192.0.2.7:443", "[2001:db8::1]", "fe80::1%eth0", " 192.0.2.7", "192.0.2", "unknown", "a\0", &long]
    {
        let end_user = Some(pb::EndUser { address: address.into(), user_agent: "a\u{202e}b".into() });
        let login = pb::LoginRequest {
            client_id: "shop".into(),
            login: "ada".into(),
            password: PASSWORD.into(),
            end_user: end_user.clone(),
            ..pb::LoginRequest::default()
        };
        let register = pb::RegisterRequest {
            client_id: "shop".into(),
            email: "new@example.org".into(),
            password: PASSWORD.into(),
            end_user: end_user.clone(),
            ..pb::RegisterRequest::default()
        };
        let reset = pb::RequestPasswordResetRequest {
            client_id: "shop".into(),
            login: "ada".into(),
            end_user,
            ..pb::RequestPasswordResetRequest::default()
        };
        let refused = [
            ("Login", auth.login(login).await.unwrap_err()),
            ("Register", accounts.register(register).await.unwrap_err()),
            ("RequestPasswordReset", accounts.request_password_reset(reset).await.unwrap_err()),
        ];
        for (method, status) in refused {
            let violations = status.get_details_bad_request().map(|b| b.field_violations).unwrap_or_default();
            let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(fields, ["end_user.address", "end_user.user_agent"], "{method} {address:.20}: {status:?}");
        }
    }
}
