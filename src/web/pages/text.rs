//! What pages say, apart from their fixed wording. Each is a message in `texts/en.ftl`.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    domain::{
        password_policy::{PasswordProblem, SAME_PASSWORD, WRONG_PASSWORD},
        recovery::NO_RECOVERY_CODE,
        totp::NO_APP_CODE,
    },
    error::{Error, Reason},
    time::Ttl,
};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$arg_doc:meta])* $arg:ident: $type:ty),* $(,)? })? = $key:literal,)*) => {
        /// A message with its values.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Text { $($(#[$doc])* $name $({ $($(#[$arg_doc])* $arg: $type),* })?,)* }

        impl Text {
            /// The key of every message that is not named by a template.
            pub const KEYS: &'static [&'static str] = &[$($key,)*];
        }

        impl Serialize for Text {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut out = serializer.serialize_struct("Text", 2)?;
                match self {
                    $(Self::$name $({ $($arg),* })? => {
                        out.serialize_field("key", $key)?;
                        #[derive(Serialize)]
                        struct Args<'a> { $($($arg: &'a $type,)*)? #[serde(skip)] _borrows: std::marker::PhantomData<&'a ()> }
                        out.serialize_field("args", &Args { $($($arg,)*)? _borrows: std::marker::PhantomData })?;
                    })*
                }
                out.end()
            }
        }
    };
}

texts! {
    /// No account has this name and password.
    WrongCredentials = "problem-credentials",
    /// A passkey was not accepted.
    PasskeyRefused = "problem-passkey",
    /// A new passkey was not accepted.
    NewPasskeyRefused = "problem-new-passkey",
    /// Too many attempts.
    TooManyAttempts {
        /// How many minutes to wait.
        minutes: i64,
    } = "problem-too-many-attempts",
    /// Too many changes.
    RateLimited {
        /// How many minutes to wait.
        minutes: i64,
    } = "problem-rate-limited",
    /// Busy right now.
    Overloaded = "problem-overloaded",
    /// Another sign-in at the account is under way.
    SignInInProgress = "problem-in-progress",
    /// The database cannot be reached.
    Unavailable = "problem-unavailable",
    /// Something failed.
    Failed = "problem-failed",
    /// The form token was old or missing; nothing was done.
    TryAgain = "problem-try-again",
    /// Somebody else changed the same thing at the same time.
    Conflict = "problem-conflict",
    /// The client may not do this.
    NotAllowed = "problem-not-allowed",
    /// A field is empty.
    Required = "problem-required",
    /// The code or link is wrong, used up or expired.
    CodeInvalid = "problem-code",
    /// The code of an app is wrong or was used; or its device has another time.
    AppCodeInvalid = "problem-app-code-wrong",
    /// An app is not being set up any more: its time is over, too many codes were wrong, or the account has changed.
    SetupOver = "problem-setup-over",
    /// The link has been used or has expired.
    LinkInvalid = "problem-link",
    /// What was typed is no code of an app.
    AppCodeForm = "problem-app-code",
    /// What was typed is no recovery code.
    RecoveryCodeForm = "problem-recovery-code",
    /// The current password is wrong.
    WrongPassword = "problem-password",
    /// The sign-in is too old for this.
    SignInTooOld = "problem-sign-in-too-old",
    /// A password is too short.
    PasswordTooShort {
        /// The fewest characters.
        min: i64,
    } = "problem-password-short",
    /// A password is too long.
    PasswordTooLong = "problem-password-long",
    /// A password is too common.
    PasswordCommon = "problem-password-common",
    /// The new password is the old one.
    PasswordSame = "problem-password-same",
    /// A password has characters that cannot be kept.
    PasswordCharacters = "problem-password-characters",
    /// Not an email address.
    EmailInvalid = "problem-email",
    /// A user name has characters that it may not have.
    NameCharacters = "problem-name",
    /// A user name has an `@`.
    NameIsAddress = "problem-name-address",
    /// It is taken.
    Taken = "problem-taken",
    /// It is too long.
    TooLong = "problem-too-long",
    /// Anything else. The words of the API are in one language only.
    Unusable = "problem-unusable",

    /// Something else has to be done before.
    Precondition = "problem-precondition",
    /// A form was not sent by a page.
    FormType = "problem-form-type",
    /// A form is too large.
    FormSize = "problem-form-size",
    /// A form has too many fields, or one whose name is none.
    FormFields = "problem-form-fields",
    /// A form has a field twice.
    FormTwice = "problem-form-twice",
    /// A form has a field that is no text.
    FormText = "problem-form-text",
    /// A form is no object in JSON.
    FormJson = "problem-form-json",
    /// A field in JSON is neither a string nor a boolean.
    FormNotFlat = "problem-form-flat",
    /// A form did not arrive.
    FormLate = "problem-form-late",

    /// A sign-in took too long; it begins again.
    SignInExpired = "notice-sign-in-expired",
    /// Too many codes of a sign-in were wrong; it begins again.
    CodesUsedUp = "notice-codes-used-up",
    /// The step was taken already, perhaps in another tab.
    StepMoved = "notice-step-moved",
    /// The code was sent again.
    CodeResent {
        /// The address.
        email: String,
    } = "notice-code-resent",
    /// The password was reset.
    PasswordReset = "notice-password-reset",
    /// The password was changed; other sessions have ended.
    PasswordChanged {
        /// How many sessions have ended.
        ended: i64,
    } = "notice-password-changed",
    /// A second factor was added.
    FactorAdded = "notice-factor-added",
    /// A second factor was removed.
    FactorRemoved = "notice-factor-removed",
    /// There is no such second factor, perhaps because it was removed already.
    FactorGone = "notice-factor-gone",
    /// A passkey was added.
    PasskeyAdded = "notice-passkey-added",
    /// The user name was changed.
    NameChanged = "notice-name-changed",
    /// The address was confirmed.
    EmailConfirmed {
        /// The address.
        email: String,
    } = "notice-email-confirmed",
    /// The account exists.
    AccountCreated = "notice-account-created",
    /// The account exists, without the name that somebody else has taken.
    AccountCreatedWithoutName = "notice-account-created-without-name",
    /// A code was sent to a new address.
    CodeSent {
        /// The address.
        email: String,
    } = "notice-code-sent",
    /// Sessions have ended.
    SessionsEnded {
        /// How many.
        ended: i64,
    } = "notice-sessions-ended",
    /// The account is deleted.
    AccountDeleted = "notice-account-deleted",
    /// Sign in to go on.
    SignInFirst = "notice-sign-in-first",
    /// Sign in as the account whose address is to be confirmed.
    SignInToConfirm = "notice-sign-in-to-confirm",

    /// Sign in on a page.
    TrySignIn = "dev-try-sign-in",
    /// Make an account.
    TryRegister = "dev-try-register",
    /// The account page.
    TryAccount = "dev-try-account",
    /// The mails that were kept.
    TryMail = "dev-try-mail",
    /// Every call by JSON over HTTP.
    TryApi = "dev-try-api",
    /// The application behind `--app`.
    TryApp = "dev-try-app",
    /// The keys.
    TryKeys = "dev-try-keys",
    /// The metadata.
    TryMetadata = "dev-try-metadata",
    /// Sign in over gRPC.
    TryLogin = "dev-try-login",
    /// List the services over gRPC.
    TryServices = "dev-try-services",
    /// Ask who a cookie belongs to.
    TryCheck = "dev-try-check",
}

