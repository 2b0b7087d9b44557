//! Form tokens, which another site cannot know: derived from the visitor, the site and what the form is for. They are
//! not stored and do not expire, so that a form works in a second tab and after a night.

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{sealing::SealingKey, sealing_keys::SealingKeys};
use crate::id::{SessionId, VisitorId};

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a form is for. A token for one purpose is none for another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FormPurpose {
            $($(#[$doc])* $name,)*
        }

        impl FormPurpose {
            /// All purposes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name under the tag. It never changes, or open forms would fail.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

purposes!(
    /// To sign in.
    SignIn = "sign_in",
    /// To register.
    Register = "register",
    /// To prove an email address, by a link or a code.
    Verify = "verify",
    /// To ask for a link that resets a password.
    Forgotten = "forgotten",
    /// To choose a new password, by a link.
    Reset = "reset",
    /// To take the next step of a sign-in.
    Step = "step",
    /// To sign out.
    SignOut = "sign_out",
    /// To choose a language.
    Language = "language",
    /// To change what an account says about its owner.
    Profile = "profile",
    /// To change the password of an account.
    Password = "password",
    /// To change the email address of an account.
    Email = "email",
    /// To end a session of an account.
    EndSession = "end_session",
    /// To end all sessions of an account.
    EndSessions = "end_sessions",
    /// To have the data of an account as a file.
    MyData = "my_data",
    /// To delete an account.
    Delete = "delete",
);

/// The token of a form. `session` is that of the account whose page it is on, and nothing on the way to a session;
/// `decided` is what the form decides about, if it names something.
#[must_use]
pub fn token(
    keys: &SealingKeys,
    purpose: FormPurpose,
    visitor: &VisitorId,
    session: Option<&SessionId>,
    site_origin: &str,
    decided: &[u8],
) -> String {
    token_under(keys.in_use(), purpose, visitor, session, site_origin, decided)
}

fn token_under(
    key: &SealingKey,
    purpose: FormPurpose,
    visitor: &VisitorId,
    session: Option<&SessionId>,
    site_origin: &str,
    decided: &[u8],
) -> String {
    let session = session.map(SessionId::as_str).unwrap_or_default();
    let parts: [&[u8]; 5] =
        [purpose.as_str().as_bytes(), visitor.as_bytes(), session.as_bytes(), site_origin.as_bytes(), decided];
    URL_SAFE_NO_PAD.encode(key.form_tag(&parts))
}

/// Whether a token is that of this form, in constant time. It names no version of the sealing key: it may be of any that is
/// held.
#[must_use]
pub fn matches(
    keys: &SealingKeys,
    purpose: FormPurpose,
    visitor: &VisitorId,
    session: Option<&SessionId>,
    site_origin: &str,
    decided: &[u8],
    presented: &str,
) -> bool {
    keys.valid().any(|key| {
        let expected = token_under(key, purpose, visitor, session, site_origin, decided);
        constant_time::verify_slices_are_equal(expected.as_bytes(), presented.as_bytes()).is_ok()
    })
}
