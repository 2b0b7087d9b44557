//! Mails kept in memory instead of being sent, for a demo.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{Letter, Rendered};

/// Maximum number of mails kept.
const MOST: usize = 100;

/// A mail that was not sent.
#[derive(Clone, Serialize)]
pub struct KeptMail {
    /// The id.
    pub id: String,
    /// When it would have been sent.
    pub sent_at: String,
    /// The recipient.
    pub to: String,
    /// The kind.
    pub kind: &'static str,
    /// The requested language.
    pub language: String,
    /// The subject.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The links in the text.
    pub links: Vec<String>,
    /// The code, if there is one.
    pub code: Option<String>,
}

impl fmt::Debug for KeptMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptMail({})", self.id)
    }
}

/// The newest mails.
#[derive(Default)]
pub struct Kept(Mutex<VecDeque<KeptMail>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    /// The mails, newest first.
    #[must_use]
    pub fn newest(&self) -> Vec<KeptMail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) fn keep(&self, letter: &Letter, rendered: Rendered) {
        let mail = KeptMail {
            id: letter.id.to_string(),
            sent_at: letter.now.to_string(),
            to: letter.to.to_string(),
            kind: letter.kind.as_str(),
            language: letter.language.as_str().to_owned(),
            links: links(&rendered.text),
            code: letter.params.get("code").cloned(),
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_front(mail);
        all.truncate(MOST);
    }
}

/// The links in a text.
fn links(text: &str) -> Vec<String> {
    let words = text.split_whitespace();
    words.filter(|w| w.starts_with("https://") || w.starts_with("http://")).map(str::to_owned).collect()
}
