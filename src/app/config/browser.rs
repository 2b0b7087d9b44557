//! The pages in a browser: the proxies in front of them, their templates, and who may ask the check.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{Listen, named_file, setting::section};
use crate::{
    domain::network::{ForwardedHeaders, Network, Proxies},
    web::{CheckSecret, pages::Pages},
};

/// More than any secret takes.
const MAX_SECRET: u64 = 4096;
/// The fewest characters of a secret. Nobody types it.
const MIN_SECRET: usize = 32;

section! {
    /// Browsers and proxies
    BrowserDraft;
    /// Proxy that is believed about where a request comes from and which host it asks for: an address or a network
    trusted_proxies: Vec<Network> as "CIDR";
    /// Headers in which these proxies say so
    forwarded_headers: ForwardedHeaders as "FAMILY" = "x-forwarded";
    /// File with the secret that proxies send to the check
    check_secret_file: PathBuf as "FILE";
    /// Directory of page templates that replace the built-in ones
    page_templates: PathBuf as "DIR";
    /// Directory of page texts that replace single built-in ones and add languages
    page_texts: PathBuf as "DIR";
}

/// Settings of the pages and of the check.
#[derive(Debug, Default)]
pub struct Browser {
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// The secret without which the check answers nobody.
    pub check_secret: Option<CheckSecret>,
    /// The pages; nothing for processes that serve none.
    pub pages: Option<Pages>,
}

impl Browser {
    /// A line for each language of the pages that lacks messages.
    #[must_use]
    pub fn untranslated(&self) -> Vec<String> {
        self.pages.as_ref().map(Pages::untranslated).unwrap_or_default()
    }
}

impl BrowserDraft {
    /// Reads the secret, fills in defaults and collects all problems.
    pub(super) fn check(&mut self, dev: bool, listen: &Listen, problems: &mut Vec<String>) -> Browser {
        let has_proxies = self.trusted_proxies.is_set();
        // The check of a demo believes loopback.
        if self.forwarded_headers.is_set() && !has_proxies && !dev {
            let other = self.forwarded_headers.names(&self.trusted_proxies);
            problems.push(self.forwarded_headers.problem(format_args!("has no effect without {other}")));
        }
        let proxies = Proxies {
            trusted: self.trusted_proxies.or(Vec::new()),
            headers: self.forwarded_headers.or(ForwardedHeaders::default()),
        };
        let check_secret = self.secret(listen, problems);
        let pages = self.pages(problems);
        if let Some(check) = listen.check.filter(|_| !dev && !has_proxies) {
            let other =
                self.trusted_proxies.problem(format_args!("is required for the check at {check}: nobody else may ask"));
            problems.push(other);
        }
        Browser { proxies, check_secret, pages }
    }

    /// Loads the pages with the files in both directories. A problem is said to be of the directory that its file is in.
    fn pages(&self, problems: &mut Vec<String>) -> Option<Pages> {
        let folder = self.page_templates.get().map(PathBuf::as_path);
        let texts = self.page_texts.get().map(PathBuf::as_path);
        // One directory may be in the other.
        let of_texts = |problem: &str| {
            let at = Path::new(problem.split(':').next().unwrap_or_default());
            texts.is_some_and(|folder| at == folder || at.parent() == Some(folder))
        };
        let named = |problem: &String| {
            if of_texts(problem) { self.page_texts.problem(problem) } else { self.page_templates.problem(problem) }
        };
        Pages::with_texts(folder, texts).map_err(|all| problems.extend(all.iter().map(named))).ok()
    }

    fn secret(&self, listen: &Listen, problems: &mut Vec<String>) -> Option<CheckSecret> {
        let setting = &self.check_secret_file;
        let Some(address) = listen.check else {
            if setting.is_set() {
                problems.push(setting.problem("has no effect without a listener for the check"));
            }
            return None;
        };
        let Some(path) = setting.get() else {
            if !setting.is_set() && !is_loopback(address.ip()) {
                problems.push(setting.problem("is required for a check beyond loopback"));
            }
            return None;
        };
        let secret = named_file::read_text(path, MAX_SECRET)
            .map_err(|error| error.to_string())
            .and_then(|text| check_secret(text.trim_end_matches(['\r', '\n'])));
        secret.map_err(|why| problems.push(setting.problem(format_args!("{}: {why}", path.display())))).ok()
    }
}

/// Reads a secret, which travels in a header.
fn check_secret(text: &str) -> Result<CheckSecret, String> {
    if text.len() >= MIN_SECRET && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(CheckSecret::new(text));
    }
    Err(format!(
        "must be one line of at least {MIN_SECRET} visible ASCII characters, such as that of `openssl rand -hex 32`"
    ))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
