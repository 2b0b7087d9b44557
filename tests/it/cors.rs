//! Pages of other origins: which a client declares, and which calls it may make.

mod declared;
mod refused;

use chancery::{
    error::{Error, Result},
    service::NewClientRequest,
};

use crate::support::first_party;

const PAGE: &str = "https://app.example";

/// The fields that are wrong, with what is wrong.
fn wrong<T>(result: Result<T>) -> Vec<(String, String)> {
    match result {
        Err(Error::Invalid(all)) => all.into_iter().map(|v| (v.field.to_string(), v.description)).collect(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

fn with_origins(id: &str, origins: &[&str]) -> NewClientRequest {
    NewClientRequest { cors_origins: texts(origins), ..first_party(id, &["api"]) }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&text| text.to_owned()).collect()
}
