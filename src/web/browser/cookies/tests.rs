use proptest::prelude::*;

use super::*;
use crate::{
    secret::{SessionCookie, VisitorCookie},
    time::{Timestamp, Ttl},
};

const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

fn shop() -> CookieNames {
    CookieNames::of(&"https://shop.example/auth".parse().unwrap())
}

fn local() -> CookieNames {
    CookieNames::of(&"http://localhost:8000/auth".parse().unwrap())
}

fn read(names: &CookieNames, headers: &[&[u8]]) -> RequestCookies {
    let mut map = HeaderMap::new();
    for value in headers {
        map.append(header::COOKIE, HeaderValue::from_bytes(value).unwrap());
    }
    RequestCookies::read(&map, names)
}

fn session_of(cookies: &str) -> Option<String> {
    read(&shop(), &[cookies.as_bytes()]).session().map(str::to_owned)
}

fn token(text: &str) -> DeviceToken {
    DeviceToken::new(text.to_owned())
}

fn tokens(cookies: &RequestCookies) -> Vec<&str> {
    cookies.devices().iter().map(DeviceToken::expose).collect()
}

#[test]
fn s02_every_cookie_has_its_attributes() {
    let (session, visitor) = (SessionCookie::new("chb_s".to_owned()), VisitorCookie::new("chv_v".to_owned()));
    let in_an_hour = Some(NOW.plus(Ttl::from_secs(3600)));
    for (set, known) in [
        (
            shop().visitor(&visitor),
            "__Host-chancery-visitor=chv_v; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            shop().session(&session, in_an_hour, NOW),
            "__Host-chancery-session=chb_s; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax",
        ),
        (shop().session(&session, None, NOW), "__Host-chancery-session=chb_s; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            shop().devices(&[token("chd_a"), token("chd_b")]),
            "__Host-chancery-devices=chd_a.chd_b; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Strict",
        ),
        (
            shop().language("de-AT").unwrap(),
            "__Host-chancery-lang=de-AT; Path=/; Max-Age=31536000; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            shop().expired(CookieKind::Session),
            "__Host-chancery-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
        ),
        (local().visitor(&visitor), "chancery-visitor-8000=chv_v; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"),
        (local().session(&session, None, NOW), "chancery-session-8000=chb_s; Path=/; HttpOnly; SameSite=Lax"),
        (
            local().devices(&[token("chd_a")]),
            "chancery-devices-8000=chd_a; Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict",
        ),
        (local().language("en").unwrap(), "chancery-lang-8000=en; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"),
    ] {
        assert_eq!(set.as_ref(), known);
        let mut headers = HeaderMap::new();
        set.add_to(&mut headers);
        assert_eq!(headers[header::SET_COOKIE], known);
        assert!(headers[header::SET_COOKIE].is_sensitive() && !format!("{set:?}").contains("ch_"));
    }
}

#[test]
fn names_follow_the_declared_site() {
    for (site, name) in [
        ("https://shop.example/auth", "__Host-chancery-session"),
        ("https://localhost:8443/auth", "__Host-chancery-session"),
        ("http://localhost/auth", "chancery-session-80"),
        ("http://127.0.0.1:5000/auth", "chancery-session-5000"),
        ("http://[::1]:5000/auth", "chancery-session-5000"),
    ] {
        assert_eq!(CookieNames::of(&site.parse().unwrap()).name(CookieKind::Session), name, "{site}");
    }
}

#[test]
fn s03_no_cookie_lives_longer_than_400_days_or_is_too_large_to_be_kept() {
    let session = SessionCookie::new("x".repeat(114));
    for (at, seconds) in [
        (NOW.plus(Ttl::from_days(4000)), "Max-Age=34560000;"),
        (NOW.minus(Ttl::from_days(1)), "Max-Age=0;"),
        (NOW.plus(Ttl::from_millis(1999)), "Max-Age=1;"),
    ] {
        assert!(shop().session(&session, Some(at), NOW).as_ref().contains(seconds), "{at}");
    }
    let devices: Vec<_> = (0..100).map(|n| token(&format!("chd_{n:0>252}"))).collect();
    let set = shop().devices(&devices);
    let (pair, attributes) = set.as_ref().split_once(';').unwrap();
    assert!(pair.len() <= 4096 && attributes.len() <= 1024, "{}", pair.len());
    assert_eq!(pair.matches("chd_").count(), MAX_DEVICES);
}

