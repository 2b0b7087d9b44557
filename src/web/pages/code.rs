//! What each message is called for programs. Where a reason of the API says the same, it is that reason.

use super::Text;

macro_rules! codes {
    ($($name:ident = $code:literal,)*) => {
        impl Text {
            /// Every code, in the order of the messages.
            pub const CODES: &'static [&'static str] = &[$($code,)*];

            /// The code of the message, which is the same in every language.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }
        }
    };
}

codes! {
    WrongCredentials = "INVALID_CREDENTIALS",
    PasskeyRefused = "PASSKEY_REFUSED",
    NewPasskeyRefused = "PASSKEY_REFUSED",
    TooManyAttempts = "TOO_MANY_ATTEMPTS",
    RateLimited = "RATE_LIMITED",
    Overloaded = "OVERLOADED",
    SignInInProgress = "SIGN_IN_IN_PROGRESS",
    Unavailable = "UNAVAILABLE",
    Failed = "FAILED",
    TryAgain = "TRY_AGAIN",
    Conflict = "CONFLICT",
    NotAllowed = "PERMISSION_DENIED",
    Required = "REQUIRED",
    CodeInvalid = "CODE_INVALID",
    AppCodeInvalid = "CODE_INVALID",
    SetupOver = "CODE_INVALID",
    LinkInvalid = "CODE_INVALID",
    AppCodeForm = "APP_CODE_FORM",
    RecoveryCodeForm = "RECOVERY_CODE_FORM",
    WrongPassword = "WRONG_PASSWORD",
    SignInTooOld = "SIGN_IN_TOO_OLD",
    PasswordTooShort = "PASSWORD_TOO_SHORT",
    PasswordTooLong = "PASSWORD_TOO_LONG",
    PasswordCommon = "PASSWORD_TOO_COMMON",
    PasswordSame = "PASSWORD_UNCHANGED",
    PasswordCharacters = "PASSWORD_CHARACTERS",
    EmailInvalid = "EMAIL_INVALID",
    NameCharacters = "NAME_CHARACTERS",
    NameIsAddress = "NAME_IS_ADDRESS",
    Taken = "ALREADY_EXISTS",
    TooLong = "TOO_LONG",
    Unusable = "INVALID_ARGUMENT",
    Precondition = "FAILED_PRECONDITION",
    FormType = "UNSUPPORTED_MEDIA_TYPE",
    FormSize = "REQUEST_TOO_LARGE",
    FormFields = "REQUEST_MALFORMED",
    FormTwice = "REQUEST_MALFORMED",
    FormText = "REQUEST_MALFORMED",
    FormJson = "REQUEST_MALFORMED",
    FormNotFlat = "REQUEST_MALFORMED",
    FormLate = "DEADLINE_EXCEEDED",
    SignInExpired = "SIGN_IN_EXPIRED",
    CodesUsedUp = "SIGN_IN_EXPIRED",
    StepMoved = "STEP_MOVED",
    CodeResent = "CODE_RESENT",
    PasswordReset = "PASSWORD_RESET",
    PasswordChanged = "PASSWORD_CHANGED",
    FactorAdded = "FACTOR_ADDED",
    FactorRemoved = "FACTOR_REMOVED",
    FactorGone = "NOT_FOUND",
    PasskeyAdded = "PASSKEY_ADDED",
    NameChanged = "NAME_CHANGED",
    EmailConfirmed = "EMAIL_CONFIRMED",
    AccountCreated = "ACCOUNT_CREATED",
    AccountCreatedWithoutName = "ACCOUNT_CREATED_WITHOUT_NAME",
    CodeSent = "CODE_SENT",
    SessionsEnded = "SESSIONS_ENDED",
    AccountDeleted = "ACCOUNT_DELETED",
    SignInFirst = "SIGN_IN_FIRST",
    SignInToConfirm = "SIGN_IN_TO_CONFIRM",
    // On a page for people alone.
    TrySignIn = "TRY",
    TryRegister = "TRY",
    TryAccount = "TRY",
    TryMail = "TRY",
    TryApi = "TRY",
    TryApp = "TRY",
    TryKeys = "TRY",
    TryMetadata = "TRY",
    TryLogin = "TRY",
    TryServices = "TRY",
    TryCheck = "TRY",
}
