//! The sealing key, signing keys, and what is made with them: tokens, status lists and the JWKS. Imports `store`,
//! `domain` and below. Besides `verify/`, this is the only place that may name `rsa` or `jsonwebtoken`.

mod device_token;
pub mod flow_seal;
mod foreign_key;
pub mod form_id;
pub mod form_token;
mod fresh_seal;
pub mod passkey_login;
mod refresh_token;
mod ring;
mod sealing;
mod sealing_keys;
mod sealing_text;
pub mod session_cookie;
mod signer;
mod status_list;
mod tagged;
mod ticket_token;
pub mod visitor_cookie;

pub use self::{
    device_token::{KnownDevice, LIFETIME as DEVICE_TOKEN_LIFETIME},
    foreign_key::{FOREIGN, ForeignKeys, LeftOut, MAX_FOREIGN_TEXT, WrongKeys, read_foreign_keys},
    refresh_token::{ParsedRefreshToken, mint as mint_refresh_token, parse as parse_refresh_token},
    ring::{Keyring, SigningKey, Unsigned},
    sealing::{SealingKey, fingerprint},
    sealing_keys::{FIRST_SEALING_VERSION, LAST_SEALING_VERSION, LacksVersionInUse, SealingKeys},
    sealing_text::SealingKeyError,
    signer::{AccessClaims, KeyKind, Status, StatusReference, generate, purpose as signing_key_purpose},
    status_list::{EncodedList, ListClaims, encode_list, place as status_place},
    ticket_token::{mint as mint_ticket_token, parse as parse_ticket_token},
};

#[cfg(test)]
mod tests;
