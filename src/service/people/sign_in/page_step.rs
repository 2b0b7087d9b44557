//! The steps of a sign-in at a page, as its user sees them.

use std::sync::Arc;

use super::{NewCookies, PresentSession};
use crate::{
    domain::factor::FactorKind,
    id::TicketId,
    secret::{PasskeyResponse, Password, RecoveryCode, TypedCode},
    service::people::factors::TotpSetup,
    time::Timestamp,
};

/// A step, and the browser that asks for it.
#[derive(Clone, Debug)]
pub struct StepPlace {
    /// The id in the URL.
    pub id: TicketId,
    /// The hash of the browser's visitor.
    pub holder: [u8; 32],
    /// The session that the browser has already.
    pub present: Option<PresentSession>,
}

/// What a step asks for.
#[derive(Clone, Debug)]
pub enum StepField {
    /// A second factor, one of these.
    Factor {
        /// What the user has.
        kinds: Vec<FactorKind>,
        /// What a passkey is asked, if one can be used.
        passkey: Option<String>,
        /// Where the user's passkeys work, if they are all of other hosts.
        elsewhere: Vec<String>,
    },
    /// The code of an app that is set up.
    Enrol {
        /// What the app needs to know.
        setup: Arc<TotpSetup>,
        /// What a passkey is asked, if one can be made.
        passkey: Option<String>,
    },
    /// That the user has written these recovery codes down.
    RecoveryCodes {
        /// The codes.
        codes: Arc<Vec<RecoveryCode>>,
    },
    /// A new password.
    NewPassword {
        /// The fewest characters of it.
        min: usize,
    },
    /// An address that a code can be sent to.
    Address,
    /// The code that was sent.
    Code {
        /// Where it was sent.
        sent_to: String,
    },
}

/// The step that is next.
#[derive(Clone, Debug)]
pub struct StepAtPage {
    /// What it asks for.
    pub field: StepField,
    /// Which step of the sign-in it is.
    pub revision: i64,
    /// What was typed as user name.
    pub login: String,
    /// The sealed state of the flow.
    pub flow: String,
    /// Until when it can be taken.
    pub expires_at: Timestamp,
}

/// What a browser finds at the URL of a step.
#[derive(Clone, Debug)]
pub enum PageStep {
    /// The step that is next.
    Next(StepAtPage),
    /// No step of this sign-in can be taken any more.
    Over {
        /// What was typed as user name.
        login: String,
        /// The sealed state of the flow.
        flow: String,
        /// Why.
        end: StepsEnd,
    },
    /// Nothing, or nothing that this browser may know of.
    Nothing,
}

/// Why no step of a sign-in can be taken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepsEnd {
    /// The time is over, or all steps were taken.
    Expired,
    /// The account has changed since, perhaps by the same step in another tab.
    AccountChanged,
    /// Too many codes were wrong.
    CodesUsedUp,
}

/// What was filled in at a step.
#[derive(Debug)]
pub struct StepInput {
    /// The step that it was filled in at.
    pub revision: i64,
    /// What was filled in.
    pub typed: StepTyped,
    /// The keyed hash of all that.
    pub proof: [u8; 32],
}

/// What was typed at a step.
#[derive(Debug)]
pub enum StepTyped {
    /// A recovery code.
    RecoveryCode(TypedCode),
    /// What a passkey has signed.
    Passkey(PasskeyResponse),
    /// The recovery codes are written down.
    CodesKept,
    /// A new password.
    NewPassword(Password),
    /// An address that a code is to be sent to.
    Address(String),
    /// The code that was sent, or that an app shows.
    Code(TypedCode),
    /// The code is to be sent again.
    Resend,
    /// The code is to be sent to another address.
    OtherAddress,
}

/// What became of a step.
#[derive(Debug)]
pub enum StepTaken {
    /// It is done, now or by the same request before: the next one follows at the same URL.
    Done,
    /// It was another step that was next: nothing was done.
    Stale,
    /// It was the last one: the user is signed in.
    Session {
        /// The cookies.
        cookies: Box<NewCookies>,
        /// The sealed state of the flow.
        flow: String,
    },
    /// No step can be taken any more.
    Over {
        /// What was typed as user name.
        login: String,
        /// The sealed state of the flow.
        flow: String,
    },
    /// The browser has a session of another user, who must sign out first. Nothing was done.
    AnotherUser {
        /// The sealed state of the flow.
        flow: String,
    },
    /// There is nothing that this browser may know of.
    Nothing,
}

impl StepTyped {
    /// What it is, and the text that was typed.
    #[must_use]
    pub fn parts(&self) -> (&'static [u8], &str) {
        match self {
            Self::NewPassword(password) => (b"new_password", password.expose()),
            Self::Address(email) => (b"email", email),
            Self::Code(code) => (b"code", code.expose()),
            Self::RecoveryCode(code) => (b"recovery_code", code.expose()),
            Self::Passkey(response) => (b"passkey_response", response.expose()),
            Self::CodesKept => (b"codes_kept", ""),
            Self::Resend => (b"resend", ""),
            Self::OtherAddress => (b"other_address", ""),
        }
    }
}

impl StepField {
    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NewPassword { .. } => "new_password",
            Self::Address => "email",
            Self::Code { .. } | Self::Factor { .. } | Self::Enrol { .. } | Self::RecoveryCodes { .. } => "code",
        }
    }
}
