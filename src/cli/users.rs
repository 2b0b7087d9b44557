//! `chancery user …`.

mod factors;
mod import;
pub(super) mod rows;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{DatabaseArgs, arguments, output, password, sessions};
use crate::domain::{
    mail::Language,
    user::{UserFilter, parse_attributes},
};
use crate::service::{Admin, NewUserRequest, Service, SessionsEnded, UserPasswordReset, UserPatch, UserView};

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Create a user; prompts for the password.
    Create {
        /// User name.
        name: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// `sub` of the user's tokens [default: the generated id]
        #[arg(long, value_name = "S")]
        subject: Option<String>,
        /// Email address that is known to be the user's; repeat it for more.
        #[arg(long = "email", value_name = "E")]
        emails: Vec<String>,
        /// Role, such as `administrator`.
        #[arg(long = "role", value_name = "R")]
        roles: Vec<String>,
        /// Attributes that claims may draw on, as a JSON object.
        #[arg(long, value_name = "JSON")]
        attributes: Option<String>,
        /// Language in which the server writes to the user, such as `de`.
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Import users from another system, with their password hashes.
    ///
    /// The file has one row per user: one JSON object per line, or CSV with a header line. Fields:
    /// `subject` (required), `name`, `email` or `emails`, `attributes`, `password_hash`, `disabled`,
    /// `created_at`, `language`. A row that cannot be imported is reported, and the others are kept. Run it again after a
    /// failure, or with corrected rows: users who exist already are left alone.
    Import(import::Import),
    /// List users.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show a user, by id, name or address, as JSON.
    Show {
        /// User, by id, name or address.
        user: String,
        /// Print it on one line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Disable a user and end their sessions.
    Disable(Named),
    /// Enable a user again.
    Enable(Named),
    /// Delete a user: end their sessions and erase everything but the subject, which nobody else ever gets.
    Delete(Named),
    /// List a user's sessions.
    Sessions {
        /// User, by id, name or address.
        user: String,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// End all sessions of a user.
    RevokeSessions(Named),
    /// List a user's second factors.
    Factors(factors::List),
    /// Remove a second factor that a user has lost: the sessions end, and the user's addresses are notified.
    RemoveFactor(factors::Remove),
    /// Mail a user a link and a code to choose a new password; a user without one is invited to choose it.
    ///
    /// The current password is removed and the sessions end, unless --keep-current is given. A running server sends the
    /// mail. The user needs an address, and the client a link template and the grant `direct_login`.
    ResetPassword {
        /// User, by id, name or address.
        user: String,
        /// Client through which the user will choose it; its link template is used.
        #[arg(long, value_name = "ID")]
        client: String,
        /// Keep the current password valid until then, and the sessions too.
        #[arg(long)]
        keep_current: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change a user. What is not given stays as it is.
    Update {
        /// User, by id, name or address.
        user: String,
        /// Replace the user name; an empty one removes it.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Replace the email addresses; repeat it for more.
        #[arg(long = "email", value_name = "E", conflicts_with = "no_email")]
        emails: Vec<String>,
        /// Remove all email addresses.
        #[arg(long)]
        no_email: bool,
        /// Replace the attributes by this JSON object. Integers of up to 64 bits are kept exactly.
        #[arg(long, value_name = "JSON")]
        attributes: Option<String>,
        /// Replace the language in which the server writes to the user; an empty one removes it.
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set a user's password and end their sessions; prompts for the password.
    SetPassword {
        /// User, by id, name or address.
        user: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Make the password temporary: the user must choose another one at the next sign-in.
        #[arg(long)]
        temporary: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// User, by id, name or address.
    user: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Number of users read per query.
const PAGE_SIZE: i64 = 500;

impl User {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create { name, password_stdin, subject, emails, roles, attributes, language, json, database } => {
                let attributes = attributes.as_deref().map(attributes_of).transpose()?.unwrap_or_default();
                let service = database.open_service().await?;
                let password = password::read(password_stdin)?;
                let (password, language) = (Some(password), language.unwrap_or_default());
                let request =
                    NewUserRequest { name, emails, subject, password, attributes, language, roles, creation: None };
                let user = service.users.create(&Admin::command(), request).await?;
                let text = format!("created {} with the subject {}", user.id, user.subject);
                if json {
                    let found = service.users.get(&Admin::command(), user.id.as_str()).await?;
                    output::json(&json!({ "user": user_json(&service, &found) }))
                } else {
                    output::line(&text)
                }
            }
            Self::Import(import) => import.run().await,
            Self::List { json, database } => list(&database, json).await,
            Self::Show { user, json, database } => {
                let service = database.open_service().await?;
                let found = service.users.get(&Admin::command(), &user).await?;
                output::document(&user_json(&service, &found), json)
            }
            Self::Delete(Named { user, database }) => {
                let service = database.open_service().await?;
                let ended = service.users.delete(&Admin::command(), &user, None).await?;
                output::line(&format!("deleted {user}{}", and_ended(&service, &ended)))
            }
            Self::Sessions { user, json, database } => sessions::list(&user, json, &database).await,
            Self::RevokeSessions(Named { user, database }) => {
                let service = database.open_service().await?;
                let ended = service.users.end_sessions(&Admin::command(), &user, &[]).await?;
                let until = sessions::last_token(&ended, service.now());
                output::line(&format!("{} sessions of {user} ended{until}", ended.sessions))
            }
            Self::Factors(list) => list.run().await,
            Self::RemoveFactor(remove) => remove.run().await,
            Self::ResetPassword { user, client, keep_current, database } => {
                let reset = UserPasswordReset { user: &user, client_id: &client, keep_current };
                reset_password(reset, &database).await
            }
            Self::Disable(Named { user, database }) => {
                let service = database.open_service().await?;
                let done = match service.users.disable(&Admin::command(), &user).await? {
                    Some(ended) => format!("disabled {user}{}", and_ended(&service, &ended)),
                    None => format!("{user} was already disabled"),
                };
                output::line(&done)
            }
            Self::Enable(Named { user, database }) => {
                let changed = database.open_service().await?.users.enable(&Admin::command(), &user).await?;
                output::line(&format!("{user} {}", if changed { "is enabled" } else { "was already enabled" }))
            }
            Self::Update { user, name, emails, no_email, attributes, language, json, database } => {
                let attributes = attributes.as_deref().map(attributes_of).transpose()?;
                let emails = (no_email || !emails.is_empty()).then_some(emails);
                if name.is_none() && emails.is_none() && attributes.is_none() && language.is_none() {
                    let text = "nothing to change: give --name, --email, --no-email, --attributes or --language";
                    return Err(arguments::usage(text.to_owned()).into());
                }
                let patch = UserPatch { name, emails, attributes, language };
                let service = database.open_service().await?;
                let view = service.users.update(&Admin::command(), &user, &patch, None).await?;
                if json { output::json(&user_json(&service, &view)) } else { output::line(&format!("changed {user}")) }
            }
            Self::SetPassword { user, password_stdin, temporary, database } => {
                let service = database.open_service().await?;
                let ended =
                    service.users.set_password(&Admin::command(), &user, password::read(password_stdin)?).await?;
                if temporary {
                    service.users.require_new_password(&Admin::command(), &user).await?;
                }
                output::line(&format!("the password of {user} is set{}", and_ended(&service, &ended)))
            }
        }
    }
}

async fn reset_password(reset: UserPasswordReset<'_>, database: &DatabaseArgs) -> anyhow::Result<()> {
    let (user, keeps) = (reset.user, reset.keep_current);
    let service = database.open_service().await?;
    let done = service.users.start_reset(&Admin::command(), reset).await?;
    if keeps {
        let text = "can choose a new password, and keeps the current one until then; a mail is on its way";
        return output::line(&format!("{user} {text}"));
    }
    let ended = and_ended(&service, &done.ended);
    output::line(&format!("{user} has to choose a new password; a mail is on its way{ended}"))
}

async fn list(database: &DatabaseArgs, json: bool) -> anyhow::Result<()> {
    let service = database.open_service().await?;
    let (mut after, mut rows) = (String::new(), Vec::new());
    loop {
        let page = service.users.list(&Admin::command(), &UserFilter::default(), &after, PAGE_SIZE).await?;
        let Some(last) = page.last() else { break };
        last.user.id.as_str().clone_into(&mut after);
        for found in &page {
            if json {
                output::json(&user_json(&service, found))?;
                continue;
            }
            let user = &found.user;
            let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
            rows.push(vec![user.id.to_string(), user.subject.clone(), found.logins.join(", "), state.to_owned()]);
        }
    }
    if json { Ok(()) } else { output::table(&["ID", "SUBJECT", "LOGINS", "STATE"], &rows) }
}

/// How many sessions a command ended, and until when their tokens may be accepted, for the end of a sentence.
fn and_ended(service: &Service, ended: &SessionsEnded) -> String {
    format!("; {} sessions ended{}", ended.sessions, sessions::last_token(ended, service.now()))
}

fn attributes_of(text: &str) -> anyhow::Result<Map<String, Value>> {
    let problem = || parse_attributes(text.as_bytes()).err().unwrap_or_default();
    serde_json::from_str(text).with_context(|| format!("--attributes {}", problem()))
}

/// A user as a `chancery.v1.User` in JSON.
fn user_json(service: &Service, found: &UserView) -> Value {
    let user = &found.user;
    let (emails, names): (Vec<&String>, Vec<&String>) = found.logins.iter().partition(|login| login.contains('@'));
    json!({
        "user_id": user.id,
        "subject": user.subject,
        "name": names.first(),
        "emails": emails,
        "attributes": user.attributes,
        "roles": service.roles.names(&found.roles),
        "disable_time": user.disabled_at.map(|t| t.to_string()),
        "create_time": user.created_at.to_string(),
        "language": user.language.as_ref().map(Language::as_str),
        "etag": format!("\"{}\"", user.security_version),
    })
}
