//! Sites: what clients declare, which site a request was sent to, and the issuer's own.

mod answers;
mod declared;
mod issuer;
mod requests;

use chancery::{
    error::{Error, Result},
    service::{Admin, ClientPatch, NewClientRequest, Service},
};

use crate::support::first_party;

/// The fields that are wrong, with what is wrong.
fn wrong<T>(result: Result<T>) -> Vec<(String, String)> {
    match result {
        Err(Error::Invalid(all)) => all.into_iter().map(|v| (v.field.to_string(), v.description)).collect(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

fn with_site(id: &str, site: &str) -> NewClientRequest {
    NewClientRequest { site: site.into(), ..first_party(id, &["api"]) }
}

async fn declare(service: &Service, id: &str, site: &str) {
    service.clients.create(&Admin::command(), with_site(id, site)).await.unwrap();
}

fn move_to(site: &str) -> ClientPatch {
    ClientPatch { site: Some(site.into()), ..ClientPatch::default() }
}