#[test]
fn what_is_set_reads_back() {
    let value = |set: SetCookie| set.as_ref().split(';').next().unwrap().to_owned();
    for names in [shop(), local()] {
        let all = [
            value(names.visitor(&VisitorCookie::new("chv_v-_9".to_owned()))),
            value(names.session(&SessionCookie::new("chb_s".to_owned()), None, NOW)),
            value(names.devices(&[token("chd_a"), token("chd_b")])),
            value(names.language("de-AT").unwrap()),
        ]
        .join("; ");
        let cookies = read(&names, &[all.as_bytes()]);
        assert_eq!((cookies.visitor(), cookies.session()), (Some("chv_v-_9"), Some("chb_s")));
        assert_eq!((tokens(&cookies), cookies.language()), (vec!["chd_a", "chd_b"], Some("de-AT")));
        assert_eq!(cookies.names(), &names);
    }
    assert_eq!(value(shop().devices(&[])), "__Host-chancery-devices=", "nothing left: it ends");
    assert!(shop().language("no tag").is_none());
}

#[test]
fn s02_only_the_exact_name_is_read() {
    assert_eq!(session_of("__Host-chancery-session=chb_a"), Some("chb_a".to_owned()));
    for other in [
        "__host-chancery-session=chb_a",
        "__HOST-chancery-session=chb_a",
        "__Host-Chancery-Session=chb_a",
        "chancery-session=chb_a",
        "chancery-session-443=chb_a",
        "__Secure-chancery-session=chb_a",
        "__Host-chancery-session =chb_a",
        "\t__Host-chancery-session=chb_a",
        "x=1;  __Host-chancery-session=chb_a",
        "\"__Host-chancery-session\"=chb_a",
        "__Host-chancery-session[]=chb_a",
        "__Host_chancery-session=chb_a",
        "%5f_Host-chancery-session=chb_a",
        "__Host-chancery-session",
        "=__Host-chancery-session=chb_a",
        "$Version=1; $Path=/, __Host-chancery-session=chb_a",
        "x=\"; y=1, __Host-chancery-session=chb_a\"",
        "\u{2000}__Host-chancery-session=chb_a",
        "\u{a0}__Host-chancery-session=chb_a",
    ] {
        let cookies = read(&shop(), &[other.as_bytes()]);
        assert_eq!(cookies.session(), None, "{other}");
        assert!(!cookies.was_sent(CookieKind::Session), "{other}");
    }
    // Beside ours, none of them changes anything.
    let beside = "__host-chancery-session=chb_b; __Host-chancery-session=chb_a;\t__Host-chancery-session=chb_c";
    assert_eq!(session_of(beside), Some("chb_a".to_owned()));
    assert_eq!(read(&local(), &[b"__Host-chancery-session=chb_a"]).session(), None);
    assert_eq!(read(&local(), &[b"chancery-session-5000=chb_a; chancery-session-8000=chb_b"]).session(), Some("chb_b"));
}

#[test]
fn s02_a_name_that_comes_twice_counts_as_absent_and_is_overwritten() {
    for headers in [
        &[&b"__Host-chancery-session=chb_a; __Host-chancery-session=chb_b"[..]][..],
        &[b"__Host-chancery-session=chb_a; x=1; __Host-chancery-session=chb_a"],
        &[b"__Host-chancery-session=chb_a", b"__Host-chancery-session=chb_b"],
        &[b"__Host-chancery-session=; __Host-chancery-session=chb_b"],
        &[b"__Host-chancery-session=chb_a; __Host-chancery-session="],
        &[b"__Host-chancery-session=chb_a;__Host-chancery-session=chb_a;__Host-chancery-session=chb_a"],
    ] {
        let cookies = read(&shop(), headers);
        assert_eq!(cookies.session(), None, "{headers:?}");
        assert!(cookies.was_sent(CookieKind::Session) && cookies.is_unusable(CookieKind::Session), "{headers:?}");
        assert!(!cookies.was_sent(CookieKind::Visitor));
    }
}

