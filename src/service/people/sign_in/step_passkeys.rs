//! What a sign-in with steps left knows of its user's second factors, passkeys above all: they are of one host each.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        client::Client,
        factor::FactorKind,
        passkey::{Credential, HANDLE, Passkey, UserHandle},
        user::User,
    },
    entropy::Entropy,
    error::Result,
    id::UserId,
    passkeys::RelyingParty,
    service::people::passkey_factors::relying_party_of,
    store::Tx,
};

/// What a sign-in with steps left knows of passkeys. It stays as it is: a user whose passkeys change is another version.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct StepPasskeys {
    /// Those of the user at the client's host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<Allowed>,
    /// The hosts of the others, if there are none here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<String>,
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

    /// The hosts at which the user's passkeys work, if they all are others than this one.
    pub(super) fn elsewhere(&self) -> &[String] {
        &self.elsewhere
    }

    /// What a sign-in of this user through this client knows of passkeys. `entropy` is for a user whom no authenticator
    /// knows yet.
    async fn of(tx: &mut Tx, client: &Client, user: &UserId, entropy: &dyn Entropy) -> Result<Self> {
        let rp = relying_party_of(client);
        let host = rp.as_ref().map(RelyingParty::host);
        let own = tx.passkeys_of(user).await?.into_iter();
        let (here, others): (Vec<_>, Vec<_>) = own.partition(|passkey| Some(passkey.host.as_str()) == host);
        let elsewhere = others.into_iter().map(|passkey| passkey.host).filter(|_| here.is_empty());
        let elsewhere: Vec<_> = elsewhere.collect::<BTreeSet<_>>().into_iter().collect();
        if host.is_none() {
            return Ok(Self { elsewhere, ..Self::default() });
        }
        let allowed = here.into_iter().map(|Passkey { credential, .. }| Allowed {
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
        Ok(Self { allowed, elsewhere, handle: Some(URL_SAFE_NO_PAD.encode(handle)) })
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

/// What a user can show as a second factor through this client, and what is known of the user's passkeys. Those of another
/// host are of no use here.
pub(super) async fn factors_here(
    tx: &mut Tx,
    client: &Client,
    user: &User,
    entropy: &dyn Entropy,
) -> Result<(Vec<FactorKind>, StepPasskeys)> {
    let passkeys = StepPasskeys::of(tx, client, &user.id, entropy).await?;
    if user.second_factors == 0 {
        return Ok((Vec::new(), passkeys));
    }
    let mut kinds: Vec<FactorKind> = tx.factors_of(&user.id).await?.into_iter().map(|factor| factor.kind).collect();
    if tx.recovery_codes_left(&user.id).await? > 0 {
        kinds.push(FactorKind::RecoveryCode);
    }
    kinds.retain(|kind| *kind != FactorKind::Passkey || passkeys.any());
    kinds.sort_unstable();
    kinds.dedup();
    Ok((kinds, passkeys))
}
