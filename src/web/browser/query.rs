//! The query of a page's URL.

use std::fmt;

use super::form::decoded;

/// The most bytes of a query that are looked at: `r` has up to 3 KiB, and a path to go on to up to 2 KiB.
const MAX_QUERY: usize = 8192;

/// The query of a page's URL. It is small: what is longer has no parameters.
#[derive(Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl fmt::Debug for Query {
    /// The names alone: values can be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A parameter that stands there twice, so that it is not clear which one was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubled(pub &'static str);

impl Query {
    /// Reads a query.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        let text = text.filter(|text| text.len() <= MAX_QUERY).unwrap_or_default();
        let pairs = text.as_bytes().split(|b| *b == b'&').filter_map(|pair| {
            let (name, value) = pair.split_at(pair.iter().position(|b| *b == b'=').unwrap_or(pair.len()));
            let value = decoded(value.strip_prefix(b"=").unwrap_or_default())?;
            Some((decoded(name)?.to_string(), value.to_string()))
        });
        Self(pairs.collect())
    }

    /// A parameter; nothing if it is missing or empty.
    ///
    /// # Errors
    /// It stands there twice.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, Doubled> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Doubled(name)),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// Whether there are parameters of other names.
    #[must_use]
    pub fn has_others_than(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| !key.is_empty() && key != name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_stands_there_twice_is_named() {
        let query = Query::read(Some("r=a%2Bb&x=1&return_to=%2F&x=2&empty="));
        assert_eq!(query.get("r"), Ok(Some("a+b")));
        assert_eq!(query.get("return_to"), Ok(Some("/")));
        assert_eq!(query.get("x"), Err(Doubled("x")));
        assert_eq!((query.get("empty"), query.get("missing")), (Ok(None), Ok(None)));
        assert!(query.has_others_than("r") && !Query::read(Some("r=1&r=2")).has_others_than("r"));
        assert_eq!(Query::read(None).get("r"), Ok(None));
        assert_eq!(Query::read(Some(&format!("r={}", "a".repeat(MAX_QUERY)))).get("r"), Ok(None));
    }
}
