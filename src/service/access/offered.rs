//! Which methods are offered over HTTP, as JSON and as gRPC-Web. The access table decides there, too: this only takes
//! methods away.

use std::{fmt, str::FromStr};

use super::{IMPORT_USERS, Method, table::method};

/// The services that an application needs on its users' behalf.
const OF_ACCOUNTS: [&str; 4] = [
    "/chancery.v1.AuthService/",
    "/chancery.v1.AccountService/",
    "/chancery.v1.SessionDataService/",
    "/chancery.v1.TokenService/",
];
/// Public keys, for whoever verifies tokens.
const GET_JWKS: &str = "/chancery.v1.KeyService/GetJwks";
/// What is ours. Health and reflection stay with gRPC.
const OURS: &str = "/chancery.v1.";

/// Which methods are offered over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpRpc {
    /// Those for users and their applications: `AuthService`, `AccountService`, `SessionDataService`, `TokenService` and the
    /// public keys.
    #[default]
    Account,
    /// Every method that takes one message, those of administrators and the streams to clients included.
    All,
    /// None.
    Off,
}

impl HttpRpc {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Account, Self::All, Self::Off];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::All => "all",
            Self::Off => "off",
        }
    }

    /// Whether the method with this path, as in `/chancery.v1.AuthService/Login`, is offered.
    #[must_use]
    pub fn offers(self, path: &str) -> bool {
        self.method(path).is_some()
    }

    /// The table's row for a path, if the method is offered.
    #[must_use]
    pub fn method(self, path: &str) -> Option<Method> {
        let among = match self {
            Self::Account => path == GET_JWKS || OF_ACCOUNTS.iter().any(|service| path.starts_with(service)),
            Self::All => path.starts_with(OURS),
            Self::Off => false,
        };
        // A browser cannot send a stream of messages.
        if among && path != IMPORT_USERS { method(path) } else { None }
    }
}

impl fmt::Display for HttpRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HttpRpc {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| "must be account, all or off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ACCESS;

    fn offered(choice: HttpRpc) -> Vec<&'static str> {
        ACCESS.iter().map(|(path, _)| *path).filter(|path| choice.offers(path)).collect()
    }

    #[test]
    fn accounts_are_offered_and_administration_only_when_asked_for() {
        let account = offered(HttpRpc::Account);
        assert!(account.contains(&"/chancery.v1.AuthService/Login") && account.contains(&GET_JWKS));
        assert!(!account.iter().any(|path| path.contains("UserService/") || path.contains("Watch")), "{account:?}");
        let all = offered(HttpRpc::All);
        assert!(all.contains(&"/chancery.v1.UserService/ListUsers"));
        assert!(all.contains(&"/chancery.v1.KeyService/WatchJwks"));
        assert!(!all.contains(&IMPORT_USERS) && all.iter().all(|path| path.starts_with(OURS)));
        assert_eq!(offered(HttpRpc::Off), Vec::<&str>::new());
    }

    #[test]
    fn what_is_not_in_the_table_is_not_offered() {
        for path in
            ["", "/", "/chancery.v1.AuthService/", "/chancery.v1.AuthService/login", "/grpc.health.v1.Health/Check"]
        {
            assert!(HttpRpc::ALL.iter().all(|choice| !choice.offers(path)), "{path}");
        }
    }
}
