//! `chancery session …`.

use clap::Subcommand;
use serde_json::json;

use super::{Place, output};
use crate::service::Admin;

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
                let sessions = place.service().await?.sessions_list(&user).await?;
                if json {
                    return sessions.iter().try_for_each(|s| {
                        output::json(&json!({
                            "id": s.id.as_str(), "client_id": s.client.as_str(), "device_label": s.device_label,
                            "address": s.address, "created_at": s.created_at.to_string(),
                            "rotated_at": s.rotated_at.to_string(), "expires_at": s.expires_at().to_string(),
                        }))
                    });
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
                let ended = place.service().await?.session_revoke(&Admin::command(), &id).await?;
                output::line(&format!("{id} {}", if ended { "has ended" } else { "had already ended" }))
            }
        }
    }
}
