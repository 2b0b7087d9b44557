//! The entity tags of values.

use std::fmt::Write;

use crate::{domain::session_data::Namespace, secret::sha256};

/// How many bytes of the hash a tag has.
const HASHED: usize = 8;
/// What servers and proxies add to a tag when they compress, after a `-` or `;`.
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];

/// The tags of a value: which one it is, and its version. They are strong, since no two values, and no two owners, ever
/// have the same; a browser that has changed its user must not take one value for another.
pub(super) struct Tags {
    /// The hash of the owner and the name.
    of: String,
}

impl Tags {
    pub(super) fn of(owner: &str, namespace: &Namespace) -> Self {
        // No owner has a line break.
        let hash = sha256(format!("{owner}\n{namespace}").as_bytes());
        let mut of = String::with_capacity(2 * HASHED);
        for byte in hash.iter().take(HASHED) {
            // Writing to a text does not fail.
            let _ = write!(of, "{byte:02x}");
        }
        Self { of }
    }

    /// The tag of a version, in quotes.
    pub(super) fn tag(&self, version: i64) -> String {
        format!("\"{}-{version}\"", self.of)
    }

    /// The version that a tag without its quotes stands for, if it is one of this value. One that somebody on the way has
    /// marked as weak or compressed is as good: it still names one version.
    pub(super) fn version(&self, opaque: &str) -> Option<i64> {
        let digits = uncompressed(opaque).strip_prefix(&self.of)?.strip_prefix('-')?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_number)
    }
}

/// A tag without what was added to it.
fn uncompressed(opaque: &str) -> &str {
    let coding = CODINGS.into_iter().find_map(|coding| opaque.strip_suffix(coding));
    let Some(rest) = coding.filter(|rest| rest.ends_with(['-', ';'])) else { return opaque };
    rest.trim_end_matches(['-', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(owner: &str, namespace: &str) -> Tags {
        Tags::of(owner, &namespace.parse().unwrap())
    }

    #[test]
    fn a_tag_is_of_one_version_of_one_value_of_one_owner() {
        let cart = tags("usr_1/shop", "cart");
        let tag = cart.tag(7);
        let opaque = tag.trim_matches('"').to_owned();
        assert_eq!(cart.version(&opaque), Some(7));
        assert_ne!(cart.tag(8), tag);
        for other in [tags("usr_2/shop", "cart"), tags("usr_1/desk", "cart"), tags("usr_1/shop", "form")] {
            assert_eq!((other.version(&opaque), other.tag(7) == tag), (None, false));
        }
    }

    #[test]
    fn a_tag_that_was_compressed_on_the_way_is_the_same_and_any_other_is_none() {
        let cart = tags("usr_1/shop", "cart");
        let of = &cart.of;
        for added in ["", "-gzip", ";gzip", "--gzip", "-br", ";zstd"] {
            assert_eq!(cart.version(&format!("{of}-7{added}")), Some(7), "{added}");
        }
        for bad in ["7", "", "-7", "gzip", "-gzip"] {
            assert_eq!(cart.version(bad), None, "{bad}");
        }
        for bad in ["", "-", "-07", "-+7", "-0", "-x", "-7x", "-7gzip", "-7-gzip-br", "-99999999999999999999"] {
            assert_eq!(cart.version(&format!("{of}{bad}")), None, "{bad}");
        }
    }
}
