//! Addresses are not names: those that look alike belong to different people.

use chancery::{
    error::{Error, Reason},
    service::{
        Admin, ClientCredentials, ImportOutcome, ImportRow, MePatch, NewUserRequest, PresentedTicket,
        UserPasswordReset, UserPatch,
    },
};

use crate::{
    accounts::{AccountsFixture, clicked_link, code, reason, typed_code},
    support::{PASSWORD, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        owners_of_addresses_that_look_alike_each_get_their_account,
        an_address_is_the_same_however_its_letters_are_composed,
        addresses_in_every_script_get_their_mails,
        an_import_tells_addresses_apart_that_look_alike_and_those_that_are_the_same,
        a_user_name_with_an_at_sign_is_told_where_an_address_goes,
        a_sign_in_with_an_address_that_is_not_proved_says_nothing,
        a_reset_by_name_is_mailed_to_the_primary_address,
        the_primary_address_is_the_first_and_keeps_its_place,
    }
}

async fn owners_of_addresses_that_look_alike_each_get_their_account(fixture: &AccountsFixture) {
    for address in ["bob1@example.org", "bobl@example.org", "x@modern.example", "x@rnodern.example"] {
        fixture.register_verified_user(address).await;
        assert!(sign_in(fixture.service(), login_of("shop", address, PASSWORD)).await.is_ok(), "{address}");
    }
    // The same when an address changes, and when an administrator sets it.
    let (bearer, _) = fixture.bearer("x@modern.example", PASSWORD).await;
    let patch = MePatch { email: Some("b0b1@example.org".into()), ..MePatch::default() };
    let me = fixture.me(&bearer).await;
    let accounts = &fixture.service().accounts;
    let (_, pending) = accounts.update(&fixture.service().context(), &me, patch).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    fixture.verify(&typed_code(&pending.unwrap(), &mail)).await.unwrap();
    let admin = Admin::command();
    let emails = patch_of(vec!["b0bl@example.org".into()]);
    assert!(fixture.service().users.update(&admin, "ada", &emails, None).await.is_ok());
    let new = NewUserRequest { emails: vec!["BOB1@example.org".into()], ..NewUserRequest::default() };
    assert_eq!(reason(fixture.service().users.create(&admin, new).await), Reason::AlreadyExists);
    // Names that look alike are still refused.
    fixture.app.user("bob1").await;
    let new = NewUserRequest { name: "bobl".into(), ..NewUserRequest::default() };
    assert_eq!(reason(fixture.service().users.create(&admin, new).await), Reason::AlreadyExists);
}

fn patch_of(emails: Vec<String>) -> UserPatch {
    UserPatch { emails: Some(emails), ..UserPatch::default() }
}

async fn an_address_is_the_same_however_its_letters_are_composed(fixture: &AccountsFixture) {
    let (composed, decomposed) = ("jürgen@example.org", "Ju\u{308}rgen@example.org");
    fixture.register_verified_user(decomposed).await;
    assert!(sign_in(fixture.service(), login_of("shop", composed, PASSWORD)).await.is_ok());
    let taken = NewUserRequest { emails: vec![composed.into()], ..NewUserRequest::default() };
    let refused = fixture.service().users.create(&Admin::command(), taken).await;
    assert!(matches!(&refused, Err(Error::Exists("email", _))), "{refused:?}");
    fixture.request_reset(composed).await;
    fixture.request_reset(decomposed).await;
    let mails = fixture.send_mails().await;
    assert_eq!(mails.iter().map(|m| m.to.as_str()).collect::<Vec<_>>(), [composed, composed]);
    let found = fixture.service().users.get(&Admin::command(), decomposed).await.unwrap();
    assert_eq!(found.logins, ["Jürgen@example.org"]);
}

async fn addresses_in_every_script_get_their_mails(fixture: &AccountsFixture) {
    for address in
        ["หนึ่ง@example.org", "विकास@example.org", "ක\u{dca}\u{200d}ෂ@example.org", "می\u{200c}خواهم@example.org"]
    {
        fixture.register_verified_user(address).await;
        assert!(sign_in(fixture.service(), login_of("shop", address, PASSWORD)).await.is_ok(), "{address}");
        fixture.request_reset(address).await;
        let mails = fixture.send_mails().await;
        assert_eq!((mails.len(), mails[0].to.as_str()), (1, address));
    }
}

async fn an_import_tells_addresses_apart_that_look_alike_and_those_that_are_the_same(fixture: &AccountsFixture) {
    fixture.register_verified_user("bob1@example.org").await;
    let row = |subject: &str, email: &str| ImportRow {
        subject: subject.into(),
        emails: vec![email.into()],
        ..ImportRow::default()
    };
    let rows = [
        row("1", "bobl@example.org"),
        row("2", "b0b1@example.org"),
        row("3", "BOB1@example.org"),
        row("4", "bobl@EXAMPLE.org"),
        row("5", "ju\u{308}rgen@example.org"),
        row("6", "jürgen@example.org"),
    ];
    let import = &fixture.service().import;
    let dry = import.dry_run(&Admin::command(), &rows, &mut chancery::service::DryRun::default()).await.unwrap();
    let outcomes = import.write(&Admin::command(), &rows).await.unwrap();
    assert_eq!(dry, outcomes);
    let created: Vec<_> = outcomes.iter().map(|outcome| matches!(outcome, ImportOutcome::Created)).collect();
    assert_eq!(created, [true, true, false, false, true, false], "{outcomes:?}");
    for at in [2, 3, 5] {
        let ImportOutcome::Refused(why) = &outcomes[at] else { panic!("{outcomes:?}") };
        assert_eq!((&*why[0].field, why[0].description.as_str()), ("emails", "belongs to another user"));
    }
}

