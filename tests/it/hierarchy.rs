//! Limits by the hierarchy of IPv6: who has a /56, a /48 or a /32 does not count as many.

use chancery::{
    error::{Error, Reason, Result},
    secret::DeviceToken,
    service::{Admin, ClientCredentials, RequestContext, Service, SignInRequest, TokenPair},
};

use crate::{
    accounts::{AccountsFixture, reset_request},
    support::{App, PASSWORD, login_of, tokens},
};

on_each_engine! {
    #[tokio::test]
    App => {
        p05_the_networks_of_one_site_share_a_count,
        p05_the_sites_of_one_provider_share_a_count_which_one_site_does_not_fill,
        p05_known_devices_are_not_limited_by_their_site_or_provider,
        p05_turning_the_count_of_networks_off_turns_those_of_sites_and_providers_off,
        a_sign_in_from_an_ipv6_address_takes_one_statement_more_than_one_without_an_address,
    }
    #[tokio::test]
    AccountsFixture => {
        a45_the_networks_of_a_site_and_the_sites_of_a_provider_do_not_fill_an_inbox,
    }
}

fn from(service: &Service, peer: &str) -> RequestContext {
    RequestContext { peer: peer.into(), ..service.context() }
}

async fn sign_in_from(service: &Service, peer: &str, request: SignInRequest) -> Result<TokenPair> {
    tokens(service.sign_ins.sign_in(&from(service, peer), &ClientCredentials::None, request).await)
}

/// Guesses a password of an account that nobody else has tried. Returns what refused it.
async fn guess(app: &App, peer: &str) -> Option<&'static str> {
    let login = format!("nobody at {}", peer.replace(':', " "));
    match sign_in_from(&app.service, peer, login_of("app", &login, "no password of anybody")).await {
        Err(Error::Unauthenticated(Reason::InvalidCredentials)) => None,
        Err(Error::TooManyAttempts { by, .. }) => Some(by),
        other => panic!("{other:?}"),
    }
}

/// How many guesses from new addresses were looked at, and what refused the next one.
async fn guess_until_refused(app: &App, address: impl Fn(usize) -> String) -> (usize, &'static str) {
    for n in 0..1000 {
        if let Some(by) = guess(app, &address(n)).await {
            return (n, by);
        }
    }
    panic!("never refused");
}

async fn set(service: &Service, name: &str, value: &str) {
    service.instance.set(&Admin::command(), name, value).await.unwrap();
}

async fn p05_the_networks_of_one_site_share_a_count(app: &App) {
    set(&app.service, "network_failures", "5").await;
    let same_network = guess_until_refused(app, |n| format!("2001:db8:1:{n:x}::1")).await;
    assert_eq!(same_network, (5, "network"), "the /64 of one /56");
    let same_site = guess_until_refused(app, |n| format!("2001:db8:1:{:x}00::1", n + 1)).await;
    assert_eq!(same_site, (5, "site"), "two networks together, though there are 256");
    assert_eq!(guess(app, "2001:db8:1:ff00::1").await, Some("site"));
    assert_eq!(guess(app, "2001:db8:2::1").await, None, "a neighbour");
}

async fn p05_the_sites_of_one_provider_share_a_count_which_one_site_does_not_fill(app: &App) {
    set(&app.service, "network_failures", "2").await;
    let site = |site: usize| move |n: usize| format!("2001:db8:{site:x}:{n:x}00::1");
    for n in 0..7 {
        assert_eq!(guess_until_refused(app, site(n)).await, (4, "site"));
        let neighbour = format!("2001:db8:ffff:{n:x}00::1");
        let signed_in = sign_in_from(&app.service, &neighbour, login_of("app", "ada", PASSWORD)).await;
        assert!(signed_in.is_ok(), "{n}: {signed_in:?}");
    }
    assert_eq!(guess_until_refused(app, site(7)).await, (4, "site"));
    assert_eq!(guess(app, "2001:db8:8::1").await, Some("provider"), "eight sites fill it");
    for elsewhere in ["2001:db9::1", "192.0.2.1"] {
        assert_eq!(guess(app, elsewhere).await, None, "{elsewhere}");
    }
}

async fn p05_known_devices_are_not_limited_by_their_site_or_provider(app: &App) {
    let device = app.sign_in().await.device.unwrap();
    set(&app.service, "network_failures", "1").await;
    for n in 0..20 {
        guess(app, &format!("2001:db8:{n:x}::1")).await;
        guess(app, &format!("2001:db8:0:{n:x}00::1")).await;
    }
    let with = |device: &str| SignInRequest {
        device_token: DeviceToken::new(device.to_owned()),
        ..login_of("app", "ada", PASSWORD)
    };
    let here = "2001:db8::1";
    let stranger = sign_in_from(&app.service, here, with("")).await;
    assert!(matches!(stranger, Err(Error::TooManyAttempts { .. })), "{stranger:?}");
    assert!(sign_in_from(&app.service, here, with(device.expose())).await.is_ok());
}

async fn p05_turning_the_count_of_networks_off_turns_those_of_sites_and_providers_off(app: &App) {
    set(&app.service, "network_failures", "0").await;
    for n in 0..40 {
        assert_eq!(guess(app, &format!("2001:db8:1:{n:x}00::1")).await, None);
    }
}

async fn a_sign_in_from_an_ipv6_address_takes_one_statement_more_than_one_without_an_address(app: &App) {
    app.sign_in().await;
    let store = app.service.store();
    let mut taken = Vec::new();
    for peer in ["", "192.0.2.1", "2001:db8:1:203::1"] {
        let before = store.statements();
        sign_in_from(&app.service, peer, login_of("app", "ada", PASSWORD)).await.unwrap();
        taken.push(store.statements() - before);
    }
    assert_eq!(taken, [9, 10, 10]);
    let adr = include_str!("../../docs/adr/0011-attempts-are-counted-first.md");
    assert!(adr.contains("nine statements") && adr.contains("ten with an address"));
}

async fn a45_the_networks_of_a_site_and_the_sites_of_a_provider_do_not_fill_an_inbox(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    fixture.send_mails().await;
    let service = fixture.service();
    set(service, "network_failures", "1000").await;
    let ask = async |peer: String| {
        let request = reset_request("grace@example.com");
        let ctx = from(service, &peer);
        match service.accounts.request_password_reset(&ctx, &ClientCredentials::None, request).await {
            Ok(_) => None,
            Err(Error::TooManyAttempts { by, .. }) => Some(by),
            Err(other) => panic!("{other:?}"),
        }
    };
    for site in 0..8 {
        for network in 0..10 {
            assert_eq!(ask(format!("2001:db8:{site:x}:{network:x}00::1")).await, None, "{site} {network}");
        }
        assert_eq!(ask(format!("2001:db8:{site:x}:ff00::1")).await, Some("mail_site"));
    }
    assert_eq!(ask("2001:db8:ffff::1".into()).await, Some("mail_provider"));
    assert_eq!(ask("192.0.2.1".into()).await, None, "the owner, elsewhere");
}
