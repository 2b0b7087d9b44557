//! The state of a sign-in that has proved nothing yet. It stands sealed in the URL, as `r`, and in no row: a reload, the
//! button "back", a second tab and a flood of visitors cost nothing.

mod own_page;

use serde::{Deserialize, Serialize};

pub use self::own_page::OwnPage;
use super::{client::ClientId, mail::Language, return_path::ReturnPath, site::Site};
use crate::{
    secret::sha256,
    time::{Timestamp, Ttl},
};

/// How long the page of a flow can be used.
pub const FLOW_TTL: Ttl = Ttl::from_days(1);
/// The longest authentication level that can be asked for.
const MAX_ACR: usize = 48;
/// How much of the hash of a site's origin is kept.
const SITE_HASH: usize = 16;

/// What whoever asked for a sign-in wants to see in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A new sign-in, whether or not there is a session.
    Login,
}

/// What a session must have beyond being one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// The authentication level.
    pub acr: Option<String>,
    /// How long ago the user may have signed in.
    pub max_age: Option<Ttl>,
    /// What is to be shown in any case.
    pub prompt: Option<Prompt>,
}

/// The state of a flow, at the site that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowState {
    site: String,
    client: ClientId,
    return_path: Option<ReturnPath>,
    own_page: Option<OwnPage>,
    required: Required,
    language: Option<Language>,
    issued_at: Timestamp,
}

/// The state as it is sealed, but for the path, which follows on a line of its own: in JSON, quotes in it would take
/// more room.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    /// The beginning of the SHA-256 of the site's origin, in hexadecimal digits: origins can be long.
    s: &'a str,
    c: &'a str,
    t: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<Ttl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<Prompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<OwnPage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<String>,
}

impl FlowState {
    /// A new flow. This is the only way in for `return_to`: what cannot be taken leads to the home of the site.
    #[must_use]
    pub fn new(site: &Site, client: &ClientId, return_to: Option<&str>, now: Timestamp) -> Self {
        Self {
            site: site.origin().to_owned(),
            client: client.clone(),
            return_path: return_to.and_then(|text| ReturnPath::parse(text, site)),
            own_page: None,
            required: Required::default(),
            language: None,
            issued_at: now,
        }
    }

    /// The same flow, which asks for more than a session. A level that has quotes in it or more than 48 bytes is none
    /// that anybody has, and nobody is asked for it.
    #[must_use]
    pub fn requiring(mut self, mut required: Required) -> Self {
        required.acr = required.acr.filter(|acr| acr.len() <= MAX_ACR && acr.bytes().all(is_of_acr));
        self.required = required;
        self
    }

    /// The same flow, which leads to a page below the prefix.
    #[must_use]
    pub fn leading_to(mut self, page: OwnPage) -> Self {
        self.own_page = Some(page);
        self
    }

    /// The same flow, whose pages are in a language unless its reader has chosen another.
    #[must_use]
    pub fn in_language(self, language: Option<Language>) -> Self {
        Self { language, ..self }
    }

    /// The same flow, begun again.
    #[must_use]
    pub fn begun_at(self, now: Timestamp) -> Self {
        Self { issued_at: now, ..self }
    }

    /// The same flow, which leads to the home of the site, or to its page below the prefix.
    #[must_use]
    pub fn without_return_path(self) -> Self {
        Self { return_path: None, ..self }
    }

    /// The origin of the site.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// Where it leads, unless to the home of the site.
    #[must_use]
    pub fn return_path(&self) -> Option<&ReturnPath> {
        self.return_path.as_ref()
    }

    /// What a session must have.
    #[must_use]
    pub fn required(&self) -> &Required {
        &self.required
    }

    /// The language of its pages, if one was asked for.
    #[must_use]
    pub fn language(&self) -> Option<&Language> {
        self.language.as_ref()
    }

    /// When it began.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The path to which it leads.
    #[must_use]
    pub fn path(&self, site: &Site) -> String {
        match &self.own_page {
            Some(page) => site.path(&page.below_prefix()),
            None => self.return_path.as_ref().map_or(site.home(), ReturnPath::as_str).to_owned(),
        }
    }

    /// The whole URL to which it leads.
    #[must_use]
    pub fn destination(&self, site: &Site) -> String {
        format!("{}{}", site.origin(), self.path(site))
    }

