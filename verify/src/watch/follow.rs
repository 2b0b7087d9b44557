//! Keeps two streams open: of revocations and of keys.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tracing::{debug, warn};

use super::{
    messages::{
        Event, Revocation, Snapshot, Subject, WatchJwksRequest, WatchJwksResponse, WatchRevocationsRequest,
        WatchRevocationsResponse, millis,
    },
    revoked::Revoked,
};
use crate::{Clock, KeySet, clock::Moment, verifier::keyring::Keyring};

/// A stream of heartbeats that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest time until a stream answers.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a stream of keys, which may well be silent, is trusted to live. Less than keys take to age, so
/// that nobody reads them elsewhere meanwhile.
const KEYS_AGAIN: Duration = Duration::from_mins(2);
/// Pauses between attempts, in milliseconds: doubled each time, and anything up to it by chance, so that
/// a thousand verifiers do not come back at once.
const PAUSE_MS: (u64, u64) = (100, 5_000);
/// Largest part of a snapshot.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Used if the issuer does not say how long keys may be kept.
const MAX_AGE_MS: i64 = 300_000;

/// Opens streams.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) channel: Channel,
    pub(super) authorization: MetadataValue<Ascii>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Where the follower of revocations is.
#[derive(Default)]
struct Progress {
    cursor: String,
    /// Disabled clients of a snapshot that is not complete.
    disabled: HashSet<String>,
    heartbeats: u64,
}

impl Follower {
    /// Follows revocations for ever.
    pub(super) async fn revocations(self, revoked: Arc<Revoked>) {
        let (mut progress, mut failures) = (Progress::default(), 0);
        loop {
            let before = progress.heartbeats;
            let end = self.one_stream_of_revocations(&revoked, &mut progress).await;
            failures = if progress.heartbeats > before { 0 } else { failures + 1 };
            warn!(code = ?end.code(), reason = end.message(), "the stream of revocations ended");
            pause(failures).await;
        }
    }

    async fn one_stream_of_revocations(&self, revoked: &Revoked, progress: &mut Progress) -> Status {
        progress.disabled.clear();
        let opened = Moment::of(&*self.clock);
        let mut request = Request::new(WatchRevocationsRequest { cursor: progress.cursor.clone() });
        request.metadata_mut().insert("authorization", self.authorization.clone());
        let path = PathAndQuery::from_static("/chancery.v1.RevocationService/WatchRevocations");
        let mut stream = match self.open(request, path).await {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        revoked.connected(opened);
        debug!("watching revocations");
        loop {
            match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    if !self.apply(message, revoked, progress) {
                        return Status::unavailable("it does not keep up");
                    }
                }
                Ok(Ok(None)) => return Status::unavailable("the issuer ended it"),
                Ok(Err(status)) => return status,
                Err(_) => return Status::unavailable("silence"),
            }
        }
    }

    /// Applies a message; says whether the stream keeps up.
    fn apply(&self, message: WatchRevocationsResponse, revoked: &Revoked, progress: &mut Progress) -> bool {
        let mut keeps_up = true;
        match message.event {
            Some(Event::Snapshot(snapshot)) => apply_snapshot(snapshot, revoked, &mut progress.disabled),
            Some(Event::Revocation(revocation)) => apply_revocation(revocation, revoked),
            Some(Event::Heartbeat(heartbeat)) => {
                if let Some(server_ms) = millis(heartbeat.server_time.as_ref()) {
                    keeps_up = revoked.heard(server_ms, Moment::of(&*self.clock));
                    progress.heartbeats += 1;
                    if progress.heartbeats.is_multiple_of(60) {
                        revoked.forget(server_ms);
                    }
                }
            }
            // An event of a later version of the protocol.
            None => {}
        }
        // Applied, so a new stream may go on from here.
        if !message.cursor.is_empty() {
            progress.cursor = message.cursor;
        }
        keeps_up
    }

    /// Follows keys for ever.
    pub(super) async fn keys(self, keys: Arc<Keyring>) {
        let mut failures = 0;
        loop {
            match timeout(KEYS_AGAIN, self.one_stream_of_keys(&keys, &mut failures)).await {
                // A silent stream may be dead: a new one tells the keys again.
                Err(_) => failures = 0,
                Ok(end) => {
                    failures += 1;
                    warn!(code = ?end.code(), reason = end.message(), "the stream of keys ended");
                    pause(failures).await;
                }
            }
        }
    }

    async fn one_stream_of_keys(&self, keys: &Keyring, failures: &mut u32) -> Status {
        let path = PathAndQuery::from_static("/chancery.v1.KeyService/WatchJwks");
        let opened = self.open::<_, WatchJwksResponse>(Request::new(WatchJwksRequest {}), path).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("the issuer ended it"),
                Err(status) => return status,
            };
            *failures = 0;
            let set = match KeySet::from_json(message.jwks_json.as_bytes()) {
                Ok(set) => set,
                Err(error) => return Status::internal(error.to_string()),
            };
            let max_age_ms = message.max_age.map_or(MAX_AGE_MS, |d| d.seconds.clamp(30, 3600) * 1000);
            keys.offer(set, max_age_ms, Moment::of(&*self.clock));
        }
    }

    async fn open<M, R>(&self, request: Request<M>, path: PathAndQuery) -> Result<Streaming<R>, Status>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let opened = async {
            grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
            grpc.server_streaming(request, path, ProstCodec::<M, R>::default()).await
        };
        let stream = timeout(ANSWER, opened).await.map_err(|_| Status::unavailable("no answer"))??;
        Ok(stream.into_inner())
    }
}

/// Adds what is revoked; the disabled clients are replaced when the last part is there.
fn apply_snapshot(snapshot: Snapshot, revoked: &Revoked, disabled: &mut HashSet<String>) {
    for revocation in snapshot.revocations {
        match revocation.subject {
            Some(Subject::DisabledClient(id)) => {
                disabled.insert(id);
            }
            _ => apply_revocation(revocation, revoked),
        }
    }
    if !snapshot.partial {
        revoked.clients(std::mem::take(disabled));
    }
}

fn apply_revocation(revocation: Revocation, revoked: &Revoked) {
    // One without an end is kept for ever: better than forgotten too early.
    let ends_ms = millis(revocation.expire_time.as_ref()).unwrap_or(i64::MAX);
    match revocation.subject {
        Some(Subject::Session(id)) => revoked.session(id, ends_ms),
        Some(Subject::Key(kid)) => revoked.key(kid),
        Some(Subject::DisabledClient(id)) => revoked.client_disabled(id),
        Some(Subject::EnabledClient(id)) => revoked.client_enabled(&id),
        None => {}
    }
}

/// Waits before the next attempt; hardly at all after a stream that worked.
#[expect(clippy::disallowed_methods, reason = "a job that waits between attempts")]
async fn pause(failures: u32) {
    let most = PAUSE_MS.0.saturating_mul(1 << failures.min(10)).min(PAUSE_MS.1);
    let ms = RandomState::new().hash_one(failures) % most;
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
