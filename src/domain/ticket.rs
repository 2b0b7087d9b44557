//! Tickets: the state behind a link or code in a mail, or behind the next step of a sign-in.

use super::client::ClientId;
use crate::{
    id::{TicketId, UserId},
    secret::{CodeHash, TicketSecretHash},
    time::{Timestamp, Ttl},
};

/// How often a wrong code may be entered.
pub const ATTEMPTS: i64 = 5;
/// Number of digits in a code.
pub const DIGITS: usize = 8;

/// What a ticket allows its holder to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketKind {
    /// Complete a registration.
    Register,
    /// Confirm an email address.
    VerifyEmail,
    /// Choose a new password.
    PasswordReset,
    /// Choose the first password.
    Invitation,
    /// Continue a sign-in.
    SignIn,
    /// Set up a second factor.
    Enrol,
}

impl TicketKind {
    const ALL: [Self; 6] =
        [Self::Register, Self::VerifyEmail, Self::PasswordReset, Self::Invitation, Self::SignIn, Self::Enrol];

    /// The name in the database and in links.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::VerifyEmail => "verify_email",
            Self::PasswordReset => "password_reset",
            Self::Invitation => "invitation",
            Self::SignIn => "sign_in",
            Self::Enrol => "enrol",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// How long a ticket of this kind is valid.
    #[must_use]
    pub const fn lifetime(self) -> Ttl {
        match self {
            // NIST SP 800-63B-4 §4.2.1.2 allows a day for codes sent by email. An hour is enough to read a mail.
            Self::Register | Self::VerifyEmail | Self::PasswordReset => Ttl::from_secs(3600),
            Self::Invitation => Ttl::from_days(7),
            Self::SignIn | Self::Enrol => Ttl::from_secs(600),
        }
    }
}

/// A ticket as stored in the database.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The id.
    pub id: TicketId,
    /// The kind.
    pub kind: TicketKind,
    /// The client through which it was requested.
    pub client: ClientId,
    /// The user; none if there is no account, or not yet.
    pub user: Option<UserId>,
    /// The user's `security_version` when the ticket was made. If it has changed since, the ticket is void.
    pub security_version: i64,
    /// The hash of the secret in the link.
    pub secret: TicketSecretHash,
    /// The hash of the code.
    pub code: CodeHash,
    /// How many more wrong codes may be entered.
    pub attempts_left: i64,
    /// The keyed hash of what it is about, if only the latest ticket about that is valid.
    pub topic: Option<[u8; 32]>,
    /// The sealed payload.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// Who may take its steps, if it is of a sign-in in a browser: the hash of what that browser or client holds.
    pub holder: Option<[u8; 32]>,
    /// The step that comes next.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}
