//! Scopes, audiences and permissions: plain strings of a limited set of characters.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Maximum number of scopes in a request or grant.
pub const MAX_SCOPES: usize = 64;

/// Why a text is not a scope, permission or audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Too long.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// A character that is not allowed.
    #[error("may contain only printable ASCII, without spaces, quotes and backslashes")]
    Character,
}

/// The items, each once, where it came first.
#[must_use]
pub fn without_repeats<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(items.len());
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

/// RFC 6749 §3.3: a scope token is `%x21 / %x23-5B / %x5D-7E`. The same holds here for audiences and permissions.
fn check(text: &str, max: usize) -> Result<(), NameError> {
    let allowed = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
    match text {
        "" => Err(NameError::Empty),
        _ if text.len() > max => Err(NameError::TooLong(max)),
        _ if !text.bytes().all(allowed) => Err(NameError::Character),
        _ => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $max).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A scope. It narrows what a client may do for a user; it never grants anything.
    Scope, 128
);
name!(
    /// The identifier of a resource server, as in the claim `aud`.
    Audience, 255
);
name!(
    /// A permission for one audience.
    Permission, 128
);

/// A permission together with the audience it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PermissionAt {
    /// The audience.
    pub audience: Audience,
    /// The permission.
    pub permission: Permission,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_only_the_characters_of_rfc_6749() {
        assert!("orders.read".parse::<Scope>().is_ok());
        assert_eq!("".parse::<Scope>(), Err(NameError::Empty));
        for bad in ["a b", "a\"b", "a\\b", "é", "a\0"] {
            assert_eq!(bad.parse::<Scope>(), Err(NameError::Character), "{bad:?}");
        }
        assert_eq!("a".repeat(129).parse::<Scope>(), Err(NameError::TooLong(128)));
    }
}
