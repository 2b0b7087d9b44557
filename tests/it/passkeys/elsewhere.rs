//! Passkeys of another host: what their user is told where they do not work.

use chancery::{
    domain::factor::FactorKind,
    secret::{RecoveryCodeHash, TypedCode},
    service::{Admin, Challenge, ClientCredentials, NewClientRequest, SignInStep, SignedIn},
};
use serde_json::json;

use super::fixture::{give_passkey, right};
use crate::{
    browser::{Browser, browser_routes, site_client},
    page_json::{get, sign_in},
    support::{App, PASSWORD, login_of},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_step_says_where_the_passkeys_work_when_none_does_here,
        a_page_that_can_take_nothing_says_so_and_names_the_ways_out,
        whoever_sets_up_a_passkey_is_told_that_it_works_at_one_host_alone,
    }
}

/// Gives Ada a passkey of another host than that of the site.
async fn of_another_host(app: &App) {
    give_passkey(app, "ada", &right()).await;
    app.sql("UPDATE passkeys SET rp_id = 'id.example'").await;
}

async fn with_recovery_code(app: &App) {
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let code = TypedCode::new("00000-00000-00000-00000-00001".into());
    let hash: RecoveryCodeHash = chancery::domain::recovery::hash_of(&user.id, &code).unwrap();
    let mut tx = app.service.store().write().await.unwrap();
    tx.recovery_codes_replace(&user.id, &[hash], app.service.now()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn challenged(app: &App, client: &str) -> Challenge {
    let login = login_of(client, "ada", PASSWORD);
    match app.service.sign_ins.sign_in(&app.service.context(), &ClientCredentials::None, login).await.unwrap() {
        SignedIn::Challenge(challenge) => challenge,
        SignedIn::Tokens(_) => panic!("signed in with the password alone"),
    }
}

async fn a_step_says_where_the_passkeys_work_when_none_does_here(app: &App) {
    drop(browser_routes(app).await);
    give_passkey(app, "ada", &right()).await;
    let here = challenged(app, "shop").await;
    assert_eq!((&here.factors[..], here.passkey_hosts.len()), (&[FactorKind::Passkey][..], 0));
    // `app` has no site at all.
    let elsewhere = challenged(app, "app").await;
    assert_eq!((elsewhere.step, elsewhere.factors.len()), (SignInStep::Mfa, 0));
    assert_eq!(elsewhere.passkey_hosts, ["localhost"]);
    app.sql("UPDATE passkeys SET rp_id = 'id.example'").await;
    with_recovery_code(app).await;
    let other = challenged(app, "shop").await;
    assert_eq!((&other.factors[..], other.passkey_options), (&[FactorKind::RecoveryCode][..], None));
    assert_eq!(other.passkey_hosts, ["id.example"]);
    // With one of each host, the other is of no interest.
    give_passkey(app, "ada", &right()).await;
    let both = challenged(app, "shop").await;
    assert!(both.factors.contains(&FactorKind::Passkey) && both.passkey_hosts.is_empty(), "{both:?}");
}

async fn a_page_that_can_take_nothing_says_so_and_names_the_ways_out(app: &App) {
    let routes = browser_routes(app).await;
    of_another_host(app).await;
    let mut browser = Browser::new(&routes);
    let step = sign_in(&mut browser, "/", "ada", PASSWORD).await;
    assert_eq!((step.name(), &step.json["passkey_hosts"]), ("mfa", &json!(["id.example"])), "{}", step.json);
    assert!(step.json["url"].is_null() && step.json["links"]["home"].is_string(), "{}", step.json);
    let path = browser.sign_in("/", "ada", PASSWORD).await.path();
    let page = browser.get(&path).await;
    assert!(page.body.contains("None of your second factors can be used here"), "{}", page.body);
    assert!(page.body.contains("id.example") && page.body.contains("remove your second factor"), "{}", page.body);
    assert!(!page.is_step() && !page.body.contains("recovery_code"), "{}", page.body);
    with_recovery_code(app).await;
    let path = browser.sign_in("/", "ada", PASSWORD).await.path();
    let page = browser.get(&path).await;
    assert!(page.body.contains("id=\"recovery_code\"") && page.body.contains("id.example"), "{}", page.body);
    assert!(!page.body.contains("None of your second factors"), "{}", page.body);
}

async fn whoever_sets_up_a_passkey_is_told_that_it_works_at_one_host_alone(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    sign_in(&mut browser, "/", "ada", PASSWORD).await;
    assert!(get(&mut browser, "/auth/account").await.json["passkey_host"].is_null(), "there is no other");
    assert!(!browser.get("/auth/account").await.body.contains("A passkey works at"));
    let other = NewClientRequest { site: "https://warehouse.example/auth".into(), ..site_client("warehouse") };
    app.service.clients.create(&Admin::command(), other).await.unwrap();
    assert_eq!(get(&mut browser, "/auth/account").await.json["passkey_host"], "localhost");
    let page = browser.get("/auth/account").await;
    assert!(
        page.body.contains("A passkey works at \u{2068}localhost")
            || page.body.contains("A passkey works at localhost"),
        "{}",
        page.body
    );
    let step = get(&mut browser, "/auth/login?return_to=/x&acr=2").await;
    assert_eq!((step.name(), &step.json["passkey_host"]), ("enrol", &json!("localhost")), "{}", step.json);
}
