//! Passkeys of signed-in users over the API.

use chancery::{
    domain::factor::FactorKind,
    error::{Error, Reason},
    secret::PasskeyResponse,
    service::{Admin, ClientPatch, NewFactor},
    time::Ttl,
};
use serde_json::Value;

use super::{
    authenticator::{Alg, Authenticator},
    fixture::right,
};
use crate::{
    accounts::{AccountsFixture, reason},
    browser::ORIGIN,
    factors::grace,
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p20_a_passkey_is_added_mailed_listed_and_removed,
        a_client_without_a_site_makes_no_passkeys,
    }
}

async fn with_site(f: &AccountsFixture) {
    let patch = ClientPatch { site: Some(format!("{ORIGIN}/auth")), ..ClientPatch::default() };
    f.service().clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
}

async fn p20_a_passkey_is_added_mailed_listed_and_removed(f: &AccountsFixture) {
    with_site(f).await;
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let (other, _) = f.bearer("grace", PASSWORD).await;
    let (accounts, ctx) = (&f.service().accounts, f.service().context());
    let me = f.me(&bearer).await;
    let begun = accounts.start_passkey(&ctx, &me, "My phone").await.unwrap();
    let options: Value = serde_json::from_str(&begun.options_json).unwrap();
    assert_eq!((options["rp"]["id"].as_str(), options["user"]["name"].as_str()), (Some("localhost"), Some("grace")));
    let response = Authenticator::new(Alg::Es256).create(&options, &right()).to_string();
    let response = PasskeyResponse::new(response);
    let added = accounts.finish_passkey(&ctx, &me, &begun.enrolment, &response).await.unwrap();
    assert_eq!((added.factor.kind, added.factor.name.as_str()), (FactorKind::Passkey, "My phone"));
    assert_eq!(added.recovery_codes.len(), 10);
    let mails = f.send_mails().await;
    assert!(mails.iter().any(|mail| mail.to == "grace@example.com"), "{mails:?}");
    assert!(crate::support::admit_me(f.service(), &other).await.is_err(), "S11: other sessions end");
    // The same call, as after a lost answer: the same answer, and nothing else is done.
    let codes =
        |added: &NewFactor| added.recovery_codes.iter().map(|code| code.expose().to_owned()).collect::<Vec<_>>();
    let again = accounts.finish_passkey(&ctx, &me, &begun.enrolment, &response).await.unwrap();
    assert_eq!((codes(&again), &again.factor), (codes(&added), &added.factor));
    assert!(f.send_mails().await.is_empty());
    // S09: who has a second factor changes none without it.
    let another = Authenticator::new(Alg::Es256).create(&options, &right()).to_string();
    let another = accounts.finish_passkey(&ctx, &me, &begun.enrolment, &PasskeyResponse::new(another)).await;
    assert_eq!(reason(another), Reason::SignInTooOld);
    let own = accounts.factors(&me).await.unwrap();
    assert_eq!((own.factors, own.recovery_codes_left), (vec![added.factor.clone()], 10));
    assert_eq!(reason(accounts.start_passkey(&ctx, &me, "").await), Reason::SignInTooOld);
    f.app.pass(Ttl::from_secs(60)).await;
    let removed = f.service().users.remove_factor(&Admin::command(), "grace", Some(added.factor.id.as_str())).await;
    assert_eq!(removed.unwrap(), 1);
    let user = f.service().users.get(&Admin::command(), "grace").await.unwrap().user;
    assert!(f.service().store().read().await.unwrap().passkeys_of(&user.id).await.unwrap().is_empty());
}

async fn a_client_without_a_site_makes_no_passkeys(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let me = f.me(&bearer).await;
    let refused = f.service().accounts.start_passkey(&f.service().context(), &me, "").await.unwrap_err();
    assert!(matches!(&refused, Error::Precondition(text) if text.contains("site")), "{refused:?}");
}
