//! Keeps two streams open: one of revocations, one of keys.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tracing::{debug, warn};

use super::{
    messages::{
        Event, Revocation, Snapshot, Subject, WatchJwksRequest, WatchJwksResponse, WatchRevocationsRequest,
        WatchRevocationsResponse, millis,
    },
    revoked::RevokedSet,
    secret::Credentials,
};
use crate::{Clock, KeySet, clock::Moment, verifier::keyring::Keyring};

/// A revocation stream without a message for this long is dead.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for opening a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A key stream may be silent for long, so it is reopened after this time in case it is dead. Shorter than the
/// time after which keys are due, so that they are never fetched over HTTP meanwhile.
const REOPEN_KEYS_AFTER: Duration = Duration::from_mins(2);
/// Backoff between attempts, in milliseconds: first and maximum. It doubles each time, and the actual delay is
/// a random part of it, so that a thousand verifiers do not reconnect at once.
const BACKOFF_MS: (u64, u64) = (100, 5_000);
/// Maximum size of a message, such as a part of a snapshot.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long keys are fresh if the issuer does not say.
const DEFAULT_MAX_AGE_MS: i64 = 300_000;

/// Opens the streams and applies their messages.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) channel: Channel,
    pub(super) credentials: Arc<Credentials>,
    pub(super) clock: Arc<dyn Clock>,
}

/// How far the revocation stream has come.
#[derive(Default)]
struct Progress {
    cursor: String,
    /// Disabled clients in a snapshot whose parts have not all arrived.
    disabled: HashSet<String>,
    heartbeats: u64,
}

impl Follower {
    /// Follows revocations forever.
    pub(super) async fn follow_revocations(self, revoked: Arc<RevokedSet>) {
        let (mut progress, mut failures) = (Progress::default(), 0);
        loop {
            let heartbeats_before = progress.heartbeats;
            let end = self.run_revocation_stream(&revoked, &mut progress).await;
            failures = if progress.heartbeats > heartbeats_before { 0 } else { failures + 1 };
            warn!(code = ?end.code(), reason = end.message(), "the stream of revocations ended");
            back_off(failures).await;
        }
    }

    async fn run_revocation_stream(&self, revoked: &RevokedSet, progress: &mut Progress) -> Status {
        progress.disabled.clear();
        let Some((secret, authorization)) = self.credentials.current().await else {
            return Status::unauthenticated("the secret cannot be sent");
        };
        let opened = Moment::now(&*self.clock);
        let mut request = Request::new(WatchRevocationsRequest { cursor: progress.cursor.clone() });
        request.metadata_mut().insert("authorization", authorization);
        let path = PathAndQuery::from_static("/chancery.v1.RevocationService/WatchRevocations");
        let mut stream = match self.open(request, path).await {
            Ok(stream) => stream,
            Err(status) => {
                if status.code() == Code::Unauthenticated {
                    self.credentials.answered(secret, false);
                }
                return status;
            }
        };
        self.credentials.answered(secret, true);
        revoked.connection_opened(opened);
        debug!("watching revocations");
        loop {
            match timeout(HEARTBEAT_TIMEOUT, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    if !self.apply(message, revoked, progress) {
                        return Status::unavailable("the stream has fallen behind");
                    }
                }
                Ok(Ok(None)) => return Status::unavailable("the issuer closed the stream"),
                Ok(Err(status)) => return status,
                Err(_) => return Status::unavailable("no heartbeat in time"),
            }
        }
    }

    /// Applies a message; returns whether the stream keeps up.
    fn apply(&self, message: WatchRevocationsResponse, revoked: &RevokedSet, progress: &mut Progress) -> bool {
        let mut keeps_up = true;
        match message.event {
            Some(Event::Snapshot(snapshot)) => apply_snapshot(snapshot, revoked, &mut progress.disabled),
            Some(Event::Revocation(revocation)) => apply_revocation(revocation, revoked),
            Some(Event::Heartbeat(heartbeat)) => {
                if let Some(server_ms) = millis(heartbeat.server_time.as_ref()) {
                    keeps_up = revoked.heartbeat(server_ms, Moment::now(&*self.clock));
                    progress.heartbeats += 1;
                    if progress.heartbeats.is_multiple_of(60) {
                        revoked.forget_expired(server_ms);
                    }
                }
            }
            // An event type from a later version of the protocol.
            None => {}
        }
        // The message is applied, so a new stream may resume after it.
        if !message.cursor.is_empty() {
            progress.cursor = message.cursor;
        }
        keeps_up
    }

    /// Follows keys forever.
    pub(super) async fn follow_keys(self, keys: Arc<Keyring>) {
        let mut failures = 0;
        loop {
            match timeout(REOPEN_KEYS_AFTER, self.run_key_stream(&keys, &mut failures)).await {
                // A silent stream may be dead; a new one sends the keys again.
                Err(_) => failures = 0,
                Ok(end) => {
                    failures += 1;
                    warn!(code = ?end.code(), reason = end.message(), "the stream of keys ended");
                    back_off(failures).await;
                }
            }
        }
    }

    async fn run_key_stream(&self, keys: &Keyring, failures: &mut u32) -> Status {
        let path = PathAndQuery::from_static("/chancery.v1.KeyService/WatchJwks");
        let opened = self.open::<_, WatchJwksResponse>(Request::new(WatchJwksRequest {}), path).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("the issuer closed the stream"),
                Err(status) => return status,
            };
            *failures = 0;
            let set = match KeySet::from_json(message.jwks_json.as_bytes()) {
                Ok(set) => set,
                Err(error) => return Status::internal(error.to_string()),
            };
            let max_age_ms = message.max_age.map_or(DEFAULT_MAX_AGE_MS, |d| d.seconds.clamp(30, 3600) * 1000);
            keys.accept_pushed(set, max_age_ms, Moment::now(&*self.clock));
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
        let stream = timeout(OPEN_TIMEOUT, opened)
            .await
            .map_err(|_| Status::unavailable("the stream was not opened in time"))??;
        Ok(stream.into_inner())
    }
}

/// Adds the revocations of a snapshot. The set of disabled clients is replaced when its last part has arrived.
fn apply_snapshot(snapshot: Snapshot, revoked: &RevokedSet, disabled: &mut HashSet<String>) {
    for revocation in snapshot.revocations {
        match revocation.subject {
            Some(Subject::DisabledClient(id)) => {
                disabled.insert(id);
            }
            _ => apply_revocation(revocation, revoked),
        }
    }
    if !snapshot.partial {
        revoked.complete_snapshot(std::mem::take(disabled));
    }
}

fn apply_revocation(revocation: Revocation, revoked: &RevokedSet) {
    // A revocation without an expiry is kept forever, which is safer than dropping it too early.
    let expires_ms = millis(revocation.expire_time.as_ref()).unwrap_or(i64::MAX);
    match revocation.subject {
        Some(Subject::Session(id)) => revoked.revoke_session(id, expires_ms),
        Some(Subject::Key(kid)) => revoked.revoke_key(kid),
        Some(Subject::DisabledClient(id)) => revoked.disable_client(id),
        Some(Subject::EnabledClient(id)) => revoked.enable_client(&id),
        None => {}
    }
}

/// Waits before the next attempt; only briefly if the last stream worked.
#[expect(clippy::disallowed_methods, reason = "a background task that waits between attempts")]
async fn back_off(failures: u32) {
    let ceiling = BACKOFF_MS.0.saturating_mul(1 << failures.min(10)).min(BACKOFF_MS.1);
    let ms = RandomState::new().hash_one(failures) % ceiling;
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
