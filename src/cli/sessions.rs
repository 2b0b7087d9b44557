//! `chancery session …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::{
    domain::session::Session as DomainSession,
    service::{Admin, SessionsEnded},
    time::Timestamp,
};

/// The columns of the table.
const HEAD: [&str; 5] = ["ID", "CLIENT", "DEVICE", "LAST USED", "ENDS"];
/// How many guests are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List the sessions of a user, or of a client's guests.
    List {
        /// User, by id, name or address.
        #[arg(required_unless_present = "guests", conflicts_with = "guests")]
        user: Option<String>,
        /// Client whose guests' sessions are listed, the oldest first.
        #[arg(long, value_name = "CLIENT")]
        guests: Option<String>,
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
            Self::List { guests: Some(client), json, database, .. } => list_guests(&client, json, &database).await,
            Self::List { user, json, database, .. } => list(&user.unwrap_or_default(), json, &database).await,
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
    let rows: Vec<_> = sessions.iter().map(row).collect();
    output::table(&HEAD, &rows)
}

/// Lists the sessions of a client's guests.
async fn list_guests(client: &str, json: bool, database: &DatabaseArgs) -> anyhow::Result<()> {
    let service = database.open_service().await?;
    let (mut after, mut rows) = (None, Vec::new());
    loop {
        let page = service.users.guests(&Admin::command(), client, (after.as_ref(), PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        if json {
            page.iter().try_for_each(|s| output::json(&session_json(s)))?;
        } else {
            rows.extend(page.iter().map(row));
        }
    }
    if json { Ok(()) } else { output::table(&HEAD, &rows) }
}

fn row(session: &DomainSession) -> Vec<String> {
    let (last_used, ends) = (session.rotated_at.to_string(), session.expires_at().to_string());
    vec![session.id.to_string(), session.client.to_string(), session.device_label.clone(), last_used, ends]
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
