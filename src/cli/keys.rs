//! `chancery keys …`.

use clap::Subcommand;
use serde_json::json;

use super::{Place, output};
use crate::{domain::keys::Algorithm, service::Admin};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List signing keys.
    List {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Rotate as early as verifiers' caches allow.
    Rotate {
        /// Only this algorithm.
        #[arg(long, value_name = "ALG")]
        alg: Option<Algorithm>,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key at once, because somebody else may have it. Its tokens are dead.
    Revoke {
        /// Its `kid` or id.
        // A base64url text may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Keys {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { json, place } => {
                let ring = place.service().await?.live().snapshot().ring.clone();
                let text = |t: Option<crate::time::Timestamp>| t.map(|t| t.to_string());
                if json {
                    return ring.stored.iter().try_for_each(|k| {
                        output::json(&json!({
                            "id": k.id.as_str(), "kid": k.kid, "alg": k.algorithm.as_str(), "state": k.state.as_str(),
                            "created_at": k.created_at.to_string(), "activated_at": text(k.activated_at),
                            "retired_at": text(k.retired_at), "rotate_at": text(k.rotate_at),
                        }))
                    });
                }
                let row = |k: &crate::domain::keys::StoredKey| {
                    let then = text(k.rotate_at).unwrap_or_default();
                    vec![
                        k.algorithm.to_string(),
                        k.state.as_str().to_owned(),
                        k.kid.clone(),
                        k.created_at.to_string(),
                        then,
                    ]
                };
                let rows: Vec<_> = ring.stored.iter().map(row).collect();
                output::table(&["ALG", "STATE", "KID", "CREATED", "ROTATES"], &rows)
            }
            Self::Revoke { key, place } => {
                let gone = place.service().await?.key_revoke(&Admin::command(), &key).await?;
                output::line(&format!(
                    "{}: {} is revoked; verifiers that only cache the JWKS are safe from {}",
                    gone.algorithm, gone.kid, gone.safe_from
                ))
            }
            Self::Rotate { alg, place } => {
                for plan in place.service().await?.rotate_keys_early(alg).await? {
                    output::line(&format!("{}: {} signs from {}", plan.algorithm, plan.kid, plan.at))?;
                }
                Ok(())
            }
        }
    }
}
