//! Errors with their causes.

use std::error::Error;

/// The most that is written of one error, in bytes: parts of it may come from the network.
const MAX_TEXT: usize = 1024;

/// An error and all its causes on one line: the outermost alone often says only "transport error".
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause.filter(|_| text.len() < MAX_TEXT) {
        let next = inner.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = inner.source();
    }
    shortened(text)
}

fn shortened(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(String, #[source] Option<Box<Self>>);

    fn layer(text: &str, inner: Option<Layer>) -> Layer {
        Layer(text.to_owned(), inner.map(Box::new))
    }

    #[test]
    fn every_cause_is_named_once_and_the_text_is_bounded() {
        let error = layer("sending failed", Some(layer("connect", Some(layer("refused", None)))));
        assert_eq!(with_causes(&error), "sending failed: connect: refused");
        assert_eq!(with_causes(&layer("a: b", Some(layer("b", None)))), "a: b");
        let long = with_causes(&layer(&"é".repeat(5_000), None));
        assert!(long.len() < 1_100 && long.ends_with('…'), "{}", long.len());
    }
}
