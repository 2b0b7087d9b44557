//! The comments of the descriptors.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comments of all files.
pub(super) struct Comments(BTreeMap<(String, Vec<i32>), String>);

impl Comments {
    /// Reads them.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut all = BTreeMap::new();
        for file in pool.file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                let text = text_of(location.leading_comments());
                if !text.is_empty() {
                    all.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self(all)
    }

    /// The comment of something in a file, by its path there; empty if it has none. Paragraphs are separated by an
    /// empty line.
    pub(super) fn get(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// A comment as text: each paragraph in one line. Who may call and what can go wrong begin their own.
fn text_of(comment: &str) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut begins = true;
    for line in comment.lines().map(str::trim) {
        let own = line.starts_with("Caller:") || line.starts_with("Reasons:");
        match paragraphs.last_mut() {
            _ if line.is_empty() => {}
            Some(paragraph) if !begins && !own => {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            _ => paragraphs.push(line.to_owned()),
        }
        begins = line.is_empty();
    }
    paragraphs.join("\n\n")
}

/// The first sentence of a comment, without the full stop.
pub(super) fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.split_once(". ").map_or(line, |(sentence, _)| sentence).trim_end_matches('.')
}

/// The first sentence of the comment of a method, which begins with the method's name: what it does.
pub(super) fn summary(text: &str, method: &str) -> String {
    let sentence = first_sentence(text);
    let does = sentence.strip_prefix(method).unwrap_or(sentence).trim_start();
    let mut letters = does.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_becomes_paragraphs() {
        let comment =
            " Login signs in\n a user. Twice.\n\n More.\n Caller: a client.\n Reasons: CONFLICT,\n INTERNAL.\n";
        let text = text_of(comment);
        assert_eq!(text, "Login signs in a user. Twice.\n\nMore.\n\nCaller: a client.\n\nReasons: CONFLICT, INTERNAL.");
        assert_eq!(summary(&text, "Login"), "Signs in a user");
        assert_eq!(first_sentence("One.\n\nTwo."), "One");
        assert_eq!(text_of(""), "");
    }
}
