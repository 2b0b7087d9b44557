//! In which language a page is, and how its reader chooses another, on both engines.

use axum::http::StatusCode;
use chancery::service::Admin;

use crate::{
    browser::{Browser, Page},
    browser_account::fixture::{SiteFixture, follow, submit},
    support::PASSWORD,
};

pub(super) const LANGUAGE: &str = "chancery-lang-8000";

on_each_engine! {
    #[tokio::test]
    SiteFixture => {
        a_page_is_in_the_first_language_that_is_known_of_choice_ui_locales_account_and_browser,
        ui_locales_count_where_a_flow_begins_and_stay_in_it,
        a_choice_leads_back_to_the_same_page_in_that_language,
        a_choice_after_a_form_that_failed_leads_to_the_page_of_the_form,
        a_choice_is_refused_from_elsewhere_and_leads_nowhere_else,
        whoever_chooses_while_signed_in_gets_that_language_elsewhere_too,
        a_sign_out_stays_in_the_language_that_was_asked_for,
    }
}

/// The language that a page says it is in.
pub(super) fn language(page: &Page) -> &str {
    page.body.split("<html lang=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_else(|| {
        panic!("{}: {}", page.status, page.body);
    })
}

/// Opens a page with a browser that prefers these languages.
async fn get_in(browser: &mut Browser, path: &str, accepted: &str) -> Page {
    browser.send("GET", path, &[("accept-language", accepted)], String::new()).await
}

/// Chooses a language at a page.
pub(super) async fn choose(browser: &mut Browser, page: &Page, language: &str) -> Page {
    let form = page.body.split("/auth/language\"").nth(1).expect("a choice of languages");
    let page = Page { body: form.to_owned(), status: page.status, headers: page.headers.clone() };
    let (csrf, return_to) = (page.field("csrf"), page.field("return_to"));
    browser.post("/auth/language", &[("csrf", &csrf), ("return_to", &return_to), ("language", language)]).await
}

async fn a_page_is_in_the_first_language_that_is_known_of_choice_ui_locales_account_and_browser(fixture: &SiteFixture) {
    fixture.user("grace").await;
    for (accepted, expected) in [("", "en"), ("fr", "en"), ("de-AT,en;q=0.5", "de"), ("en, de", "en")] {
        let page = get_in(&mut fixture.browser(), "/auth/forgot", accepted).await;
        assert_eq!(language(&page), expected, "{accepted}");
    }
    let path = "/auth/forgot?ui_locales=fr%20de-CH%20en";
    assert_eq!(language(&get_in(&mut fixture.browser(), path, "en").await), "de");
    let mut chosen = fixture.browser();
    chosen.cookies.insert(LANGUAGE.into(), "en".into());
    assert_eq!(language(&get_in(&mut chosen, path, "de").await), "en");
    chosen.cookies.insert(LANGUAGE.into(), "xx".into());
    assert_eq!(language(&get_in(&mut chosen, path, "en").await), "de", "a language that there are no texts in");
    // What the account says goes before what the browser says, where somebody is signed in.
    let german = chancery::service::UserPatch { language: Some("de".into()), ..Default::default() };
    fixture.service().users.update(&Admin::command(), "grace", &german, None).await.unwrap();
    let mut grace = fixture.signed_in("grace", PASSWORD).await;
    assert_eq!(language(&get_in(&mut grace, "/auth/account", "en").await), "de");
    assert_eq!(language(&get_in(&mut grace, "/auth/logout?ui_locales=en", "de").await), "en");
    grace.cookies.insert(LANGUAGE.into(), "en".into());
    assert_eq!(language(&get_in(&mut grace, "/auth/account", "de").await), "en");
}

async fn ui_locales_count_where_a_flow_begins_and_stay_in_it(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let begun = browser.get("/auth/login?return_to=/basket&ui_locales=de").await;
    let path = begun.path();
    let page = browser.get(&path).await;
    assert_eq!(language(&page), "de");
    for id in ["register", "forgotten"] {
        let link = page.body.split(&format!("id=\"{id}\" href=\"")).nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(language(&browser.get(link).await), "de", "{link}");
    }
    // Afterwards nobody can supply it.
    assert_eq!(language(&browser.get(&format!("{path}&ui_locales=en")).await), "de");
    let plain = browser.get("/auth/login?return_to=/basket").await.path();
    assert_eq!(language(&browser.get(&format!("{plain}&ui_locales=de")).await), "en");
    // Whatever stands there, a page comes.
    for odd in ["%3Cscript%3E", "de%0D%0A", &"de%20".repeat(1000), "%FF", "de&ui_locales=en"] {
        let page = browser.get(&format!("/auth/forgot?ui_locales={odd}")).await;
        assert_eq!(page.status, StatusCode::OK, "{odd}");
        assert!(!page.body.contains("<script>"), "{odd}");
    }
    // The mail that is asked for in the flow leads to its pages again.
    let registered = browser.get(&path.replace("login", "register")).await;
    let to = path.replace("login", "register");
    let typed = [("email", "grace@example.org"), ("username", "grace"), ("password", PASSWORD)];
    let sent = submit(&mut browser, &to, &registered, &typed).await;
    assert_eq!(language(&follow(&mut browser, &sent).await), "de");
    let mails = fixture.send_mails().await;
    assert_eq!(mails[0].subject, "Bestätigen Sie Ihre Adresse für shop");
}

