//! A page that asks for two factors, in a browser with a session of one: its user shows the second one alone.

use chancery::{
    domain::{
        assurance::Assurance,
        session::{RevokedCause, Session, SessionKind},
    },
    entropy::OsEntropy,
    id::SessionId,
    secret::Password,
    service::Admin,
    store::SessionFilter,
    time::Ttl,
};

use super::{
    Browser, Page, browser_routes,
    client::{ORIGIN, SESSION, borrowed},
    is_signed_in,
};
use crate::{
    step_up::Authenticator,
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        s08_a_weak_session_is_asked_for_a_second_factor_alone_and_replaced,
        a_new_cookie_in_the_place_of_another_is_kept_if_that_was,
        a_user_without_a_factor_who_has_just_signed_in_sets_one_up,
        s09_a_user_without_a_factor_whose_sign_in_is_old_types_the_password_first,
        a_sign_in_that_is_too_old_takes_password_and_factor,
        a_level_that_nobody_reaches_is_a_page_that_says_so,
        each_tab_has_its_own_step_and_both_arrive,
        a_step_of_another_user_than_the_one_who_has_signed_in_meanwhile_is_a_choice,
        a_factor_that_another_tab_has_set_up_is_asked_for_in_this_one,
        a_double_click_gets_one_session_and_one_cookie,
        a_step_is_void_once_its_session_has_ended,
        a_reload_gets_the_same_step_and_step_ups_are_limited,
        a_browser_without_its_visitor_types_the_password,
    }
}

/// A link to the sign-in page of whoever must have two factors.
fn strong(path: &str) -> String {
    format!("/auth/login?return_to={path}&acr=2")
}

/// Opens a page, and those that it leads on to below the prefix.
pub(crate) async fn follow(browser: &mut Browser, path: &str) -> (String, Page) {
    let mut at = path.to_owned();
    for _ in 0..6 {
        let page = browser.get(&at).await;
        if page.status.as_u16() != 303 || !page.path().starts_with("/auth/") {
            return (at, page);
        }
        at = page.path();
    }
    panic!("in a circle: {at}");
}

