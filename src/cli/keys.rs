//! `chancery keys …`.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::{DatabaseArgs, output};
use crate::{
    domain::keys::{Algorithm, ForeignKey, StoredKey},
    service::{Admin, ForeignKeyText, Keyring, LeftOut, MAX_FOREIGN_TEXT},
    time::Timestamp,
};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List signing keys.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Rotate signing keys as early as verifiers' caches allow.
    Rotate {
        /// Rotate only the key of this algorithm.
        #[arg(long, value_name = "ALG")]
        alg: Option<Algorithm>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Publish another issuer's public keys for a while, so that its tokens stay valid until they expire.
    ///
    /// Resource servers find the keys in the JWKS. This server neither signs with them nor accepts tokens that
    /// they signed, and neither does the crate chancery-verify. Keys that are not for signatures or not known are
    /// left out and named; a private key is refused.
    Trust {
        /// File with a JWKS, a JWK or a PEM public key; - for standard input.
        file: PathBuf,
        /// When to stop, at most a year ahead, such as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        until: Timestamp,
        /// `kid` in its tokens' headers, if the file does not name it [default: the RFC 7638 thumbprint]
        #[arg(long, allow_hyphen_values = true)]
        kid: Option<String>,
        /// Algorithm, if the file does not name it [default: by the kind of key]
        #[arg(long)]
        alg: Option<String>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Revoke a key that may have leaked, at once. All its tokens become invalid.
    Revoke {
        /// `kid` or id of the key.
        // A base64url `kid` may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Keys {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { json, database } => {
                let ring = database.open_service().await?.live.snapshot().ring.clone();
                if json { list_json(&ring) } else { list_table(&ring) }
            }
            Self::Trust { file, until, kid, alg, database } => trust(&file, until, (kid, alg), &database).await,
            Self::Revoke { key, database } => {
                let revoked = database.open_service().await?.signing_keys.revoke(&Admin::command(), &key).await?;
                output::line(&format!(
                    "{}: {} is revoked; verifiers that only cache the JWKS refuse it from {} on",
                    revoked.algorithm, revoked.kid, revoked.safe_from
                ))
            }
            Self::Rotate { alg, database } => {
                for plan in database.open_service().await?.signing_keys.rotate_early(&Admin::command(), alg).await? {
                    output::line(&format!("{}: {} starts signing at {}", plan.algorithm, plan.kid, plan.at))?;
                }
                Ok(())
            }
        }
    }
}

/// Prints this server's keys as `chancery.v1.SigningKey` and other issuers' keys as `chancery.v1.JsonWebKey`.
fn list_json(ring: &Keyring) -> anyhow::Result<()> {
    let text = |t: Option<Timestamp>| t.map(|t| t.to_string());
    for k in &ring.stored {
        output::json(&json!({
            "key_id": k.id,
            "kid": k.kid,
            "algorithm": output::constant("SIGNATURE_ALGORITHM", k.algorithm.as_str()),
            "state": output::constant("SIGNING_KEY_STATE", k.state.as_str()),
            "create_time": k.created_at.to_string(),
            "activate_time": text(k.activated_at),
            "retire_time": text(k.retired_at),
            "rotate_time": text(k.rotate_at),
        }))?;
    }
    for k in &ring.foreign {
        let mut key = k.public_jwk.clone();
        if let Some(members) = key.as_object_mut() {
            members.insert("foreign".to_owned(), json!(true));
            members.insert("expire_time".to_owned(), json!(k.expires_at.to_string()));
        }
        output::json(&key)?;
    }
    Ok(())
}

fn list_table(ring: &Keyring) -> anyhow::Result<()> {
    let own = |k: &StoredKey| {
        let then = k.rotate_at.map(|t| format!("rotates {t}")).unwrap_or_default();
        vec![k.algorithm.to_string(), k.state.as_str().to_owned(), k.kid.clone(), k.created_at.to_string(), then]
    };
    let foreign = |k: &ForeignKey| {
        let then = format!("ends {}", k.expires_at);
        vec![k.algorithm().to_owned(), "foreign".to_owned(), k.kid.clone(), k.created_at.to_string(), then]
    };
    let rows: Vec<_> = ring.stored.iter().map(own).chain(ring.foreign.iter().map(foreign)).collect();
    output::table(&["ALG", "STATE", "KID", "CREATED", "THEN"], &rows)
}

async fn trust(
    file: &Path,
    until: Timestamp,
    (kid, alg): (Option<String>, Option<String>),
    database: &DatabaseArgs,
) -> anyhow::Result<()> {
    let text = read_keys(file)?;
    let text = ForeignKeyText { text: &text, kid: kid.as_deref(), alg: alg.as_deref() };
    let trusted = database.open_service().await?.signing_keys.trust(&Admin::command(), text, until).await?;
    for LeftOut { name, reason } in &trusted.left_out {
        output::note(&format!("{name} is left out: {reason}"));
    }
    for key in &trusted.published {
        output::line(&format!("{}: {} is published until {}", key.algorithm(), key.kid, key.expires_at))?;
    }
    Ok(())
}

/// Reads a file, or standard input for `-`. Neither may be without end.
fn read_keys(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        return read_text(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::File::open(file)
        .map_err(Into::into)
        .and_then(read_text)
        .with_context(|| format!("cannot read {}", file.display()))
}

fn read_text(from: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_FOREIGN_TEXT as u64 + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() <= MAX_FOREIGN_TEXT, "it is larger than {} KiB", MAX_FOREIGN_TEXT / 1024);
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("it is no text; a JWKS, a JWK or a PEM file is"))
}
