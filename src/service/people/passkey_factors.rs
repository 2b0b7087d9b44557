//! Passkeys as second factors: what is asked of them, and how one is added.

use super::factors::{FactorChange, Factors};
use crate::{
    domain::{
        client::Client,
        factor::{Factor, FactorKind},
        passkey::{Credential, Passkey},
    },
    error::{Error, Result},
    id::FactorId,
    passkeys::RelyingParty,
    secret::RecoveryCode,
    store::Tx,
};

/// For whom passkeys are made at a client, if it has a site whose host is a name.
pub(in crate::service) fn relying_party_of(client: &Client) -> Option<RelyingParty> {
    RelyingParty::of(client.config.site.as_ref()?, client.display_name())
}

/// For whom passkeys are made at a client.
///
/// # Errors
/// [`Error::Precondition`] if there are none.
pub(in crate::service) fn relying_party(client: &Client) -> Result<RelyingParty> {
    relying_party_of(client).ok_or_else(|| {
        let text = "passkeys are made for the host of a site: declare one for the client, with a name and not an \
                    address as its host";
        Error::Precondition(text.to_owned())
    })
}

impl Factors {
    /// Adds a passkey. Returns what was added, and whether these recovery codes are the user's from now on: they are with
    /// the first factor.
    ///
    /// # Errors
    /// [`Error::Precondition`] if the passkey is registered, whoever its user is, or the user has too many factors.
    pub(in crate::service) async fn add_passkey(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        (id, name, host): (FactorId, String, String),
        (credential, codes): (Credential, &[RecoveryCode]),
    ) -> Result<(Factor, bool)> {
        let (user, created_at) = (change.user.id.clone(), change.now);
        let factor =
            Factor { id: id.clone(), kind: FactorKind::Passkey, name: name.clone(), created_at, last_used_at: None };
        let passkey = Passkey { id, user, name, host, credential, created_at, last_used_at: None };
        if !tx.passkey_insert(&passkey).await? {
            return Err(Error::Precondition("this passkey is registered already".to_owned()));
        }
        let with_codes = self.added(tx, change, &factor, codes).await?;
        Ok((factor, with_codes))
    }
}
