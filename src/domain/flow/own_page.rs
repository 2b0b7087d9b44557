//! Pages below a site's prefix that a sign-in can lead to. Nobody can name one in a URL: `return_to` leads to the
//! application alone.

use serde::{Deserialize, Serialize};

/// A page below a site's prefix that a sign-in can lead to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnPage {
    /// The user's own account.
    Account,
    /// The page behind the link of a mail.
    Verify {
        /// The token of the link.
        token: String,
    },
}

impl std::fmt::Debug for OwnPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Account => "Account",
            Self::Verify { .. } => "Verify",
        })
    }
}

impl OwnPage {
    /// The page, below the prefix.
    #[must_use]
    pub fn below_prefix(&self) -> String {
        match self {
            Self::Account => "account".to_owned(),
            Self::Verify { token } => format!("verify?token={token}"),
        }
    }
}
