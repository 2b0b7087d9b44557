//! Secret values and their hashes.
//!
//! Secrets have no `Display`, `Serialize`, `Clone` or `PartialEq`. They are wiped when dropped, and `Debug`
//! prints only the name of their type. Hashes have types of their own; the store accepts nothing else.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(SecretString);

        impl $name {
            /// Wraps a text.
            #[must_use]
            pub fn new(text: String) -> Self {
                Self(text.into())
            }

            /// The text itself, for the one place that needs it.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret_text!(
    /// A password as the user typed it.
    Password
);
secret_text!(
    /// A password hash made by another system.
    ForeignHash
);
secret_text!(
    /// A confidential client's secret: `chs_`, 43 base64url characters and a checksum.
    ClientSecret
);
secret_text!(
    /// A refresh token as it is sent over the wire.
    RefreshToken
);
secret_text!(
    /// A token that identifies a known device, as it is sent over the wire.
    DeviceToken
);
secret_text!(
    /// A one-time code, or a link that contains one, sent by mail.
    MailedSecret
);
secret_text!(
    /// The password with which this server signs in to a mail server.
    MailPassword
);
secret_text!(
    /// The token in a link, or for the next step of a sign-in, as it is sent over the wire.
    TicketToken
);
secret_text!(
    /// A code as the user typed it.
    TypedCode
);
secret_text!(
    /// A recovery code, as it is shown once.
    RecoveryCode
);
secret_text!(
    /// What a passkey has signed, as a browser sends it.
    PasskeyResponse
);
secret_text!(
    /// The secret that an app and this server share, in base 32.
    TotpSecret
);
secret_text!(
    /// The cookie of a session, as it is sent over the wire.
    SessionCookie
);
secret_text!(
    /// The cookie by which a visitor is recognised, as it is sent over the wire.
    VisitorCookie
);
secret_text!(
    /// An access token: a signed JWT.
    AccessToken
);

impl ClientSecret {
    /// A new secret of 256 random bits.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(entropy.bytes32())));
        Self::new(with_checksum(&format!("chs_{}", *body)))
    }

    /// The hash for the database. The secret has 256 random bits, so a plain hash is enough.
    #[must_use]
    pub fn hash(&self) -> ClientSecretHash {
        ClientSecretHash(sha256(self.expose().as_bytes()))
    }
}

/// Appends the CRC-32 of `body` as eight hexadecimal digits, so that scanners and parsers can tell the text
/// from noise without a query.
#[must_use]
pub fn with_checksum(body: &str) -> String {
    format!("{body}{:08x}", crc32fast::hash(body.as_bytes()))
}

/// The text before the checksum; nothing if the checksum is wrong.
#[must_use]
pub fn without_checksum(text: &str) -> Option<&str> {
    let (body, sum) = text.split_at_checked(text.len().checked_sub(8)?)?;
    (sum == format!("{:08x}", crc32fast::hash(body.as_bytes()))).then_some(body)
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Whether two hashes are equal, in constant time.
            #[must_use]
            pub fn matches(&self, other: &Self) -> bool {
                constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
            }

            /// The bytes, for the database.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<Vec<u8>> for $name {
            type Error = std::array::TryFromSliceError;
            fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
                bytes.as_slice().try_into().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

hash!(
    /// SHA-256 of a [`ClientSecret`].
    ClientSecretHash
);
hash!(
    /// SHA-256 of a [`TicketSecret`].
    TicketSecretHash
);
hash!(
    /// Keyed hash of a code that a user types. The code is short: without the key it could be found by trying all.
    CodeHash
);
hash!(
    /// SHA-256 of a [`RecoveryCode`] and its user.
    RecoveryCodeHash
);
hash!(
    /// SHA-256 of a [`SessionSecret`].
    SessionSecretHash
);

/// The 256 random bits in a ticket's token.
pub struct TicketSecret(pub Zeroizing<[u8; 32]>);

impl TicketSecret {
    /// A new secret.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(entropy.bytes32()))
    }

    /// The hash for the database.
    #[must_use]
    pub fn hash(&self) -> TicketSecretHash {
        TicketSecretHash(sha256(&*self.0))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(…)")
    }
}

/// The 256 random bits of a session. Each of its refresh tokens carries them.
pub struct SessionSecret(pub Zeroizing<[u8; 32]>);

impl SessionSecret {
    /// A new secret.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(entropy.bytes32()))
    }

    /// The hash for the database.
    #[must_use]
    pub fn hash(&self) -> SessionSecretHash {
        SessionSecretHash(sha256(&*self.0))
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn secrets_do_not_print_and_hashes_compare() {
        let secret = ClientSecret::generate(&SeededEntropy::new(3));
        assert_eq!(format!("{secret:?}"), "ClientSecret(…)");
        assert!(secret.hash().matches(&ClientSecret::new(secret.expose().to_owned()).hash()));
        assert!(!secret.hash().matches(&ClientSecret::generate(&SeededEntropy::new(4)).hash()));
    }

    #[test]
    fn a_checksum_tells_a_token_from_noise() {
        let text = with_checksum("chr_abc");
        assert_eq!(without_checksum(&text), Some("chr_abc"));
        assert_eq!(without_checksum("chr_abc00000000"), None);
        assert_eq!(without_checksum("x"), None);
        assert_eq!(without_checksum("äöüäöüä"), None);
    }
}
