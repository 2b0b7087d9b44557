//! Where an invisible character is needed: in a picture, or by the rules of its script.

use precis_core::{FreeformClass, StringClass};

use super::{JOINERS, is_invisible};

const ZERO_WIDTH_JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const CANCEL_TAG: char = '\u{e007f}';
const KEYCAP: char = '\u{20e3}';
const MONGOLIAN_VOWEL_SEPARATOR: char = '\u{180e}';
/// The most tags in a flag: those of a region, such as `gbeng`.
const MAX_TAGS: usize = 6;

/// Whether a character of the first plane is a picture: `Emoji` in Unicode, without digits, `#` and `*`.
#[rustfmt::skip]
const fn is_picture_of_text(c: char) -> bool {
    matches!(
        c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2194}'..='\u{2199}'
            | '\u{21a9}'..='\u{21aa}' | '\u{231a}'..='\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23f3}'
            | '\u{23f8}'..='\u{23fa}' | '\u{24c2}' | '\u{25aa}'..='\u{25ab}' | '\u{25b6}' | '\u{25c0}'
            | '\u{25fb}'..='\u{25fe}' | '\u{2600}'..='\u{2604}' | '\u{260e}' | '\u{2611}' | '\u{2614}'..='\u{2615}'
            | '\u{2618}' | '\u{261d}' | '\u{2620}' | '\u{2622}'..='\u{2623}' | '\u{2626}' | '\u{262a}'
            | '\u{262e}'..='\u{262f}' | '\u{2638}'..='\u{263a}' | '\u{2640}' | '\u{2642}' | '\u{2648}'..='\u{2653}'
            | '\u{265f}'..='\u{2660}' | '\u{2663}' | '\u{2665}'..='\u{2666}' | '\u{2668}' | '\u{267b}'
            | '\u{267e}'..='\u{267f}' | '\u{2692}'..='\u{2697}' | '\u{2699}' | '\u{269b}'..='\u{269c}'
            | '\u{26a0}'..='\u{26a1}' | '\u{26a7}' | '\u{26aa}'..='\u{26ab}' | '\u{26b0}'..='\u{26b1}'
            | '\u{26bd}'..='\u{26be}' | '\u{26c4}'..='\u{26c5}' | '\u{26c8}' | '\u{26ce}'..='\u{26cf}' | '\u{26d1}'
            | '\u{26d3}'..='\u{26d4}' | '\u{26e9}'..='\u{26ea}' | '\u{26f0}'..='\u{26f5}' | '\u{26f7}'..='\u{26fa}'
            | '\u{26fd}' | '\u{2702}' | '\u{2705}' | '\u{2708}'..='\u{270d}' | '\u{270f}' | '\u{2712}' | '\u{2714}'
            | '\u{2716}' | '\u{271d}' | '\u{2721}' | '\u{2728}' | '\u{2733}'..='\u{2734}' | '\u{2744}' | '\u{2747}'
            | '\u{274c}' | '\u{274e}' | '\u{2753}'..='\u{2755}' | '\u{2757}' | '\u{2763}'..='\u{2764}'
            | '\u{2795}'..='\u{2797}' | '\u{27a1}' | '\u{27b0}' | '\u{27bf}' | '\u{2934}'..='\u{2935}'
            | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}'..='\u{2b1c}' | '\u{2b50}' | '\u{2b55}' | '\u{3030}' | '\u{303d}'
            | '\u{3297}' | '\u{3299}'
    )
}

/// Whether a character is a picture that a joiner may join with another.
const fn is_picture(c: char) -> bool {
    is_picture_of_text(c)
        || matches!(c, '\u{1f000}'..='\u{1f0ff}' | '\u{1f170}'..='\u{1f19a}' | '\u{1f200}'..='\u{1faff}')
}

const fn is_ideograph(c: char) -> bool {
    matches!(
        c,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

const fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1820}'..='\u{1878}' | '\u{1880}'..='\u{18aa}')
}

/// Whether a character may select how the one before it looks.
fn selects(base: char, selector: char, after: Option<char>) -> bool {
    match selector {
        // A digit with a selector is a picture only on a key.
        '\u{fe0e}' | '\u{fe0f}' if matches!(base, '0'..='9' | '#' | '*') => after == Some(KEYCAP),
        '\u{fe0e}' | '\u{fe0f}' => is_picture(base),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_ideograph(base),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is_mongolian(base),
        _ => false,
    }
}

/// The number of tags behind a flag, if they make it the flag of a region.
fn flag_tags(tags: &str) -> Option<usize> {
    let region = tags.chars().take_while(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'));
    let count = region.take(MAX_TAGS + 1).count();
    let ends = tags.chars().nth(count) == Some(CANCEL_TAG);
    ((3..=MAX_TAGS).contains(&count) && ends).then_some(count + 1)
}

/// Finds the invisible characters of a text that are not needed where they stand.
pub(super) struct Scan<'a> {
    text: &'a str,
    /// The byte at which the scan is.
    at: usize,
    /// The last character that was visible or a joiner.
    base: Option<char>,
    /// Whether something selects how it looks: one selector is enough.
    selected: bool,
    /// How many tags follow that belong to a flag.
    tags: usize,
    /// The end of the word with the last joiner, and whether its joiners are needed.
    word: (usize, bool),
}

impl<'a> Scan<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, at: 0, base: None, selected: false, tags: 0, word: (0, false) }
    }

    /// Whether an invisible character is needed at byte `at`.
    fn is_needed(&mut self, at: usize, c: char, after: Option<char>) -> bool {
        if self.tags == 0 && !self.selected && self.base == Some(BLACK_FLAG) {
            self.tags = self.text.get(at..).and_then(flag_tags).unwrap_or(0);
        }
        if self.tags > 0 {
            self.tags -= 1;
            self.selected = true;
            return true;
        }
        let Some(base) = self.base else { return false };
        if selects(base, c, after) {
            return !std::mem::replace(&mut self.selected, true);
        }
        let joins = c == ZERO_WIDTH_JOINER && is_picture(base) && after.is_some_and(is_picture)
            || c == MONGOLIAN_VOWEL_SEPARATOR && is_mongolian(base) && after.is_some_and(is_mongolian)
            || JOINERS.contains(&c) && self.is_in_word(at);
        if joins {
            (self.base, self.selected) = (Some(c), false);
        }
        joins
    }

    /// Whether each joiner in the word at byte `at` stands where its script needs one (RFC 5892, appendix A.1 and A.2).
    fn is_in_word(&mut self, at: usize) -> bool {
        if at >= self.word.0 {
            let separates = |c: char| !c.is_alphanumeric() && !is_invisible(c) && c.is_ascii();
            let (before, rest) = self.text.split_at_checked(at).unwrap_or_default();
            let start = before.rfind(separates).map_or(0, |separator| separator + 1);
            let end = rest.find(separates).map_or(self.text.len(), |length| at + length);
            let word = self.text.get(start..end).unwrap_or_default();
            self.word = (end, FreeformClass::default().allows(word).is_ok());
        }
        self.word.1
    }
}

impl Iterator for Scan<'_> {
    /// A character, and whether it may stand there.
    type Item = (char, bool);

    fn next(&mut self) -> Option<(char, bool)> {
        let at = self.at;
        let mut rest = self.text.get(at..)?.chars();
        let c = rest.next()?;
        self.at += c.len_utf8();
        if is_invisible(c) {
            return Some((c, self.is_needed(at, c, rest.next())));
        }
        (self.base, self.selected, self.tags) = (Some(c), false, 0);
        Some((c, true))
    }
}
