//! A browser, as far as measurements need one: it keeps cookies and sends forms. It is behind a proxy that is declared,
//! so that its site is one with TLS.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The URL of the site's pages.
pub(crate) const SITE: &str = "https://bench.example/auth";
/// What the proxy says of each request.
const PROXY: [(&str, &str); 2] = [("x-forwarded-proto", "https"), ("x-forwarded-host", "bench.example")];
/// What browsers say of a page that its user asks for.
const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// A browser at one server.
#[derive(Debug)]
pub(crate) struct Browser {
    address: String,
    cookies: BTreeMap<String, String>,
}

/// What a server has sent.
#[derive(Debug)]
pub(crate) struct Loaded {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Browser {
    /// A browser that was never here.
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), cookies: BTreeMap::new() }
    }

    /// Signs in by the pages.
    pub(crate) async fn sign_in(&mut self, user: &str, password: &str) -> anyhow::Result<()> {
        let path = self.login_path().await?;
        let page = self.get(&path).await?;
        let (csrf, form) = (page.hidden("csrf")?, page.hidden("form")?);
        let fields = [("csrf", &*csrf), ("form", &*form), ("username", user), ("password", password)];
        let answer = self.post(&path, &fields).await?;
        ensure!(answer.status == 303, "the sign-in was answered with {}", answer.status);
        Ok(())
    }

    /// The path of the sign-in form.
    pub(crate) async fn login_path(&mut self) -> anyhow::Result<String> {
        let location = self.get("/auth/login").await?.location.context("there is no form to sign in")?;
        Ok(location.strip_prefix("https://bench.example").context("the form is on another site")?.to_owned())
    }

    /// The token of the form to sign out.
    pub(crate) async fn sign_out_token(&mut self) -> anyhow::Result<String> {
        self.get("/auth/logout").await?.hidden("csrf")
    }

    /// Signs out by the pages.
    pub(crate) async fn sign_out(&mut self, token: &str) -> anyhow::Result<()> {
        let answer = self.post("/auth/logout", &[("csrf", token)]).await?;
        ensure!(matches!(answer.status, 200 | 303), "the sign-out was answered with {}", answer.status);
        Ok(())
    }

    /// The headers of a request to the site, cookies included.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let all = PROXY.iter().chain(&NAVIGATION).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        all.chain([("cookie".to_owned(), cookies.join("; "))]).collect()
    }

    /// The headers by which a proxy asks about such a request.
    pub(crate) fn check_headers(&self) -> Vec<(String, String)> {
        let more = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/orders?page=2")];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.headers().into_iter().chain(more).collect()
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<Loaded> {
        self.send(&format!("GET {path}"), "").await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Loaded> {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.send(&format!("POST {path}"), &pairs.join("&")).await
    }

    async fn send(&mut self, what: &str, body: &str) -> anyhow::Result<Loaded> {
        let mut request = format!("{what} HTTP/1.1\r\nhost: bench.example\r\nconnection: close\r\n");
        for (name, value) in self.headers() {
            request.extend([name.as_ref(), ": ", value.as_ref(), "\r\n"]);
        }
        let length = body.len().to_string();
        let rest = ["content-type: application/x-www-form-urlencoded\r\ncontent-length: ", &length, "\r\n\r\n", body];
        request.extend(rest);
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
        let mut location = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match name.to_ascii_lowercase().as_str() {
                "set-cookie" => self.keep(value),
                "location" => location = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        Ok(Loaded { status, location, body: body.to_owned() })
    }

    /// Keeps a cookie, or forgets one that has expired.
    fn keep(&mut self, set_cookie: &str) {
        let Some((name, value)) = set_cookie.trim().split(';').next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        if value.is_empty() || set_cookie.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Loaded {
    /// The value of a hidden field.
    fn hidden(&self, name: &str) -> anyhow::Result<String> {
        let field = format!("name=\"{name}\" value=\"");
        let found = self.body.split(&field).nth(1).and_then(|rest| rest.split('"').next());
        found.map(str::to_owned).with_context(|| format!("no field {name} in an answer of status {}", self.status))
    }
}

/// Encodes a value for a form.
fn encoded(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_until_they_expire() {
        let mut browser = Browser::new("");
        browser.keep(" a=1; Path=/");
        browser.keep("b=2; Max-Age=60");
        browser.keep("a=; Max-Age=0");
        assert_eq!(browser.headers().last().unwrap().1, "b=2");
    }

    #[test]
    fn a_hidden_field_is_found_by_its_name() {
        let body = "<input type=\"hidden\" name=\"csrf\" value=\"x-y\"><input name=\"form\" value=\"z\">".to_owned();
        let loaded = Loaded { status: 200, location: None, body };
        assert_eq!(loaded.hidden("csrf").unwrap(), "x-y");
        assert!(loaded.hidden("other").is_err());
        assert_eq!(encoded("a b&c"), "a%20b%26c");
    }
}
