//! Identifiers: a prefix and a ULID. The text is the same in the database, the API and the logs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{entropy::Entropy, time::Timestamp};

/// Why a text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `{prefix}` followed by 26 characters of Crockford base 32")]
pub struct IdError {
    prefix: &'static str,
}

/// Length of the text form of a ULID.
const ULID_CHARS: usize = 26;

/// Parses a ULID in canonical form only: upper case, so that each value has exactly one text.
fn parse_ulid(text: &str) -> Option<Ulid> {
    let ulid = Ulid::from_string(text).ok()?;
    (text.len() == ULID_CHARS && ulid.to_string() == text).then_some(ulid)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The prefix of every identifier of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier. Identifiers sort by the time they were made.
            #[must_use]
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                let time = u64::try_from(now.millis()).unwrap_or(0);
                Self::from_ulid(Ulid::from_parts(time, u128::from_be_bytes(entropy.bytes16())))
            }

            /// The least identifier that can be made at this time.
            #[must_use]
            pub fn first_at(time: Timestamp) -> Self {
                Self::from_ulid(Ulid::from_parts(u64::try_from(time.millis()).unwrap_or(0), 0))
            }

            /// The identifier with this ULID.
            #[must_use]
            pub fn from_ulid(ulid: Ulid) -> Self {
                Self(format!(concat!($prefix, "{}"), ulid))
            }

            /// The ULID behind the prefix; nil if a damaged database held something else.
            #[must_use]
            pub fn ulid(&self) -> Ulid {
                self.0.strip_prefix($prefix).and_then(parse_ulid).unwrap_or(Ulid::nil())
            }

            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let ulid = text.strip_prefix($prefix).and_then(parse_ulid);
                ulid.map(Self::from_ulid).ok_or(IdError { prefix: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A user.
    UserId, "usr_"
);
id!(
    /// A session: one sign-in of one user through one client on one device.
    SessionId, "ses_"
);
id!(
    /// A signing key.
    KeyId, "key_"
);
id!(
    /// A ticket: a link, a code or the next step of a sign-in refers to it.
    TicketId, "tkt_"
);
impl TicketId {
    /// The identifier that belongs to a hash: always the same one.
    #[must_use]
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        let half = hash.first_chunk::<16>().copied().unwrap_or_default();
        Self::from_ulid(Ulid::from_bytes(half))
    }
}

id!(
    /// A role.
    RoleId, "rol_"
);
id!(
    /// An audit event.
    AuditEventId, "aud_"
);
id!(
    /// An outgoing mail.
    MailId, "mai_"
);
id!(
    /// A second factor of a user.
    FactorId, "fct_"
);
id!(
    /// A server process, from its start to its end.
    ProcessId, "prc_"
);
id!(
    /// One call to this server; logs and INTERNAL errors carry it.
    RequestId, "req_"
);

/// A visitor: a browser that was here before, whoever sits in front of it. There is no row for it, and knowing it
/// proves nothing: a visitor's cookie has a tag beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorId(pub [u8; 16]);

impl VisitorId {
    /// The prefix of every visitor's identifier.
    pub const PREFIX: &'static str = "vis_";

    /// A new visitor. All bits are random: when somebody came first is nobody's business.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(entropy.bytes16())
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for VisitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, Ulid::from_bytes(self.0))
    }
}

impl FromStr for VisitorId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let ulid = text.strip_prefix(Self::PREFIX).and_then(parse_ulid);
        ulid.map(|ulid| Self(ulid.to_bytes())).ok_or(IdError { prefix: Self::PREFIX })
    }
}

/// Whether a text looks like an identifier made by this server: a lower-case prefix, `_` and a ULID.
///
/// A chosen `client_id` must not look like one, so that the two cannot be confused (RFC 9700 §4.15).
#[must_use]
pub fn looks_generated(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, rest)| {
        prefix.len() == 3 && prefix.bytes().all(|b| b.is_ascii_lowercase()) && Ulid::from_string(rest).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_visitor_has_one_text() {
        let visitor = VisitorId::new(&SeededEntropy::new(1));
        assert_eq!(visitor.to_string().parse(), Ok(visitor));
        assert_eq!(VisitorId([0xff; 16]).to_string(), "vis_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        for bad in ["", "vis_", "vis_8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ses_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert!(bad.parse::<VisitorId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_parses_from_its_text_and_from_no_other() {
        let id = UserId::new(Timestamp::from_millis(1_893_456_000_000), &SeededEntropy::new(1));
        assert_eq!(id.as_str().parse::<UserId>(), Ok(id.clone()));
        assert!(id.as_str().parse::<SessionId>().is_err());
        assert!(id.as_str().to_lowercase().parse::<UserId>().is_err());
        assert!("usr_".parse::<UserId>().is_err());
        assert!(looks_generated(id.as_str()));
        assert!(!looks_generated("orders-service"));
    }
}