impl Text {
    /// What people are told about an error. Fields that are wrong are read by [`super::violations`].
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::TooManyAttempts { after, .. } => Self::TooManyAttempts { minutes: minutes(*after) },
            Error::RateLimited { after } => Self::RateLimited { minutes: minutes(*after) },
            Error::Throttled { .. } | Error::DeadlineExceeded => Self::Overloaded,
            Error::SignInInProgress { .. } => Self::SignInInProgress,
            Error::Unavailable(_) | Error::Stopping => Self::Unavailable,
            Error::Conflict | Error::Changed => Self::Conflict,
            Error::Exists(..) => Self::Taken,
            Error::Denied(..) | Error::Lacks(_) => Self::NotAllowed,
            Error::Precondition(_) => Self::Precondition,
            other => Self::of_reason(other.reason()),
        }
    }

    const fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::InvalidCredentials => Self::WrongCredentials,
            Reason::CodeInvalid => Self::CodeInvalid,
            Reason::SignInTooOld => Self::SignInTooOld,
            _ => Self::Failed,
        }
    }

    /// What is wrong with a password.
    #[must_use]
    pub fn of_password(problem: PasswordProblem) -> Self {
        match problem {
            PasswordProblem::TooShort(min) => Self::PasswordTooShort { min: i64::try_from(min).unwrap_or(i64::MAX) },
            PasswordProblem::TooLong => Self::PasswordTooLong,
            PasswordProblem::Nul => Self::PasswordCharacters,
            PasswordProblem::Common => Self::PasswordCommon,
        }
    }

    /// What is wrong with a field, from the words of the API.
    pub(super) fn of_description(description: &str) -> Self {
        use crate::domain::login::LoginError;
        let known = [
            (SAME_PASSWORD, Self::PasswordSame),
            (WRONG_PASSWORD, Self::WrongPassword),
            (NO_APP_CODE, Self::AppCodeForm),
            (NO_RECOVERY_CODE, Self::RecoveryCodeForm),
            ("must be an email address", Self::EmailInvalid),
            ("must not be empty without an email address", Self::Required),
            ("must be at most 1024 bytes", Self::TooLong),
        ];
        if let Some((_, text)) = known.into_iter().find(|(words, _)| *words == description) {
            return text;
        }
        let known_login = [
            (LoginError::Empty, Self::Required),
            (LoginError::TooLong, Self::TooLong),
            (LoginError::Characters, Self::NameCharacters),
            (LoginError::Address, Self::EmailInvalid),
            (LoginError::At, Self::NameIsAddress),
        ];
        let login = known_login.into_iter().find(|(error, _)| error.to_string() == description).map(|(_, text)| text);
        // The only one with a number.
        let min = description.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
        let known_password =
            [PasswordProblem::TooShort(min), PasswordProblem::TooLong, PasswordProblem::Nul, PasswordProblem::Common];
        let password = || known_password.into_iter().find(|problem| problem.to_string() == description);
        login.or_else(|| password().map(Self::of_password)).unwrap_or(Self::Unusable)
    }
}

/// Whole minutes, at least one.
const fn minutes(after: Ttl) -> i64 {
    let minutes = (after.seconds() + 59) / 60;
    if minutes < 1 { 1 } else { minutes }
}
