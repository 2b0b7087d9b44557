//! For whom the tokens of browsers are: the client's present audiences, but never the issuer.

use chancery::service::{Admin, ClientPatch, NewClientRequest};

use super::{Check, SITE, session, session_with, shop};
use crate::support::{App, ISSUER, claims, first_party};

on_each_engine! {
    #[tokio::test]
    App => {
        no_token_is_for_the_issuer,
        a_session_follows_its_client_to_other_audiences,
        a_site_whose_client_has_no_audience_answers_as_a_fault_of_the_server,
    }
}

async fn update(app: &App, audiences: &[&str]) {
    let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
    let patch = ClientPatch { audiences: Some(audiences), ..Default::default() };
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
}

async fn no_token_is_for_the_issuer(app: &App) {
    let request = NewClientRequest { site: format!("{SITE}/auth"), ..first_party("shop", &[ISSUER, "api"]) };
    app.service.clients.create(&Admin::command(), request).await.unwrap();
    let both = [ISSUER, "api"].map(|name| name.parse().unwrap());
    let browser = session_with(app, |session| session.audiences = both.to_vec()).await;
    let check = Check::of(&app.service);
    let answer = check.visit("", &browser).await;
    assert_eq!(claims(answer.header("x-chancery-token"))["aud"], "api");
    for query in [format!("?audience={ISSUER}"), "?audience=nobody".to_owned(), "?audience=other".to_owned()] {
        let answer = check.visit(&query, &browser).await;
        assert_eq!(answer.problem(), (400, "INVALID_ARGUMENT".into()), "{query}");
        assert!(answer.detail().starts_with("audience"), "{}", answer.detail());
    }
}

async fn a_session_follows_its_client_to_other_audiences(app: &App) {
    shop(app).await;
    let (browser, check) = (session(app).await, Check::of(&app.service));
    let aud = |answer: super::Answer| claims(answer.header("x-chancery-token"))["aud"].clone();
    assert_eq!(aud(check.visit("", &browser).await), "api");
    update(app, &["new-api", "other"]).await;
    assert_eq!(aud(check.visit("", &browser).await), "new-api", "whoever is signed in stays signed in");
    assert_eq!(aud(check.visit("?audience=other", &browser).await), "other");
    let answer = check.visit("?audience=api", &browser).await;
    assert_eq!(answer.problem(), (400, "INVALID_ARGUMENT".into()), "the client has lost it");
}

async fn a_site_whose_client_has_no_audience_answers_as_a_fault_of_the_server(app: &App) {
    let request = NewClientRequest { site: format!("{SITE}/auth"), ..first_party("shop", &[]) };
    app.service.clients.create(&Admin::command(), request).await.unwrap();
    let (browser, check) = (session(app).await, Check::of(&app.service));
    for query in ["", "?optional"] {
        let answer = check.visit(query, &browser).await;
        assert_eq!(answer.problem(), (500, "AUDIENCE_MISSING".into()), "a proxy can do nothing about it");
        assert!(answer.detail().contains("the client shop has no audience"), "{}", answer.detail());
    }
    assert!(check.counted("no_audience") && !check.counted("internal"));
    update(app, &["api"]).await;
    assert_eq!(check.visit("", &browser).await.status, 200, "no new sign-in is needed");
}
