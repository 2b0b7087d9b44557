//! `chancery session …`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Place, output};
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
        place: Place,
    },
    /// End a session.
    Revoke {
        /// Session id.
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Session {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { user, json, place } => {
                let sessions = place.service().await?.users.sessions(&Admin::command(), &user).await?;
                if json {
                    return sessions.iter().try_for_each(|s| output::json(&describe(s)));
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
            Self::Revoke { id, place } => {
                let ended = place.service().await?.users.end_session(&Admin::command(), &id).await?;
                output::line(&format!("{id} {}", if ended { "has ended" } else { "had already ended" }))
            }
        }
    }
}

/// A `chancery.v1.Session`.
fn describe(session: &DomainSession) -> Value {
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
