//! `AuditService`.

use prost_types::Timestamp as WireTime;
use tonic::{Request, Response, Status};

use super::{
    admin::{Page, bad_page_token, parse_terms, unsupported_term},
    call::Call,
    convert::{self, time},
    delivery::{Messages, Source, messages},
    enums::audit_kind,
    proto::pb::{self, audit_service_server::AuditService},
};
use crate::{
    domain::{
        audit::{AuditEvent, AuditFilter, AuditKind},
        filter::{Comparison, Term},
    },
    error::{Error, Result as ServiceResult},
    service::{Admin, AuditWatcher},
    time::Timestamp,
};

/// Implements `AuditService` for one call.
#[derive(Debug)]
pub(super) struct Audits(pub(super) Call);

type Events = Messages<pb::WatchAuditEventsResponse>;

#[tonic::async_trait]
impl AuditService for Audits {
    type WatchAuditEventsStream = Events;

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let admin = self.0.admin()?;
        let (events, next_page_token) = self.page(admin, request.get_ref()).await.map_err(|e| self.0.status(&e))?;
        let events = events.into_iter().map(event).collect();
        Ok(Response::new(pb::ListAuditEventsResponse { events, next_page_token }))
    }

    async fn watch_audit_events(
        &self,
        request: Request<pb::WatchAuditEventsRequest>,
    ) -> Result<Response<Events>, Status> {
        let admin = self.0.admin()?;
        let filter = watch_filter(&request.get_ref().filter).map_err(|e| self.0.status(&e))?;
        let watcher = self.0.service.audit.watch(&self.0.ctx, admin, filter);
        Ok(Response::new(messages(watcher, self.0.ctx.clone())))
    }
}

impl Source for AuditWatcher {
    type Message = pb::WatchAuditEventsResponse;
    const METHOD: &'static str = "/chancery.v1.AuditService/WatchAuditEvents";

    async fn next(&mut self) -> ServiceResult<Self::Message> {
        let events = Self::next(self).await?.into_iter().map(event).collect();
        Ok(pb::WatchAuditEventsResponse { events })
    }
}

impl Audits {
    async fn page(
        &self,
        admin: &Admin,
        message: &pb::ListAuditEventsRequest,
    ) -> ServiceResult<(Vec<AuditEvent>, String)> {
        let page = Page::new("Audit", &message.filter, (message.page_size, &message.page_token))?;
        let before = match page.after.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| bad_page_token())?),
        };
        let events =
            self.0.service.audit.list(admin, &audit_filter(&message.filter)?, before.as_ref(), page.limit()).await?;
        Ok(page.cut(events, |e| e.id.as_str()))
    }
}

/// The filter of a watch stream. It cannot filter by time, because only new events are sent.
fn watch_filter(text: &str) -> ServiceResult<AuditFilter> {
    let filter = audit_filter(text)?;
    if filter.since.is_some() || filter.until.is_some() {
        return Err(Error::invalid("filter", "event_time cannot be used here: only new events are sent"));
    }
    Ok(filter)
}

fn audit_filter(text: &str) -> ServiceResult<AuditFilter> {
    let mut filter = AuditFilter::default();
    for term in parse_terms(text)? {
        match (term.field.as_str(), term.comparison) {
            ("kind", Comparison::Equal) => {
                let kind = AuditKind::parse(&term.value);
                filter.kind = Some(kind.ok_or_else(|| Error::invalid("filter", "kind must be a kind of audit event"))?);
            }
            ("actor", Comparison::Equal) => filter.actor = Some(without_nul(term)?),
            ("subject", Comparison::Equal) => filter.subject = Some(without_nul(term)?),
            ("session_id", Comparison::Equal) => {
                let session = term.value.parse().map_err(|e| Error::invalid("filter", format!("session_id {e}")));
                filter.session = Some(session?);
            }
            ("event_time", Comparison::AtLeast) => filter.since = Some(event_time(&term)?),
            ("event_time", Comparison::Below) => filter.until = Some(event_time(&term)?),
            _ => return Err(unsupported_term(&term)),
        }
    }
    Ok(filter)
}

fn without_nul(term: Term) -> ServiceResult<String> {
    if term.value.contains('\0') { Err(Error::invalid("filter", "must not contain NUL")) } else { Ok(term.value) }
}

fn event_time(term: &Term) -> ServiceResult<Timestamp> {
    let wrong = || Error::invalid("filter", "event_time must be like \"2030-01-01T00:00:00Z\"");
    let at: WireTime = term.value.parse().map_err(|_| wrong())?;
    convert::instant(at).ok_or_else(wrong)
}

fn event(e: AuditEvent) -> pb::AuditEvent {
    pb::AuditEvent {
        event_id: e.id.as_str().to_owned(),
        event_time: Some(time(e.at)),
        kind: audit_kind(e.kind).into(),
        refused: e.kind.is_refusal(),
        actor: e.actor.name,
        client_id: e.actor.client.unwrap_or_default(),
        address: e.actor.address,
        subject: e.subject,
        session_id: e.session.map(|s| s.as_str().to_owned()).unwrap_or_default(),
        details_json: e.details.to_string(),
    }
}
