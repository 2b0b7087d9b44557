//! Lengths of time as people write them: `300`, `90s`, `5m`, `12h`, `30d`.

use std::str::FromStr;

use super::Ttl;

/// The units, from the longest, in milliseconds.
const UNITS: [(char, i64); 4] = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000), ('s', 1000)];

impl FromStr for Ttl {
    type Err = &'static str;

    /// Parses a whole number with a unit, or of seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a length of time such as 300 (seconds), 5m, 12h or 30d";
        let unit = UNITS.iter().find(|(name, _)| text.ends_with(*name));
        let (digits, factor) = unit.map_or((text, 1000), |(name, factor)| (text.trim_end_matches(*name), *factor));
        let written = digits.len() + usize::from(unit.is_some()) == text.len();
        let plain = written && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let n: Option<i64> = digits.parse().ok().filter(|_| plain);
        n.and_then(|n| n.checked_mul(factor)).map(Self).ok_or(FORM)
    }
}

impl Ttl {
    /// The length in the longest unit that shows it exactly, in a form that can be parsed again: `5m`.
    #[must_use]
    pub fn in_units(self) -> String {
        let shows = |(_, factor): &&(char, i64)| self.0 != 0 && self.0 % factor == 0;
        match UNITS.iter().find(shows) {
            Some((name, factor)) => format!("{}{name}", self.0 / factor),
            None if self.0 == 0 => "0s".to_owned(),
            None => format!("{}s", self.seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [("0", 0), ("300", 300), ("90s", 90), ("5m", 300), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Ttl::from_secs(seconds)), "{text}");
        }
        for bad in
            ["", "s", "m", "-1", "+5", "5 m", "5M", "5mm", "1.5h", "5ms", "1h30m", "soon", "é", "9223372036854775807"]
        {
            assert!(bad.parse::<Ttl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_length_is_shown_in_the_longest_unit_that_is_exact() {
        for (seconds, text) in
            [(0, "0s"), (1, "1s"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (86_400, "1d")]
        {
            assert_eq!(Ttl::from_secs(seconds).in_units(), text);
            assert_eq!(text.parse(), Ok(Ttl::from_secs(seconds)));
        }
    }
}
