//! What this server knows about a user, as a document for that user.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use super::Accounts;
use crate::{
    domain::{
        audit::{AuditEvent, AuditFilter},
        mail::Language,
        session::Session,
    },
    error::Result,
    service::{access::Me, people::users::load_view},
    store::{OwnedData, SessionFilter},
    time::Timestamp,
};

/// Maximum number of sessions in the document. There are more only until the ended ones are deleted.
const MAX_SESSIONS: usize = 500;
/// Maximum number of events in the document, the newest ones.
const MAX_EVENTS: i64 = 1000;
/// Maximum number of values in the document that applications keep, and of their bytes together.
const MAX_DATA: (i64, i64) = (500, 2 * 1024 * 1024);

/// What this server knows about a user, as a document.
#[derive(Debug)]
pub struct OwnData {
    known: Value,
    data: Vec<OwnedData>,
}

impl Serialize for OwnData {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        for (name, value) in self.known.as_object().into_iter().flatten() {
            document.serialize_entry(name, value)?;
        }
        document.serialize_entry("data", &KeptValues(&self.data))?;
        document.end()
    }
}

/// Values that are parsed one at a time: all of them together would take many times as much.
struct KeptValues<'a>(&'a [OwnedData]);

impl Serialize for KeptValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(kept_data))
    }
}

impl Accounts {
    /// What this server knows about the user: the account, its roles, its sessions, what applications keep and what
    /// the audit log has about it. Secrets are not in it.
    ///
    /// # Errors
    /// If the user no longer exists, or the database is unreachable.
    pub async fn own_data(&self, me: &Me) -> Result<OwnData> {
        let mut tx = self.store.read().await?;
        me.check_current(&mut tx).await?;
        let user = tx.user_by_id(&me.user).await?.ok_or(crate::service::access::TOKEN_REFUSED)?;
        let view = load_view(&mut tx, user).await?;
        let sessions = tx.sessions_of_user(&me.user, SessionFilter::All).await?;
        let filter = AuditFilter { subject: Some(me.subject.clone()), ..AuditFilter::default() };
        let mut events = tx.audit_page(&filter, None, MAX_EVENTS + 1).await?;
        let (data, all_data) = tx.session_data_of_user(&me.user, MAX_DATA).await?;
        drop(tx);
        let kept = usize::try_from(MAX_EVENTS).unwrap_or(usize::MAX);
        let complete = events.len() <= kept && sessions.len() <= MAX_SESSIONS && all_data;
        events.truncate(kept);
        let snapshot = self.live.snapshot();
        let roles = view.roles.iter().filter_map(|id| snapshot.roles.get(id)).map(|role| role.name.clone());
        let user = &view.user;
        let known = json!({
            "issuer": self.live.issuer(),
            "made_at": time(self.live.now()),
            "complete": complete,
            "account": {
                "id": user.id,
                "subject": user.subject,
                "logins": view.logins,
                "attributes": user.attributes,
                "language": user.language.as_ref().map(Language::as_str),
                "roles": roles.collect::<Vec<_>>(),
                "created_at": time(user.created_at),
            },
            "sessions": sessions.iter().take(MAX_SESSIONS).map(session).collect::<Vec<_>>(),
            "events": events.iter().map(|event| own_event(event, &me.subject)).collect::<Vec<_>>(),
        });
        Ok(OwnData { known, data })
    }
}

/// What an application keeps with a session, or with the user: the owner is then the user and the client.
fn kept_data(data: &OwnedData) -> Value {
    json!({
        "owner": data.owner,
        "namespace": data.namespace,
        "version": data.stored.version,
        "updated_at": time(data.stored.updated_at),
        "value": data.stored.value.to_value(),
    })
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

fn session(session: &Session) -> Value {
    json!({
        "id": session.id,
        "client_id": session.client,
        "device": session.device_label,
        "user_agent": session.user_agent,
        "address": session.address,
        "signed_in_at": time(session.auth_time),
        "last_used_at": time(session.rotated_at),
        "expires_at": time(session.expires_at()),
        "revoked_at": session.revoked.map(|(at, _)| time(at)),
        "revoked_cause": session.revoked.map(|(_, cause)| cause.as_str()),
    })
}

/// An event. Who acted and from where is told only if that was the user: administrators have data of their own.
fn own_event(event: &AuditEvent, subject: &str) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("at", json!(time(event.at)));
    put("kind", json!(event.kind.as_str()));
    put("session_id", json!(event.session));
    let own = event.actor.name == subject;
    put("by", json!(if own { "you" } else { "somebody else" }));
    if own {
        put("client_id", json!(event.actor.client));
        put("address", json!(event.actor.address));
        put("details", event.details.clone());
    }
    Value::Object(out)
}