async fn a_user_name_with_an_at_sign_is_told_where_an_address_goes(fixture: &AccountsFixture) {
    let told = |what: &str, error: Error| {
        let Error::Invalid(violations) = error else { panic!("{what}: {error:?}") };
        let name = violations.iter().find(|v| v.field == "name").unwrap_or_else(|| panic!("{what}: {violations:?}"));
        assert!(name.description.contains("an @") && name.description.contains("email"), "{what}: {name:?}");
    };
    let (service, admin) = (fixture.service(), Admin::command());
    for name in ["ada@example.org", "ada@", "ada\u{ff20}example.org"] {
        let new = NewUserRequest { name: name.into(), ..NewUserRequest::default() };
        told("CreateUser", service.users.create(&admin, new).await.unwrap_err());
        let patch = UserPatch { name: Some(name.into()), ..UserPatch::default() };
        told("UpdateUser", service.users.update(&admin, "ada", &patch, None).await.unwrap_err());
        told("Register", fixture.register("new@example.org", name).await.unwrap_err());
        let row = ImportRow { subject: "1".into(), name: Some(name.into()), ..ImportRow::default() };
        let outcomes = service.import.write(&admin, &[row]).await.unwrap();
        let ImportOutcome::Refused(why) = outcomes[0].clone() else { panic!("{outcomes:?}") };
        told("ImportUsers", Error::Invalid(why));
        let me = fixture.me(&fixture.bearer("ada", PASSWORD).await.0).await;
        let patch = MePatch { name: Some(name.into()), ..MePatch::default() };
        told("UpdateMe", service.accounts.update(&service.context(), &me, patch).await.unwrap_err());
        let presented = code("", "00000000");
        let input = chancery::service::VerifyEmailInput {
            name: Some(name.into()),
            ..crate::accounts::verification(&presented)
        };
        told("VerifyEmail", fixture.verify_as(&ClientCredentials::None, input).await.unwrap_err());
    }
}

async fn a_sign_in_with_an_address_that_is_not_proved_says_nothing(fixture: &AccountsFixture) {
    fixture.register("grace@example.org", "grace").await.unwrap();
    for login in ["grace@example.org", "grace", "nobody@example.org", "no address@", "@"] {
        let refused = sign_in(fixture.service(), login_of("shop", login, PASSWORD)).await;
        assert_eq!(reason(refused), Reason::InvalidCredentials, "{login}");
    }
}

/// A user with two addresses, the first of which is not the first by the alphabet.
async fn user_with_two_addresses(fixture: &AccountsFixture) {
    let new = NewUserRequest {
        name: "zoe".into(),
        emails: vec!["zoe@work.example".into(), "alias@home.example".into()],
        ..NewUserRequest::default()
    };
    fixture.service().users.create(&Admin::command(), new).await.unwrap();
}

async fn recipients(fixture: &AccountsFixture) -> Vec<String> {
    fixture.send_mails().await.into_iter().map(|mail| mail.to).collect()
}

async fn a_reset_by_name_is_mailed_to_the_primary_address(fixture: &AccountsFixture) {
    user_with_two_addresses(fixture).await;
    fixture.request_reset("zoe").await;
    assert_eq!(recipients(fixture).await, ["zoe@work.example"]);
    fixture.request_reset("alias@home.example").await;
    assert_eq!(recipients(fixture).await, ["alias@home.example"], "to the address that was typed");
    let reset = UserPasswordReset { user: "zoe", client_id: "shop", keep_current: true };
    fixture.service().users.start_reset(&Admin::command(), reset).await.unwrap();
    let mail = fixture.send_mails().await.remove(0);
    assert_eq!((mail.to.as_str(), mail.kind), ("zoe@work.example", "invitation"));
    let presented = PresentedTicket { ..clicked_link(&mail) };
    fixture.reset(&presented, PASSWORD).await.unwrap();
    assert_eq!(recipients(fixture).await, ["zoe@work.example", "alias@home.example"], "notices go to all");
}

async fn the_primary_address_is_the_first_and_keeps_its_place(fixture: &AccountsFixture) {
    user_with_two_addresses(fixture).await;
    let (service, admin) = (fixture.service(), Admin::command());
    let logins = async || service.users.get(&admin, "zoe").await.unwrap().logins;
    assert_eq!(logins().await, ["zoe", "zoe@work.example", "alias@home.example"]);
    let other_way = vec!["alias@home.example".to_owned(), "zoe@work.example".to_owned()];
    let changed = service.users.update(&admin, "zoe", &patch_of(other_way), None).await.unwrap();
    assert_eq!(changed.logins, ["zoe", "alias@home.example", "zoe@work.example"]);
    fixture.request_reset("zoe").await;
    assert_eq!(recipients(fixture).await, ["alias@home.example"]);
    let row = ImportRow {
        subject: "1".into(),
        name: Some("mia".into()),
        emails: vec!["mia@z.example".into(), "mia@a.example".into()],
        ..ImportRow::default()
    };
    assert_eq!(service.import.write(&admin, &[row]).await.unwrap(), [ImportOutcome::Created]);
    fixture.request_reset("mia").await;
    assert_eq!(recipients(fixture).await, ["mia@z.example"]);
    let found = service.users.list(&admin, &chancery::domain::user::UserFilter::default(), "", 10).await.unwrap();
    let mia = found.iter().find(|view| view.user.subject == "1").unwrap();
    assert_eq!(mia.logins, ["mia", "mia@z.example", "mia@a.example"]);
}
