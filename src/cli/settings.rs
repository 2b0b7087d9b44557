//! `chancery settings …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::service::{Admin, Setting, SettingUnit};

#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// List the settings with their values and ranges.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show a setting.
    Show {
        /// Name of the setting.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change a setting; every server applies the change within a second.
    Set {
        /// Name of the setting.
        name: String,
        /// New value: a number; for a length of time, seconds, or such as 5m, 12h or 30d.
        value: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Settings {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = Admin::command();
        match self {
            Self::List { json, database } => {
                let all = database.open_service().await?.instance.list(&admin);
                if json {
                    return all.iter().try_for_each(|s| output::json(&setting_json(s)));
                }
                let rows: Vec<_> = all.iter().map(row).collect();
                output::table(&["NAME", "VALUE", "DEFAULT", "RANGE", "MEANING"], &rows)
            }
            Self::Show { name, json, database } => {
                let setting = database.open_service().await?.instance.get(&admin, &name)?;
                if json {
                    return output::json(&setting_json(&setting));
                }
                let [name, value, default, range, about] = texts(&setting);
                output::line(&format!("{name} is {value} (default {default}, range {range}): {about}"))
            }
            Self::Set { name, value, json, database } => {
                let setting = database.open_service().await?.instance.set(&admin, &name, &value).await?;
                if json {
                    return output::json(&setting_json(&setting));
                }
                output::line(&format!("{name} is now {}", typed(&setting, &value)))
            }
        }
    }
}

/// The value; a length of time in the unit that was typed.
fn typed(setting: &Setting, value: &str) -> String {
    match (setting.unit, value.chars().next_back()) {
        (SettingUnit::Time, Some(unit)) if !unit.is_ascii_digit() => {
            let zeros = value.len() - value.trim_start_matches('0').len();
            // One zero stays where there is nothing else.
            let digits = value.get(zeros..).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            digits.map_or_else(|| format!("0{unit}"), str::to_owned)
        }
        (SettingUnit::Time, _) => format!("{}s", setting.value),
        (SettingUnit::Number, _) => setting.value.to_string(),
    }
}

/// Name, value, default, range and meaning.
fn texts(setting: &Setting) -> [String; 5] {
    let text = |n| setting.unit.text(n);
    let range = format!("{} to {}", text(setting.least), text(setting.most));
    [setting.name.to_owned(), text(setting.value), text(setting.default), range, setting.about.to_owned()]
}

fn row(setting: &Setting) -> Vec<String> {
    texts(setting).into()
}

/// A setting in JSON: numbers, and lengths of time as in `"300s"`.
fn setting_json(setting: &Setting) -> Value {
    let value = |n: i64| match setting.unit {
        SettingUnit::Time => json!(format!("{n}s")),
        SettingUnit::Number => json!(n),
    };
    json!({
        "name": setting.name,
        "value": value(setting.value),
        "default": value(setting.default),
        "minimum": value(setting.least),
        "maximum": value(setting.most),
        "meaning": setting.about,
    })
}
