//! Collects what is wrong with a request, so that the caller learns all of it at once.

use std::{fmt::Display, str::FromStr};

use crate::{
    domain::{
        login::{Login, LoginKind},
        user::{MAX_ATTRIBUTES, MAX_EMAILS},
    },
    error::{Error, Result, Violation},
};
use serde_json::{Map, Value};

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    pub(super) fn add(&mut self, field: &'static str, description: impl Into<String>) {
        self.0.push(Violation { field, description: description.into() });
    }

    /// Takes over what an error says is wrong; any other error is given back.
    pub(super) fn absorb<T: Default>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Err(Error::Invalid(violations)) => {
                self.0.extend(violations);
                Ok(T::default())
            }
            other => other,
        }
    }

    /// The value, unless something is wrong.
    pub(super) fn into_result<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }

    /// Those of the texts that can be parsed.
    pub(super) fn parse<T: FromStr>(&mut self, field: &'static str, texts: &[String]) -> Vec<T>
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

    pub(super) fn user_name(&mut self, text: &str) -> Option<Login> {
        match Login::parse(text) {
            Ok(login) if login.kind() == LoginKind::Name => return Some(login),
            Ok(_) => self.add("name", "must not hold an @; an address belongs in email (--email)"),
            Err(problem) => self.add("name", problem.to_string()),
        }
        None
    }

    pub(super) fn emails(&mut self, texts: &[String]) -> Vec<Login> {
        if texts.len() > MAX_EMAILS {
            self.add("emails", format!("must be at most {MAX_EMAILS}"));
        }
        let mut out = Vec::new();
        for text in texts {
            match Login::parse(text) {
                Ok(login) if login.kind() == LoginKind::Email => out.push(login),
                Ok(_) => self.add("email", "must be an email address"),
                Err(problem) => self.add("email", problem.to_string()),
            }
        }
        out
    }

    pub(super) fn attributes(&mut self, attributes: &Map<String, Value>) {
        let text = Value::Object(attributes.clone()).to_string();
        if text.len() > MAX_ATTRIBUTES {
            self.add("attributes", format!("must be at most {MAX_ATTRIBUTES} bytes of JSON"));
        }
        if text.contains("\\u0000") {
            self.add("attributes", "must not hold NUL");
        }
    }
}
