//! The colour of an application, and the colours derived from it that can be read.

/// A colour `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// The backgrounds on which links and outlines of the accent's colour stand, light and dark, as in `style.css`.
const LIGHT: Accent = Accent([0xf4, 0xf5, 0xf7]);
const DARK: Accent = Accent([0x1c, 0x1f, 0x26]);
const WHITE: Accent = Accent([0xff; 3]);
const BLACK: Accent = Accent([0x0b, 0x0d, 0x12]);
/// WCAG 2.2, 1.4.3.
const ENOUGH: f64 = 4.5;
/// A button is told from the card that it stands on.
const SEEN: f64 = 1.6;

impl Accent {
    /// A colour of its parts.
    #[must_use]
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// Reads `#rrggbb`, with or without the `#`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let good = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = good.then(|| u32::from_str_radix(digits, 16).ok())??;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// The six digits, as in the name of its style sheet.
    #[must_use]
    pub fn digits(self) -> String {
        let [red, green, blue] = self.0;
        format!("{red:02x}{green:02x}{blue:02x}")
    }

    /// The style sheet of a client with this colour.
    pub(super) fn style_sheet(self) -> String {
        let rule = |card: Self, ground: Self, end: Self| {
            let fill = self.towards(end, card, SEEN);
            let on = if fill.contrast(WHITE) < ENOUGH && fill.contrast(BLACK) >= ENOUGH { BLACK } else { WHITE };
            // Where neither can be read, the colour gives way.
            let (fill, link) = (fill.towards(BLACK, on, ENOUGH), self.towards(end, ground, ENOUGH));
            format!("--accent:#{};--on-accent:#{};--link:#{};", fill.digits(), on.digits(), link.digits())
        };
        let (light, dark) = (rule(WHITE, LIGHT, BLACK), rule(DARK, DARK, WHITE));
        format!(":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n")
    }

    /// This colour, mixed with another just so far that it can be read on a background.
    fn towards(self, end: Self, background: Self, ratio: f64) -> Self {
        let mixed = (0..=20).map(|step| self.mix(end, f64::from(step) / 20.0));
        mixed.into_iter().find(|colour| colour.contrast(background) >= ratio).unwrap_or(end)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
    fn mix(self, end: Self, share: f64) -> Self {
        let mut out = self.0;
        for (byte, end) in out.iter_mut().zip(end.0) {
            *byte = (f64::from(*byte) * (1.0 - share) + f64::from(end) * share).round() as u8;
        }
        Self(out)
    }

    /// The contrast ratio (WCAG 2.2).
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|byte| {
            let share = f64::from(byte) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(sheet: &str, name: &str) -> Vec<Accent> {
        let start = format!("--{name}:#");
        let found = sheet.split(&start).skip(1);
        found.map(|rest| Accent::parse(&rest[..6]).unwrap()).collect()
    }

    #[test]
    fn text_can_be_read_on_and_in_every_colour() {
        for n in 0..4096_u32 {
            let part = |shift: u32| u8::try_from((n >> shift & 15) * 17).unwrap();
            let accent = Accent::new(part(8), part(4), part(0));
            let sheet = accent.style_sheet();
            for (fill, on) in value(&sheet, "accent").into_iter().zip(value(&sheet, "on-accent")) {
                assert!(fill.contrast(on) >= ENOUGH, "{accent:?}: {sheet}");
            }
            let links = value(&sheet, "link");
            assert!(links[0].contrast(LIGHT) >= ENOUGH && links[1].contrast(DARK) >= ENOUGH, "{accent:?}: {sheet}");
        }
    }

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!(Accent::parse("#1F4fa3"), Some(Accent::new(0x1f, 0x4f, 0xa3)));
        assert_eq!(Accent::parse("1f4fa3").unwrap().digits(), "1f4fa3");
        for wrong in ["", "#", "#1f4fa", "#1f4fa33", "red", "#+f4fa3", "#1f4fa3;", "##1f4fa", "é1f4f"] {
            assert_eq!(Accent::parse(wrong), None, "{wrong}");
        }
    }
}
