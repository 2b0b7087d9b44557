//! Addresses on pages.

use std::fmt::Write;

/// The address of a page under the prefix, with the sign-in under way, or the language that was asked for without one,
/// and, if one is given, the mail that is waited for: the address then shows the same page, however it is come to.
pub(super) fn link_to(
    prefix: &str,
    (flow, ui_locales): (Option<&str>, Option<&str>),
    page: &str,
    waiting: Option<&str>,
) -> String {
    let ui_locales = ui_locales.filter(|_| flow.is_none());
    let parts = [("r", flow), ("w", waiting), ("ui_locales", ui_locales)];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escape_query(value?))));
    let query = parts.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{prefix}/{page}{mark}{query}")
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 §2.3).
fn escape_query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            // Writing into a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// An address that a browser may follow or load: a path, or a URL that runs nothing.
pub(super) fn safe(text: &str) -> String {
    let path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    let good = path
        || text.starts_with("https://")
        || text.starts_with("http://")
        || text.starts_with("otpauth://")
        || text.starts_with("data:image/");
    if good { text.to_owned() } else { "#".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a24_an_address_runs_nothing() {
        for good in ["/", "/a?b=c", "https://shop.example/", "http://localhost:8000/", "data:image/svg+xml,x"] {
            assert_eq!(safe(good), good);
        }
        for bad in [
            "javascript:alert(1)",
            "//evil.example",
            "/\\evil.example",
            "data:text/html,x",
            "x",
            "",
            " /",
            "vbscript:x",
        ] {
            assert_eq!(safe(bad), "#", "{bad}");
        }
    }
}
