//! The pages: what each contains, how it is marked up, and that nothing of others gets into it unescaped.

mod hostile;
pub(crate) mod markup;
mod overrides;
mod previews;
mod snapshots;
mod sources;

use std::collections::BTreeSet;

use chancery::web::pages::{Look, Notice, Pages, Sample, Text, Tone};

use self::markup::Element;

/// The built-in pages.
fn pages() -> Pages {
    Pages::new(None).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
}

/// Every sample page with its markup.
fn rendered() -> Vec<(Sample, String, Element)> {
    let pages = pages();
    let all = Sample::all().into_iter().map(|sample| {
        let text = pages.render(&sample.look, &sample.view);
        let root = markup::parse(&text).unwrap_or_else(|problem| panic!("{}: {problem}\n{text}", sample.name));
        (sample, text, root)
    });
    all.collect()
}

#[test]
fn every_page_has_a_language_a_title_one_heading_and_one_main_part() {
    for (sample, _, root) in rendered() {
        let name = sample.name;
        assert_eq!(root.all("html")[0].get("lang"), Some("en"), "{name}");
        let title = root.all("title")[0].text();
        let headings = root.all("h1");
        assert_eq!(headings.len(), 1, "{name}");
        assert!(!headings[0].text().is_empty() && title.contains(&headings[0].text()), "{name}: {title}");
        assert!(title.ends_with("Example Shop"), "{name}: {title}");
        assert_eq!((root.all("main").len(), root.all("header").len()), (1, 1), "{name}");
    }
}

