//! Where the mail server is, and how the way there is protected.

use std::{fmt, net::IpAddr, str::FromStr};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314 §3).
    Tls,
    /// TLS after STARTTLS, which must succeed.
    StartTls,
    /// None; only to this machine itself.
    None,
}

/// A mail server that takes mails of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// How the connection is protected.
    pub security: Security,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for Relay {
    type Err = &'static str;

    /// Understands `smtps://host:465`, `smtp://host:587` and, on loopback, `smtp+plain://127.0.0.1:25`.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        const SCHEMES: [(&str, Security, u16); 3] = [
            ("smtps://", Security::Tls, 465),
            ("smtp://", Security::StartTls, 587),
            ("smtp+plain://", Security::None, 25),
        ];
        let found =
            SCHEMES.into_iter().find_map(|(scheme, security, port)| Some((url.strip_prefix(scheme)?, security, port)));
        let (rest, security, default_port) = found.ok_or("must begin with smtps://, smtp:// or smtp+plain://")?;
        if rest.contains('@') {
            return Err("must not contain a user; set mail_username and mail_password_file instead");
        }
        let authority: http::uri::Authority =
            rest.trim_end_matches('/').parse().map_err(|_| "must be a URL such as smtps://mail.example.org:465")?;
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => default_port,
            None => return Err("has an invalid port"),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if security == Security::None && !loopback {
            return Err("smtp+plain:// is for loopback only, since codes would cross the network in clear; \
                        smtp:// asks for STARTTLS, smtps:// begins with TLS");
        }
        Ok(Self { security, host, port })
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::Tls => "smtps",
            Security::StartTls => "smtp",
            Security::None => "smtp+plain",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_protected_unless_it_is_this_machine() {
        for (url, shown) in [
            ("smtps://mail.example.org", "smtps://mail.example.org:465"),
            ("smtps://mail.example.org:4650/", "smtps://mail.example.org:4650"),
            ("smtp://mail.example.org", "smtp://mail.example.org:587"),
            ("smtp+plain://127.0.0.1:1025", "smtp+plain://127.0.0.1:1025"),
            ("smtp+plain://localhost", "smtp+plain://localhost:25"),
            ("smtp+plain://[::1]:1025", "smtp+plain://[::1]:1025"),
        ] {
            assert_eq!(url.parse::<Relay>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp+plain://mail.example.org:25",
            "smtp+plain://10.0.0.1",
            "smtps://",
            "smtps://ada:secret@mail.example.org",
            "smtps://mail.example.org:99999",
            "smtps://mail.example.org/path",
            "smtps://mail.example.org?x=1",
        ] {
            assert!(bad.parse::<Relay>().is_err(), "{bad}");
        }
    }
}
