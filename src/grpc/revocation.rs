//! `RevocationService`, written by hand so that each message is encoded once and the same bytes go to every watcher.

use std::pin::Pin;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, EncodeBuf, Encoder},
    server::{Grpc, ServerStreamingService},
};
use tonic_prost::ProstCodec;

use super::{
    MAX_REQUEST,
    call::Call,
    convert::time,
    delivery::{Messages, Source, messages},
    proto::pb::{self, revocation::Subject, watch_revocations_response::Event},
    status::{status, unknown_method},
};
use crate::{
    domain::feed::{Change, ChangeKind, Cursor},
    error::Result as ServiceResult,
    service::{Notice, NoticeKind, WATCH_REVOCATIONS, WatchMessage, Watcher},
};

/// Answers a call to the service's only method.
pub(super) async fn answer(call: Call, request: http::Request<Body>) -> http::Response<Body> {
    if request.uri().path() != WATCH_REVOCATIONS {
        return unknown_method().into_http();
    }
    let mut grpc = Grpc::new(PreEncoded).max_decoding_message_size(MAX_REQUEST);
    grpc.server_streaming(Watch(call), request).await
}

/// Decodes requests as usual; responses are bytes that are already encoded.
#[derive(Clone, Copy, Debug)]
struct PreEncoded;

impl Codec for PreEncoded {
    type Encode = Bytes;
    type Decode = pb::WatchRevocationsRequest;
    type Encoder = RawBytes;
    type Decoder = <ProstCodec<pb::WatchRevocationsResponse, pb::WatchRevocationsRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> RawBytes {
        RawBytes
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<pb::WatchRevocationsResponse, pb::WatchRevocationsRequest>::default().decoder()
    }
}

#[derive(Clone, Copy, Debug)]
struct RawBytes;

impl Encoder for RawBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

struct Watch(Call);

impl ServerStreamingService<pb::WatchRevocationsRequest> for Watch {
    type Response = Bytes;
    type ResponseStream = Messages<Bytes>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<pb::WatchRevocationsRequest>) -> Self::Future {
        let (service, ctx, admin) = (self.0.service.clone(), self.0.ctx.clone(), self.0.admin().cloned());
        Box::pin(async move {
            let watcher = service.revocations.watch(&admin?, &request.get_ref().cursor).await;
            let watcher = watcher.map_err(|e| status(&ctx, &e))?;
            Ok(Response::new(messages(watcher, ctx)))
        })
    }
}

impl Source for Watcher {
    type Message = Bytes;
    const METHOD: &'static str = WATCH_REVOCATIONS;

    async fn next(&mut self) -> ServiceResult<Bytes> {
        Self::next(self).await.map(|sent| encode(&sent))
    }
}

fn encode(sent: &WatchMessage) -> Bytes {
    match sent {
        WatchMessage::Notice(notice) => notice.wire(|notice| message(notice).encode_to_vec().into()),
        WatchMessage::SnapshotPart(part) => part.wire(|changes, cursor| {
            let revocations = changes.iter().map(revocation).collect();
            let snapshot = pb::Snapshot { revocations, partial: cursor.is_none() };
            response(cursor, Event::Snapshot(snapshot)).encode_to_vec().into()
        }),
    }
}

fn message(notice: &Notice) -> pb::WatchRevocationsResponse {
    let event = match &notice.kind {
        NoticeKind::Revocation(entry) => Event::Revocation(revocation(&entry.change)),
        NoticeKind::Heartbeat(at) => Event::Heartbeat(pb::Heartbeat { server_time: Some(time(*at)) }),
        // The watcher passes on no other news.
        NoticeKind::KeysChanged
        | NoticeKind::UserChanged(_)
        | NoticeKind::Other
        | NoticeKind::Reset
        | NoticeKind::Disconnect
        | NoticeKind::Stop => Event::Heartbeat(pb::Heartbeat::default()),
    };
    response(Some(&notice.cursor), event)
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