async fn a_choice_leads_back_to_the_same_page_in_that_language(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let (path, page) = browser.open_login("/basket").await;
    assert!(page.body.contains("id=\"language-de\"") && page.body.contains(">Deutsch<"), "{}", page.body);
    let chosen = choose(&mut browser, &page, "de").await;
    assert_eq!((chosen.status, chosen.path()), (StatusCode::SEE_OTHER, path.clone()));
    let cookie = chosen.cookie(LANGUAGE).unwrap();
    for part in ["=de;", "Max-Age=31536000", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = browser.get(&path).await;
    assert_eq!((language(&page), page.is_login()), ("de", true));
    let current = page.body.split("id=\"language-de\"").nth(1).unwrap().split('>').next().unwrap();
    assert!(current.contains("aria-current=\"true\""), "{current}");
    assert_eq!(language(&browser.get("/auth/no-such-page").await), "de");
    let back = choose(&mut browser, &page, "en").await;
    assert_eq!(language(&follow(&mut browser, &back).await), "en");
    // The link of a mail is still there afterwards, though a script takes it out of the address bar.
    let void = browser.get("/auth/reset?token=chl_x").await;
    assert_eq!(choose(&mut browser, &void, "de").await.path(), "/auth/reset?token=chl_x");
}

async fn a_choice_after_a_form_that_failed_leads_to_the_page_of_the_form(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.browser();
    let (path, page) = browser.open_login("/basket").await;
    let wrong = browser.sign_in_on(&path, &page, "grace", "not the password").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let chosen = choose(&mut browser, &wrong, "de").await;
    assert_eq!(chosen.path(), path);
    assert!(follow(&mut browser, &chosen).await.is_login());
    // The token of a link stands in the form, and not in the address.
    let asked = browser.get("/auth/forgot").await;
    submit(&mut browser, "/auth/forgot", &asked, &[("username", "grace")]).await;
    let (_, link) = fixture.code_and_link().await;
    let page = browser.get(&link).await;
    let wrong = submit(&mut browser, "/auth/reset", &page, &[("new_password", "short")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let chosen = choose(&mut browser, &wrong, "en").await;
    let page = follow(&mut browser, &chosen).await;
    assert_eq!((language(&page), page.find_field("token").is_some()), ("en", true), "{}", page.body);
}

async fn a_choice_is_refused_from_elsewhere_and_leads_nowhere_else(fixture: &SiteFixture) {
    let mut browser = fixture.browser();
    let page = browser.get("/auth/forgot").await;
    let csrf = page.body.split("/auth/language").nth(1).unwrap().split("value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap().to_owned();
    let send = async |browser: &mut Browser, csrf: &str, return_to: &str, language: &str| {
        browser.post("/auth/language", &[("csrf", csrf), ("return_to", return_to), ("language", language)]).await
    };
    for elsewhere in ["//evil.example", "https://evil.example/", "/\\evil.example", "", "javascript:alert(1)"] {
        let refused = send(&mut browser, &csrf, elsewhere, "de").await;
        assert_eq!((refused.status, refused.cookie(LANGUAGE)), (StatusCode::BAD_REQUEST, None), "{elsewhere}");
    }
    for unknown in ["fr", "", "de-at", "<script>"] {
        let refused = send(&mut browser, &csrf, "/auth/forgot", unknown).await;
        assert_eq!((refused.status, refused.cookie(LANGUAGE)), (StatusCode::BAD_REQUEST, None), "{unknown}");
    }
    let without_token = send(&mut browser, "x", "/auth/forgot", "de").await;
    assert_eq!((without_token.path().as_str(), without_token.cookie(LANGUAGE)), ("/auth/forgot", None));
    let mut forgetful = fixture.browser();
    let blocked = send(&mut forgetful, &csrf, "/auth/forgot", "de").await;
    assert_eq!((blocked.status, blocked.cookie(LANGUAGE)), (StatusCode::UNPROCESSABLE_ENTITY, None));
    let body = format!("csrf={csrf}&return_to=/auth/forgot&language=de");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), form];
    let refused = browser.send("POST", "/auth/language", &foreign, body).await;
    assert_eq!((refused.status, refused.cookie(LANGUAGE)), (StatusCode::FORBIDDEN, None));
    assert_eq!(browser.get("/auth/language").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

async fn whoever_chooses_while_signed_in_gets_that_language_elsewhere_too(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let page = browser.get("/auth/account").await;
    assert_eq!(language(&page), "en");
    let chosen = choose(&mut browser, &page, "de").await;
    assert_eq!(language(&follow(&mut browser, &chosen).await), "de");
    let grace = fixture.service().users.get(&Admin::command(), "grace").await.unwrap().user;
    assert_eq!(grace.language.unwrap().as_str(), "de");
    let mut elsewhere = fixture.signed_in("grace", PASSWORD).await;
    assert_eq!(language(&get_in(&mut elsewhere, "/auth/account", "en").await), "de");
    let changes = [("current_password", PASSWORD), ("new_password", "an entirely different phrase")];
    let account = elsewhere.get("/auth/account").await;
    let mut fields = vec![("csrf", account.field("csrf")), ("action", "change_password".to_owned())];
    fields.extend(changes.map(|(name, value)| (name, value.to_owned())));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = elsewhere.post("/auth/account", &fields).await;
    assert!(done.status == StatusCode::SEE_OTHER || done.status == StatusCode::OK, "{}", done.body);
    let mails = fixture.send_mails().await;
    assert_eq!(mails.last().unwrap().subject, "Ihr Passwort für shop wurde geändert");
}

async fn a_sign_out_stays_in_the_language_that_was_asked_for(fixture: &SiteFixture) {
    fixture.user("grace").await;
    let mut browser = fixture.signed_in("grace", PASSWORD).await;
    let asked = browser.get("/auth/logout?ui_locales=de").await;
    assert_eq!(language(&asked), "de");
    let to = asked.body.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let done = browser.post(&to, &[("csrf", &asked.field("csrf"))]).await;
    assert_eq!((done.status, language(&done)), (StatusCode::OK, "de"));
    assert!(done.body.contains("Abgemeldet"), "{}", done.body);
}
