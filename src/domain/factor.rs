//! Second factors, and what a sign-in has proved.

use serde::{Deserialize, Serialize};

use crate::{id::FactorId, time::Timestamp};

/// What a second factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// An app that shows a new code every half minute (RFC 6238).
    Totp,
    /// A passkey (WebAuthn).
    Passkey,
    /// One of the codes that a user has written down, for when the others are lost.
    RecoveryCode,
}

impl FactorKind {
    /// The name in the audit log and in pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::RecoveryCode => "recovery_code",
        }
    }
}

/// A second factor that a user has set up. Recovery codes are none: they stand in for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// The id.
    pub id: FactorId,
    /// What it is.
    pub kind: FactorKind,
    /// What its user calls it.
    pub name: String,
    /// When it was set up.
    pub created_at: Timestamp,
    /// When it was last used to sign in.
    pub last_used_at: Option<Timestamp>,
}

/// One way in which a user has proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The password.
    Password,
    /// A code of an app.
    Totp,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey {
        /// Whether its key cannot leave the device.
        hardware: bool,
        /// Whether the device has checked who its user is, so that the passkey is two factors by itself.
        verified: bool,
    },
}

/// All that a sign-in has proved. A guest has proved nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Methods(Vec<Method>);

impl Methods {
    /// The password alone.
    #[must_use]
    pub fn password() -> Self {
        Self(vec![Method::Password])
    }

    /// The same, and this method.
    #[must_use]
    pub fn and(mut self, method: Method) -> Self {
        if !self.0.contains(&method) {
            self.0.push(method);
            self.0.sort_unstable();
        }
        self
    }

    /// What a session with this `amr` has proved: the reverse of [`Methods::amr`].
    #[must_use]
    pub fn of_amr(amr: &[String]) -> Self {
        let has = |name: &str| amr.iter().any(|one| one == name);
        let verified = has("user");
        let passkey = |hardware| Method::Passkey { hardware, verified };
        let named = [
            (has("pwd"), Method::Password),
            (has("otp"), Method::Totp),
            (has("hwk"), passkey(true)),
            (has("swk"), passkey(false)),
            (has("mfa") && !has("otp") && !has("hwk") && !has("swk"), Method::RecoveryCode),
        ];
        let methods = named.into_iter().filter(|(proved, _)| *proved).map(|(_, method)| method);
        methods.fold(Self::default(), Self::and)
    }

    /// Whether they are two factors: something known and something had.
    #[must_use]
    pub fn are_two_factors(&self) -> bool {
        let verified = |method: &Method| matches!(method, Method::Passkey { verified: true, .. });
        let known = self.0.contains(&Method::Password);
        let had = self.0.iter().any(|method| *method != Method::Password);
        (known && had) || self.0.iter().any(verified)
    }

    /// The authentication level: "0" for a guest, "1" for one factor, "2" for two.
    #[must_use]
    pub fn acr(&self) -> &'static str {
        match (self.are_two_factors(), self.0.is_empty()) {
            (true, _) => "2",
            (false, false) => "1",
            (false, true) => "0",
        }
    }

    /// The authentication methods, by RFC 8176 §2. It has no name for recovery codes; `mfa` says that there was one.
    #[must_use]
    pub fn amr(&self) -> Vec<String> {
        let mut names = Vec::new();
        for method in &self.0 {
            names.extend(match method {
                Method::Password => Some("pwd"),
                Method::Totp => Some("otp"),
                Method::RecoveryCode => None,
                Method::Passkey { hardware: true, .. } => Some("hwk"),
                Method::Passkey { hardware: false, .. } => Some("swk"),
            });
        }
        if self.0.iter().any(|method| matches!(method, Method::Passkey { verified: true, .. })) {
            names.push("user");
        }
        if self.are_two_factors() {
            names.push("mfa");
        }
        names.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSKEY: Method = Method::Passkey { hardware: true, verified: true };
    const TOUCHED: Method = Method::Passkey { hardware: false, verified: false };

    fn all() -> Vec<(Methods, &'static str, &'static [&'static str])> {
        let password = Methods::password;
        let none = Methods::default;
        vec![
            (none(), "0", &[]),
            (password(), "1", &["pwd"]),
            (password().and(Method::Totp), "2", &["pwd", "otp", "mfa"]),
            (password().and(Method::RecoveryCode), "2", &["pwd", "mfa"]),
            (password().and(TOUCHED), "2", &["pwd", "swk", "mfa"]),
            (password().and(PASSKEY), "2", &["pwd", "hwk", "user", "mfa"]),
            (none().and(PASSKEY), "2", &["hwk", "user", "mfa"]),
            (none().and(TOUCHED), "1", &["swk"]),
        ]
    }

    #[test]
    fn p25_a_level_and_methods_follow_from_what_was_proved() {
        for (methods, acr, amr) in all() {
            assert_eq!((methods.acr(), methods.amr()), (acr, amr.iter().map(|s| (*s).to_owned()).collect()));
        }
    }

    #[test]
    fn what_was_proved_follows_from_the_methods_of_a_session() {
        for (methods, ..) in all() {
            assert_eq!(Methods::of_amr(&methods.amr()), methods);
        }
    }

    #[test]
    fn the_same_method_twice_is_one_factor() {
        assert_eq!(Methods::password().and(Method::Password), Methods::password());
    }
}
