//! The style sheet and the script, under names that change with their contents.

use std::{borrow::Cow, fmt::Write};

use super::Accent;
use crate::secret::sha256;

/// The built-in ones, with the name under which a folder replaces them.
pub(super) const BUILT_IN: &[(&str, &str)] = &[
    ("style.css", include_str!("assets/style.css")),
    ("script.js", include_str!("assets/script.js")),
    ("passkeys.js", include_str!("assets/passkeys.js")),
];

/// A file that pages refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The media type.
    pub content_type: &'static str,
    /// The content. It is the same for ever under the same name.
    pub content: Cow<'static, str>,
}

/// The assets.
pub(super) struct Assets {
    files: Vec<File>,
}

struct File {
    /// Such as `style.css`.
    name: String,
    /// Such as `style-0123456789abcdef.css`.
    address: String,
    content: Cow<'static, str>,
}

impl Assets {
    pub(super) fn built_in() -> Self {
        let mut assets = Self { files: Vec::new() };
        for (name, content) in BUILT_IN {
            assets.put(name, Cow::Borrowed(content));
        }
        assets
    }

    /// Adds a file or replaces it.
    pub(super) fn put(&mut self, name: &str, content: Cow<'static, str>) {
        self.files.retain(|file| file.name != name);
        let address = address(name, &content);
        self.files.push(File { name: name.to_owned(), address, content });
    }

    /// The name of a file in its URL.
    pub(super) fn address(&self, name: &str) -> Option<String> {
        self.files.iter().find(|file| file.name == name).map(|file| file.address.clone())
    }

    /// The file with this name in its URL.
    pub(super) fn get(&self, address: &str) -> Option<Asset> {
        if let Some(file) = self.files.iter().find(|file| file.address == address) {
            return Some(Asset { content_type: content_type(&file.name), content: file.content.clone() });
        }
        let digits = address.strip_prefix("accent-")?.strip_suffix(".css")?;
        // One address for each colour.
        let accent = Accent::parse(digits).filter(|accent| accent.digits() == digits)?;
        Some(Asset { content_type: content_type(address), content: accent.style_sheet().into() })
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    }
}

fn address(name: &str, content: &str) -> String {
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut out = format!("{stem}-");
    for byte in sha256(content.as_bytes()).iter().take(8) {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out + "." + kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_has_a_new_address_as_soon_as_its_content_changes() {
        let mut assets = Assets::built_in();
        let before = assets.address("style.css").unwrap();
        let hash = before.strip_prefix("style-").and_then(|rest| rest.strip_suffix(".css"));
        assert_eq!(hash.map(str::len), Some(16), "{before}");
        assert_eq!(assets.get(&before).unwrap().content_type, "text/css; charset=utf-8");
        assets.put("style.css", "a{}".into());
        let after = assets.address("style.css").unwrap();
        assert!(after != before && assets.get(&before).is_none());
        assert_eq!(assets.get(&after).unwrap().content, "a{}");
    }

    #[test]
    fn only_colours_have_a_style_sheet() {
        let assets = Assets::built_in();
        assert!(assets.get("accent-1f4fa3.css").unwrap().content.contains("--accent:#1f4fa3"));
        for wrong in ["accent-1F4FA3.css", "accent-#1f4fa.css", "accent-.css", "accent-1f4fa3", "style.css", "../x", ""]
        {
            assert_eq!(assets.get(wrong), None, "{wrong}");
        }
    }
}
