//! Tickets: what a link or code from a mail, or the next step of a sign-in, stands for.

use super::client::ClientId;
use crate::{
    id::{TicketId, UserId},
    secret::{CodeHash, TicketSecretHash},
    time::{Timestamp, Ttl},
};

/// How often a code may be typed wrong.
pub const ATTEMPTS: i64 = 5;
/// Digits of a code.
pub const DIGITS: usize = 8;
/// Most tickets of one kind that a user may have at a time: further ones are not mailed.
pub const MOST_OF_A_KIND: i64 = 5;

/// What a ticket lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketKind {
    /// Open the account that was asked for.
    Register,
    /// Take an address for one's own.
    VerifyEmail,
    /// Choose a new password.
    PasswordReset,
    /// Choose the first password.
    Invitation,
    /// Go on with a sign-in.
    SignIn,
}

impl TicketKind {
    const ALL: [Self; 5] = [Self::Register, Self::VerifyEmail, Self::PasswordReset, Self::Invitation, Self::SignIn];

    /// The name in the database and in links.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::VerifyEmail => "verify_email",
            Self::PasswordReset => "password_reset",
            Self::Invitation => "invitation",
            Self::SignIn => "sign_in",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// How long it works.
    #[must_use]
    pub const fn lifetime(self) -> Ttl {
        match self {
            // NIST SP 800-63B-4 §4.2.1.2 allows a day for codes by email; mailboxes are read within the hour.
            Self::Register | Self::VerifyEmail | Self::PasswordReset => Ttl::from_secs(3600),
            Self::Invitation => Ttl::from_days(7),
            Self::SignIn => Ttl::from_secs(600),
        }
    }
}

/// A ticket as the database keeps it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The id.
    pub id: TicketId,
    /// What for.
    pub kind: TicketKind,
    /// Through which client.
    pub client: ClientId,
    /// Whose; nobody's if there is no account, or none yet.
    pub user: Option<UserId>,
    /// The user's `security_version`: once that has moved on, the ticket is void.
    pub security_version: i64,
    /// The hash of the secret in the link.
    pub secret: TicketSecretHash,
    /// The hash of the code.
    pub code: CodeHash,
    /// How often the code may still be typed wrong.
    pub attempts_left: i64,
    /// What it is about, sealed.
    pub sealed: Vec<u8>,
    /// With which version of the sealing key.
    pub sealing_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}
