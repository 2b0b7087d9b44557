//! Prints the results as a table and writes them as JSON.

use std::{collections::BTreeMap, io::Write, path::Path};

use serde::Serialize;
use serde_json::{Value, json};

use crate::stats::{Measurement, median, spread};

/// Prints progress to standard error.
pub(crate) fn progress(text: &str) {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a line of the result to standard output.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// The goal for a value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The value must be at least this.
    AtLeast(f64),
    /// The value must be at most this.
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", format_number(bound)),
            Self::AtMost(bound) => format!("<= {}", format_number(bound)),
        }
    }
}

/// One row of the table: the value of each run, and the ceiling it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    ceiling_name: &'static str,
    ceilings: Vec<f64>,
    goal: Option<Goal>,
    notes: Vec<String>,
    runs: Vec<Measurement>,
    /// The measurements of the ceilings, where they are loads too.
    ceiling_runs: Vec<Measurement>,
}

impl Row {
    /// Creates a row without values.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            values: Vec::new(),
            ceiling_name: "",
            ceilings: Vec::new(),
            goal: None,
            notes: Vec::new(),
            runs: Vec::new(),
            ceiling_runs: Vec::new(),
        }
    }

    /// Sets what the values are compared with.
    #[must_use]
    pub(crate) fn against(self, ceiling_name: &'static str) -> Self {
        Self { ceiling_name, ..self }
    }

    /// Sets the goal for the ratio, or for the value if there is no ceiling.
    #[must_use]
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Adds the value of a run.
    pub(crate) fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds the value of a run and its ceiling, measured in the same run.
    pub(crate) fn add_compared(&mut self, value: f64, ceiling: f64) {
        self.values.push(value);
        self.ceilings.push(ceiling);
    }

    /// Adds the full measurement of a run.
    pub(crate) fn detail(&mut self, measured: Measurement) {
        self.runs.push(measured);
    }

    /// Adds the full measurement of a run's ceiling.
    pub(crate) fn ceiling_run(&mut self, measured: Measurement) {
        self.ceiling_runs.push(measured);
    }

    /// Adds a note below the row.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The numbers that are judged: the ratios, or the values if there is no ceiling.
    fn judged(&self) -> Vec<f64> {
        if self.ceilings.is_empty() {
            return self.values.clone();
        }
        self.values.iter().zip(&self.ceilings).map(|(value, ceiling)| value / ceiling).collect()
    }

    fn meets_goal(&self) -> Option<bool> {
        Some(self.goal?.is_met(median(&self.judged())?))
    }

    fn cells(&self) -> [String; 7] {
        let median_text = |values: &[f64]| median(values).map(format_number).unwrap_or_default();
        let ratio = if self.ceilings.is_empty() { String::new() } else { median_text(&self.judged()) };
        let ceiling = if self.ceilings.is_empty() {
            String::new()
        } else {
            format!("{} {}", median_text(&self.ceilings), self.ceiling_name)
        };
        let (least, greatest) = spread(&self.judged()).unwrap_or_default();
        let met = match self.meets_goal() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [
            self.name.clone(),
            format!("{} {}", median_text(&self.values), self.unit),
            ceiling,
            ratio,
            self.goal.map(Goal::text).unwrap_or_default(),
            met.to_owned(),
            format!("{}..{}", format_number(least), format_number(greatest)),
        ]
    }

    /// The notes, and a summary of the runs.
    fn all_notes(&self) -> Vec<String> {
        let mut all = self.notes.clone();
        let mut failed = BTreeMap::<&str, u64>::new();
        for (label, some) in self.runs.iter().flat_map(|run| &run.failed) {
            *failed.entry(label).or_default() += some.count();
        }
        all.extend(median_run(&self.runs).map(Measurement::line));
        all.extend(median_run(&self.ceiling_runs).map(|run| format!("{}: {}", self.ceiling_name, run.line())));
        all.extend(failed.into_iter().map(|(label, count)| format!("{count} x {label}")));
        let breaks: u64 = self.runs.iter().map(|run| run.breaks).sum();
        let unsent: u64 = self.runs.iter().map(|run| run.unsent).sum();
        all.extend((breaks > 0).then(|| format!("{breaks} broken chains")));
        all.extend((unsent > 0).then(|| format!("{unsent} requests not sent, for lack of a free caller")));
        all
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "values": self.values, "median": median(&self.values),
            "ceiling": self.ceiling_name, "ceilings": self.ceilings, "ratios": self.judged(),
            "median_ratio": median(&self.judged()), "goal": self.goal, "met": self.meets_goal(), "notes": self.notes,
            "runs": self.runs.iter().map(Measurement::detail).collect::<Vec<_>>(),
            "ceiling_runs": self.ceiling_runs.iter().map(Measurement::detail).collect::<Vec<_>>(),
        })
    }
}

/// The run with the median rate.
fn median_run(runs: &[Measurement]) -> Option<&Measurement> {
    let mut sorted: Vec<&Measurement> = runs.iter().collect();
    sorted.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    sorted.get(sorted.len() / 2).copied()
}

/// Formats a number with a sensible number of digits.
pub(crate) fn format_number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    facts: serde_json::Map<String, Value>,
}

impl Report {
    /// Records a fact about the whole benchmark, for the JSON.
    pub(crate) fn fact(&mut self, name: &str, value: impl Serialize) -> anyhow::Result<()> {
        self.facts.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// Adds a row, and prints it as progress.
    pub(crate) fn add(&mut self, row: Row) {
        let cells = row.cells();
        progress(&format!("  {}", cells.iter().filter(|c| !c.is_empty()).cloned().collect::<Vec<_>>().join(" | ")));
        self.rows.push(row);
    }

    /// The formatted table.
    pub(crate) fn table(&self) -> String {
        const HEAD: [&str; 7] = ["what", "value", "ceiling", "ratio", "goal", "met", "min..max"];
        let lines: Vec<[String; 7]> =
            std::iter::once(HEAD.map(str::to_owned)).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; 7];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for (n, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
            for note in n.checked_sub(1).and_then(|n| self.rows.get(n)).map(Row::all_notes).unwrap_or_default() {
                out.push_str("    ");
                out.push_str(&note);
                out.push('\n');
            }
        }
        out
    }

    /// Writes everything to a JSON file.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let mut all = self.facts.clone();
        all.insert("rows".to_owned(), self.rows.iter().map(Row::json).collect());
        std::fs::write(path, format!("{:#}\n", Value::Object(all)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_median_ratio_and_whether_the_goal_is_met() {
        let mut row = Row::new("refresh", "/s").against("echo").goal(Goal::AtLeast(0.4));
        row.add_compared(400.0, 1000.0);
        row.add_compared(900.0, 2000.0);
        row.add_compared(300.0, 1000.0);
        assert_eq!(row.meets_goal(), Some(true));
        let cells = row.cells();
        assert_eq!(cells[1..], ["400 /s", "1000 echo", "0.400", ">= 0.400", "yes", "0.300..0.450"]);
    }

    #[test]
    fn a_row_without_a_ceiling_is_judged_by_its_value() {
        let mut row = Row::new("start", "ms").goal(Goal::AtMost(100.0));
        row.add(120.0);
        assert_eq!((row.meets_goal(), row.cells()[3].as_str()), (Some(false), ""));
    }
}
