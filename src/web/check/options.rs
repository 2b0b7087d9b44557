//! The parameters of a check. They stand in the proxy's configuration.

use crate::{
    domain::assurance::{Assurance, acr_is_reachable},
    time::Ttl,
};

/// Maximum number of permissions to ask for.
const MAX_PERMISSIONS: usize = 16;

/// What a check asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own")]
pub struct CheckOptions {
    /// The audience of the token; empty for the default.
    pub audience: String,
    /// How strong the sign-in must be, and how recent.
    pub assurance: Assurance,
    /// The permissions that the user must have at the audience.
    pub permissions: Vec<String>,
    /// Whether requests without a session pass too.
    pub optional: bool,
    /// Whether a guest has a session too.
    pub guest: bool,
    /// Whether the request does not count as use of the session.
    pub leaves_idle: bool,
    /// Whether the address of the sign-in page is given in a header, for proxies that pass on no 302.
    pub location_in_header: bool,
}

/// A parameter at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongOption {
    pub(super) name: String,
    pub(super) problem: &'static str,
}

impl CheckOptions {
    /// Reads a query. Whatever is not known is refused: a demand with a slip of the pen would be none.
    pub(super) fn parse(query: &str) -> Result<Self, WrongOption> {
        let mut options = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = |problem| WrongOption { name: shown(&name), problem };
            if name != "permission" && seen.iter().any(|other| *other == name) {
                return Err(wrong("is there twice"));
            }
            match (&*name, &*value) {
                ("audience" | "acr" | "permission", "") => return Err(wrong("must not be empty")),
                ("audience", text) => text.clone_into(&mut options.audience),
                ("acr", text) if !acr_is_reachable(text) => {
                    return Err(wrong("is a level that no sign-in reaches; the highest is 2"));
                }
                ("acr", text) => options.assurance.acr = Some(text.to_owned()),
                ("max_age", text) => {
                    let seconds = text.parse::<u32>().map_err(|_| wrong("must be a number of seconds"))?;
                    if seconds == 0 {
                        return Err(wrong("must be at least 1: every sign-in is older once the browser is back"));
                    }
                    options.assurance.max_age = Some(Ttl::from_secs(seconds.into()));
                }
                ("permission", text) if options.permissions.len() < MAX_PERMISSIONS => {
                    options.permissions.push(text.to_owned());
                }
                ("permission", _) => return Err(wrong("is there too often")),
                ("optional", "" | "1") => options.optional = true,
                ("guest", "1") => options.guest = true,
                ("optional" | "guest", _) => return Err(wrong("must be 1 or left out")),
                ("idle", "0") => options.leaves_idle = true,
                ("idle", _) => return Err(wrong("must be 0 or left out")),
                ("redirect", "header") => options.location_in_header = true,
                ("redirect", _) => return Err(wrong("must be `header` or left out")),
                _ => return Err(wrong("is not a parameter of this page")),
            }
            seen.push(name.into_owned());
        }
        Ok(options)
    }
}

/// The name of a parameter as far as it can be shown.
fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let query =
            "audience=orders&acr=2&max_age=300&permission=a&permission=b&optional&guest=1&idle=0&redirect=header";
        let options = CheckOptions {
            audience: "orders".into(),
            assurance: Assurance { acr: Some("2".into()), max_age: Some(Ttl::from_secs(300)) },
            permissions: vec!["a".into(), "b".into()],
            optional: true,
            guest: true,
            leaves_idle: true,
            location_in_header: true,
        };
        assert_eq!(CheckOptions::parse(query), Ok(options));
        assert_eq!(CheckOptions::parse(""), Ok(CheckOptions::default()));
        assert!(CheckOptions::parse("optional=1").unwrap().optional);
    }

    #[test]
    fn a_parameter_that_is_not_understood_is_named() {
        for (query, name) in [
            ("premission=admin", "premission"),
            ("optional=no", "optional"),
            ("optional&optional", "optional"),
            ("audience=", "audience"),
            ("permission=", "permission"),
            ("acr=", "acr"),
            ("acr=a%22", "acr"),
            ("acr=3", "acr"),
            ("acr=foo", "acr"),
            ("max_age=0", "max_age"),
            ("max_age=1h", "max_age"),
            ("max_age=-1", "max_age"),
            ("max_age=", "max_age"),
            ("idle=1", "idle"),
            ("redirect=302", "redirect"),
            ("guest=0", "guest"),
            ("guest", "guest"),
            ("Optional=1", "Optional"),
            ("=1", ""),
            ("a%0d%0ab=1", "ab"),
        ] {
            assert_eq!(CheckOptions::parse(query).unwrap_err().name, name, "{query}");
        }
        assert!(CheckOptions::parse(&"permission=a&".repeat(17)).is_err());
    }
}
