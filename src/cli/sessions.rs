//! `chancery session …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::{
    domain::session::Session as DomainSession,
    service::{Admin, SessionsEnded},
    time::Timestamp,
};

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List a user's sessions.
    List {
        /// User, by id, name or address.
        user: String,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// End a session.
    Revoke {
        /// Session id.
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Session {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { user, json, database } => list(&user, json, &database).await,
            Self::Revoke { id, database } => {
                let service = database.open_service().await?;
                let ended = service.users.end_session(&Admin::command(), &id).await?;
                let done = if ended.sessions > 0 { "has ended" } else { "had already ended" };
                output::line(&format!("{id} {done}{}", last_token(&ended, service.now())))
            }
        }
    }
}

/// Lists a user's sessions.
pub(super) async fn list(user: &str, json: bool, database: &DatabaseArgs) -> anyhow::Result<()> {
    let sessions = database.open_service().await?.users.sessions(&Admin::command(), user).await?;
    if json {
        return sessions.iter().try_for_each(|s| output::json(&session_json(s)));
    }
    let row = |s: &DomainSession| {
        let (last_used, ends) = (s.rotated_at.to_string(), s.expires_at().to_string());
        vec![s.id.to_string(), s.client.to_string(), s.device_label.clone(), last_used, ends]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    output::table(&["ID", "CLIENT", "DEVICE", "LAST USED", "ENDS"], &rows)
}

/// Until when verifiers that do not follow revocations may accept a token of these sessions, for the end of a sentence.
pub(super) fn last_token(ended: &SessionsEnded, now: Timestamp) -> String {
    let alive = ended.token_end.filter(|end| *end > now);
    let text = |end| format!("; services that do not follow revocations may accept their tokens until {end}");
    alive.map_or_else(String::new, text)
}

/// A session as a `chancery.v1.Session` in JSON.
fn session_json(session: &DomainSession) -> Value {
    json!({
        "session_id": session.id,
        "client_id": session.client.as_str(),
        "device_label": session.device_label,
        "user_agent": session.user_agent,
        "address": session.address,
        "create_time": session.created_at.to_string(),
        "last_use_time": session.rotated_at.to_string(),
        "expire_time": session.expires_at().to_string(),
    })
}
