//! Changes of second factors that are submitted twice, to two processes: one after the other, as by a browser that has
//! missed the first answer, and at once.

use chancery::{service::Admin, time::Ttl, web};

use super::{
    account::{act, send},
    fixture::{SiteFixture, follow},
};
use crate::{
    browser::{Browser, Page, SESSION, borrowed, is_signed_in},
    step_up::Authenticator,
    support::PASSWORD,
};

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        an_app_that_is_confirmed_twice_is_one_factor_with_the_same_codes,
        a_factor_that_is_removed_twice_is_removed,
        new_recovery_codes_that_are_asked_for_twice_are_the_same,
        whoever_comes_too_late_for_the_codes_signs_in_and_finds_the_way_to_new_ones,
    }
}

/// How a form is sent twice.
#[derive(Clone, Copy, Debug)]
enum Twice {
    AfterAnother,
    AtOnce,
}

const BOTH: [Twice; 2] = [Twice::AfterAnother, Twice::AtOnce];

impl Twice {
    /// Sends a form twice with the cookies of one time, to this process and another. Returns the answers, and a browser
    /// that has the last one.
    async fn send(
        self,
        (fixture, browser): (&SiteFixture, &Browser),
        page: &Page,
        action: &'static str,
        filled: &[(&'static str, &str)],
    ) -> ([Page; 2], Browser) {
        let other = fixture.app.second_process().await;
        let routes = web::routes(other.clone());
        let (mut one, mut two) = (browser.through(&fixture.routes), browser.through(&routes));
        let answers = match self {
            Self::AfterAnother => {
                [send(&mut one, page, action, filled).await, send(&mut two, page, action, filled).await]
            }
            Self::AtOnce => {
                let (one, two) =
                    tokio::join!(send(&mut one, page, action, filled), send(&mut two, page, action, filled));
                [one, two]
            }
        };
        other.store().close().await;
        (answers, two.through(&fixture.routes))
    }
}

fn codes(page: &Page) -> Vec<String> {
    let Some((_, rest)) = page.body.split_once("data-copy>") else { panic!("no codes: {} {}", page.status, page.body) };
    rest.split('<').next().unwrap().lines().map(str::to_owned).collect()
}

/// Begins to add an app. Returns the page that shows it, its enrolment, and the app.
async fn begin(browser: &mut Browser) -> (Page, String, Authenticator) {
    let begun = act(browser, "add_totp", &[]).await;
    let page = follow(browser, &begun).await;
    let (_, rest) = page.body.split_once("id=\"secret\"").unwrap();
    let secret = rest.split_once('>').unwrap().1.split('<').next().unwrap().to_owned();
    let enrolment = begun.path().split_once("?e=").unwrap().1.to_owned();
    (page, enrolment, Authenticator::new(&secret))
}

/// A user with an app, in a browser.
async fn with_app(fixture: &SiteFixture, name: &str) -> (Browser, Authenticator) {
    fixture.user(name).await;
    let mut browser = fixture.signed_in(name, PASSWORD).await;
    let (page, enrolment, app) = begin(&mut browser).await;
    let code = app.code(fixture.service().now());
    let added = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", &code)]).await;
    assert_eq!(codes(&added).len(), 10);
    fixture.app.pass(Ttl::from_secs(31)).await;
    (browser, app)
}

async fn factors_of(fixture: &SiteFixture, name: &str) -> i64 {
    fixture.service().users.get(&Admin::command(), name).await.unwrap().user.second_factors
}

async fn an_app_that_is_confirmed_twice_is_one_factor_with_the_same_codes(fixture: &SiteFixture) {
    for (name, twice) in ["grace", "heidi"].into_iter().zip(BOTH) {
        fixture.user(name).await;
        let mut browser = fixture.signed_in(name, PASSWORD).await;
        let (page, enrolment, app) = begin(&mut browser).await;
        let code = app.code(fixture.service().now());
        let typed = [("form", enrolment.as_str()), ("code", code.as_str())];
        let (answers, after) = twice.send((fixture, &browser), &page, "confirm_totp", &typed).await;
        assert_eq!(codes(&answers[0]), codes(&answers[1]), "{twice:?}");
        let cookies = answers.each_ref().map(|answer| answer.cookie(SESSION).map(str::to_owned));
        assert!(cookies[0].is_some() && cookies[0] == cookies[1], "{twice:?}: {cookies:?}");
        // Until the other process is heard of.
        fixture.app.pass(Ttl::from_secs(1)).await;
        assert!(is_signed_in(&after).await && !is_signed_in(&browser).await, "{twice:?}");
        assert_eq!((factors_of(fixture, name).await, fixture.send_mails().await.len()), (1, 1), "{twice:?}");
    }
}

async fn a_factor_that_is_removed_twice_is_removed(fixture: &SiteFixture) {
    for (name, twice) in ["grace", "heidi"].into_iter().zip(BOTH) {
        let (mut browser, _) = with_app(fixture, name).await;
        // Not the last one: its password is checked in turn.
        let (page, enrolment, second) = begin(&mut browser).await;
        let code = second.code(fixture.service().now());
        let added = send(&mut browser, &page, "confirm_totp", &[("form", &enrolment), ("code", &code)]).await;
        assert_eq!(added.path(), "/auth/account?done=factor_added");
        fixture.send_mails().await;
        let page = browser.get("/auth/account").await;
        let id = page.field("factor_id");
        let (answers, _) = twice.send((fixture, &browser), &page, "remove_factor", &[("factor_id", &id)]).await;
        let mut done = answers.map(|answer| answer.path());
        if matches!(twice, Twice::AtOnce) {
            done.sort();
            done.reverse();
        }
        // The other process cannot tell it from one that was never there.
        assert_eq!(done, ["/auth/account?done=factor_removed", "/auth/account?done=factor_gone"], "{twice:?}");
        assert_eq!((factors_of(fixture, name).await, fixture.send_mails().await.len()), (1, 1), "{twice:?}");
    }
}

async fn new_recovery_codes_that_are_asked_for_twice_are_the_same(fixture: &SiteFixture) {
    for (name, twice) in ["grace", "heidi"].into_iter().zip(BOTH) {
        let (mut browser, _) = with_app(fixture, name).await;
        fixture.send_mails().await;
        let page = browser.get("/auth/account").await;
        let form = page.field("form");
        let (answers, _) = twice.send((fixture, &browser), &page, "new_recovery_codes", &[("form", &form)]).await;
        let shown = codes(&answers[0]);
        assert_eq!((shown.len(), &shown), (10, &codes(&answers[1])), "{twice:?}");
        assert_eq!(fixture.send_mails().await.len(), 1, "{twice:?}");
        // They are good.
        let mut elsewhere = fixture.browser();
        let step = elsewhere.sign_in("/basket", name, PASSWORD).await;
        let page = follow(&mut elsewhere, &step).await;
        let fields =
            [("csrf", page.field("csrf")), ("revision", page.field("revision")), ("recovery_code", shown[0].clone())];
        let done = elsewhere.post(&step.path(), &borrowed(&fields)).await;
        assert_eq!(done.path(), "/basket", "{twice:?}");
        // Once one is used, the same form is another wish, and no code that was used comes back.
        let page = browser.get("/auth/account").await;
        let later = send(&mut browser, &page, "new_recovery_codes", &[("form", &form)]).await;
        assert!(codes(&later).iter().all(|code| !shown.contains(code)), "{twice:?}");
    }
}

async fn whoever_comes_too_late_for_the_codes_signs_in_and_finds_the_way_to_new_ones(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let (page, enrolment, app) = begin(&mut browser).await;
    let code = app.code(fixture.service().now());
    let typed = [("form", enrolment.as_str()), ("code", code.as_str())];
    send(&mut browser.clone(), &page, "confirm_totp", &typed).await;
    fixture.app.pass(Ttl::from_secs(90)).await;
    let late = send(&mut browser, &page, "confirm_totp", &typed).await;
    assert!(late.path().starts_with("/auth/login"), "{}", late.body);
    let step = browser.sign_in("/", "grace", PASSWORD).await;
    let page = follow(&mut browser, &step).await;
    let code = app.code(fixture.service().now());
    let fields = [("csrf", page.field("csrf")), ("revision", page.field("revision")), ("code", code)];
    browser.post(&step.path(), &borrowed(&fields)).await;
    let page = browser.get("/auth/account").await;
    assert!(page.body.contains("Codes are shown when they are made, and not again"), "{}", page.body);
    let form = page.field("form");
    assert_eq!(codes(&send(&mut browser, &page, "new_recovery_codes", &[("form", &form)]).await).len(), 10);
}
