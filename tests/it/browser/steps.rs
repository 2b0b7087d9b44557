//! The state "step" of a sign-in: a new password that must be chosen, an address that must be verified.

use axum::http::StatusCode;
use chancery::{
    secret::Password,
    service::{Admin, NewClientRequest, NewUserRequest},
    time::Ttl,
    web,
};

use super::{
    Browser, Page,
    client::{SESSION, VISITOR, last_code},
    is_signed_in, site_client,
};
use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        step_reload_shows_the_current_step,
        step_back_leads_to_the_current_step_with_a_notice,
        step_second_tab_has_a_row_of_its_own,
        step_too_late_asks_again_in_the_same_flow_with_the_name_filled_in,
        step_takes_half_an_hour_in_all,
        step_in_the_wrong_browser_shows_nothing_of_the_flow,
        all_steps_lead_to_the_path_that_was_asked_for,
        what_cannot_be_taken_leaves_the_step_as_it_is,
        a_wrong_code_is_said_and_a_mistyped_address_can_be_changed,
        the_last_step_again_within_a_minute_gets_the_same_cookie,
        two_hundred_submissions_of_one_step_take_it_once,
        the_last_step_again_after_a_cut_connection_or_elsewhere_is_finished,
        one_form_leads_to_one_step_however_often_it_is_sent,
        a_step_ends_when_the_account_changes,
        a_user_who_has_signed_in_meanwhile_goes_onward,
    }
}

const TEMPORARY: &str = "temporary pass phrase";
const CHOSEN: &str = "chosen pass phrase of ada";

/// A browser that has given a temporary password at a client that wants an address, at its first step.
async fn at_first_step(app: &App) -> (Browser, String) {
    let user = NewUserRequest {
        name: "grace".into(),
        password: Some(Password::new(TEMPORARY.into())),
        ..NewUserRequest::default()
    };
    app.service.users.create(&Admin::command(), user).await.unwrap();
    app.service.users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let client = NewClientRequest { require_email: true, ..site_client("shop") };
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut browser = Browser::new(&web::routes(app.service.clone()));
    let step = begin(&mut browser, "/basket").await;
    (browser, step)
}

async fn begin(browser: &mut Browser, return_to: &str) -> String {
    begin_with(browser, return_to, TEMPORARY).await
}

async fn begin_with(browser: &mut Browser, return_to: &str, password: &str) -> String {
    let step = browser.sign_in(return_to, "grace", password).await;
    assert_eq!(step.status, StatusCode::SEE_OTHER, "{}", step.body);
    let path = step.path();
    assert!(path.starts_with("/auth/step/tkt_"), "{path}");
    path
}

/// Fills in the current step.
async fn take(browser: &mut Browser, path: &str, name: &str, value: &str) -> Page {
    let page = browser.get(path).await;
    fill(browser, path, &page, name, value).await
}

async fn fill(browser: &mut Browser, path: &str, page: &Page, name: &str, value: &str) -> Page {
    let (csrf, revision) = (page.field("csrf"), page.field("revision"));
    browser.post(path, &[("csrf", &csrf), ("revision", &revision), (name, value)]).await
}

async fn step_reload_shows_the_current_step(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    for _ in 0..2 {
        let page = browser.get(&path).await;
        assert!(page.is_step() && page.body.contains("id=\"new_password\""), "{}", page.body);
    }
    take(&mut browser, &path, "new_password", CHOSEN).await;
    for _ in 0..2 {
        assert!(browser.get(&path).await.body.contains("id=\"email\""));
    }
}

async fn step_back_leads_to_the_current_step_with_a_notice(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    let old = browser.get(&path).await;
    assert_eq!(fill(&mut browser, &path, &old, "new_password", CHOSEN).await.status, StatusCode::SEE_OTHER);
    // Back, and another password: the step has been taken.
    let stale = fill(&mut browser, &path, &old, "new_password", "another pass phrase, too late").await;
    assert_eq!(stale.status, StatusCode::SEE_OTHER);
    assert!(stale.path().contains("notice=moved"), "{}", stale.path());
    let page = browser.get(&stale.path()).await;
    assert!(page.body.contains("id=\"email\"") && page.body.contains("role=\"status\""), "{}", page.body);
    // The same once more is a repeated request, of which there is nothing to say.
    let repeated = fill(&mut browser, &path, &old, "new_password", CHOSEN).await;
    assert!(repeated.status == StatusCode::SEE_OTHER && !repeated.path().contains("notice"), "{}", repeated.path());
}

