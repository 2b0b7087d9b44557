//! Shared by the admin services: pages, filters, field masks, etags.

use crate::{
    domain::filter::{self, Comparison, Term},
    error::{Error, Result},
    secret::sha256,
    service::CreationKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use prost_types::FieldMask;

/// Maximum and default page size.
const PAGE: (usize, usize) = (500, 50);
/// Length of the prefix that binds a page token to its request, in bytes.
const BINDING: usize = 8;

/// A requested page. A page token is valid only for the method and filter that it was issued for (AIP-158).
pub(super) struct Page {
    pub(super) size: usize,
    /// Key of the last item on the previous page; empty for the first page.
    pub(super) after: String,
    binding: [u8; BINDING],
}

impl Page {
    pub(super) fn new(method: &str, filter: &str, (size, token): (i32, &str)) -> Result<Self> {
        let size = match usize::try_from(size) {
            Ok(0) => PAGE.1,
            Ok(n) => n.min(PAGE.0),
            Err(_) => return Err(Error::invalid("page_size", "must not be negative")),
        };
        let mut binding = [0; BINDING];
        for (to, from) in binding.iter_mut().zip(sha256(format!("{method}\0{filter}").as_bytes())) {
            *to = from;
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let rest = bytes.strip_prefix(&binding)?;
            String::from_utf8(rest.to_vec()).ok().filter(|t| (1..=128).contains(&t.len()) && !t.contains('\0'))
        };
        let after = if token.is_empty() { Some(String::new()) } else { read() };
        Ok(Self { size, after: after.ok_or_else(bad_page_token)?, binding })
    }

    /// The page size plus one, to detect whether there is another page.
    pub(super) fn limit(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// Cuts the page out of a complete list of items with their sort keys. Items removed since the previous page do
    /// not shift this one.
    pub(super) fn cut_sorted<T>(&self, all: impl IntoIterator<Item = (String, T)>) -> (Vec<T>, String) {
        let rest = all.into_iter().filter(|(key, _)| self.after.is_empty() || *key > self.after).take(self.size + 1);
        let (page, token) = self.cut(rest.collect(), |(key, _)| key);
        (page.into_iter().map(|(_, item)| item).collect(), token)
    }

    /// Truncates the items to the page size and returns the next page token.
    pub(super) fn cut<T>(&self, mut all: Vec<T>, name: impl Fn(&T) -> &str) -> (Vec<T>, String) {
        let more = all.len() > self.size;
        all.truncate(self.size);
        let last = all.last().filter(|_| more);
        let token = last.map(|t| URL_SAFE_NO_PAD.encode([&self.binding[..], name(t).as_bytes()].concat()));
        let token = token.unwrap_or_default();
        (all, token)
    }
}

/// Whether a list takes this page token. It has exactly one spelling.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn accepts_page_token(token: &str) -> bool {
    let Ok(page) = Page::new("Users", "", (1, token)) else { return false };
    assert!(token == if page.after.is_empty() { String::new() } else { page_token_of(&page.after) }, "one spelling");
    true
}

/// The page token after an item.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn page_token_of(after: &str) -> String {
    let first = Page::new("Users", "", (1, ""));
    first.map(|page| page.cut(vec![after, "the next"], |item| item).1).unwrap_or_default()
}

/// The error for a page token that this server did not issue for the same request.
pub(super) fn bad_page_token() -> Error {
    Error::invalid("page_token", "must be the next_page_token of a response to the same request")
}

/// Parses a filter into terms. Each field is compared at most once in each way: of two values, neither would win.
pub(super) fn parse_terms(text: &str) -> Result<Vec<Term>> {
    let terms = filter::parse(text).map_err(|problem| Error::invalid("filter", problem))?;
    for (at, term) in terms.iter().enumerate() {
        let same = |other: &Term| other.field == term.field && other.comparison == term.comparison;
        if terms.iter().take(at).any(same) {
            return Err(Error::invalid("filter", format!("{} is compared twice in the same way", term.field)));
        }
    }
    Ok(terms)
}

/// The error for a term that the method does not support.
pub(super) fn unsupported_term(term: &Term) -> Error {
    Error::invalid("filter", format!("{} does not support this comparison", term.field))
}

/// The value of a boolean term.
pub(super) fn parse_bool(term: &Term) -> Result<bool> {
    match (term.comparison, term.value.as_str()) {
        (Comparison::Equal, "true") => Ok(true),
        (Comparison::Equal, "false") => Ok(false),
        _ => Err(Error::invalid("filter", format!("{} must be compared as = true or = false", term.field))),
    }
}

