//! Instants, as texts can show them.

use fluent_bundle::FluentArgs;

use crate::time::Timestamp;

/// What the message `date` needs: `year month day time`.
pub(super) fn args(at: Timestamp) -> FluentArgs<'static> {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let number = |from, to| part(from, to).parse::<i64>().unwrap_or(0);
    let mut args = FluentArgs::new();
    // A year is a text, so that it is not grouped like a number.
    args.set("year", part(0, 4));
    args.set("month", number(5, 7));
    args.set("day", number(8, 10));
    args.set("time", part(11, 16));
    args
}
