//! The issuer's own client, which the first start of a server creates.

use crate::{
    error::Result,
    service::{ACCOUNT_CLIENT, AccountClient, Admin, Service},
};

/// Creates it where it never was, with its pages at this origin. People can open accounts through that of a demo.
pub(super) async fn ensure(service: &Service, origin: &str, dev: bool) -> Result<()> {
    match service.clients.ensure_account_client(&Admin::command(), origin, dev).await? {
        AccountClient::Exists | AccountClient::Created => {}
        AccountClient::Elsewhere => {
            let issuer = service.issuer();
            tracing::info!(
                issuer,
                "no client has its site at the issuer's origin, so {ACCOUNT_CLIENT} has no pages there"
            );
        }
        AccountClient::NoSite(fault) => {
            let issuer = service.issuer();
            tracing::warn!(issuer, %fault, "there are no account pages: the issuer's origin cannot have a site");
        }
    }
    Ok(())
}