/// The fields to update: those in the mask, or, without a mask, those that are not empty.
pub(super) struct Mask(Option<Vec<String>>);

impl Mask {
    pub(super) fn new(mask: Option<FieldMask>, known: &[&str]) -> Result<Self> {
        let Some(mask) = mask.filter(|m| !m.paths.is_empty()) else { return Ok(Self(None)) };
        if let [all] = mask.paths.as_slice()
            && all == "*"
        {
            return Ok(Self(Some(known.iter().map(|k| (*k).to_owned()).collect())));
        }
        match mask.paths.iter().find(|p| !known.contains(&p.as_str())) {
            Some(_) => Err(Error::invalid("update_mask", format!("may name only {}", known.join(", ")))),
            None => Ok(Self(Some(mask.paths))),
        }
    }

    /// Returns the field's value if the field is to be updated.
    pub(super) fn take<T>(&self, field: &str, value: T, is_empty: bool) -> Option<T> {
        let named = self.0.as_ref().map_or(!is_empty, |paths| paths.iter().any(|p| p == field));
        named.then_some(value)
    }
}

/// Parses an etag into a revision; `None` if it is empty.
pub(super) fn revision(etag: &str) -> Result<Option<i64>> {
    if etag.is_empty() {
        return Ok(None);
    }
    let number = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).and_then(|e| e.parse().ok());
    number.map(Some).ok_or(Error::Changed)
}

/// The etag of a revision.
pub(super) fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// The idempotency record of a create call. Callers remove the request id from the message first, so that retries
/// encode to the same bytes.
pub(super) fn creation(request_id: &str, message: &impl Message) -> Result<Option<CreationKey>> {
    CreationKey::new(request_id, &message.encode_to_vec())
}

/// A count as the wire type.
pub(super) fn wire_count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a53_a_page_token_is_valid_only_for_its_own_request() {
        let first = Page::new("Users", "disabled = true", (2, "")).unwrap();
        let (page, token) = first.cut(vec!["a", "b", "c"], |t| t);
        assert_eq!((page, token.is_empty()), (vec!["a", "b"], false));
        assert_eq!(Page::new("Users", "disabled = true", (2, &token)).unwrap().after, "b");
        for (method, filter, token) in [
            ("Users", "", token.as_str()),
            ("Clients", "disabled = true", &token),
            ("Users", "disabled = true", "usr_x"),
            ("Users", "disabled = true", "Zm9v"),
            ("Users", "disabled = true", "' OR 1=1"),
        ] {
            assert!(Page::new(method, filter, (2, token)).is_err(), "{method} {filter} {token}");
        }
        assert_eq!(first.cut(vec!["a", "b"], |t| t).1, "");
        let sorted = |names: &[&'static str]| names.iter().map(|n| ((*n).to_owned(), *n)).collect::<Vec<_>>();
        let (page, token) = Page::new("Roles", "", (2, "")).unwrap().cut_sorted(sorted(&["a", "b", "c", "d"]));
        assert_eq!(page, ["a", "b"]);
        // The last item of the previous page has been removed from the list.
        let (page, token) = Page::new("Roles", "", (2, &token)).unwrap().cut_sorted(sorted(&["a", "c", "d"]));
        assert_eq!((page, token.as_str()), (vec!["c", "d"], ""));
        assert!(Page::new("Users", "", (-1, "")).is_err());
        assert_eq!(Page::new("Users", "", (10_000, "")).unwrap().size, 500);
    }

    #[test]
    fn a_mask_selects_the_fields_to_update() {
        let mask = |paths: &[&str]| {
            Mask::new(Some(FieldMask { paths: paths.iter().map(|p| (*p).into()).collect() }), &["a", "b"])
        };
        assert_eq!(mask(&["a"]).unwrap().take("a", 1, true), Some(1));
        assert_eq!(mask(&["a"]).unwrap().take("b", 1, false), None);
        assert_eq!(mask(&["*"]).unwrap().take("b", 1, true), Some(1));
        assert_eq!(mask(&[]).unwrap().take("b", 1, true), None);
        assert_eq!(mask(&[]).unwrap().take("b", 1, false), Some(1));
        assert!(mask(&["c"]).is_err());
    }

    #[test]
    fn an_etag_is_a_revision_in_quotes() {
        assert_eq!(revision(&etag(7)).unwrap(), Some(7));
        assert_eq!(revision("").unwrap(), None);
        assert!(matches!(revision("7"), Err(Error::Changed)));
    }
}
