//! When and through what a mail was asked for, so that its reader can tell whether they did it themselves.
//!
//! Strangers can ask for mails to anybody. That is why nothing here is text that they chose: an address is printed
//! from its bits, and of a user agent only well-known names are kept.

use std::net::IpAddr;

use super::MailParams;
use crate::time::Timestamp;

/// How much of a user agent is looked at, in bytes.
const MAX_LOOKED_AT: usize = 512;

/// What a user agent contains, and the name that a reader knows. The first that matches counts.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// When and through what a mail was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// When; nothing if nobody asked for it.
    pub at: Option<Timestamp>,
    /// The address of the person who asked, as far as it is known.
    pub address: String,
    /// Their user agent, as far as it is known.
    pub user_agent: String,
}

impl Asked {
    /// The names of the parameters. Templates can use them in every kind of mail.
    pub const PARAMS: [&'static str; 2] = ["asked_at", "asked_from"];

    /// Adds the parameters for templates; they are empty where nothing is known.
    pub fn add_to(&self, params: &mut MailParams) {
        let values = [self.at.map(Timestamp::for_people).unwrap_or_default(), self.from()];
        for (name, value) in Self::PARAMS.into_iter().zip(values) {
            params.insert(name.to_owned(), value);
        }
    }

    /// Where it was asked for, such as `192.0.2.7, Firefox (Linux)`: in no language.
    fn from(&self) -> String {
        let address = self.address.parse::<IpAddr>().ok().map(|ip| ip.to_canonical().to_string());
        let device = match known_device(&self.user_agent) {
            (Some(browser), Some(system)) => Some(format!("{browser} ({system})")),
            (one, other) => one.or(other).map(str::to_owned),
        };
        let parts: Vec<String> = [address, device].into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// The well-known names of the browser and of the system in a user agent.
#[must_use]
pub fn known_device(user_agent: &str) -> (Option<&'static str>, Option<&'static str>) {
    let bytes = user_agent.as_bytes();
    let text = String::from_utf8_lossy(bytes.get(..MAX_LOOKED_AT).unwrap_or(bytes));
    let named = |names: &[(&str, &'static str)]| names.iter().find(|(part, _)| text.contains(part)).map(|n| n.1);
    (named(&BROWSERS), named(&SYSTEMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str, user_agent: &str) -> String {
        Asked { at: None, address: address.into(), user_agent: user_agent.into() }.from()
    }

    #[test]
    fn of_an_address_and_a_user_agent_only_known_words_reach_a_mail() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        assert_eq!(from("::ffff:192.0.2.7", firefox), "192.0.2.7, Firefox (Linux)");
        let edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0";
        assert_eq!(from("", edge), "Edge (Windows)");
        assert_eq!(from("2001:db8::1", "buy at http://evil.example"), "2001:db8::1");
        assert_eq!(from("http://evil.example", "\r\nBcc: v@y.org Firefox/1"), "Firefox");
        assert_eq!(from("", &format!("{}Firefox/1", "é".repeat(1000))), "");
    }

    #[test]
    fn a_mail_that_nobody_asked_for_has_empty_parameters() {
        let mut params = MailParams::new();
        Asked::default().add_to(&mut params);
        assert!(Asked::PARAMS.iter().all(|name| params[*name].is_empty()));
        Asked { at: Some(Timestamp::from_millis(1_893_456_000_000)), ..Asked::default() }.add_to(&mut params);
        assert_eq!((params["asked_at"].as_str(), params.len()), ("2030-01-01 00:00 UTC", 2));
    }
}
