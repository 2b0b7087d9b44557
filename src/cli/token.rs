//! `chancery token …`.

use std::io::Read;

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::{DatabaseArgs, output};
use crate::{service::Admin, time::Timestamp};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Check an access token from standard input against this database: its key, client, session and user.
    ///
    /// The exit code is 0 if it is good, 1 if it is not or cannot be checked, with a sentence that says why, and 2 for
    /// wrong usage.
    Verify {
        /// Audience that the token must be for.
        #[arg(long, value_name = "A")]
        audience: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Token {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Verify { audience, database } = self;
        let service = database.open_service().await?;
        let mut token = String::new();
        std::io::stdin().take(64 * 1024).read_to_string(&mut token).context("cannot read the token")?;
        let examined = service.tokens.examine(&Admin::command(), token.trim(), &audience).await?;
        let claims = examined.map_err(|fault| anyhow::anyhow!("the token is not good: {fault}"))?;
        output::json(&json!({
            "subject": claims.subject, "client_id": claims.client_id, "session_id": claims.session_id,
            "scopes": claims.scopes, "entitlements": claims.entitlements, "kid": claims.key_id,
            "expire_time": Timestamp::from_millis(claims.expires_at_ms).to_string(),
        }))
    }
}
