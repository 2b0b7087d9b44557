//! What a sign-in with steps left knows of its user's passkeys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        client::Client,
        passkey::{Credential, HANDLE, Passkey, UserHandle},
    },
    entropy::Entropy,
    error::Result,
    id::UserId,
    service::people::passkey_factors::relying_party_of,
    store::Tx,
};

/// What a sign-in with steps left knows of passkeys. It stays as it is: a user whose passkeys change is another version.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct StepPasskeys {
    /// Those of the user at the client's host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<Allowed>,
    /// What authenticators call the user, or will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
}

/// A passkey that may be used.
#[derive(Clone, Serialize, Deserialize)]
struct Allowed {
    id: String,
    transports: String,
}

impl StepPasskeys {
    /// Whether the user has one that can be used.
    pub(super) fn any(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// What a sign-in of this user through this client knows of passkeys. `entropy` is for a user whom no authenticator
    /// knows yet.
    pub(super) async fn of(tx: &mut Tx, client: &Client, user: &UserId, entropy: &dyn Entropy) -> Result<Self> {
        let Some(rp) = relying_party_of(client) else { return Ok(Self::default()) };
        let here = tx.passkeys_of(user).await?.into_iter().filter(|passkey| passkey.host == rp.host());
        let allowed = here.map(|Passkey { credential, .. }| Allowed {
            id: URL_SAFE_NO_PAD.encode(&credential.id),
            transports: credential.transports,
        });
        let allowed: Vec<_> = allowed.collect();
        let handle = if let Some(known) = tx.passkey_handle_of(user).await? {
            known
        } else {
            let mut new = [0; HANDLE];
            entropy.fill(&mut new);
            new
        };
        Ok(Self { allowed, handle: Some(URL_SAFE_NO_PAD.encode(handle)) })
    }

    /// What authenticators call the user.
    pub(super) fn handle(&self) -> Option<UserHandle> {
        URL_SAFE_NO_PAD.decode(self.handle.as_ref()?).ok()?.try_into().ok()
    }

    /// As browsers are told of them.
    pub(super) fn credentials(&self) -> Vec<Credential> {
        let one = |allowed: &Allowed| Credential {
            id: URL_SAFE_NO_PAD.decode(&allowed.id).unwrap_or_default(),
            static_state: Vec::new(),
            dynamic_state: Vec::new(),
            transports: allowed.transports.clone(),
        };
        self.allowed.iter().map(one).collect()
    }
}