    /// When its page becomes too old to be used.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.issued_at.plus(FLOW_TTL)
    }

    /// Whether its page is too old to be used.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at()
    }

    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sealed = Sealed {
            s: &site_hash(&self.site),
            c: self.client.as_str(),
            t: self.issued_at,
            a: self.required.acr.clone(),
            m: self.required.max_age,
            p: self.required.prompt,
            o: self.own_page.clone(),
            l: self.language.as_ref().map(|language| language.as_str().to_owned()),
        };
        // Serialising plain values cannot fail; an empty text would open as nothing.
        let mut bytes = serde_json::to_vec(&sealed).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(self.return_path.as_ref().map_or("", ReturnPath::as_str).as_bytes());
        bytes
    }

    /// The state in bytes that were sealed; nothing if it is of another site. A path that the site no longer has, since
    /// its prefix has changed, leads to its home.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], site: &Site) -> Option<Self> {
        let (head, path) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let Sealed { s, c, t, a, m, p, o, l } = serde_json::from_str(head).ok()?;
        let of_this_site = s == site_hash(site.origin());
        of_this_site.then(|| Self {
            site: site.origin().to_owned(),
            client: ClientId::from_database(c.to_owned()),
            return_path: ReturnPath::parse(path, site),
            own_page: o,
            required: Required { acr: a, max_age: m, prompt: p },
            language: l.and_then(|tag| tag.parse().ok()),
            issued_at: t,
        })
    }
}

const fn is_of_acr(b: u8) -> bool {
    b.is_ascii_graphic() && b != b'"' && b != b'\\'
}

fn site_hash(origin: &str) -> String {
    sha256(origin.as_bytes()).iter().take(SITE_HASH).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    fn site() -> Site {
        "https://shop.example/auth".parse().unwrap()
    }

    fn flow(return_to: Option<&str>) -> FlowState {
        FlowState::new(&site(), &"shop".parse().unwrap(), return_to, NOW)
    }

    #[test]
    fn a_flow_has_the_known_bytes_and_reads_back() {
        let plain = flow(Some("/basket?x=\"1\""));
        let bytes = b"{\"s\":\"f617a4db4e7353d6b4cc51809771c3b0\",\"c\":\"shop\",\"t\":1893456000000}\n/basket?x=\"1\"";
        assert_eq!(String::from_utf8(plain.to_bytes()).unwrap(), String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(FlowState::from_bytes(bytes, &site()), Some(plain));
        let required =
            Required { acr: Some("2".to_owned()), max_age: Some(Ttl::from_secs(5)), prompt: Some(Prompt::Login) };
        let full = flow(None).requiring(required).in_language("de-AT".parse().ok());
        assert!(full.to_bytes().ends_with(b",\"a\":\"2\",\"m\":5000,\"p\":\"login\",\"l\":\"de-at\"}\n"));
        assert_eq!(FlowState::from_bytes(&full.to_bytes(), &site()), Some(full));
    }

    #[test]
    fn a_flow_can_lead_to_a_page_of_ours_that_no_url_can_name() {
        let token = || "tkt_0123".to_owned();
        for (page, path) in
            [(OwnPage::Account, "/auth/account"), (OwnPage::Verify { token: token() }, "/auth/verify?token=tkt_0123")]
        {
            let flow = flow(Some("/basket")).leading_to(page);
            assert_eq!(FlowState::from_bytes(&flow.to_bytes(), &site()), Some(flow.clone()));
            assert_eq!(flow.destination(&site()), format!("https://shop.example{path}"));
        }
        assert!(!format!("{:?}", OwnPage::Verify { token: token() }).contains("0123"));
    }

    #[test]
    fn a_flow_counts_at_its_own_site_alone() {
        let bytes = flow(Some("/basket")).to_bytes();
        for other in ["https://shop.example:8443/auth", "https://other.example/auth", "http://localhost:8000/auth"] {
            assert_eq!(FlowState::from_bytes(&bytes, &other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn s13_a_path_that_cannot_be_taken_leads_to_the_home_of_the_site() {
        let site = site().with_home("/welcome").unwrap();
        for (return_to, destination) in [
            (None, "https://shop.example/welcome"),
            (Some("/basket"), "https://shop.example/basket"),
            (Some("//evil.example"), "https://shop.example/welcome"),
            (Some("/auth/login"), "https://shop.example/welcome"),
        ] {
            let flow = FlowState::new(&site, &"shop".parse().unwrap(), return_to, NOW);
            assert_eq!(flow.destination(&site), destination, "{return_to:?}");
        }
        let moved: Site = "https://shop.example/basket".parse().unwrap();
        let read = FlowState::from_bytes(&flow(Some("/basket/1")).to_bytes(), &moved).unwrap();
        assert_eq!(read.destination(&moved), "https://shop.example/", "that is a page of ours now");
    }

    #[test]
    fn a_flow_is_over_after_a_day_and_not_before() {
        let flow = flow(None);
        assert!(!flow.is_over(NOW) && !flow.is_over(NOW.plus(FLOW_TTL).minus(Ttl::from_millis(1))));
        assert!(flow.is_over(NOW.plus(FLOW_TTL)));
    }

    #[test]
    fn other_bytes_are_no_flow() {
        let good = String::from_utf8(flow(Some("/basket")).to_bytes()).unwrap();
        for bad in ["", "\n", "{}\n/", "plain", good.trim_end_matches("\n/basket"), &good.replace("\"t\"", "\"u\"")] {
            assert_eq!(FlowState::from_bytes(bad.as_bytes(), &site()), None, "{bad}");
        }
    }
}