async fn step_second_tab_has_a_row_of_its_own(app: &App) {
    let (mut browser, first) = at_first_step(app).await;
    let second = begin(&mut browser, "/other").await;
    assert_ne!(first, second);
    let shown = browser.get(&first).await;
    take(&mut browser, &second, "new_password", CHOSEN).await;
    // The password was changed in the other tab: this one has to begin again, at its own path.
    let page = fill(&mut browser, &first, &shown, "new_password", "another pass phrase, too late").await;
    for asked in [browser.get(&page.path()).await, browser.get(&first).await] {
        assert!(asked.is_login() && asked.field("username") == "grace", "{}", asked.body);
    }
    assert!(browser.get(&second).await.body.contains("id=\"email\""));
}

async fn step_too_late_asks_again_in_the_same_flow_with_the_name_filled_in(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    let page = browser.get(&path).await;
    app.pass(Ttl::from_secs(601)).await;
    let late = fill(&mut browser, &path, &page, "new_password", CHOSEN).await;
    assert_eq!(late.status, StatusCode::SEE_OTHER);
    for asked in [browser.get(&path).await, browser.get(&late.path()).await] {
        assert!(asked.is_login() && !asked.is_step(), "{}", asked.body);
        assert_eq!(asked.field("username"), "grace");
        assert!(asked.body.contains("role=\"status\""), "it says why: {}", asked.body);
    }
    let asked = browser.get(&path).await;
    let r = path.split("r=").nth(1).unwrap();
    let step = browser.sign_in_on(&format!("/auth/login?r={r}"), &asked, "grace", TEMPORARY).await;
    assert!(step.path().starts_with("/auth/step/") && step.path().ends_with(r), "{}", step.path());
}

async fn step_takes_half_an_hour_in_all(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    take(&mut browser, &path, "new_password", CHOSEN).await;
    for minutes in [9, 9, 9] {
        app.pass(Ttl::from_secs(minutes * 60)).await;
        let sent = take(&mut browser, &path, "email", "grace@example.com").await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        let other = browser.get(&path).await;
        let fields = [("csrf", other.field("csrf")), ("revision", other.field("revision"))];
        let fields: Vec<_> =
            fields.iter().map(|(n, v)| (*n, v.as_str())).chain([("action", "other_address")]).collect();
        assert_eq!(browser.post(&path, &fields).await.status, StatusCode::SEE_OTHER);
    }
    assert!(browser.get(&path).await.is_step());
    app.pass(Ttl::from_secs(240)).await;
    assert!(browser.get(&path).await.is_login(), "31 minutes are over");
}

async fn step_in_the_wrong_browser_shows_nothing_of_the_flow(app: &App) {
    let (browser, path) = at_first_step(app).await;
    let id = path.split('?').next().unwrap();
    let mut stranger = browser.clone();
    stranger.cookies.clear();
    let mut other_visitor = stranger.clone();
    other_visitor.open_login("/x").await;
    for stranger in [&mut stranger, &mut other_visitor] {
        for url in [path.as_str(), id] {
            let page = stranger.get(url).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
            assert!(page.path().starts_with("/auth/login"), "{}", page.path());
            let mut end = page;
            while end.status == StatusCode::SEE_OTHER {
                end = stranger.get(&end.path()).await;
            }
            assert!(end.is_login() && !end.body.contains("grace"), "{}", end.body);
        }
        let taken = stranger.post(id, &[("csrf", "x"), ("revision", "0"), ("new_password", CHOSEN)]).await;
        assert!(taken.status == StatusCode::SEE_OTHER && taken.path().starts_with("/auth/login"));
    }
    // The step waits for its own browser.
    assert!(browser.clone().get(&path).await.is_step());
}

/// Takes the steps of [`at_first_step`] up to the code. Returns the answer to the code.
async fn to_the_end(app: &App, browser: &mut Browser, path: &str) -> Page {
    take(browser, path, "new_password", CHOSEN).await;
    take(browser, path, "email", "grace@example.com").await;
    let code = last_code(app).await;
    take(browser, path, "code", &code).await
}

async fn all_steps_lead_to_the_path_that_was_asked_for(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    let done = to_the_end(app, &mut browser, &path).await;
    assert_eq!((done.status, done.path().as_str()), (StatusCode::SEE_OTHER, "/basket"));
    assert!(done.cookie(SESSION).is_some() && is_signed_in(&browser).await);
    // Reload and back: onward, no form.
    assert_eq!(browser.get(&path).await.path(), "/basket");
    browser.cookies.remove(SESSION);
    assert_eq!(browser.sign_in("/again", "grace@example.com", CHOSEN).await.path(), "/again");
}

