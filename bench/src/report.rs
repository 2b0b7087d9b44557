//! The table for people, and the JSON.

use std::{collections::BTreeMap, io::Write, path::Path};

use serde::Serialize;
use serde_json::{Value, json};

use crate::stats::{Measured, median, spread};

/// Says something while the work goes on.
pub(crate) fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes a line of the result.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// What a number is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", number(bound)),
            Self::AtMost(bound) => format!("<= {}", number(bound)),
        }
    }
}

/// One line of the table: a value of each run, and what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    ceiling_name: &'static str,
    ceilings: Vec<f64>,
    goal: Option<Goal>,
    notes: Vec<String>,
    runs: Vec<Measured>,
    /// What the ceilings were measured by, where that is a load of its own.
    bare: Vec<Measured>,
}

impl Row {
    /// A line without values yet.
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
            bare: Vec::new(),
        }
    }

    /// What the values are compared with.
    #[must_use]
    pub(crate) fn against(self, ceiling_name: &'static str) -> Self {
        Self { ceiling_name, ..self }
    }

    /// What the ratio, or the value where there is none, is to reach.
    #[must_use]
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Adds a run's value.
    pub(crate) fn value(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds a run's value and what it is compared with, measured in the same run.
    pub(crate) fn compared(&mut self, value: f64, ceiling: f64) {
        self.values.push(value);
        self.ceilings.push(ceiling);
    }

    /// Adds all that is known of a run.
    pub(crate) fn detail(&mut self, measured: Measured) {
        self.runs.push(measured);
    }

    /// Adds all that is known of what a run is compared with.
    pub(crate) fn bare(&mut self, measured: Measured) {
        self.bare.push(measured);
    }

    /// Adds a remark below the line.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What counts: the ratios, or the values where there is nothing to compare with.
    fn counted(&self) -> Vec<f64> {
        if self.ceilings.is_empty() {
            return self.values.clone();
        }
        self.values.iter().zip(&self.ceilings).map(|(value, ceiling)| value / ceiling).collect()
    }

    fn verdict(&self) -> Option<bool> {
        Some(self.goal?.met(median(&self.counted())?))
    }

    fn cells(&self) -> [String; 7] {
        let middle = |values: &[f64]| median(values).map(number).unwrap_or_default();
        let ratio = if self.ceilings.is_empty() { String::new() } else { middle(&self.counted()) };
        let ceiling = if self.ceilings.is_empty() {
            String::new()
        } else {
            format!("{} {}", middle(&self.ceilings), self.ceiling_name)
        };
        let (least, greatest) = spread(&self.counted()).unwrap_or_default();
        let verdict = match self.verdict() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [
            self.name.clone(),
            format!("{} {}", middle(&self.values), self.unit),
            ceiling,
            ratio,
            self.goal.map(Goal::text).unwrap_or_default(),
            verdict.to_owned(),
            format!("{}..{}", number(least), number(greatest)),
        ]
    }

    /// The remarks, and what stands out in the runs.
    fn remarks(&self) -> Vec<String> {
        let mut all = self.notes.clone();
        let mut refused = BTreeMap::<&str, u64>::new();
        for (label, some) in self.runs.iter().flat_map(|run| &run.refused) {
            *refused.entry(label).or_default() += some.count();
        }
        all.extend(middle_run(&self.runs).map(Measured::line));
        all.extend(middle_run(&self.bare).map(|run| format!("{}: {}", self.ceiling_name, run.line())));
        all.extend(refused.into_iter().map(|(label, count)| format!("{count} x {label}")));
        let breaks: u64 = self.runs.iter().map(|run| run.breaks).sum();
        let unsent: u64 = self.runs.iter().map(|run| run.unsent).sum();
        all.extend((breaks > 0).then(|| format!("{breaks} chains broken")));
        all.extend((unsent > 0).then(|| format!("{unsent} requests that nobody was free to send")));
        all
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "values": self.values, "median": median(&self.values),
            "ceiling": self.ceiling_name, "ceilings": self.ceilings, "ratios": self.counted(),
            "median_ratio": median(&self.counted()), "goal": self.goal, "met": self.verdict(), "notes": self.notes,
            "runs": self.runs.iter().map(Measured::detail).collect::<Vec<_>>(),
            "ceiling_runs": self.bare.iter().map(Measured::detail).collect::<Vec<_>>(),
        })
    }
}

/// The run whose rate is in the middle.
fn middle_run(runs: &[Measured]) -> Option<&Measured> {
    let mut sorted: Vec<&Measured> = runs.iter().collect();
    sorted.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    sorted.get(sorted.len() / 2).copied()
}

/// A number with as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// All lines so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    facts: serde_json::Map<String, Value>,
}

impl Report {
    /// Notes something that holds for the whole run.
    pub(crate) fn fact(&mut self, name: &str, value: impl Serialize) -> anyhow::Result<()> {
        self.facts.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// Adds a line, and says it at once.
    pub(crate) fn add(&mut self, row: Row) {
        let cells = row.cells();
        say(&format!("  {}", cells.iter().filter(|c| !c.is_empty()).cloned().collect::<Vec<_>>().join(" | ")));
        self.rows.push(row);
    }

    /// The table.
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
            for note in n.checked_sub(1).and_then(|n| self.rows.get(n)).map(Row::remarks).unwrap_or_default() {
                out.push_str("    ");
                out.push_str(&note);
                out.push('\n');
            }
        }
        out
    }

    /// Everything, as JSON, to a file.
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
    fn a_line_says_the_median_ratio_of_the_runs_and_whether_the_goal_is_met() {
        let mut row = Row::new("refresh", "/s").against("echo").goal(Goal::AtLeast(0.4));
        row.compared(400.0, 1000.0);
        row.compared(900.0, 2000.0);
        row.compared(300.0, 1000.0);
        assert_eq!(row.verdict(), Some(true));
        let cells = row.cells();
        assert_eq!(cells[1..], ["400 /s", "1000 echo", "0.400", ">= 0.400", "yes", "0.300..0.450"]);
    }

    #[test]
    fn a_line_without_a_ceiling_is_judged_by_its_value() {
        let mut row = Row::new("start", "ms").goal(Goal::AtMost(100.0));
        row.value(120.0);
        assert_eq!((row.verdict(), row.cells()[3].as_str()), (Some(false), ""));
    }
}
