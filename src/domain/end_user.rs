//! The person on whose behalf a client calls.

use std::net::IpAddr;

use super::text::is_invisible;
use crate::error::{Result, Violations};

/// Maximum length of a user agent, in bytes.
pub const MAX_USER_AGENT: usize = 512;

/// Where a person calls from. Each part is empty if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndUser {
    address: String,
    user_agent: String,
}

impl EndUser {
    /// Reads what a client says about the person.
    ///
    /// # Errors
    /// Names `end_user.address`, `end_user.user_agent` or both.
    pub fn parse(address: &str, user_agent: &str) -> Result<Self> {
        let mut wrong = Violations::default();
        let address = wrong.take("end_user.address", parse_address(address)).unwrap_or_default();
        if user_agent.len() > MAX_USER_AGENT {
            wrong.add("end_user.user_agent", format!("must be at most {MAX_USER_AGENT} bytes"));
        } else if user_agent.contains(is_invisible) {
            wrong.add("end_user.user_agent", "must not contain control characters or invisible ones");
        }
        wrong.into_result(Self { address, user_agent: user_agent.to_owned() })
    }

    /// What the connection shows: its address, and the user agent that its client sends.
    #[must_use]
    pub fn of_connection(address: &str, user_agent: &str) -> Self {
        Self { address: address.to_owned(), user_agent: user_agent.to_owned() }
    }

    /// The address, in its canonical form.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The user agent.
    #[must_use]
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }
}

/// An address in its canonical form. An IPv4 address that a dual-stack socket shows as IPv6 is an IPv4 address.
fn parse_address(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let parsed = text.parse::<IpAddr>();
    let address = parsed.map_err(|_| "must be an IP address alone, without port, zone, brackets or spaces")?;
    Ok(address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn an_address_is_an_ip_address_alone_and_has_one_form() {
        for (text, want) in [
            ("", ""),
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
        ] {
            assert_eq!(EndUser::parse(text, "").unwrap().address(), want, "{text}");
        }
        let long = "1".repeat(10_240);
        let bad = [
            "192.0.2.7:443",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "fe80::1%eth0",
            " 192.0.2.7",
            "192.0.2.7 ",
            "192.0.2",
            "192.0.2.07",
            "localhost",
            "192.0.2.7, 198.51.100.1",
            "192.0.2.7\0",
            "192.0.2.0/24",
            "unknown",
            &long,
        ];
        for text in bad {
            let Err(Error::Invalid(violations)) = EndUser::parse(text, "") else { panic!("{text:?} is accepted") };
            assert_eq!((violations.len(), &*violations[0].field), (1, "end_user.address"), "{text:?}");
        }
    }

    #[test]
    fn a_user_agent_is_bounded_and_visible() {
        assert_eq!(EndUser::parse("", "Mozilla/5.0").unwrap().user_agent(), "Mozilla/5.0");
        for bad in ["a\nb", "a\u{202e}b", "a\0", &"x".repeat(513)] {
            let Err(Error::Invalid(violations)) = EndUser::parse("x", bad) else { panic!("{bad:?} is accepted") };
            let fields: Vec<_> = violations.iter().map(|v| &*v.field).collect();
            assert_eq!(fields, ["end_user.address", "end_user.user_agent"], "{bad:?}");
        }
    }
}
