//! The stream of `UserService.Import`.

use std::time::Duration;

use prost_types::Timestamp as WireTime;
use tonic::{Status, Streaming};

use super::{
    convert::instant,
    proto::pb,
    status::{status, too_late},
    user::attributes,
};
use crate::{
    error::{Error, Result as ServiceResult, Violation},
    secret::ForeignHash,
    service::{Admin, ImportOutcome, ImportRow, MOST_IMPORTED, RequestContext, Service},
    time::Timestamp,
};

/// How long the next message may take.
const NEXT: Duration = Duration::from_secs(30);
/// Most refusals that are told one by one.
const MOST_TOLD: usize = 1000;

/// Reads the stream to its end, and writes what has come by the thousand.
pub(super) async fn import(
    service: &Service,
    admin: &Admin,
    ctx: &RequestContext,
    mut stream: Streaming<pb::ImportUsersRequest>,
) -> Result<pb::ImportUsersResponse, Status> {
    let mut batch = Batch::default();
    while let Some(message) = tokio::time::timeout(NEXT, stream.message()).await.map_err(|_| too_late())?? {
        if message.users.len() > MOST_IMPORTED {
            let error = Error::invalid("users", format!("must be at most {MOST_IMPORTED} per message"));
            return Err(status(ctx, &error));
        }
        if batch.rows.len() + message.users.len() > MOST_IMPORTED {
            batch.write(service, admin).await.map_err(|e| status(ctx, &e))?;
        }
        for user in message.users {
            batch.add(user);
        }
    }
    batch.write(service, admin).await.map_err(|e| status(ctx, &e))?;
    Ok(batch.answer)
}

/// A row that waits, with its place in the stream.
struct Waiting {
    place: i64,
    subject: String,
}

#[derive(Default)]
struct Batch {
    rows: Vec<ImportRow>,
    waiting: Vec<Waiting>,
    seen: i64,
    answer: pb::ImportUsersResponse,
}

impl Batch {
    fn add(&mut self, user: pb::ImportedUser) {
        self.seen += 1;
        let waiting = Waiting { place: self.seen, subject: user.subject.clone() };
        match row(user) {
            Ok(row) => {
                self.rows.push(row);
                self.waiting.push(waiting);
            }
            Err(Error::Invalid(violations)) => self.refuse(&waiting, violations),
            Err(other) => {
                self.refuse(&waiting, vec![Violation { field: "users", description: other.to_string() }]);
            }
        }
    }

    async fn write(&mut self, service: &Service, admin: &Admin) -> ServiceResult<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let outcomes = service.users_import(admin, &self.rows).await?;
        self.rows.clear();
        for (waiting, outcome) in std::mem::take(&mut self.waiting).iter().zip(outcomes) {
            match outcome {
                ImportOutcome::Created => self.answer.created += 1,
                ImportOutcome::Present => self.answer.present += 1,
                ImportOutcome::Refused(violations) => self.refuse(waiting, violations),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, waiting: &Waiting, violations: Vec<Violation>) {
        self.answer.refused += 1;
        for violation in violations {
            if self.answer.refusals.len() == MOST_TOLD {
                return;
            }
            // A subject that is too long is told as far as a good one reaches.
            let subject = waiting.subject.chars().take(255).collect();
            self.answer.refusals.push(pb::RefusedUser {
                row: waiting.place,
                subject,
                field: wire_name(violation.field).to_owned(),
                description: violation.description,
            });
        }
    }
}

/// A field's name in the message.
fn wire_name(field: &'static str) -> &'static str {
    match field {
        "email" => "emails",
        "attributes" => "attributes_json",
        "created_at" => "create_time",
        same => same,
    }
}

fn row(user: pb::ImportedUser) -> ServiceResult<ImportRow> {
    Ok(ImportRow {
        subject: user.subject,
        name: (!user.name.is_empty()).then_some(user.name),
        emails: user.emails,
        attributes: attributes(&user.attributes_json)?,
        password_hash: (!user.password_hash.is_empty()).then(|| ForeignHash::new(user.password_hash)),
        disabled: user.disabled,
        created_at: user.create_time.map(came).transpose()?,
    })
}

fn came(at: WireTime) -> ServiceResult<Timestamp> {
    instant(at).ok_or_else(|| Error::invalid("create_time", "must be between 1970 and now"))
}
