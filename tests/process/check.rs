//! The listener of the check, asked over real sockets as a proxy asks it.

use std::{collections::BTreeMap, fs, path::Path};

use tokio::net::TcpStream;

use crate::{
    calls::{PASSWORD, log_in_as},
    dev_app::{Answer, cookie_header, exchange},
    place::Place,
    server::Server,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SHOP: &str = "shop.example";

/// What every proxy of this site says.
const FORWARDED: [(&str, &str); 4] = [
    ("x-forwarded-method", "GET"),
    ("x-forwarded-uri", "/orders?page=2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", SHOP),
];
const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// A server that believes this proxy, and a shop with the user `grace`.
pub(crate) struct Shop {
    pub(crate) server: Server,
    check: String,
}

impl Shop {
    async fn start(dir: &Path, proxy: &str) -> Self {
        let shop = Self::serve(&Place::sqlite(&dir.join("data")), proxy, &[]);
        shop.set_up().await;
        shop
    }

    /// Serves a shop that was set up, or is to be.
    pub(crate) fn serve(place: &Place, proxy: &str, more: &[&str]) -> Self {
        let secret = place.dir.with_extension("secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let flags = ["--check", "127.0.0.1:0", "--trusted-proxy", proxy, "--check-secret-file"];
        let server = Server::on(place, &[&flags[..], &[secret.to_str().unwrap()], more].concat());
        let check = server.ready.split_whitespace().find_map(|word| word.strip_prefix("check=")).unwrap().to_owned();
        Self { server, check }
    }

    pub(crate) async fn set_up(&self) {
        let server = &self.server;
        server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
        let site = ["--public", "--first-party", "--audience", "shop-api", "--site", "https://shop.example/auth"];
        server.command(&[&["client", "create", "shop"], &site[..]].concat(), "");
        // Whoever asks for a client that a process does not know makes it look.
        log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.unwrap();
    }

    /// Signs in a browser that was sent away from the shop. Returns its cookies.
    pub(crate) async fn sign_in_a_browser(&self) -> BTreeMap<String, String> {
        let nobody = self.ask("", &[&[("chancery-check-secret", SECRET)], &NAVIGATION[..]].concat()).await;
        let location = nobody.headers["location"].to_str().unwrap().to_owned();
        self.sign_in(location.strip_prefix("https://shop.example").unwrap()).await
    }

    /// Whether a browser with these cookies is let in.
    pub(crate) async fn lets_in(&self, cookies: &BTreeMap<String, String>) -> bool {
        let cookie = cookie_header(cookies);
        self.ask("", &[("cookie", &*cookie), ("chancery-check-secret", SECRET)]).await.status == 200
    }

    /// Asks as a proxy does.
    async fn ask(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(&self.check).await.unwrap();
        let path = format!("/auth/check{query}");
        exchange(stream, &self.check, ("GET", &path), &[&FORWARDED[..], headers].concat(), "").await
    }

    /// Asks for a page, or sends its form, as a browser does through the proxy.
    async fn page(&self, request: (&str, &str), cookies: &BTreeMap<String, String>, body: &str) -> Answer {
        let stream = TcpStream::connect(&self.server.http).await.unwrap();
        let cookie = cookie_header(cookies);
        let headers = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "192.0.2.9"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
            ("cookie", &cookie),
        ];
        exchange(stream, SHOP, request, &headers, body).await
    }

    /// Signs in on the page at this path. Returns the cookies.
    async fn sign_in(&self, path: &str) -> BTreeMap<String, String> {
        let page = self.page(("GET", path), &BTreeMap::new(), "").await;
        let mut cookies = page.cookies();
        let (csrf, form) = (page.field("csrf"), page.field("form"));
        let body = format!("csrf={csrf}&form={form}&username=grace&password={}", PASSWORD.replace(' ', "+"));
        let done = self.page(("POST", path), &cookies, &body).await;
        assert_eq!(done.status, 303, "{}", done.body);
        assert_eq!(done.headers["location"], "https://shop.example/orders?page=2");
        cookies.extend(done.cookies());
        cookies
    }
}

#[tokio::test]
async fn a_proxy_is_told_whose_request_it_is_and_where_to_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::start(dir.path(), "127.0.0.1").await;
    let secret = [("chancery-check-secret", SECRET)];
    let nobody = shop.ask("", &[&secret[..], &NAVIGATION].concat()).await;
    assert_eq!(nobody.status, 302, "{}", nobody.body);
    let location = nobody.headers["location"].to_str().unwrap();
    let path = location.strip_prefix("https://shop.example").unwrap();
    assert!(path.starts_with("/auth/login?r="), "{location}");
    // nginx passes on no 302, and scripts get no page.
    let for_nginx = shop.ask("?redirect=header", &[&secret[..], &NAVIGATION].concat()).await;
    assert_eq!((for_nginx.status, for_nginx.headers.contains_key("x-chancery-location")), (401, true));
    assert_eq!(shop.ask("", &secret).await.status, 401);

    let cookie = cookie_header(&shop.sign_in(path).await);
    let known = shop.ask("", &[("cookie", &*cookie), secret[0]]).await;
    assert_eq!(known.status, 200, "{}", known.body);
    assert!(known.headers["x-chancery-subject"].to_str().unwrap().starts_with("usr_"));
    assert_eq!(known.headers["x-chancery-token"].to_str().unwrap().split('.').count(), 3);
    assert_eq!((&known.headers["cache-control"], known.cookies().len()), (&"no-store".parse().unwrap(), 0));
    // It is no page of the public listener.
    let public = shop.page(("GET", "/auth/check"), &BTreeMap::new(), "").await;
    assert_eq!((public.status, public.headers.contains_key("x-chancery-subject")), (404, false));
}

#[tokio::test]
async fn whoever_lacks_the_secret_or_is_no_declared_proxy_is_told_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::start(dir.path(), "127.0.0.1").await;
    for wrong in [&[][..], &[("chancery-check-secret", "0123456789abcdef0123456789abcdeF")]] {
        let refused = shop.ask("?optional", wrong).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("PROXY_UNKNOWN"), "{}", refused.body);
    }
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Shop::start(dir.path(), "192.0.2.1").await;
    let refused = elsewhere.ask("?optional", &[("chancery-check-secret", SECRET)]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("--trusted-proxy"), "{}", refused.body);
}

#[tokio::test]
async fn a_browser_with_many_cookies_is_led_to_a_page_that_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::start(dir.path(), "127.0.0.1").await;
    let many = BTreeMap::from([("theme".to_owned(), "d".repeat(40_000))]);
    let cookie = cookie_header(&many);
    let headers = [&NAVIGATION[..], &[("chancery-check-secret", SECRET), ("cookie", &cookie)]].concat();
    let led = shop.ask("", &headers).await;
    let path = led.headers["location"].to_str().unwrap().strip_prefix("https://shop.example").unwrap();
    assert_eq!(shop.page(("GET", path), &many, "").await.status, 200);
    // There is a limit even so.
    let more = BTreeMap::from([("theme".to_owned(), "d".repeat(200_000))]);
    assert_eq!(shop.page(("GET", path), &more, "").await.status, 431);
}
