//! Confirming an address is not having made the request: what a stranger or a typing error has begun gives nothing away.

use chancery::{
    error::{Error, Reason, Result},
    secret::{Password, TicketToken, TypedCode},
    service::{
        Admin, ClientCredentials, MePatch, NewClientRequest, PendingTicket, PresentedTicket, RegisterInput,
        ResetRequest, VerifyEmailInput,
    },
};

use crate::{
    accounts::{AccountsFixture, NEW, clicked_link, reason, reset_request, typed_code, verification},
    support::{PASSWORD, first_party, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p18_a_later_registration_of_an_address_makes_the_earlier_void,
        p18_the_link_of_a_registration_needs_a_new_password_and_drops_the_name_of_a_stranger,
        p18_the_ticket_of_the_person_who_registered_keeps_password_and_name,
        a_name_that_was_taken_meanwhile_can_be_chosen_anew,
        p18_a_link_to_a_mistyped_address_gives_nothing_away,
        p18_the_ticket_and_the_link_of_a_new_address_end_with_the_session_that_asked,
        a_mail_says_when_and_through_what_it_was_requested,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    AccountsFixture => {
        p18_of_registrations_at_once_one_is_valid,
    }
}

const VICTIM: &str = "victim@example.com";

fn link_with(mail: &chancery::mail::KeptMail, ticket: &str) -> PresentedTicket {
    PresentedTicket { ticket: ticket.into(), ..clicked_link(mail) }
}

/// A link whose reader chooses a password.
fn link_and_password(mail: &chancery::mail::KeptMail) -> VerifyEmailInput {
    VerifyEmailInput { new_password: Password::new(NEW.into()), ..verification(&clicked_link(mail)) }
}

async fn verify(fixture: &AccountsFixture, input: VerifyEmailInput) -> Result<String> {
    fixture.verify_as(&ClientCredentials::None, input).await
}

async fn p18_a_later_registration_of_an_address_makes_the_earlier_void(fixture: &AccountsFixture) {
    let other = NewClientRequest { registration: true, ..first_party("other", &["api"]) };
    fixture.service().clients.create(&Admin::command(), other).await.unwrap();
    let stranger = fixture.register(VICTIM, "").await.unwrap();
    let first = fixture.send_mails().await.remove(0);
    // Through another client, and in another form.
    let input = RegisterInput {
        client_id: "other".into(),
        email: "Victim@EXAMPLE.com".into(),
        name: String::new(),
        password: Password::new(NEW.into()),
        language: String::new(),
        address: String::new(),
        user_agent: String::new(),
    };
    let service = fixture.service();
    let own = service.accounts.register(&service.context(), &ClientCredentials::None, input).await.unwrap();
    let second = fixture.send_mails().await.remove(0);
    assert_eq!(reason(fixture.verify(&typed_code(&stranger, &first)).await), Reason::CodeInvalid);
    assert_eq!(reason(verify(fixture, link_and_password(&first)).await), Reason::CodeInvalid);
    let input = VerifyEmailInput { client_id: "other".into(), ..verification(&typed_code(&own, &second)) };
    verify(fixture, input).await.unwrap();
    assert!(sign_in(service, login_of("other", VICTIM, NEW)).await.is_ok());
    // A registration of another address is not affected.
    let bystander = fixture.register("bystander@example.com", "").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    fixture.register("somebody@example.com", "").await.unwrap();
    assert!(fixture.verify(&typed_code(&bystander, &mail)).await.is_ok());
}

async fn p18_of_registrations_at_once_one_is_valid(fixture: &AccountsFixture) {
    let services = [fixture.service().clone(), fixture.app.second_process().await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..5 {
        let service = services[n % 2].clone();
        tasks.spawn(async move {
            let input = || RegisterInput {
                client_id: "shop".into(),
                email: VICTIM.into(),
                name: String::new(),
                password: Password::new(PASSWORD.into()),
                language: String::new(),
                address: String::new(),
                user_agent: String::new(),
            };
            loop {
                match service.accounts.register(&service.context(), &ClientCredentials::None, input()).await {
                    Err(Error::Throttled { .. } | Error::Conflict) => tokio::task::yield_now().await,
                    done => return done.unwrap(),
                }
            }
        });
    }
    let pending: Vec<PendingTicket> = tasks.join_all().await;
    let mails = fixture.send_mails().await;
    assert_eq!(mails.len(), 5);
    let mut valid = 0;
    for mail in &mails {
        valid += usize::from(reason(fixture.verify(&clicked_link(mail)).await) == Reason::NewPasswordRequired);
    }
    assert_eq!(valid, 1);
    let mut opened = 0;
    for pending in &pending {
        for mail in &mails {
            opened += usize::from(fixture.verify(&link_with(mail, &pending.ticket)).await.is_ok());
        }
    }
    assert_eq!(opened, 1, "and with its ticket it opens the account");
}

async fn p18_the_link_of_a_registration_needs_a_new_password_and_drops_the_name_of_a_stranger(
    fixture: &AccountsFixture,
) {
    fixture.register(VICTIM, "stranger").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    for _ in 0..2 {
        let refused = fixture.verify(&clicked_link(&mail)).await;
        assert_eq!(reason(refused), Reason::NewPasswordRequired, "and the link stays valid");
    }
    // The id in the link is not the ticket, and neither is the ticket of another request.
    let other = fixture.register("other@example.com", "").await.unwrap();
    let (token, _) = other.ticket.split_once('.').unwrap();
    for ticket in [token, &other.ticket, "", "."] {
        let refused = fixture.verify(&link_with(&mail, ticket)).await;
        assert_eq!(reason(refused), Reason::NewPasswordRequired, "{ticket}");
    }
    let weak = VerifyEmailInput { new_password: Password::new(VICTIM.into()), ..link_and_password(&mail) };
    assert_eq!(reason(verify(fixture, weak).await), Reason::InvalidArgument);
    assert_eq!(verify(fixture, link_and_password(&mail)).await.unwrap(), VICTIM);
    assert_eq!(reason(verify(fixture, link_and_password(&mail)).await), Reason::CodeInvalid, "it works once");
    let old = sign_in(fixture.service(), login_of("shop", VICTIM, PASSWORD)).await;
    assert_eq!(reason(old), Reason::InvalidCredentials, "the password of the stranger");
    assert!(sign_in(fixture.service(), login_of("shop", VICTIM, NEW)).await.is_ok());
    let user = fixture.service().users.get(&Admin::command(), VICTIM).await.unwrap();
    assert_eq!(user.logins, [VICTIM]);
    // Its reader may choose a name.
    fixture.register("second@example.com", "stranger").await.unwrap();
    let mail = fixture.send_mails().await.pop().unwrap();
    let named = VerifyEmailInput { name: Some("second".into()), ..link_and_password(&mail) };
    verify(fixture, named).await.unwrap();
    assert!(sign_in(fixture.service(), login_of("shop", "second", NEW)).await.is_ok());
}

async fn p18_the_ticket_of_the_person_who_registered_keeps_password_and_name(fixture: &AccountsFixture) {
    let pending = fixture.register("grace@example.com", "grace").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    fixture.verify(&link_with(&mail, &pending.ticket)).await.unwrap();
    assert!(sign_in(fixture.service(), login_of("shop", "grace", PASSWORD)).await.is_ok());
    // Neither link nor code reveals the ticket: with the id alone, a code is nobody's.
    let pending = fixture.register("heidi@example.com", "").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    let id = pending.ticket.split_once('.').unwrap().0.to_owned();
    let bare = PresentedTicket { ticket: id, ..typed_code(&pending, &mail) };
    assert_eq!(reason(fixture.verify(&bare).await), Reason::CodeInvalid);
    let changed =
        VerifyEmailInput { new_password: Password::new(NEW.into()), ..verification(&typed_code(&pending, &mail)) };
    verify(fixture, changed).await.unwrap();
    assert!(sign_in(fixture.service(), login_of("shop", "heidi@example.com", NEW)).await.is_ok());
}

async fn a_name_that_was_taken_meanwhile_can_be_chosen_anew(fixture: &AccountsFixture) {
    fixture.app.user("grace").await;
    let pending = fixture.register("grace@example.com", "grace").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    let presented = typed_code(&pending, &mail);
    for _ in 0..7 {
        assert_eq!(reason(fixture.verify(&presented).await), Reason::AlreadyExists, "and the code stays valid");
    }
    let named = |name: &str| VerifyEmailInput { name: Some(name.into()), ..verification(&presented) };
    assert_eq!(reason(verify(fixture, named("ada")).await), Reason::AlreadyExists);
    assert_eq!(reason(verify(fixture, named("a@b")).await), Reason::InvalidArgument);
    verify(fixture, named("gracie")).await.unwrap();
    assert!(sign_in(fixture.service(), login_of("shop", "gracie", PASSWORD)).await.is_ok());
    let pending = fixture.register("heidi@example.com", "grace").await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    let unnamed = VerifyEmailInput { name: Some(String::new()), ..verification(&typed_code(&pending, &mail)) };
    verify(fixture, unnamed).await.unwrap();
    let user = fixture.service().users.get(&Admin::command(), "heidi@example.com").await.unwrap();
    assert_eq!(user.logins, ["heidi@example.com"]);
}

async fn p18_a_link_to_a_mistyped_address_gives_nothing_away(fixture: &AccountsFixture) {
    for email in ["grace@example.com", "mallory@example.com"] {
        fixture.register_verified_user(email).await;
    }
    let (own, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    let (others, _) = fixture.bearer("mallory@example.com", PASSWORD).await;
    let patch = MePatch { email: Some("mistyped@example.com".into()), ..MePatch::default() };
    let me = fixture.me(&own).await;
    let service = fixture.service();
    let (_, pending) = service.accounts.update(&service.context(), &me, patch).await.unwrap();
    let pending = pending.unwrap();
    let mail = fixture.send_mails().await.pop().unwrap();
    assert_eq!(mail.to, "mistyped@example.com");
    let id = pending.ticket.split_once('.').unwrap().0;
    let alone = || verification(&clicked_link(&mail));
    assert_eq!(reason(verify(fixture, alone()).await), Reason::OwnTokenRequired);
    assert_eq!(reason(verify(fixture, link_and_password(&mail)).await), Reason::OwnTokenRequired);
    assert_eq!(reason(fixture.verify(&link_with(&mail, id)).await), Reason::OwnTokenRequired, "the id is in the link");
    assert_eq!(reason(fixture.verify_as(&others, alone()).await), Reason::OwnTokenRequired, "of another account");
    let nonsense = ClientCredentials::Bearer("nonsense".into());
    assert_eq!(reason(fixture.verify_as(&nonsense, alone()).await), Reason::TokenInvalid);
    let code = PresentedTicket {
        token: TicketToken::new(String::new()),
        ticket: id.into(),
        code: TypedCode::new(mail.code.clone().unwrap()),
    };
    assert_eq!(reason(fixture.verify(&code).await), Reason::CodeInvalid);
    assert_eq!(service.users.get(&Admin::command(), "grace@example.com").await.unwrap().logins, ["grace@example.com"]);
    assert!(fixture.verify_as(&own, alone()).await.is_ok(), "with its own token the link completes");
    let user = service.users.get(&Admin::command(), "mistyped@example.com").await.unwrap();
    assert_eq!(user.logins, ["mistyped@example.com"]);
    // So it does with the ticket, where the client has no token of the user.
    let patch = MePatch { email: Some("new@example.com".into()), ..MePatch::default() };
    let (_, pending) = service.accounts.update(&service.context(), &me, patch).await.unwrap();
    let mail = fixture.send_mails().await.pop().unwrap();
    assert!(fixture.verify(&link_with(&mail, &pending.unwrap().ticket)).await.is_ok());
}

async fn p18_the_ticket_and_the_link_of_a_new_address_end_with_the_session_that_asked(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let service = fixture.service();
    for everywhere in [false, true] {
        let (stolen, _) = fixture.bearer("grace@example.com", PASSWORD).await;
        let (own, _) = fixture.bearer("grace@example.com", PASSWORD).await;
        let (thief, owner) = (fixture.me(&stolen).await, fixture.me(&own).await);
        let patch = MePatch { email: Some("mallory@example.com".into()), ..MePatch::default() };
        let (_, pending) = service.accounts.update(&service.context(), &thief, patch).await.unwrap();
        let ticket = pending.unwrap();
        let mail = fixture.send_mails().await.pop().unwrap();
        if everywhere {
            service.accounts.end_all_sessions(&owner).await.unwrap();
        } else {
            service.accounts.revoke_session(&owner, Some(thief.session().as_str())).await.unwrap();
        }
        let link = || link_with(&mail, &ticket.ticket);
        assert_eq!(reason(fixture.verify(&link()).await), Reason::CodeInvalid);
        assert_eq!(reason(fixture.verify(&typed_code(&ticket, &mail)).await), Reason::CodeInvalid);
        let (again, _) = fixture.bearer("grace@example.com", PASSWORD).await;
        let with_token = fixture.verify_as(&again, verification(&link())).await;
        assert_eq!(reason(with_token), Reason::CodeInvalid, "the owner is not made to complete it");
    }
    let user = service.users.get(&Admin::command(), "grace@example.com").await.unwrap();
    assert_eq!(user.logins, ["grace@example.com"]);
}

async fn a_mail_says_when_and_through_what_it_was_requested(fixture: &AccountsFixture) {
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let gateway = NewClientRequest {
        public: false,
        registration: true,
        trusted_end_user: true,
        ..first_party("gateway", &["api"])
    };
    let gateway = fixture.app.confidential(gateway).await;
    let service = fixture.service();
    let register = async |email: &str, user_agent: &str| {
        let input = RegisterInput {
            client_id: String::new(),
            email: email.into(),
            name: String::new(),
            password: Password::new(PASSWORD.into()),
            language: String::new(),
            address: "192.0.2.7".into(),
            user_agent: user_agent.into(),
        };
        service.accounts.register(&service.context(), &gateway, input).await.unwrap()
    };
    register("grace@example.com", FIREFOX).await;
    let said = "requested on 1 January 2030, 00:00 UTC through gateway, from 192.0.2.7, Firefox (Linux).";
    let mail = fixture.send_mails().await.remove(0);
    assert!(mail.text.contains(said), "{}", mail.text);
    // A stranger cannot write anything into it.
    register("heidi@example.com", "Buy <b>now</b> at http://evil.example").await;
    let mail = fixture.send_mails().await.remove(0);
    assert!(mail.text.contains("through gateway, from 192.0.2.7.") && !mail.text.contains("evil"), "{}", mail.text);
    fixture.register_verified_user("ivan@example.com").await;
    register("ivan@example.com", FIREFOX).await;
    let reset =
        ResetRequest { client_id: "", address: "192.0.2.7", user_agent: FIREFOX, ..reset_request("ivan@example.com") };
    service.accounts.request_password_reset(&service.context(), &gateway, reset).await.unwrap();
    let mails = fixture.send_mails().await;
    let kinds: Vec<_> = mails.iter().map(|m| m.kind).collect();
    assert_eq!(kinds, ["account_exists", "password_reset"]);
    assert!(mails.iter().all(|m| m.text.contains(said)), "{mails:?}");
    // An address is believed from a trusted client only.
    let stated = ResetRequest { address: "192.0.2.7", user_agent: FIREFOX, ..reset_request("ivan@example.com") };
    service.accounts.request_password_reset(&service.context(), &ClientCredentials::None, stated).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    assert!(mail.text.contains("requested on 1 January 2030, 00:00 UTC through shop.\n"), "{}", mail.text);
}
