//! Collects what is wrong with a request, so that the caller learns all of it at once.

use std::{fmt::Display, str::FromStr};

use super::{Error, Result, Violation};

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that a field is wrong.
    pub fn add(&mut self, field: &'static str, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
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
