//! The host of a site, written as browsers write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a text is not the host of a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There is none.
    #[error("must name a host, as in https://shop.example/auth")]
    Missing,
    /// It has letters that browsers write otherwise.
    #[error("must name the host in ASCII, as browsers send it: {0}")]
    NotAscii(String),
    /// It is not a name.
    #[error("must name a host of letters, digits and hyphens, such as shop.example")]
    Name,
    /// It is an address that browsers write otherwise.
    #[error("must write the address as browsers do, such as 192.0.2.1 or [2001:db8::1]")]
    Address,
}

/// Reads a host and writes it as browsers do: in lower case, and addresses in their shortest form.
pub(super) fn host(text: &str) -> Result<String, HostFault> {
    if text.is_empty() {
        return Err(HostFault::Missing);
    }
    if !text.is_ascii() {
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| HostFault::Name)?;
        return Err(HostFault::NotAscii(ascii));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or(HostFault::Address);
    }
    let text = text.to_ascii_lowercase();
    // Browsers take a name for an address if its last part begins like a number.
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        let address = text.parse::<Ipv4Addr>().map_err(|_| HostFault::Address)?;
        return Ok(address.to_string());
    }
    let character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(character)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) { Ok(text) } else { Err(HostFault::Name) }
}

/// Whether a host is this machine: `localhost` or a loopback address, an IPv6 address in its brackets.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
