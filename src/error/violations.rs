//! Collects what is wrong with a request, so that the caller learns all of it at once.

use std::{fmt::Display, str::FromStr};

use super::{Error, Result, Violation};

/// Maximum number of violations that are reported at once, and of the bytes of each: a request can be wrong in
/// thousands of places, and the answer is a header.
const MAX_VIOLATIONS: usize = 20;
const MAX_DESCRIPTION: usize = 256;

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that a field is wrong.
    pub fn add(&mut self, field: &'static str, description: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            let mut description = description.into();
            if description.len() > MAX_DESCRIPTION {
                description.truncate(description.floor_char_boundary(MAX_DESCRIPTION));
                description.push('…');
            }
            self.0.push(Violation { field: field.into(), description });
        }
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that a field is wrong unless `good`.
    pub fn require(&mut self, good: bool, field: &'static str, description: &str) {
        if !good {
            self.add(field, description);
        }
    }

    /// The value, or the note of what is wrong with the field.
    pub fn take<T>(&mut self, field: &'static str, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|problem| self.add(field, problem.to_string())).ok()
    }

    /// Takes over the violations of an error; the default stands in for the value. Any other error is given back.
    ///
    /// # Errors
    /// Any but [`Error::Invalid`].
    pub fn absorb<T: Default>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Err(Error::Invalid(violations)) => {
                self.0.extend(violations);
                self.0.truncate(MAX_VIOLATIONS);
                Ok(T::default())
            }
            other => other,
        }
    }

    /// Those of the texts that can be parsed.
    pub fn parse<T: FromStr>(&mut self, field: &'static str, texts: &[String]) -> Vec<T>
    where
        T::Err: Display,
    {
        let mut out = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(value) => out.push(value),
                Err(problem) => self.add(field, format!("{text:?} {problem}")),
            }
        }
        out
    }

    /// The value, unless something is wrong.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every violation.
    pub fn into_result<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_wrong_everywhere_gets_a_short_answer() {
        let texts: Vec<String> = (0..30_000).map(|n| format!("{n}\u{1}").repeat(50)).collect();
        let mut wrong = Violations::default();
        assert!(wrong.parse::<u8>("numbers", &texts).is_empty());
        let Err(Error::Invalid(violations)) = wrong.into_result(()) else { panic!("nothing is wrong") };
        assert_eq!(violations.len(), MAX_VIOLATIONS);
        assert!(violations.iter().all(|v| v.description.len() <= MAX_DESCRIPTION + '…'.len_utf8()));
    }
}
