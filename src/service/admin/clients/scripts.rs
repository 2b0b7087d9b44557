//! What a client says about scripts in browsers: whose may call this server in its name, and whether those at its site
//! get tokens.

use super::{ClientPatch, NewClientRequest};
use crate::{
    domain::{client::ClientConfig, scope::without_repeats, site::WebOrigin},
    error::Violations,
};

const NEEDS_A_SITE: &str = "needs a site, at whose /token scripts get their tokens";

/// The scripts of a new client.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) cors_origins: Vec<WebOrigin>,
    pub(super) browser_tokens: bool,
}

/// The scripts that a request asks for.
pub(super) fn new_scripts(violations: &mut Violations, request: &NewClientRequest) -> Scripts {
    let is_useless = request.browser_tokens && request.site.is_empty();
    violations.require(!is_useless, "browser_tokens", NEEDS_A_SITE);
    Scripts { cors_origins: cors_origins(violations, &request.cors_origins), browser_tokens: request.browser_tokens }
}

/// Changes what a patch names.
pub(super) fn change_scripts(
    violations: &mut Violations,
    patch: &ClientPatch,
    config: &mut ClientConfig,
    old: &ClientConfig,
) {
    if let Some(texts) = &patch.cors_origins {
        config.cors_origins = cors_origins(violations, texts);
    }
    config.browser_tokens = patch.browser_tokens.unwrap_or(config.browser_tokens);
    // The text of a site that is wrong says already what is to be mended.
    let has_site = patch.site.as_deref().map_or(old.site.is_some(), |text| !text.is_empty());
    if config.browser_tokens && !has_site {
        if patch.browser_tokens.is_some() {
            violations.add("browser_tokens", NEEDS_A_SITE);
        } else {
            violations.add("site", "must stay while browser_tokens is set, or both must be removed together");
        }
    }
}

fn cors_origins(violations: &mut Violations, texts: &[String]) -> Vec<WebOrigin> {
    let origins = without_repeats(violations.parse("cors_origins", texts));
    let most = ClientConfig::MAX_CORS_ORIGINS;
    if origins.len() > most {
        violations.add("cors_origins", format!("must be at most {most}"));
    }
    origins
}
