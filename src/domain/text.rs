//! Texts that one person chooses and others read: names of applications and devices, descriptions.

mod invisible;

use serde::{Deserialize, Serialize};

use self::invisible::Scan;

/// Joins or separates two letters. Some scripts need them, and elsewhere nobody sees them.
pub(super) const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// Whether nobody sees this character: a control character, one that changes the direction or the lines of a text, or
/// one that has no width (`Default_Ignorable_Code_Point`).
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Why a text is not a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// It is too long.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// It contains something that nobody sees.
    #[error("must not contain control characters, nor invisible ones or ones that change the direction of text")]
    Invisible,
}

/// A text on one line in which every character can be seen, so that it cannot pass for another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Reads a label of at most `most` characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, most: usize) -> Result<Self, LabelError> {
        if text.chars().count() > most {
            return Err(LabelError::TooLong(most));
        }
        if Scan::of(text).any(|(_, fits)| !fits) {
            return Err(LabelError::Invisible);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text on one line, without anything invisible that is not needed where it stands, and cut to at most `most` bytes.
/// For texts that nobody typed, which are not worth a refusal.
#[must_use]
pub fn cleaned(text: &str, most: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    Scan::of(cut).filter(|(_, fits)| *fits).map(|(c, _)| c).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_no_character_that_nobody_sees() {
        for bad in [
            "a\u{202e}b",
            "a\u{202a}b",
            "a\u{2066}b",
            "a\u{2069}",
            "\u{200e}a",
            "a\u{200f}",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{200c}b",
            "a\u{2060}b",
            "\u{feff}a",
            "a\u{ad}b",
            "a\nb",
            "a\0",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{3164}b",
            "a\u{fe0f}",
            "a\u{e0041}",
            "a\u{61c}b",
            "a\u{2800}b",
            "1\u{fe0f}",
            "1\u{fe0f}2",
            "❤\u{fe0f}\u{fe0f}",
            "─\u{200d}─",
            "─\u{fe0f}",
            "❤\u{200d}\u{200d}❤",
            "❤\u{200d}a",
            "葛\u{e0100}\u{e0101}",
            "a\u{e0100}",
            "a\u{180b}",
            "ᠠ\u{180e}a",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}",
            "🏴\u{e0067}\u{e007f}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}\u{e007f}",
            "🏳\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(Label::parse(bad, 64), Err(LabelError::Invisible), "{bad:?}");
        }
        assert_eq!(Label::parse(&"é".repeat(65), 64), Err(LabelError::TooLong(64)));
    }

    #[test]
    fn a_label_may_be_in_any_script_and_have_pictures() {
        for good in [
            "",
            "Zoë's phone (work)",
            "Мой телефон",
            "my laptop 💻",
            "❤\u{fe0f}",
            "👩\u{200d}💻",
            "❤\u{fe0f}\u{200d}🔥",
            "می\u{200c}خواهم",
            "ක\u{dca}\u{200d}ෂ phone",
            "שלום",
            "iPhone 1\u{fe0f}\u{20e3}",
            "#\u{fe0f}\u{20e3} *\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} phone",
            "©\u{fe0f}™\u{fe0f}ℹ\u{fe0f}‼\u{fe0f}〰\u{fe0f}㊙\u{fe0f}®\u{fe0e}",
            "👩🏽\u{200d}💻",
            "🏳\u{fe0f}\u{200d}🌈",
            "🐈\u{200d}⬛",
            "می\u{200c}خواهم 👩\u{200d}💻",
            "ᠮᠣᠩᠭᠣᠯ\u{180b} ᠬᠠᠷ\u{180e}ᠠ",
            "葛\u{e0100}城",
        ] {
            assert_eq!(Label::parse(good, 64).map(|l| l.0).as_deref(), Ok(good), "{good:?}");
        }
    }

    #[test]
    fn a_text_that_nobody_typed_is_cleaned() {
        assert_eq!(cleaned("Mozilla\u{202e}/5.0\n", 512), "Mozilla/5.0");
        assert_eq!(cleaned("a\u{200e}\u{200f}b ❤\u{fe0f}\u{fe0f} 1\u{fe0f}", 512), "ab ❤\u{fe0f} 1");
        assert_eq!(cleaned("❤\u{200d}\u{202e}🔥\u{200d}", 512), "❤🔥");
        // Cut in the middle of a picture.
        assert_eq!(cleaned("🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", 20), "🏴");
        assert_eq!(cleaned(&"é".repeat(500), 9).chars().count(), 4);
    }
}