#[test]
fn cookies_are_found_in_several_headers() {
    let headers: [&[u8]; 4] = [b"a=1", b"__Host-chancery-visitor=chv_v; b=2", b"__Host-chancery-session=chb_s", b"c"];
    let cookies = read(&shop(), &headers);
    assert_eq!((cookies.visitor(), cookies.session()), (Some("chv_v"), Some("chb_s")));
    assert!(!cookies.is_unusable(CookieKind::Session) && cookies.was_sent(CookieKind::Session));
}

#[test]
fn a_value_that_cannot_be_ours_is_unusable_and_others_do_not_matter() {
    let long = format!("__Host-chancery-session={}", "a".repeat(MAX_VALUE + 1));
    for bad in [
        &b"__Host-chancery-session="[..],
        b"__Host-chancery-session=\"chb_a\"",
        b"__Host-chancery-session=chb_a ",
        b"__Host-chancery-session= chb_a",
        b"__Host-chancery-session=chb=a",
        b"__Host-chancery-session=chb_\xff",
        b"__Host-chancery-session=chb_%41",
        long.as_bytes(),
    ] {
        let mut all = b"other=\xff\xfe; empty=; ;; ".to_vec();
        all.extend_from_slice(bad);
        let cookies = read(&shop(), &[&all]);
        assert_eq!(cookies.session(), None, "{bad:?}");
        assert!(cookies.is_unusable(CookieKind::Session), "{bad:?}");
    }
}

#[test]
fn a38_a_header_that_is_too_large_has_no_cookie_of_ours() {
    let fill = |length: usize| format!("x={}", "a".repeat(length - 2));
    let ours = b"__Host-chancery-session=chb_a";
    let room = MAX_HEADERS - ours.len();
    assert_eq!(read(&shop(), &[fill(room).as_bytes(), ours]).session(), Some("chb_a"));
    assert_eq!(read(&shop(), &[fill(room + 1).as_bytes(), ours]).session(), None);
}

#[test]
fn at_most_eight_devices_and_only_language_tags_are_taken() {
    let many = (0..20).map(|n| format!("chd_{n}")).collect::<Vec<_>>().join(".");
    let cookies = read(&shop(), &[format!("__Host-chancery-devices={many}").as_bytes()]);
    assert_eq!(tokens(&cookies), ["chd_0", "chd_1", "chd_2", "chd_3", "chd_4", "chd_5", "chd_6", "chd_7"]);
    let odd = format!("__Host-chancery-devices=.chd_a..{}.chd_b.", "x".repeat(MAX_DEVICE + 1));
    assert_eq!(tokens(&read(&shop(), &[odd.as_bytes()])), ["chd_a", "chd_b"]);
    assert!(read(&shop(), &[b"__Host-chancery-devices=..."]).is_unusable(CookieKind::Devices));
    for (tag, good) in [
        ("en", true),
        ("de-AT", true),
        ("zh-Hant-TW", true),
        ("sl-rozaj-biske-1994", true),
        ("e", false),
        ("en-", false),
        ("en--US", false),
        ("e1", false),
        ("en_US", false),
        ("..", false),
        ("englishes-x", false),
        ("en-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaa", false),
    ] {
        let cookies = read(&shop(), &[format!("__Host-chancery-lang={tag}").as_bytes()]);
        assert_eq!(cookies.language(), good.then_some(tag));
        assert_eq!(cookies.is_unusable(CookieKind::Language), !good, "{tag}");
        assert_eq!(shop().language(tag).is_some(), good, "{tag}");
    }
}

#[test]
fn cookies_are_not_printed() {
    let cookies = read(&shop(), &[b"__Host-chancery-session=chb_secret; __Host-chancery-devices=chd_secret"]);
    assert_eq!(format!("{cookies:?}"), "RequestCookies { sent: [Session, Devices], .. }");
}

proptest! {
    #[test]
    fn no_header_panics_and_what_is_read_stood_there_once(
        lines in proptest::collection::vec("[ -~\\t]{0,20}(__Host-chancery-(session|visitor)=[a-z_]{1,9})?[ -~]{0,20}", 0..4),
    ) {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.trim().as_bytes()).collect();
        let cookies = read(&shop(), &lines);
        if let Some(session) = cookies.session() {
            let pair = format!("__Host-chancery-session={session}");
            let stood = lines.iter().flat_map(|line| line.split(|b| *b == b';'));
            let stood = stood.filter(|part| part.strip_prefix(b" ").unwrap_or(part) == pair.as_bytes());
            prop_assert_eq!(stood.count(), 1);
        }
    }
}
