//! Instants and clocks. Imports nothing from the crate.
//!
//! A [`Clock`] is read once at the edge; everything below takes the time as `now`.

mod length;
mod pace;

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

pub use self::pace::LogPace;

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: a `NumericDate` (RFC 7519 §2).
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant, `ttl` later.
    #[must_use]
    pub const fn plus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.0))
    }

    /// This instant, `ttl` earlier.
    #[must_use]
    pub const fn minus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_sub(ttl.0))
    }

    /// The time since `earlier`; negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Ttl {
        Ttl(self.0.saturating_sub(earlier.0))
    }

    /// Date, hour and minute in UTC, in a form for people.
    #[must_use]
    pub fn for_people(self) -> String {
        let text = self.to_string();
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{day} {} UTC", time.get(..5).unwrap_or(time))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    /// Parses RFC 3339 §5.6. Seconds and an offset are required; anything finer than milliseconds is cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or("must be an instant such as 2030-01-31T12:00:00Z (RFC 3339)")
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let (ms, zone) = fraction(rest)?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.strip_prefix('-').is_some() { -1 } else { 1 };
            let [hours, minutes] = numbers(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?;
            (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))?
        }
    };
    let days = days_from_civil(year, month, day);
    // A day that the month does not have turns into a different date.
    let exists = civil_from_days(days) == (year, month, day) && hour <= 23 && minute <= 59 && second <= 60;
    let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    exists.then_some(Timestamp(seconds * 1000 + ms))
}

/// Parses numbers of exactly these lengths, separated by `between`.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let (mut parts, mut out) = (text.split(between), [0; N]);
    for (to, digits) in out.iter_mut().zip(digits) {
        let part = parts.next().filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))?;
        *to = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// The milliseconds of the optional fraction of a second, and the rest of the text.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = rest.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
    let ms = digits.bytes().chain([b'0'; 3]).take(3).fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    Some((ms, rest))
}

/// The number of days since the Unix epoch; the inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * 146_097 + day_of_era - 719_468
}

/// Year, month and day in the Gregorian calendar, from a number of days since the Unix epoch.
///
/// Counts in 400-year eras that start on 1 March, so that a leap day is the last day of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ttl(i64);

impl Ttl {
    /// The longest.
    pub const MAX: Self = Self(i64::MAX);

    /// `n` milliseconds.
    #[must_use]
    pub const fn from_millis(n: i64) -> Self {
        Self(n)
    }

    /// `n` seconds.
    #[must_use]
    pub const fn from_secs(n: i64) -> Self {
        Self(n.saturating_mul(1000))
    }

    /// `n` days of 24 hours.
    #[must_use]
    pub const fn from_days(n: i64) -> Self {
        Self::from_secs(n.saturating_mul(86_400))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The sum of two lengths.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This length, `n` times.
    #[must_use]
    pub const fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// The same as a standard duration; zero if negative.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

/// How far any two clocks may differ.
pub const SKEW: Ttl = Ttl::from_secs(60);

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment. Setting the clock does not change it.
    fn elapsed(&self) -> Ttl;

    /// Whether a database shared by several machines overrides this clock with its own.
    fn yields_to_database(&self) -> bool;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_types, reason = "the one place that reads the monotonic clock")]
    fn elapsed(&self) -> Ttl {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let since = START.get_or_init(std::time::Instant::now).elapsed();
        Ttl(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn yields_to_database(&self) -> bool {
        true
    }
}

/// A clock that moves only when told to; for tests.
#[derive(Debug)]
pub struct FixedClock {
    now: AtomicI64,
    elapsed: AtomicI64,
    yields: bool,
}

impl FixedClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.millis()), elapsed: AtomicI64::new(0), yields: false }
    }

    /// A clock that a shared database overrides, as it overrides the machine's.
    #[must_use]
    pub const fn yielding(now: Timestamp) -> Self {
        Self { yields: true, ..Self::new(now) }
    }

    /// Moves the clock forward by `by`, or back if that is negative.
    pub fn advance(&self, by: Ttl) {
        self.now.fetch_add(by.millis(), Ordering::SeqCst);
        self.elapsed.fetch_add(by.millis().max(0), Ordering::SeqCst);
    }

    /// Sets the clock, as an operator would; no time passes.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Ttl {
        Ttl(self.elapsed.load(Ordering::SeqCst))
    }

    fn yields_to_database(&self) -> bool {
        self.yields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_893_456_000_123, "2030-01-01T00:00:00.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(ms).to_string(), text);
        }
    }

    #[test]
    fn instants_parse_as_they_print() {
        for ms in [0, 951_782_400_000, 1_893_456_000_123, -1, 4_102_444_799_999, -62_135_596_800_000] {
            let instant = Timestamp::from_millis(ms);
            assert_eq!(instant.to_string().parse(), Ok(instant), "{instant}");
        }
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t01:30:00.5+01:30", 500),
            ("1969-12-31 22:00:00.000999-02:00", 0),
            ("2000-02-29T23:59:60.123456789Z", 951_868_800_123),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn invalid_instants_are_refused() {
        for bad in [
            "",
            "now",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00Z",
            "2030-1-1T00:00:00Z",
            "2030-02-29T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-00-01T00:00:00Z",
            "2030-01-32T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:60:00Z",
            "2030-01-01T00:00:61Z",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00.5",
            "2030-01-01T00:00:00+0100",
            "2030-01-01T00:00:00+24:00",
            "2030-01-01T00:00:00Zx",
            "+030-01-01T00:00:00Z",
            "2030-01-01T00:00:0\u{661}Z",
            "1893456000",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = FixedClock::new(Timestamp::from_millis(5));
        clock.advance(Ttl::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_millis(1005));
    }
}
