//! `chancery token …`.

use std::io::Read;

use anyhow::Context;
use chancery_verify::Policy;
use clap::Subcommand;
use serde_json::json;

use super::{DatabaseArgs, output};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Check an access token from standard input against this database's keys.
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
        let policy = Policy::new(service.issuer(), audience);
        let ring = service.live.snapshot().ring.clone();
        let now = service.now();
        let claims = chancery_verify::check(token.trim(), &ring.verifying, &policy, now.millis())?;
        let revoked =
            claims.session_id.as_ref().is_some_and(|s| service.live.snapshot().revoked_sessions.contains_key(s));
        output::json(&json!({
            "subject": claims.subject, "client_id": claims.client_id, "session_id": claims.session_id,
            "scopes": claims.scopes, "entitlements": claims.entitlements, "kid": claims.key_id, "revoked": revoked,
        }))
    }
}
