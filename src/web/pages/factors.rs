//! What pages show of second factors.

use serde::{Serialize, Serializer};

use super::{Hidden, ShownOnce, names::names};
use crate::time::Timestamp;

names! {
    /// What a second factor is.
    FactorKind {
        /// An app that shows codes which change every half minute.
        Totp = "totp",
        /// A passkey.
        Passkey = "passkey",
    }
}

/// The second factors on the account page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Factors {
    /// Those in use.
    pub list: Vec<Factor>,
    /// How many recovery codes are left, where there is a factor.
    pub recovery_codes: Option<i64>,
    /// The sealed id of the form for new ones, sent as `form`.
    pub codes_form: Hidden,
    /// Whether the last one can be removed with the current password alone, as the account has one.
    pub password_needed: bool,
    /// Where to sign in again, because the sign-in is too old or too weak for changes.
    pub sign_in_again: Option<String>,
    /// What was typed as the name of a new one.
    pub name_typed: String,
    /// An app that is being added.
    pub totp: Option<NewTotp>,
    /// Whether passkeys can be made here.
    pub passkeys: bool,
    /// The only host at which they work, where the account is used at others as well.
    pub passkey_host: Option<String>,
    /// A passkey that is being added.
    pub passkey: Option<NewPasskey>,
}

/// A second factor.
#[derive(Clone, Debug, Serialize)]
pub struct Factor {
    /// Its id, sent as `factor_id`.
    pub id: String,
    /// What it is.
    pub kind: FactorKind,
    /// What its owner calls it; may be empty.
    pub name: String,
    /// When it was added.
    #[serde(serialize_with = "millis")]
    pub added_at: Timestamp,
    /// When it was used last.
    #[serde(serialize_with = "millis_if_any")]
    pub last_used_at: Option<Timestamp>,
}

/// An app that is being added. What it is made of is shown until its first code has come.
#[derive(Clone, Debug, Serialize)]
pub struct NewTotp {
    /// The sealed enrolment, sent as `form`.
    pub form: Hidden,
    /// The secret in groups, for those who type it.
    pub secret: ShownOnce,
    /// The URI that apps read.
    pub uri: ShownOnce,
    /// A picture of the URI, as a `data` URL.
    pub picture: ShownOnce,
}

/// A passkey that is being added.
#[derive(Clone, Debug, Serialize)]
pub struct NewPasskey {
    /// The sealed enrolment, sent as `form`.
    pub form: Hidden,
    /// What the browser is asked to make.
    pub options: String,
}

/// Codes that are shown once.
#[derive(Clone, Debug, Serialize)]
pub struct RecoveryCodes {
    /// The codes.
    pub codes: Vec<ShownOnce>,
    /// Where to go on.
    pub continue_to: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.millis())
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn millis_if_any<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::millis).serialize(serializer)
}
