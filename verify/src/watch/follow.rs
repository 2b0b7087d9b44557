//! Keeps two streams open: one of revocations, one of keys.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;
use tracing::{debug, warn};

use super::{
    line::{Connection, Line},
    messages::{
        Event, Revocation, Snapshot, Subject, WatchJwksRequest, WatchJwksResponse, WatchRevocationsRequest,
        WatchRevocationsResponse, millis,
    },
    revoked::RevokedSet,
    secret::Credentials,
};
use crate::{Clock, KeySet, causes::with_causes, clock::Moment, verifier::keyring::Keyring};

/// A revocation stream without a message for this long is dead.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for opening a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A key stream may be silent for long, so it is reopened after this time in case it is dead. Shorter than the
/// time after which keys are due, so that they are never fetched over HTTP meanwhile.
const REOPEN_KEYS_AFTER: Duration = Duration::from_secs(120);
/// Backoff between attempts, in milliseconds: first and maximum. It doubles each time, and the actual delay is
/// a random part of it, so that a thousand verifiers do not reconnect at once.
const BACKOFF_MS: (u64, u64) = (100, 5_000);
/// A stream has lived after this time, and the next backoff is short again. One that ends sooner may end at once each
/// time, so it makes the backoff grow, whatever it delivered.
const LIVED: Duration = Duration::from_secs(10);
/// Maximum length of a cursor, in bytes. A longer one is not used.
const MAX_CURSOR: usize = 1024;
/// Maximum size of a message, such as a part of a snapshot.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long keys are fresh if the issuer does not say.
const DEFAULT_MAX_AGE_MS: i64 = 300_000;

/// Opens the streams and applies their messages.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) line: Line,
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
    /// Whether the current stream delivered a message.
    delivered: bool,
}

impl Progress {
    /// Drops a cursor if the issuer refused the stream, perhaps because of it, so that the next stream begins with a
    /// snapshot. A refusal for lack of rights or resources keeps it.
    fn forget_refused_cursor(&mut self, status: &Status) {
        let other_reason = matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::ResourceExhausted
                | Code::Unauthenticated
                | Code::PermissionDenied
        );
        // A connection that broke has a source, and an answer of the issuer has none.
        let answered = std::error::Error::source(status).is_none();
        if answered && !self.delivered && !other_reason {
            self.cursor.clear();
        }
    }
}

/// Why a stream ended.
struct End {
    status: Status,
    /// Whether nothing came in time, so that the connection may be dead.
    silent: bool,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self { status, silent: false }
    }
}

impl End {
    fn silent(reason: &str) -> Self {
        Self { status: Status::unavailable(reason), silent: true }
    }

    /// The status with its causes: for a connection that failed it says only "transport error".
    fn reason(&self) -> String {
        let status = &self.status;
        std::error::Error::source(status).map_or_else(
            || status.message().to_owned(),
            |cause| format!("{}: {}", status.message(), with_causes(cause)),
        )
    }
}

impl Follower {
    /// Follows revocations forever.
    pub(super) async fn follow_revocations(self, revoked: Arc<RevokedSet>) {
        let (mut progress, mut backoff) = (Progress::default(), Backoff::default());
        loop {
            self.line.read_certificates().await;
            let (began, connection) = (Instant::now(), self.line.connection());
            progress.delivered = false;
            let end = self.run_revocation_stream(&connection, &revoked, &mut progress).await;
            if end.silent {
                self.line.redial(&connection);
            }
            progress.forget_refused_cursor(&end.status);
            warn!(code = ?end.status.code(), reason = end.reason(), "the stream of revocations ended");
            backoff.wait_after(began.elapsed()).await;
        }
    }