#[test]
fn a_page_with_problems_says_so_in_its_title_and_links_to_the_fields() {
    let mut seen = 0;
    for (sample, _, root) in rendered() {
        let problems = root.with("role", "alert");
        let wrong = root.all("title")[0].text().starts_with("Error: ");
        assert_eq!(problems.len(), usize::from(wrong), "{}", sample.name);
        for link in problems.iter().flat_map(|problem| problem.all("a")) {
            let field = link.get("href").and_then(|href| href.strip_prefix('#')).unwrap();
            let input = root.by_id(field).unwrap_or_else(|| panic!("{}: no {field}", sample.name));
            assert_eq!(input.get("aria-invalid"), Some("true"), "{}: {field}", sample.name);
            assert!(input.get("aria-describedby").unwrap().contains(&format!("{field}-wrong")), "{}", sample.name);
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn ids_are_unique_and_what_refers_to_one_finds_it() {
    for (sample, _, root) in rendered() {
        let mut ids = BTreeSet::new();
        for element in root.everything() {
            if let Some(id) = element.get("id") {
                assert!(ids.insert(id), "{}: {id} twice", sample.name);
            }
        }
        for element in root.everything() {
            for name in ["for", "aria-describedby", "aria-labelledby"] {
                for id in element.get(name).unwrap_or_default().split_whitespace() {
                    assert!(ids.contains(id), "{}: {name} {id}", sample.name);
                }
            }
        }
        for id in sample.ids {
            assert!(ids.contains(id), "{}: no {id}", sample.name);
        }
    }
}

#[test]
fn every_field_has_a_label_the_name_of_its_id_and_an_autocomplete_kind() {
    let kinds = ["username", "username webauthn", "current-password", "new-password", "one-time-code", "email"];
    // What an app is called is nothing that a browser knows.
    let unknown = ["factor_name", "recovery_code"];
    for (sample, _, root) in rendered() {
        for input in root.all("input") {
            let shown = input.get("type") != Some("hidden") && input.get("aria-hidden").is_none();
            let Some(id) = input.get("id").filter(|_| shown) else {
                assert!(!shown, "{}: a field without an id", sample.name);
                continue;
            };
            // Where a page has several fields of a name, what their ids begin with tells them apart.
            let name = input.get("name").unwrap();
            assert!(id == name || id.ends_with(&format!("-{name}")), "{}: {id} {name}", sample.name);
            let labels = root.all("label").into_iter().filter(|label| label.get("for") == Some(id)).count();
            assert_eq!(labels, 1, "{}: {id}", sample.name);
            assert!(input.get("placeholder").is_none() && input.get("maxlength").is_none(), "{}: {id}", sample.name);
            if input.get("type") != Some("checkbox") {
                let kind = input.get("autocomplete").unwrap();
                let known = if unknown.contains(&name) { kind == "off" } else { kinds.contains(&kind) };
                assert!(known, "{}: {id}", sample.name);
            }
        }
    }
}

#[test]
fn the_order_of_the_keyboard_is_that_of_the_page() {
    for (sample, _, root) in rendered() {
        for element in root.everything() {
            let skipped = element.get("aria-hidden").is_some() || element.get("id") == Some("problems");
            let index = element.get("tabindex");
            assert!(skipped || index.is_none_or(|n| n == "0"), "{}: tabindex {index:?}", sample.name);
        }
        let focused = root.everything().into_iter().filter(|e| e.get("autofocus").is_some()).count();
        assert!(focused <= 1, "{}", sample.name);
    }
}

#[test]
fn every_form_posts_under_the_prefix_with_a_token_and_a_button() {
    for (sample, _, root) in rendered() {
        for form in root.all("form") {
            let action = form.get("action").unwrap();
            assert!(form.get("method") == Some("post") && action.starts_with("/auth/"), "{}", sample.name);
            let tokens: Vec<_> = form.all("input").into_iter().filter(|i| i.get("name") == Some("csrf")).collect();
            assert_eq!(tokens.len(), 1, "{}: {action}", sample.name);
            assert_eq!(tokens[0].get("value"), Some("sample-csrf"), "{}", sample.name);
            let own = |button: &&Element| button.get("form").is_some() && button.get("form") == form.get("id");
            let beside = root.all("button").into_iter().filter(own);
            let buttons: Vec<_> = form.all("button").into_iter().chain(beside).collect();
            assert!(buttons.iter().any(|b| b.get("type") == Some("submit")), "{}", sample.name);
            assert!(buttons.iter().all(|b| !b.text().is_empty()), "{}", sample.name);
        }
    }
}

#[test]
fn a_page_loads_nothing_from_elsewhere_and_has_no_inline_style_or_script() {
    for (sample, _, root) in rendered() {
        for element in root.everything() {
            let name = element.name.as_str();
            assert!(!["style", "iframe", "object", "base", "svg"].contains(&name), "{}: {name}", sample.name);
            for (attribute, value) in &element.attributes {
                let event = attribute.starts_with("on") || attribute == "style";
                assert!(!event, "{}: {attribute}", sample.name);
                let loads = attribute == "src" || (name == "link" && attribute == "href");
                assert!(!loads || value.starts_with("/auth/assets/") || value.starts_with("data:image/"), "{value}");
            }
            assert!(name != "script" || element.text().is_empty(), "{}", sample.name);
        }
    }
}

#[test]
fn every_asset_that_a_page_names_is_served() {
    let pages = pages();
    for (sample, _, root) in rendered() {
        let mut names = 0;
        for element in root.everything() {
            for name in [element.get("src"), element.get("href")].into_iter().flatten() {
                if let Some(name) = name.strip_prefix("/auth/assets/") {
                    assert!(pages.asset(name).is_some(), "{}: {name}", sample.name);
                    names += 1;
                }
            }
        }
        // The style sheet, the colour, and scripts: those for passkeys are where they are needed.
        let passkeys = root.everything().iter().any(|element| element.get("data-passkey").is_some());
        assert_eq!(names, if passkeys { 4 } else { 3 }, "{}", sample.name);
    }
}

#[test]
fn the_texts_that_browsers_are_told_to_look_for_are_there() {
    let all = rendered();
    let text = |name: &str, id: &str| {
        let (_, _, root) = all.iter().find(|(sample, ..)| sample.name == name).unwrap();
        root.by_id(id).unwrap().text()
    };
    assert_eq!(text("sign-in", "login-submit"), "Sign in");
    let (_, _, signed_out) = all.iter().find(|(sample, ..)| sample.name == "signed-out").unwrap();
    assert_eq!(signed_out.all("h1")[0].text(), "Signed out");
    assert_eq!(text("error-invalid", "parameter"), "What is wrong: return_to");
    assert!(text("error-invalid", "request-id").contains("req_01J000000000000000000000000"));
}

#[test]
fn the_register_link_stands_only_where_people_can_register() {
    let (pages, samples) = (pages(), Sample::all());
    for name in ["sign-in", "home"] {
        let sample = samples.iter().find(|sample| sample.name == name).unwrap();
        for registration in [true, false] {
            let look = Look { registration, ..sample.look.clone() };
            let root = markup::parse(&pages.render(&look, &sample.view)).unwrap();
            assert_eq!(root.by_id("register").is_some(), registration, "{name}");
        }
    }
}

#[test]
fn a_sign_in_under_way_is_carried_on_by_links_and_forms() {
    let (pages, samples) = (pages(), Sample::all());
    let sample = samples.iter().find(|sample| sample.name == "sign-in").unwrap();
    let mut look = sample.look.clone();
    look.flow = Some("a-b_c=&\"<");
    let page = pages.render(&look, &sample.view);
    for path in ["login", "forgot", "register"] {
        let attribute = format!("auth/{path}?r=a-b_c%3D%26%22%3C\"").replace('/', "&#x2f;");
        assert!(page.contains(&attribute), "{path}: {page}");
    }
    (look.flow, look.choice) = (None, None);
    assert!(!pages.render(&look, &sample.view).contains("?r="));
}

#[test]
fn a_notice_is_announced() {
    let (pages, samples) = (pages(), Sample::all());
    let look = Look::plain("/auth", "Shop");
    let look = look.with_notice(Notice::new(Tone::Done, Text::EmailConfirmed { email: "<b>@example.org".to_owned() }));
    for sample in samples {
        let root = markup::parse(&pages.render(&look, &sample.view)).unwrap();
        let notices = root.with("role", "status");
        assert_eq!(notices.len(), 1, "{}", sample.name);
        assert_eq!(notices[0].text(), "<b>@example.org is confirmed.");
    }
}

#[test]
fn numbers_choose_the_plural() {
    let pages = pages();
    let view = &Sample::all()[0].view;
    for (ended, text) in [
        (0, "Your password is changed."),
        (1, "Your password is changed, and one other session has ended."),
        (1200, "Your password is changed, and 1200 other sessions have ended."),
    ] {
        let notice = Notice::new(Tone::Done, Text::PasswordChanged { ended });
        let root = markup::parse(&pages.render(&Look::plain("/auth", "Shop").with_notice(notice), view)).unwrap();
        assert_eq!(root.with("role", "status")[0].text(), text);
    }
}
