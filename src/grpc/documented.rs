//! The reasons that each method documents, read from the comments of the contract. In debug builds, which all tests
//! use, a call that is refused for another reason panics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use super::proto::DESCRIPTORS;
use crate::error::Reason;

/// Reasons that every call can have.
pub const COMMON: [Reason; 6] = [
    Reason::OriginNotAllowed,
    Reason::RequestMalformed,
    Reason::RequestTooLarge,
    Reason::DeadlineExceeded,
    Reason::MethodUnknown,
    Reason::Internal,
];
/// Reasons that every call can have that needs the database.
pub const OF_THE_DATABASE: [Reason; 3] = [Reason::Conflict, Reason::Overloaded, Reason::Unavailable];

/// The reasons by the path of the method, as in `/chancery.v1.AuthService/Login`.
static DOCUMENTED: LazyLock<BTreeMap<String, BTreeSet<&'static str>>> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    set.file.iter().filter(|file| file.package() == "chancery.v1").flat_map(of_file).collect()
});

/// The reasons that the comment of each method names, by the path of the method.
#[must_use]
pub fn documented_reasons() -> &'static BTreeMap<String, BTreeSet<&'static str>> {
    &DOCUMENTED
}

/// The methods of a file, and the reasons in the comment of each.
fn of_file(file: &FileDescriptorProto) -> Vec<(String, BTreeSet<&'static str>)> {
    // The numbers of `FileDescriptorProto.service` and `ServiceDescriptorProto.method`.
    const SERVICE: i32 = 6;
    const METHOD: i32 = 2;
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let methods = locations.filter_map(|location| {
        let [SERVICE, service, METHOD, method] = *location.path.as_slice() else { return None };
        let service = file.service.get(usize::try_from(service).ok()?)?;
        let method = service.method.get(usize::try_from(method).ok()?)?;
        let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
        Some((path, reasons(location.leading_comments())))
    });
    methods.collect()
}

/// The reasons that a comment names after `Reasons:`.
fn reasons(comment: &str) -> BTreeSet<&'static str> {
    let (_, list) = comment.split_once("Reasons:").unwrap_or_default();
    let words: BTreeSet<&str> = list.split(|c: char| !c.is_ascii_uppercase() && c != '_').collect();
    Reason::ALL.iter().map(|reason| reason.as_str()).filter(|name| words.contains(name)).collect()
}

/// Panics if a method of ours gives a reason that it does not document.
#[cfg(debug_assertions)]
pub(super) fn check(method: &str, reason: Reason) {
    let Some(documented) = DOCUMENTED.get(method) else { return };
    let needs_database = !documented.is_empty();
    assert!(
        documented.contains(reason.as_str())
            || COMMON.contains(&reason)
            || needs_database && OF_THE_DATABASE.contains(&reason),
        "{method} gives {}, which its comment does not name",
        reason.as_str()
    );
}
