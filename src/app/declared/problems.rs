//! What is wrong with a file: the first problems, and how many more there are.

/// How many problems are said. Nobody reads more at once, and a file of a megabyte can have very many.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Problems {
    first: Vec<String>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: String) {
        if self.first.len() < MOST {
            self.first.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = String>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// The value, if there is no problem.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Vec<String>> {
        let Self { mut first, more } = self;
        if first.is_empty() {
            return Ok(value);
        }
        if more > 0 {
            first.push(format!("and {more} more"));
        }
        Err(first)
    }
}
