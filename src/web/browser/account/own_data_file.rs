//! The file of a user's own data: lines for people, but for what is nested deep. Indented, a value of an application could
//! be twenty times as large.

use std::io::{Result, Write};

use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{CompactFormatter, Formatter, PrettyFormatter},
};

/// How deep the lines go: to the members of a session or of a value.
const DEPTH: usize = 3;

/// A document as text.
pub(super) fn text(document: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, Lines::default()))?;
    Ok(text)
}

#[derive(Default)]
struct Lines {
    pretty: PrettyFormatter<'static>,
    depth: usize,
}

impl Lines {
    const fn are_over(&self) -> bool {
        self.depth > DEPTH
    }
}

/// Methods that do something else beyond the depth.
macro_rules! by_depth {
    ($($name:ident($($arg:ident: $of:ty),*), $before:expr, $after:expr;)*) => {
        $(fn $name<W: ?Sized + Write>(&mut self, writer: &mut W, $($arg: $of),*) -> Result<()> {
            self.depth += $before;
            let written = if self.are_over() {
                CompactFormatter.$name(writer, $($arg),*)
            } else {
                self.pretty.$name(writer, $($arg),*)
            };
            self.depth -= $after;
            written
        })*
    };
}

impl Formatter for Lines {
    by_depth! {
        begin_array(), 1, 0;
        end_array(), 0, 1;
        begin_array_value(first: bool), 0, 0;
        end_array_value(), 0, 0;
        begin_object(), 1, 0;
        end_object(), 0, 1;
        begin_object_key(first: bool), 0, 0;
        begin_object_value(), 0, 0;
        end_object_value(), 0, 0;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_applications_keep_stands_on_one_line() {
        let document = json!({ "data": [{ "value": { "items": [1, { "a": [] }], "n": {} } }, {}], "roles": ["a"] });
        let text = String::from_utf8(text(&document).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        assert!(text.contains("      \"value\": {\"items\":[1,{\"a\":[]}],\"n\":{}}\n"), "{text}");
        assert!(text.ends_with("  \"roles\": [\n    \"a\"\n  ]\n}"), "{text}");
    }

    #[test]
    fn large_values_stay_about_as_large_as_they_are() {
        let value = json!((0..16).fold(json!(vec![1; 4000]), |inner, _| json!([inner])));
        let document = json!({ "data": vec![json!({ "value": value }); 20] });
        assert!(text(&document).unwrap().len() < 21 * value.to_string().len());
    }
}
