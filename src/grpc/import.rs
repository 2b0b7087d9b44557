//! The stream of `UserService.ImportUsers`.

use std::{borrow::Cow, time::Duration};

use prost::Message;
use prost_types::Timestamp as WireTime;
use serde_json::{Map, Value};
use tonic::{Status, Streaming};
use tonic_types::pb::bad_request::FieldViolation;

use super::{call::Call, convert::instant, proto::pb, status::deadline_exceeded};
use crate::{
    domain::user::parse_attributes,
    error::{Error, Result as ServiceResult, Violation},
    secret::ForeignHash,
    service::{Admin, CostlyHashes, ImportOutcome, ImportRow, MAX_IMPORT_BATCH, Service},
    time::Timestamp,
};

/// Maximum wait for the next message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a batch on the wire, in bytes. Attributes take up to a hundred times as much when they are parsed.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Maximum number of refused users listed in the response.
const MAX_REFUSALS: usize = 1000;

/// Reads the stream to its end and writes the users in batches.
pub(super) async fn import(
    call: &Call,
    admin: &Admin,
    mut stream: Streaming<pb::ImportUsersRequest>,
) -> Result<pb::ImportUsersResponse, Status> {
    let mut batch = Batch::default();
    while let Some(message) =
        tokio::time::timeout(MESSAGE_TIMEOUT, stream.message()).await.map_err(|_| deadline_exceeded())??
    {
        if message.users.len() > MAX_IMPORT_BATCH {
            let error = Error::invalid("users", format!("must be at most {MAX_IMPORT_BATCH} per message"));
            return Err(call.status(&error));
        }
        if !batch.has_room(&message) {
            batch.write(&call.service, admin).await.map_err(|e| call.status(&e))?;
        }
        for user in message.users {
            batch.add(user);
        }
    }
    batch.write(&call.service, admin).await.map_err(|e| call.status(&e))?;
    batch.sort_refusals();
    let CostlyHashes { count, most } = batch.costly;
    let wire = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(pb::ImportUsersResponse {
        costly_hashes: wire(count),
        hash_memory_mib: wire(most.memory_mib()),
        hash_times: wire(most.times),
        ..batch.answer
    })
}

/// A row in the current batch, with its position in the stream.
struct PendingRow {
    position: i64,
    subject: String,
}

#[derive(Default)]
struct Batch {
    rows: Vec<ImportRow>,
    bytes: usize,
    pending: Vec<PendingRow>,
    seen: i64,
    costly: CostlyHashes,
    answer: pb::ImportUsersResponse,
}

impl Batch {
    /// Whether the users of a message fit in.
    fn has_room(&self, message: &pb::ImportUsersRequest) -> bool {
        self.rows.len() + message.users.len() <= MAX_IMPORT_BATCH
            && self.bytes + message.encoded_len() <= MAX_BATCH_BYTES
    }

    fn add(&mut self, user: pb::ImportedUser) {
        self.seen += 1;
        self.bytes += user.encoded_len();
        let pending = PendingRow { position: self.seen, subject: user.subject.clone() };
        match row(user) {
            Ok(row) => {
                self.rows.push(row);
                self.pending.push(pending);
            }
            Err(Error::Invalid(violations)) => self.refuse(&pending, violations),
            Err(other) => {
                self.refuse(&pending, vec![Violation { field: "users".into(), description: other.to_string() }]);
            }
        }
    }

    async fn write(&mut self, service: &Service, admin: &Admin) -> ServiceResult<()> {
        self.bytes = 0;
        if self.rows.is_empty() {
            return Ok(());
        }
        let outcomes = service.import.write(admin, &self.rows).await?;
        let created = self.rows.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, ImportOutcome::Created));
        created.for_each(|(row, _)| self.costly.add(row));
        self.rows.clear();
        for (pending, outcome) in std::mem::take(&mut self.pending).iter().zip(outcomes) {
            match outcome {
                ImportOutcome::Created => self.answer.created += 1,
                ImportOutcome::Present => self.answer.present += 1,
                ImportOutcome::Refused(violations) => self.refuse(pending, violations),
            }
        }
        self.sort_refusals();
        Ok(())
    }

    /// Puts the refusals in the order of the stream. Rows that cannot be read are refused before the others of their
    /// batch.
    fn sort_refusals(&mut self) {
        self.answer.refusals.sort_by_key(|refusal| refusal.row);
        self.answer.refusals.truncate(MAX_REFUSALS);
    }

    fn refuse(&mut self, pending: &PendingRow, violations: Vec<Violation>) {
        self.answer.refused += 1;
        // The rows of one more batch: which of them are the first is known when it has been written.
        if self.answer.refusals.len() == MAX_REFUSALS + MAX_IMPORT_BATCH {
            self.sort_refusals();
        }
        let field_violations = violations.into_iter().map(|violation| FieldViolation {
            field: wire_name(violation.field),
            description: violation.description,
            ..FieldViolation::default()
        });
        self.answer.refusals.push(pb::RefusedUser {
            row: pending.position,
            // A subject that is too long is cut to the maximum length of a valid one.
            subject: pending.subject.chars().take(255).collect(),
            field_violations: field_violations.collect(),
        });
    }
}

/// A field's name on the wire.
fn wire_name(field: Cow<'static, str>) -> String {
    match field.as_ref() {
        "attributes" => "attributes_json".to_owned(),
        "created_at" => "create_time".to_owned(),
        _ => field.into_owned(),
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
        language: user.language,
        created_at: user.create_time.map(create_time).transpose()?,
    })
}

fn create_time(at: WireTime) -> ServiceResult<Timestamp> {
    instant(at).ok_or_else(|| Error::invalid("create_time", "must be between 1970 and now"))
}

fn attributes(json: &str) -> ServiceResult<Map<String, Value>> {
    if json.is_empty() {
        return Ok(Map::new());
    }
    parse_attributes(json.as_bytes()).map_err(|problem| Error::invalid("attributes_json", problem))
}
