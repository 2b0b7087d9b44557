//! What each page is called in JSON.

use serde::Serialize;

use super::{StepKind, View, names::names};

names! {
    /// What a page asks for or says, for programs. The list is closed.
    StepName {
        /// Sign in.
        Login = "login",
        /// Somebody else is signed in here: go on as this user, or sign out first.
        SwitchUser = "switch_user",
        /// Register.
        Register = "register",
        /// A mail with a code is on its way, which opens the account.
        RegisterSent = "register_sent",
        /// Confirm what the link of a mail is about.
        Verify = "verify",
        /// An account is open about which there is something to say.
        Opened = "opened",
        /// Ask for a mail with which to choose a new password.
        Forgot = "forgot",
        /// That mail is on its way.
        ForgotSent = "forgot_sent",
        /// Choose a new password, behind the link of a mail.
        Reset = "reset",
        /// A sign-in goes on with a second factor.
        Mfa = "mfa",
        /// A sign-in goes on with a second factor that is set up.
        Enrol = "enrol",
        /// Recovery codes to write down, before a sign-in goes on or at the account.
        RecoveryCodes = "recovery_codes",
        /// A sign-in goes on with a new password.
        ChoosePassword = "choose_password",
        /// A sign-in goes on with an address.
        AskAddress = "ask_address",
        /// A sign-in goes on with the code that was sent to the address.
        EnterCode = "enter_code",
        /// The account.
        Account = "account",
        /// Sign out.
        Logout = "logout",
        /// Nobody is signed in any more.
        SignedOut = "signed_out",
        /// Cookies do not come back.
        CookiesBlocked = "cookies_blocked",
        /// Too late: it begins again.
        StartAgain = "start_again",
        /// Nothing is asked for; the way goes on.
        GoOn = "go_on",
        /// There is no page: the way leads back to the application.
        Done = "done",
    }
}

impl View {
    /// The name of the page in JSON. An error is a problem document, and the front pages are for people alone.
    #[must_use]
    pub const fn step(&self) -> Option<StepName> {
        Some(match self {
            Self::SignIn(_) => StepName::Login,
            Self::SwitchUser(_) => StepName::SwitchUser,
            Self::Register(_) => StepName::Register,
            Self::RegisterSent(_) => StepName::RegisterSent,
            Self::Verify(_) => StepName::Verify,
            Self::Opened(_) => StepName::Opened,
            Self::Forgotten(_) => StepName::Forgot,
            Self::ForgottenSent(_) => StepName::ForgotSent,
            Self::ResetPassword(_) => StepName::Reset,
            Self::Step(step) => match step.kind {
                StepKind::Mfa { .. } => StepName::Mfa,
                StepKind::Enrol { .. } => StepName::Enrol,
                StepKind::RecoveryCodes { .. } => StepName::RecoveryCodes,
                StepKind::ChoosePassword { .. } => StepName::ChoosePassword,
                StepKind::AskAddress { .. } => StepName::AskAddress,
                StepKind::EnterCode { .. } => StepName::EnterCode,
            },
            Self::Account(_) => StepName::Account,
            Self::RecoveryCodes(_) => StepName::RecoveryCodes,
            Self::LoggingOut(_) => StepName::Logout,
            Self::SignedOut(_) => StepName::SignedOut,
            Self::CookiesBlocked => StepName::CookiesBlocked,
            Self::StartAgain(_) => StepName::StartAgain,
            Self::GoOn(_) => StepName::GoOn,
            Self::Error(_) | Self::Home(_) | Self::Dev(_) => return None,
        })
    }
}
