//! Signing in once more: a session that does not suffice is replaced, by its own user alone.

use chancery::{
    domain::{assurance::Assurance, session::RevokedCause},
    service::Admin,
    store::SessionFilter,
    time::Ttl,
};

use super::{
    Browser, browser_routes,
    client::{ORIGIN, SESSION},
    is_signed_in,
};
use crate::support::{App, PASSWORD};

on_each_engine! {
    #[tokio::test]
    App => {
        a_sign_in_over_a_session_of_the_same_user_ends_it_in_every_process,
        another_user_does_not_sign_in_over_a_session_that_does_not_suffice,
        two_tabs_that_both_sign_in_once_more_leave_one_session,
        two_tabs_that_sign_in_once_more_at_once_leave_one_session,
        a_last_step_over_a_session_ends_it_and_is_not_taken_over_another_users,
    }
}

/// The sign-in page for whoever must have signed in within the last minute.
pub(crate) fn fresh(app: &App, path: &str) -> String {
    let client = app.service.clients.get(&Admin::command(), "shop").unwrap();
    let site = client.config.site.clone().unwrap();
    let asked = Assurance { acr: None, max_age: Some(Ttl::from_secs(60)) };
    let link = app.service.browser.sign_in_link((&client, &site), path, &asked, app.service.now());
    link.strip_prefix(ORIGIN).unwrap().to_owned()
}

/// How many live sessions a user has, and why the others have ended.
async fn sessions(app: &App, name: &str) -> (usize, Vec<RevokedCause>) {
    let user = app.service.users.get(&Admin::command(), name).await.unwrap().user;
    let mut tx = app.service.store().read().await.unwrap();
    let all = tx.sessions_of_user(&user.id, SessionFilter::All).await.unwrap();
    let ended: Vec<_> = all.iter().filter_map(|session| session.revoked.map(|(_, cause)| cause)).collect();
    (all.len() - ended.len(), ended)
}

async fn a_sign_in_over_a_session_of_the_same_user_ends_it_in_every_process(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    let old = browser.clone();
    app.pass(Ttl::from_secs(120)).await;
    let path = fresh(app, "/secret");
    let page = browser.get(&path).await;
    assert!(page.is_login(), "{}", page.body);
    let unlucky = browser.clone();
    assert_eq!(browser.sign_in_on(&path, &page, "ada", PASSWORD).await.path(), "/secret");
    assert!(is_signed_in(&browser).await && !is_signed_in(&old).await);
    assert_ne!(browser.cookies[SESSION], old.cookies[SESSION]);
    assert_eq!(sessions(app, "ada").await, (1, vec![RevokedCause::Superseded]));
    // The answer was lost.
    let mut again = unlucky;
    assert_eq!(again.sign_in_on(&path, &page, "ada", PASSWORD).await.path(), "/secret");
    assert_eq!(again.cookies[SESSION], browser.cookies[SESSION]);
    assert_eq!(browser.get(&path).await.path(), "/secret");
}

async fn another_user_does_not_sign_in_over_a_session_that_does_not_suffice(app: &App) {
    app.user("grace").await;
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(120)).await;
    let path = fresh(app, "/secret");
    let page = browser.get(&path).await;
    for password in [PASSWORD, "not the password"] {
        let asked = browser.sign_in_on(&path, &page, "grace", password).await;
        assert!(
            asked.body.contains("id=\"continue\"") && asked.body.contains("id=\"logout-confirm\""),
            "{}",
            asked.body
        );
        assert!(asked.cookie(SESSION).is_none());
    }
    assert!(is_signed_in(&browser).await);
    assert_eq!((sessions(app, "ada").await.0, sessions(app, "grace").await.0), (1, 0));
}

async fn two_tabs_that_both_sign_in_once_more_leave_one_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(120)).await;
    let (first, second) = (fresh(app, "/first"), fresh(app, "/second"));
    let (one, two) = (browser.get(&first).await, browser.get(&second).await);
    assert_eq!(browser.sign_in_on(&first, &one, "ada", PASSWORD).await.path(), "/first");
    assert_eq!(browser.sign_in_on(&second, &two, "ada", "mistyped").await.path(), "/second");
    assert_eq!(sessions(app, "ada").await, (1, vec![RevokedCause::Superseded]));
}

async fn two_tabs_that_sign_in_once_more_at_once_leave_one_session(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.sign_in("/", "ada", PASSWORD).await;
    app.pass(Ttl::from_secs(120)).await;
    let (first, second) = (fresh(app, "/first"), fresh(app, "/second"));
    let (one, two) = (browser.get(&first).await, browser.get(&second).await);
    // Both are sent with the session that the browser had before.
    let mut tab = browser.clone();
    let answers = tokio::join!(
        browser.sign_in_on(&first, &one, "ada", PASSWORD),
        tab.sign_in_on(&second, &two, "ada", PASSWORD),
    );
    assert_eq!((answers.0.path().as_str(), answers.1.path().as_str()), ("/first", "/second"));
    let (live, ended) = sessions(app, "ada").await;
    assert_eq!((live, ended), (1, vec![RevokedCause::Superseded; 2]));
}

async fn a_last_step_over_a_session_ends_it_and_is_not_taken_over_another_users(app: &App) {
    app.user("grace").await;
    let routes = browser_routes(app).await;
    let mut browser = Browser::new(&routes);
    let mut other = Browser::new(&routes);
    other.sign_in("/", "ada", PASSWORD).await;
    browser.sign_in("/", "grace", PASSWORD).await;
    let old = browser.clone();
    app.pass(Ttl::from_secs(120)).await;
    app.service.users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let path = fresh(app, "/secret");
    let page = browser.get(&path).await;
    let step = browser.sign_in_on(&path, &page, "grace", PASSWORD).await.path();
    assert!(step.starts_with("/auth/step/"), "{step}");
    let page = browser.get(&step).await;
    let fields = [("csrf", page.field("csrf")), ("revision", page.field("revision"))];
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("new_password", "a wholly new pass phrase"));
    // With the session of somebody else, nothing is done.
    let mut both = browser.clone();
    both.cookies.insert(SESSION.to_owned(), other.cookies[SESSION].clone());
    let asked = both.post(&step, &fields).await;
    assert!(asked.body.contains("id=\"logout-confirm\"") && asked.cookie(SESSION).is_none(), "{}", asked.body);
    let done = browser.post(&step, &fields).await;
    assert_eq!(done.path(), "/secret");
    assert!(is_signed_in(&browser).await && is_signed_in(&other).await && !is_signed_in(&old).await);
    assert_eq!(sessions(app, "grace").await.0, 1);
}
