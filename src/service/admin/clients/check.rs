//! Validation of clients; reports all violations at once.

use std::collections::BTreeMap;

use super::NewClientRequest;
use crate::{
    domain::{
        client::{ClaimSource, ClientConfig, Grant, RESERVED_CLAIMS},
        scope::{PermissionAt, without_repeats},
        text::Label,
    },
    error::Violations,
    service::admin::roles::permission_at,
};

/// Maximum length of the mapping of a claim, in characters.
const MAX_CLAIM: usize = 4096;

/// The requested grants, or the defaults; each must suit the kind of client.
pub(super) fn grants(violations: &mut Violations, request: &NewClientRequest) -> Vec<Grant> {
    let mut grants: Vec<Grant> = violations.parse("grants", &request.grants);
    if request.grants.is_empty() {
        if !request.public {
            grants.push(Grant::ClientCredentials);
        }
        if request.first_party {
            grants.extend([Grant::DirectLogin, Grant::RefreshToken]);
        }
    }
    if request.public && grants.contains(&Grant::ClientCredentials) {
        violations.add("grants", "client_credentials is for confidential clients, and this one is public");
    }
    if !request.first_party && grants.contains(&Grant::DirectLogin) {
        violations.add("grants", "direct_login is for first-party clients");
    }
    if grants.is_empty() && request.grants.is_empty() {
        violations.add("grants", "must be given for a public client that is not first-party");
    }
    without_repeats(grants)
}

/// A public client cannot get tokens of its own, and so has nothing of what would be in them.
pub(super) fn refuse_own_rights(violations: &mut Violations, permissions: &[String], roles: &[String]) {
    const PROBLEM: &str = "must be empty for a public client, which has no tokens of its own";
    violations.require(permissions.is_empty(), "permissions", PROBLEM);
    violations.require(roles.is_empty(), "roles", PROBLEM);
}

/// The permissions of a client: `P` at this server's own audience, `P@A` at another audience.
pub(super) fn permissions(violations: &mut Violations, texts: &[String], issuer: &str) -> Vec<PermissionAt> {
    let mut out = Vec::new();
    for text in texts {
        match permission_at(text, issuer) {
            Some(permission) => out.push(permission),
            None => violations.add("permissions", format!("{text:?} must be PERMISSION or PERMISSION@AUDIENCE")),
        }
    }
    without_repeats(out)
}

/// Only a client that can authenticate may report end-user data.
pub(super) fn trusted_end_user(violations: &mut Violations, public: bool, trusted: bool) -> bool {
    if trusted && public {
        violations.add("trusted_end_user", "needs a confidential client, since anybody can claim to be a public one");
    }
    trusted
}

/// Parses `NAME=PATH`, or `NAME="TEXT"` for a fixed text.
pub(super) fn claim_map(violations: &mut Violations, texts: &[String]) -> BTreeMap<String, ClaimSource> {
    let mut map = BTreeMap::new();
    for text in texts {
        let Some((name, source)) = text.split_once('=').filter(|(n, s)| !n.is_empty() && !s.is_empty()) else {
            violations.add("claims", format!("{text:?} must be NAME=PATH or NAME=\"TEXT\""));
            continue;
        };
        if let Err(problem) = Label::parse(text, MAX_CLAIM) {
            violations.add("claims", format!("{name:?} {problem}"));
            continue;
        }
        if map.contains_key(name) {
            violations.add("claims", format!("{name} is mapped twice"));
            continue;
        }
        if RESERVED_CLAIMS.contains(&name) {
            violations.add("claims", format!("{name} is set by the server and cannot be mapped"));
            continue;
        }
        let literal = source.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
        let source = literal
            .map_or_else(|| ClaimSource::Attribute(source.to_owned()), |text| ClaimSource::Literal(text.to_owned()));
        map.insert(name.to_owned(), source);
    }
    map
}

/// The name by which the users of a client know it; nothing if that is its id.
pub(super) fn display_name(violations: &mut Violations, text: &str) -> Option<Label> {
    let name = violations.take("display_name", Label::parse(text, ClientConfig::MAX_DISPLAY_NAME))?;
    if text.trim() != text {
        violations.add("display_name", "must not begin or end with a space");
    }
    (!text.is_empty()).then_some(name)
}

/// Validates a link template: an `https` URL, `http` on localhost, or an app's own scheme; with `{token}`.
pub(super) fn link_template(violations: &mut Violations, text: Option<&str>) -> Option<String> {
    let text = text.filter(|t| !t.is_empty())?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let own = scheme.is_some_and(|s| s.contains('.') && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'));
    let local = ["http://localhost:", "http://localhost/", "http://127.0.0.1:", "http://[::1]:"];
    let safe = scheme == Some("https") || own || local.iter().any(|start| text.starts_with(start));
    let plain = text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|".contains(&b));
    if safe && plain && text.matches("{token}").count() == 1 {
        return Some(text.to_owned());
    }
    violations.add(
        "link_template",
        "must be an https URL with {token} in it, such as https://shop.example/{kind}?token={token}",
    );
    None
}