    async fn run_revocation_stream(
        &self,
        connection: &Connection,
        revoked: &RevokedSet,
        progress: &mut Progress,
    ) -> End {
        progress.disabled.clear();
        let Some((secret, authorization)) = self.credentials.current().await else {
            return Status::unauthenticated("the secret cannot be sent").into();
        };
        let opened = Moment::now(&*self.clock);
        let mut request = Request::new(WatchRevocationsRequest { cursor: progress.cursor.clone() });
        request.metadata_mut().insert("authorization", authorization);
        let path = PathAndQuery::from_static("/chancery.v1.RevocationService/WatchRevocations");
        let mut stream = match open(connection, request, path).await {
            Ok(stream) => stream,
            Err(end) => {
                if end.status.code() == Code::Unauthenticated {
                    self.credentials.answered(secret, false);
                }
                return end;
            }
        };
        self.credentials.answered(secret, true);
        revoked.connection_opened(opened);
        debug!("watching revocations");
        loop {
            match timeout(HEARTBEAT_TIMEOUT, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    progress.delivered = true;
                    if !self.apply(message, revoked, progress) {
                        return End::silent("the stream has fallen behind");
                    }
                }
                Ok(Ok(None)) => return Status::unavailable("the issuer closed the stream").into(),
                Ok(Err(status)) => return status.into(),
                Err(_) => return End::silent("no heartbeat in time"),
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
            progress.cursor = Some(message.cursor).filter(|c| c.len() <= MAX_CURSOR).unwrap_or_default();
        }
        keeps_up
    }

    /// Follows keys forever.
    pub(super) async fn follow_keys(self, keys: Arc<Keyring>) {
        let mut backoff = Backoff::default();
        loop {
            self.line.read_certificates().await;
            let (began, connection) = (Instant::now(), self.line.connection());
            let end = tokio::select! {
                end = timeout(REOPEN_KEYS_AFTER, self.run_key_stream(&connection, &keys)) => end,
                // The stream of revocations found the connection dead.
                () = self.line.replaced(&connection) => continue,
            };
            // A silent stream may be dead; a new one sends the keys again.
            let Ok(end) = end else {
                backoff = Backoff::default();
                continue;
            };
            if end.silent {
                self.line.redial(&connection);
            }
            warn!(code = ?end.status.code(), reason = end.reason(), "the stream of keys ended");
            backoff.wait_after(began.elapsed()).await;
        }
    }

    async fn run_key_stream(&self, connection: &Connection, keys: &Keyring) -> End {
        let path = PathAndQuery::from_static("/chancery.v1.KeyService/WatchJwks");
        let opened = open::<_, WatchJwksResponse>(connection, Request::new(WatchJwksRequest {}), path).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::unavailable("the issuer closed the stream").into(),
                Err(status) => return status.into(),
            };
            let set = match KeySet::from_json(message.jwks_json.as_bytes()) {
                Ok(set) => set,
                Err(error) => return Status::internal(error.to_string()).into(),
            };
            let max_age_ms = message.max_age.map_or(DEFAULT_MAX_AGE_MS, |d| d.seconds.clamp(30, 3600) * 1000);
            keys.accept_pushed(set, max_age_ms, Moment::now(&*self.clock));
        }
    }
}

async fn open<M, R>(connection: &Connection, request: Request<M>, path: PathAndQuery) -> Result<Streaming<R>, End>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    let mut grpc = Grpc::new(connection.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
    let opened = async {
        grpc.ready().await.map_err(|e| Status::unavailable(with_causes(&e)))?;
        grpc.server_streaming(request, path, ProstCodec::<M, R>::default()).await
    };
    let opened = timeout(OPEN_TIMEOUT, opened).await;
    Ok(opened.map_err(|_| End::silent("the stream was not opened in time"))??.into_inner())
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

/// How many streams in a row have ended too soon.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    /// The longest wait after a stream that lived this long, in milliseconds.
    fn ceiling_after(&mut self, lived: Duration) -> u64 {
        self.0 = if lived >= LIVED { 0 } else { self.0.saturating_add(1) };
        BACKOFF_MS.0.saturating_mul(1 << self.0.min(10)).min(BACKOFF_MS.1)
    }

    /// Waits before the next attempt.
    #[expect(clippy::disallowed_methods, reason = "a background task that waits between attempts")]
    async fn wait_after(&mut self, lived: Duration) {
        let ceiling = self.ceiling_after(lived);
        let ms = RandomState::new().hash_one(self.0) % ceiling;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

#[cfg(test)]
mod tests;
