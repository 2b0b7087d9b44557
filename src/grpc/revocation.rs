//! `RevocationService`, by hand: a message is encoded once and sent to every watcher as it is.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use futures_util::{Stream, stream};
use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, EncodeBuf, Encoder},
    server::{Grpc, NamedService, ServerStreamingService},
};
use tonic_prost::ProstCodec;

use super::{
    MAX_REQUEST,
    access::WATCH_REVOCATIONS,
    context::{context, credentials},
    convert::time,
    proto::pb::{self, revocation::Subject, watch_revocations_response::Event},
    status::{status, unknown_method},
};
use crate::{
    domain::feed::{Change, ChangeKind, Cursor},
    service::{News, RequestContext, Sent, Service, Told, Watcher},
};

/// Serves [`Service::watch`].
#[derive(Clone, Debug)]
pub(super) struct Revocations(pub(super) Service);

impl NamedService for Revocations {
    const NAME: &'static str = "chancery.v1.RevocationService";
}

impl tower::Service<http::Request<Body>> for Revocations {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let watch = Watch(self.0.clone());
        Box::pin(async move {
            if request.uri().path() != WATCH_REVOCATIONS {
                return Ok(unknown_method().into_http());
            }
            let mut grpc = Grpc::new(Wire).max_decoding_message_size(MAX_REQUEST);
            Ok(grpc.server_streaming(watch, request).await)
        })
    }
}

/// Reads requests as usual and writes bytes as they are.
#[derive(Clone, Copy, Debug)]
struct Wire;

impl Codec for Wire {
    type Encode = Bytes;
    type Decode = pb::WatchRevocationsRequest;
    type Encoder = AsItIs;
    type Decoder = <ProstCodec<pb::WatchRevocationsResponse, pb::WatchRevocationsRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> AsItIs {
        AsItIs
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<pb::WatchRevocationsResponse, pb::WatchRevocationsRequest>::default().decoder()
    }
}

#[derive(Clone, Copy, Debug)]
struct AsItIs;

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

struct Watch(Service);

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl ServerStreamingService<pb::WatchRevocationsRequest> for Watch {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<pb::WatchRevocationsRequest>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let ctx = context(&request, &service);
            let credentials = credentials(&request, &ctx).map_err(|s| *s)?;
            let watcher = service.watch(&ctx, &credentials, &request.get_ref().cursor).await;
            let watcher = watcher.map_err(|e| status(&ctx, &e))?;
            Ok(Response::new(messages(watcher, ctx)))
        })
    }
}

/// The watcher's messages until the first error, which ends the stream.
fn messages(watcher: Watcher, ctx: RequestContext) -> Messages {
    Box::pin(stream::unfold(Some((watcher, ctx)), |state| async {
        let (mut watcher, ctx) = state?;
        match watcher.next().await {
            Ok(sent) => Some((Ok(encoded(sent)), Some((watcher, ctx)))),
            Err(error) => Some((Err(status(&ctx, &error)), None)),
        }
    }))
}

fn encoded(sent: Sent) -> Bytes {
    match sent {
        Sent::Told(told) => told.wire(|told| message(told).encode_to_vec().into()),
        Sent::Part(changes, cursor) => {
            let revocations = changes.iter().map(revocation).collect();
            let snapshot = pb::Snapshot { revocations, partial: cursor.is_none() };
            response(cursor.as_ref(), Event::Snapshot(snapshot)).encode_to_vec().into()
        }
    }
}

fn message(told: &Told) -> pb::WatchRevocationsResponse {
    let event = match &told.news {
        News::Revocation(entry) => Event::Revocation(revocation(&entry.change)),
        News::Heartbeat(at) => Event::Heartbeat(pb::Heartbeat { server_time: Some(time(*at)) }),
        // The watcher passes on nothing else.
        News::Keys | News::Other | News::StartOver | News::Lost => Event::Heartbeat(pb::Heartbeat::default()),
    };
    response(Some(&told.cursor), event)
}

fn response(cursor: Option<&Cursor>, event: Event) -> pb::WatchRevocationsResponse {
    pb::WatchRevocationsResponse { cursor: cursor.map(ToString::to_string).unwrap_or_default(), event: Some(event) }
}

fn revocation(change: &Change) -> pb::Revocation {
    let id = change.subject.clone();
    let (subject, ends) = match change.kind {
        ChangeKind::ClientDisabled => (Subject::DisabledClientId(id), false),
        ChangeKind::ClientEnabled => (Subject::EnabledClientId(id), false),
        ChangeKind::KeyRevoked => (Subject::Kid(id), true),
        _ => (Subject::SessionId(id), true),
    };
    let expire_time = ends.then(|| time(change.ends_at));
    pb::Revocation { subject: Some(subject), revoke_time: Some(time(change.at)), expire_time }
}