async fn what_cannot_be_taken_leaves_the_step_as_it_is(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    let page = browser.get(&path).await;
    for bad in ["", "short", TEMPORARY] {
        let refused = fill(&mut browser, &path, &page, "new_password", bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", refused.body);
        assert!(refused.is_step() && refused.body.contains("aria-invalid=\"true\""), "{bad}: {}", refused.body);
        assert!(bad.is_empty() || !refused.body.contains(&format!("value=\"{bad}\"")), "{bad}");
        assert_eq!(refused.field("revision"), "0");
    }
    let without_token = browser.post(&path, &[("csrf", "x"), ("revision", "0"), ("new_password", CHOSEN)]).await;
    assert_eq!((without_token.status, without_token.is_step()), (StatusCode::UNPROCESSABLE_ENTITY, true));
    assert_eq!(fill(&mut browser, &path, &page, "new_password", CHOSEN).await.status, StatusCode::SEE_OTHER);
}

async fn a_wrong_code_is_said_and_a_mistyped_address_can_be_changed(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    take(&mut browser, &path, "new_password", CHOSEN).await;
    let bad = take(&mut browser, &path, "email", "not an address").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bad.field("email"), "not an address");
    take(&mut browser, &path, "email", "grcae@example.com").await;
    let mistyped = last_code(app).await;
    let page = browser.get(&path).await;
    let fields = [("csrf", page.field("csrf")), ("revision", page.field("revision"))];
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).chain([("action", "other_address")]).collect();
    assert_eq!(browser.post(&path, &fields).await.status, StatusCode::SEE_OTHER);
    take(&mut browser, &path, "email", "grace@example.com").await;
    let right = last_code(app).await;
    assert_ne!(mistyped, right);
    let wrong = take(&mut browser, &path, "code", &mistyped).await;
    assert_eq!((wrong.status, wrong.is_step()), (StatusCode::UNPROCESSABLE_ENTITY, true), "{}", wrong.body);
    let page = browser.get(&path).await;
    let fields = [("csrf", page.field("csrf")), ("revision", page.field("revision"))];
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).chain([("action", "resend")]).collect();
    let resent = browser.post(&path, &fields).await;
    assert!(resent.path().contains("notice=resent"), "{}", resent.path());
    let old = take(&mut browser, &path, "code", &right).await;
    assert_eq!(old.status, StatusCode::UNPROCESSABLE_ENTITY, "only the last code counts");
    let newest = last_code(app).await;
    assert_eq!(take(&mut browser, &path, "code", &newest).await.path(), "/basket");
}

async fn the_last_step_again_within_a_minute_gets_the_same_cookie(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    take(&mut browser, &path, "new_password", CHOSEN).await;
    take(&mut browser, &path, "email", "grace@example.com").await;
    let code = last_code(app).await;
    let page = browser.get(&path).await;
    // The answer is lost.
    let mut unlucky = browser.clone();
    let first = fill(&mut browser, &path, &page, "code", &code).await;
    let again = fill(&mut unlucky, &path, &page, "code", &code).await;
    assert_eq!(again.path(), "/basket");
    assert_eq!(again.cookie(SESSION), first.cookie(SESSION));
    // Not another visitor, not with something else, never by GET, and not for long.
    let mut thief = unlucky.clone();
    thief.cookies.clear();
    thief.open_login("/x").await;
    let theirs = thief.cookies[VISITOR].clone();
    let mut other = unlucky.clone();
    other.cookies.remove(SESSION);
    assert!(fill(&mut other, &path, &page, "code", "00000000").await.cookie(SESSION).is_none());
    assert!(other.get(&path).await.cookie(SESSION).is_none());
    app.pass(Ttl::from_secs(61)).await;
    assert!(fill(&mut other, &path, &page, "code", &code).await.cookie(SESSION).is_none());
    assert_ne!(theirs, unlucky.cookies[VISITOR]);
}

async fn two_hundred_submissions_of_one_step_take_it_once(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    take(&mut browser, &path, "new_password", CHOSEN).await;
    let page = browser.get(&path).await;
    let sends = (0..200).map(|_| {
        let (mut browser, page, path) = (browser.clone(), &page, &path);
        async move { fill(&mut browser, path, page, "email", "grace@example.com").await }
    });
    for answer in futures_util::future::join_all(sends).await {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert!(!answer.path().contains("notice"), "{}", answer.path());
    }
    let code = last_code(app).await;
    let page = browser.get(&path).await;
    let sends = (0..200).map(|_| {
        let (mut browser, page, path, code) = (browser.clone(), &page, &path, &code);
        async move { fill(&mut browser, path, page, "code", code).await }
    });
    let answers = futures_util::future::join_all(sends).await;
    let cookies: std::collections::BTreeSet<_> =
        answers.iter().map(|a| a.cookie(SESSION).unwrap().to_owned()).collect();
    assert_eq!(cookies.len(), 1, "one session");
    assert!(answers.iter().all(|answer| answer.path() == "/basket"));
}

