//! `chancery user …`.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Place, output, password};
use crate::{domain::user::User as DomainUser, service::NewUserRequest};

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Create a user; asks for the password.
    Create {
        /// The user name.
        name: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// The `sub` of the user's tokens [default: the generated id]
        #[arg(long, value_name = "S")]
        subject: Option<String>,
        /// An email address that is known to be the user's.
        #[arg(long, value_name = "E")]
        email: Option<String>,
        /// Facts that claim maps may select, as a JSON object.
        #[arg(long, value_name = "JSON")]
        attributes: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// List users.
    List {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show a user, by id, name or address.
    Show {
        /// Id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Disable a user and end its sessions.
    Disable {
        /// Id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Enable a user again.
    Enable {
        /// Id, name or address.
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Set a user's password and end its sessions; asks for the password.
    SetPassword {
        /// Id, name or address.
        user: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Users listed at a time.
const PAGE: i64 = 500;

impl User {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create { name, password_stdin, subject, email, attributes, json, place } => {
                let attributes = attributes.as_deref().map(object).transpose()?.unwrap_or_default();
                let service = place.service().await?;
                let password = password::read(password_stdin)?;
                let request = NewUserRequest { name, email, subject, password, attributes };
                let user = service.user_create(request).await?;
                let text = format!("created {} with the subject {}", user.id, user.subject);
                if json { output::json(&describe(&user, &[])) } else { output::line(&text) }
            }
            Self::List { json, place } => list(&place, json).await,
            Self::Show { user, place } => {
                let (user, logins) = place.service().await?.user_find(&user).await?;
                output::line(&serde_json::to_string_pretty(&describe(&user, &logins))?)
            }
            Self::Disable { user, place } => {
                let ended = place.service().await?.user_disable(&user).await?;
                output::line(&format!("disabled {user}; {ended} sessions ended"))
            }
            Self::Enable { user, place } => {
                let changed = place.service().await?.user_enable(&user).await?;
                output::line(&format!("{user} {}", if changed { "is enabled again" } else { "was not disabled" }))
            }
            Self::SetPassword { user, password_stdin, place } => {
                let service = place.service().await?;
                let ended = service.user_set_password(&user, password::read(password_stdin)?).await?;
                output::line(&format!("the password of {user} is set; {ended} sessions ended"))
            }
        }
    }
}

async fn list(place: &Place, json: bool) -> anyhow::Result<()> {
    let service = place.service().await?;
    let (mut after, mut rows) = (String::new(), Vec::new());
    loop {
        let page = service.users_list(&after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        last.id.as_str().clone_into(&mut after);
        for (user, logins) in &page {
            if json {
                output::json(&describe(user, logins))?;
            } else {
                let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
                rows.push(vec![user.id.to_string(), user.subject.clone(), logins.join(", "), state.to_owned()]);
            }
        }
    }
    if json { Ok(()) } else { output::table(&["ID", "SUBJECT", "LOGINS", "STATE"], &rows) }
}

fn object(text: &str) -> anyhow::Result<Map<String, Value>> {
    serde_json::from_str(text).context("--attributes must be a JSON object")
}

fn describe(user: &DomainUser, logins: &[String]) -> Value {
    json!({
        "id": user.id.as_str(),
        "subject": user.subject,
        "logins": logins,
        "attributes": user.attributes,
        "disabled_at": user.disabled_at.map(|t| t.to_string()),
        "created_at": user.created_at.to_string(),
    })
}