/// Sends the code of a step, or what else it asks for.
pub(crate) async fn take(browser: &mut Browser, at: &str, page: &Page, field: (&'static str, &str)) -> Page {
    let fields =
        vec![("csrf", page.field("csrf")), ("revision", page.field("revision")), (field.0, field.1.to_owned())];
    browser.post(at, &borrowed(&fields)).await
}

pub(crate) fn secret(page: &Page) -> String {
    let (_, rest) = page.body.split_once("id=\"secret\"").expect("a secret");
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

/// Signs in, and sets up an app on the way to a page that asks for two factors.
async fn with_app(app: &App, browser: &mut Browser) -> Authenticator {
    browser.sign_in("/", "ada", PASSWORD).await;
    set_up_app(app, browser).await
}

/// Sets up an app on the way to a page that asks for two factors.
async fn set_up_app(app: &App, browser: &mut Browser) -> Authenticator {
    let (at, page) = follow(browser, &strong("/secret")).await;
    assert!(at.starts_with("/auth/step/") && page.is_step(), "{at}: {}", page.body);
    let authenticator = Authenticator::new(&secret(&page));
    let next = take(browser, &at, &page, ("code", &authenticator.code(app.service.now()))).await;
    let at = next.path();
    let page = browser.get(&at).await;
    assert!(page.body.contains("id=\"recovery-codes\""), "{}", page.body);
    let done = take(browser, &at, &page, ("action", "codes_kept")).await;
    assert_eq!(done.path(), "/secret");
    app.pass(Ttl::from_secs(31)).await;
    authenticator
}

/// As if the sessions had been opened with the password alone.
async fn weaken(app: &App) {
    app.sql("UPDATE sessions SET acr = '1', amr = '[\"pwd\"]' WHERE revoked_at IS NULL").await;
    // What is in memory is read again.
    app.pass(Ttl::from_secs(31)).await;
}

async fn sessions(app: &App) -> Vec<Session> {
    let user = app.service.users.get(&Admin::command(), "ada").await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    tx.sessions_of_user(&user.id, SessionFilter::All).await.unwrap()
}

/// Ada's only live session.
pub(crate) async fn only(app: &App) -> Session {
    let mut live: Vec<_> = sessions(app).await.into_iter().filter(|session| session.revoked.is_none()).collect();
    assert_eq!(live.len(), 1, "{live:?}");
    live.remove(0)
}

async fn s08_a_weak_session_is_asked_for_a_second_factor_alone_and_replaced(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    weaken(app).await;
    let (old, before) = (browser.clone(), only(app).await);
    let child = Session {
        id: SessionId::new(app.service.now(), &OsEntropy),
        kind: SessionKind::Token,
        parent: Some(before.id.clone()),
        status: None,
        ..before.clone()
    };
    let mut tx = app.service.store().write().await.unwrap();
    tx.session_insert(&child).await.unwrap();
    tx.commit().await.unwrap();
    let (at, page) = follow(&mut browser, &strong("/secret")).await;
    assert!(at.starts_with("/auth/step/") && !page.body.contains("id=\"password\""), "{at}: {}", page.body);
    let wrong = take(&mut browser, &at, &page, ("code", "000000")).await;
    assert!(wrong.status.as_u16() == 422 && wrong.is_step(), "{}", wrong.body);
    assert_eq!(browser.cookies[SESSION], old.cookies[SESSION]);
    let done = take(&mut browser, &at, &wrong, ("code", &authenticator.code(app.service.now()))).await;
    assert_eq!(done.path(), "/secret");
    assert!(is_signed_in(&browser).await && !is_signed_in(&old).await);
    assert_ne!(browser.cookies[SESSION], old.cookies[SESSION]);
    let all = sessions(app).await;
    let find = |id: &SessionId| all.iter().find(|session| session.id == *id).unwrap();
    let ended = find(&before.id);
    assert_eq!(ended.revoked.map(|(_, cause)| cause), Some(RevokedCause::Superseded));
    let after = find(ended.superseded_by.as_ref().unwrap());
    assert_eq!((after.acr.as_str(), after.amr.join(" ").as_str()), ("2", "pwd otp mfa"));
    assert_eq!(after.auth_time, before.auth_time, "nothing but the factor was proved anew");
    assert!(after.absolute_expires_at <= before.absolute_expires_at && after.status != before.status);
    let moved = find(&child.id);
    assert_eq!((moved.parent.as_ref(), moved.revoked), (Some(&after.id), None));
    // Back, reload and the link lead on.
    for path in [&at, &strong("/secret")] {
        let (_, page) = follow(&mut browser, path).await;
        assert_eq!(page.path(), "/secret");
    }
}

async fn a_new_cookie_in_the_place_of_another_is_kept_if_that_was(app: &App) {
    let routes = browser_routes(app).await;
    let authenticator = with_app(app, &mut Browser::new(&routes)).await;
    for shared in [false, true] {
        let mut browser = Browser::new(&routes);
        let (path, page) = browser.open_login("/").await;
        let mut fields = page.sign_in_fields("ada", PASSWORD);
        if shared {
            fields.push(("shared_computer", "on".to_owned()));
        }
        let step = browser.post(&path, &borrowed(&fields)).await.path();
        let page = browser.get(&step).await;
        let first = take(&mut browser, &step, &page, ("code", &authenticator.code(app.service.now()))).await;
        app.pass(Ttl::from_secs(31)).await;
        weaken(app).await;
        let (at, page) = follow(&mut browser, &strong("/secret")).await;
        let raised = take(&mut browser, &at, &page, ("code", &authenticator.code(app.service.now()))).await;
        assert_eq!(raised.path(), "/secret");
        // A change of the password replaces the cookie, too.
        let page = browser.get("/auth/account").await;
        let fields = [
            ("csrf", page.field("csrf")),
            ("action", "change_password".to_owned()),
            ("current_password", PASSWORD.to_owned()),
            ("new_password", "a wholly new pass phrase".to_owned()),
        ];
        let changed = browser.post("/auth/account", &borrowed(&fields)).await;
        for answer in [first, raised, changed] {
            let cookie = answer.cookie(SESSION).unwrap_or_else(|| panic!("no cookie: {}", answer.body));
            assert_eq!(cookie.contains("Max-Age="), !shared, "{cookie}");
        }
        app.service.users.set_password(&Admin::command(), "ada", Password::new(PASSWORD.into())).await.unwrap();
        app.pass(Ttl::from_secs(31)).await;
    }
}

async fn a_user_without_a_factor_who_has_just_signed_in_sets_one_up(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let before = only(app).await;
    set_up_app(app, &mut browser).await;
    let after = only(app).await;
    assert_eq!((after.acr.as_str(), after.auth_time), ("2", before.auth_time));
    assert_ne!(after.id, before.id);
    let (_, page) = follow(&mut browser, &strong("/again")).await;
    assert_eq!(page.path(), "/again");
}

async fn s09_a_user_without_a_factor_whose_sign_in_is_old_types_the_password_first(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(15 * 60 + 1)).await;
    let (at, page) = follow(&mut browser, &strong("/secret")).await;
    assert!(page.is_login(), "{}", page.body);
    let step = browser.sign_in_on(&at, &page, "ada", PASSWORD).await.path();
    assert!(step.starts_with("/auth/step/") && browser.get(&step).await.body.contains("id=\"secret\""), "{step}");
}

async fn a_sign_in_that_is_too_old_takes_password_and_factor(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    let before = only(app).await;
    app.pass(Ttl::from_secs(120)).await;
    let (at, page) = follow(&mut browser, "/auth/login?return_to=/secret&acr=2&max_age=60").await;
    assert!(page.is_login(), "{}", page.body);
    let step = browser.sign_in_on(&at, &page, "ada", PASSWORD).await.path();
    let page = browser.get(&step).await;
    let done = take(&mut browser, &step, &page, ("code", &authenticator.code(app.service.now()))).await;
    assert_eq!(done.path(), "/secret");
    let after = only(app).await;
    assert!(after.auth_time > before.auth_time && after.acr == "2", "{after:?}");
}

async fn a_level_that_nobody_reaches_is_a_page_that_says_so(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    for signed_in in [false, true] {
        for path in ["/auth/login?return_to=/x&acr=3", "/auth/login?return_to=/x&acr=urn%3Ax", "/auth/login?max_age=x"]
        {
            let page = browser.get(path).await;
            let name = if path.ends_with("max_age=x") { "max_age" } else { "acr" };
            assert!(page.status.as_u16() == 400 && page.body.contains(name), "{path}: {}", page.body);
        }
        let client = app.service.clients.get(&Admin::command(), "shop").unwrap();
        let site = client.config.site.clone().unwrap();
        let asked = Assurance { acr: Some("urn:x".to_owned()), max_age: None };
        let link = app.service.browser.sign_in_link((&client, &site), "/x", &asked, app.service.now());
        let page = browser.get(link.strip_prefix(ORIGIN).unwrap()).await;
        assert!(page.status.as_u16() == 400 && page.body.contains("acr"), "{}", page.body);
        if !signed_in {
            browser.sign_in("/", "ada", PASSWORD).await;
        }
    }
}

async fn each_tab_has_its_own_step_and_both_arrive(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    weaken(app).await;
    let (first, one) = follow(&mut browser, &strong("/first")).await;
    let (second, two) = follow(&mut browser, &strong("/second")).await;
    assert_ne!(first.split('?').next(), second.split('?').next());
    let code = authenticator.code(app.service.now());
    assert_eq!(take(&mut browser, &first, &one, ("code", &code)).await.path(), "/first");
    assert_eq!(take(&mut browser, &second, &two, ("code", "000000")).await.path(), "/second");
    only(app).await;
}

async fn a_step_of_another_user_than_the_one_who_has_signed_in_meanwhile_is_a_choice(app: &App) {
    app.user("grace").await;
    let routes = browser_routes(app).await;
    let authenticator = with_app(app, &mut Browser::new(&routes)).await;
    let mut browser = Browser::new(&routes);
    let (login, form) = browser.open_login("/basket").await;
    let at = browser.sign_in_on(&login, &form, "ada", PASSWORD).await.path();
    let page = browser.get(&at).await;
    assert!(page.is_step(), "{}", page.body);
    browser.sign_in("/", "grace", PASSWORD).await;
    let session = browser.cookies[SESSION].clone();
    let code = authenticator.code(app.service.now());
    for answer in [browser.get(&at).await, take(&mut browser, &at, &page, ("code", &code)).await] {
        assert!(answer.body.contains("id=\"continue\"") && answer.body.contains("grace"), "{}", answer.body);
        assert_eq!(browser.cookies[SESSION], session, "never two accounts");
    }
}

async fn a_factor_that_another_tab_has_set_up_is_asked_for_in_this_one(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let (first, one) = follow(&mut browser, &strong("/first")).await;
    let (second, two) = follow(&mut browser, &strong("/second")).await;
    let authenticator = Authenticator::new(&secret(&one));
    let set_up = take(&mut browser, &first, &one, ("code", &authenticator.code(app.service.now()))).await;
    let code = Authenticator::new(&secret(&two)).code(app.service.now());
    let late = take(&mut browser, &second, &two, ("code", &code)).await.path();
    for path in [&second, &late] {
        let (at, page) = follow(&mut browser, path).await;
        assert!(page.is_step() && page.body.contains("id=\"recovery_code\""), "{at}: {}", page.body);
        assert!(page.body.contains("This step was already taken, perhaps in another tab."), "{}", page.body);
    }
    // The first tab goes on, and then both arrive.
    let page = browser.get(&set_up.path()).await;
    assert!(page.body.contains("id=\"recovery-codes\""), "{}", page.body);
    let kept = take(&mut browser, &set_up.path(), &page, ("action", "codes_kept")).await;
    assert_eq!(kept.path(), "/first");
    assert_eq!(follow(&mut browser, &second).await.1.path(), "/second");
}

async fn a_double_click_gets_one_session_and_one_cookie(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    weaken(app).await;
    let (at, page) = follow(&mut browser, &strong("/secret")).await;
    let code = authenticator.code(app.service.now());
    let mut tab = browser.clone();
    let mut unlucky = browser.clone();
    let (one, two) =
        tokio::join!(take(&mut browser, &at, &page, ("code", &code)), take(&mut tab, &at, &page, ("code", &code)),);
    assert_eq!((one.path(), two.path()), ("/secret".to_owned(), "/secret".to_owned()));
    assert_eq!(browser.cookies[SESSION], tab.cookies[SESSION]);
    // Whoever has lost the answer sends the same again.
    assert_eq!(take(&mut unlucky, &at, &page, ("code", &code)).await.path(), "/secret");
    assert_eq!(unlucky.cookies[SESSION], browser.cookies[SESSION]);
    only(app).await;
}

async fn a_step_is_void_once_its_session_has_ended(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let authenticator = with_app(app, &mut browser).await;
    weaken(app).await;
    let (at, page) = follow(&mut browser, &strong("/secret")).await;
    app.service.users.end_sessions(&Admin::command(), "ada", &[]).await.unwrap();
    let answer = take(&mut browser, &at, &page, ("code", &authenticator.code(app.service.now()))).await;
    let (_, page) = follow(&mut browser, &answer.path()).await;
    assert!(page.is_login(), "{}", page.body);
    assert!(sessions(app).await.iter().all(|session| session.revoked.is_some()));
}

async fn a_reload_gets_the_same_step_and_step_ups_are_limited(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    with_app(app, &mut browser).await;
    weaken(app).await;
    let begun = browser.get(&strong("/secret")).await.path();
    let step = browser.get(&begun).await.path();
    for _ in 0..20 {
        assert_eq!(browser.get(&begun).await.path(), step);
    }
    let mut last = browser.get(&begun).await;
    for n in 0..20 {
        last = follow(&mut browser, &strong(&format!("/{n}"))).await.1;
        if last.status.as_u16() == 429 {
            break;
        }
    }
    assert_eq!(last.status.as_u16(), 429);
    assert!(browser.get(&step).await.is_step(), "what has begun goes on");
}

async fn a_browser_without_its_visitor_types_the_password(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    with_app(app, &mut browser).await;
    weaken(app).await;
    browser.cookies.retain(|name, _| name == SESSION);
    let (at, page) = follow(&mut browser, &strong("/secret")).await;
    assert!(page.is_login(), "{}", page.body);
    let step = browser.sign_in_on(&at, &page, "ada", PASSWORD).await.path();
    assert!(step.starts_with("/auth/step/"), "{step}");
}