async fn a_step_ends_when_the_account_changes(app: &App) {
    let (mut browser, path) = at_first_step(app).await;
    let page = browser.get(&path).await;
    app.service.users.disable(&Admin::command(), "grace").await.unwrap();
    let over = fill(&mut browser, &path, &page, "new_password", CHOSEN).await;
    assert!(over.cookie(SESSION).is_none());
    assert!(browser.get(&over.path()).await.cookie(SESSION).is_none());
    assert!(!is_signed_in(&browser).await);
}

async fn a_user_who_has_signed_in_meanwhile_goes_onward(app: &App) {
    let (mut browser, first) = at_first_step(app).await;
    let page = browser.get(&first).await;
    let second = begin(&mut browser, "/other").await;
    assert_eq!(to_the_end(app, &mut browser, &second).await.path(), "/other");
    assert_eq!(browser.get(&first).await.path(), "/basket");
    assert_eq!(fill(&mut browser, &first, &page, "new_password", "another pass phrase").await.path(), "/basket");
}

/// The request is cut off somewhere between its first statement and its last, and the browser sends it again, here or
/// at another process.
async fn the_last_step_again_after_a_cut_connection_or_elsewhere_is_finished(app: &App) {
    at_first_step(app).await;
    app.service.clients.create(&Admin::command(), plain_client()).await.unwrap();
    let second = app.second_process().await;
    let there = web::routes(second.clone());
    let here = Browser::at(&web::routes(app.service.clone()), "http://localhost:8001");
    for round in 0..24_u32 {
        let temporary = Password::new(format!("{TEMPORARY} {round}"));
        app.service.users.set_password(&Admin::command(), "grace", temporary).await.unwrap();
        app.service.users.require_new_password(&Admin::command(), "grace").await.unwrap();
        let mut browser = here.clone();
        let path = begin_at_8001(&mut browser, &format!("{TEMPORARY} {round}")).await;
        let page = browser.get(&path).await;
        let chosen = format!("{CHOSEN} {round}");
        let mut cut = browser.clone();
        {
            let mut first = Box::pin(fill(&mut cut, &path, &page, "new_password", &chosen));
            // However far it comes by then.
            for _ in 0..round * 3 {
                if futures_util::poll!(&mut first).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let mut again = if round % 2 == 0 { browser.clone() } else { browser.through(&there) };
        let done = fill(&mut again, &path, &page, "new_password", &chosen).await;
        assert_eq!(done.location(), "http://localhost:8001/basket", "round {round}");
        assert!(done.cookie("chancery-session-8001").is_some(), "round {round}");
    }
    second.store().close().await;
}

/// A client whose users have nothing to do but to choose a password.
fn plain_client() -> NewClientRequest {
    NewClientRequest { site: "http://localhost:8001/auth".into(), ..site_client("plain") }
}

async fn begin_at_8001(browser: &mut Browser, password: &str) -> String {
    let strip = |page: &Page| page.location().strip_prefix("http://localhost:8001").unwrap().to_owned();
    let path = strip(&browser.get("/auth/login?return_to=/basket").await);
    let page = browser.get(&path).await;
    let step = browser.sign_in_on(&path, &page, "grace", password).await;
    let path = strip(&step);
    assert!(path.starts_with("/auth/step/tkt_"), "{path}");
    path
}

async fn one_form_leads_to_one_step_however_often_it_is_sent(app: &App) {
    let (mut browser, _) = at_first_step(app).await;
    let (path, page) = browser.open_login("/basket").await;
    let tickets = app.empty.database.count("tickets").await;
    let first = browser.sign_in_on(&path, &page, "grace", TEMPORARY).await.path();
    for _ in 0..5 {
        assert_eq!(browser.sign_in_on(&path, &page, "grace", TEMPORARY).await.path(), first);
    }
    assert_eq!(app.empty.database.count("tickets").await, tickets + 1);
    // Its step is where it was, in its own browser, and a new form has one of its own.
    take(&mut browser, &first, "new_password", CHOSEN).await;
    assert!(browser.get(&first).await.body.contains("id=\"email\""));
    assert_ne!(begin_with(&mut browser, "/basket", CHOSEN).await, first);
}
