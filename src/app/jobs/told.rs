//! Whether the outcome of a job that runs again and again is worth a line in the log.

use crate::error::{Error, Result};

/// More causes than one outage has. The log must not grow with its length, whatever the causes say.
const MOST_CAUSES: usize = 8;

/// The causes of an outage that are in the log already.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<String>);

/// What is to be said of an outcome.
#[derive(Debug)]
pub(super) enum News<'a> {
    /// Nothing is new.
    Nothing,
    /// The job fails for a cause that it did not have since it last went well.
    Failure(&'a Error),
    /// It goes well again.
    Over,
}

impl Told {
    /// What is new in an outcome. A cause that comes back in the same outage is not.
    pub(super) fn news<'a, T>(&mut self, outcome: &'a Result<T>) -> News<'a> {
        let Err(error) = outcome else {
            let was_failing = !std::mem::take(&mut self.0).is_empty();
            return if was_failing { News::Over } else { News::Nothing };
        };
        let cause = format!("{error:?}");
        if self.0.len() >= MOST_CAUSES || self.0.contains(&cause) {
            return News::Nothing;
        }
        self.0.push(cause);
        News::Failure(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(told: &mut Told, outcome: Result<()>) -> String {
        match told.news(&outcome) {
            News::Nothing => String::new(),
            News::Failure(error) => format!("{error:?}"),
            News::Over => "over".to_owned(),
        }
    }

    fn failure(cause: &str) -> Result<()> {
        Err(Error::Unavailable(cause.into()))
    }

    #[test]
    fn each_cause_is_said_once_in_an_outage_and_its_end_once() {
        let told = &mut Told::default();
        assert_eq!(said(told, Ok(())), "");
        assert!(said(told, failure("refused")).contains("refused"));
        assert_eq!(said(told, failure("refused")), "");
        assert!(said(told, failure("too slow")).contains("too slow"));
        assert_eq!(said(told, failure("refused")), "", "it was said");
        assert_eq!(said(told, Ok(())), "over");
        assert_eq!(said(told, Ok(())), "");
        assert!(said(told, failure("refused")).contains("refused"), "another outage");
    }

    #[test]
    fn causes_that_differ_each_time_do_not_fill_the_log() {
        let told = &mut Told::default();
        let lines = (0..1000).filter(|n| !said(told, failure(&n.to_string())).is_empty()).count();
        assert_eq!(lines, MOST_CAUSES);
        assert_eq!(said(told, Ok(())), "over");
    }
}
