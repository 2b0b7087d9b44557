//! The id of a sign-in form, sealed. A form is spent once, by an insert in the transaction that opens its session, so
//! nothing is written before something is proved.

use aws_lc_rs::constant_time;

use super::{fresh_seal, sealing::SealingKey, sealing_keys::SealingKeys};
use crate::{entropy::Entropy, id::VisitorId, time::Timestamp};

/// What is known about a form that was sent to a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormId {
    /// 128 random bits. They are the challenge for passkeys, too.
    pub id: [u8; 16],
    /// The origin of the site that the form is of.
    pub site: String,
    /// The visitor that it was made for.
    pub visitor: VisitorId,
    /// When it was made.
    pub issued_at: Timestamp,
}

impl FormId {
    /// The id of a new form.
    #[must_use]
    pub fn new(site: &str, visitor: VisitorId, now: Timestamp, entropy: &dyn Entropy) -> Self {
        Self { id: entropy.bytes16(), site: site.to_owned(), visitor, issued_at: now }
    }
}

/// Seals the id of a form. Each call gives another text.
#[must_use]
pub fn mint(keys: &SealingKeys, form: &FormId, entropy: &dyn Entropy) -> String {
    let time = form.issued_at.millis().to_be_bytes();
    let plain = [&form.id[..], form.visitor.as_bytes(), &time, form.site.as_bytes()].concat();
    fresh_seal::seal(keys, SealingKey::form_id_keys, &plain, entropy)
}

/// Opens the id of a form. Returns nothing unless this server made it.
#[must_use]
pub fn parse(keys: &SealingKeys, text: &str) -> Option<FormId> {
    let plain = fresh_seal::open(keys, SealingKey::form_id_keys, text)?;
    let (id, rest) = plain.split_first_chunk::<16>()?;
    let (visitor, rest) = rest.split_first_chunk::<16>()?;
    let (time, site) = rest.split_first_chunk::<8>()?;
    Some(FormId {
        id: *id,
        site: std::str::from_utf8(site).ok()?.to_owned(),
        visitor: VisitorId(*visitor),
        issued_at: Timestamp::from_millis(i64::from_be_bytes(*time)),
    })
}

/// The keyed hash of what a form was submitted with, by which a repeated submission is told from another one. Bound to
/// the form and to the visitor, so that equal passwords do not have equal hashes.
#[must_use]
pub fn proof(keys: &SealingKeys, form: &FormId, submitted: &[&[u8]]) -> [u8; 32] {
    let parts: Vec<&[u8]> = [&form.id[..], form.visitor.as_bytes(), form.site.as_bytes()]
        .into_iter()
        .chain(submitted.iter().copied())
        .collect();
    keys.oldest().form_proof(&parts)
}

/// Whether two proofs are the same, in constant time.
#[must_use]
pub fn same_proof(one: &[u8; 32], other: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}
