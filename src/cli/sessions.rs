//! `chancery session …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::{domain::session::Session as DomainSession, service::Admin};

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
            Self::List { user, json, database } => {
                let sessions = database.open_service().await?.users.sessions(&Admin::command(), &user).await?;
                if json {
                    return sessions.iter().try_for_each(|s| output::json(&session_json(s)));
                }
                let rows: Vec<_> = sessions
                    .iter()
                    .map(|s| {
                        let (used, ends) = (s.rotated_at.to_string(), s.expires_at().to_string());
                        vec![s.id.to_string(), s.client.to_string(), s.device_label.clone(), used, ends]
                    })
                    .collect();
                output::table(&["ID", "CLIENT", "DEVICE", "LAST USED", "ENDS"], &rows)
            }
            Self::Revoke { id, database } => {
                let ended = database.open_service().await?.users.end_session(&Admin::command(), &id).await?;
                output::line(&format!("{id} {}", if ended { "has ended" } else { "had already ended" }))
            }
        }
    }
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
