//! `chancery user factors` and `chancery user remove-factor`.

use clap::Args;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::{
    domain::factor::Factor,
    service::{Admin, OwnFactors},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    /// User, by id, name or address.
    user: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Remove {
    /// User, by id, name or address.
    user: String,
    /// Id of the factor, as `user factors` shows it.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    factor: Option<String>,
    /// Remove all of them, and the recovery codes.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let service = self.database.open_service().await?;
        let OwnFactors { factors, recovery_codes_left } = service.users.factors(&Admin::command(), &self.user).await?;
        if self.json {
            let factors: Vec<Value> = factors.iter().map(factor_json).collect();
            return output::json(&json!({ "factors": factors, "recovery_codes_left": recovery_codes_left }));
        }
        let row = |factor: &Factor| {
            let used = factor.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            vec![factor.id.to_string(), factor.kind.as_str().to_owned(), factor.name.clone(), used]
        };
        output::table(&["ID", "KIND", "NAME", "LAST USED"], &factors.iter().map(row).collect::<Vec<_>>())?;
        output::line(&format!("{recovery_codes_left} recovery codes are left"))
    }
}

impl Remove {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let service = self.database.open_service().await?;
        let removed = service.users.remove_factor(&Admin::command(), &self.user, self.factor.as_deref()).await?;
        output::line(&format!("{removed} second factors of {} removed", self.user))
    }
}

/// A factor as a `chancery.v1.Factor` in JSON.
fn factor_json(factor: &Factor) -> Value {
    json!({
        "id": factor.id,
        "kind": format!("FACTOR_KIND_{}", factor.kind.as_str().to_uppercase()),
        "name": factor.name,
        "create_time": factor.created_at.to_string(),
        "last_use_time": factor.last_used_at.map(|at| at.to_string()),
    })
}
