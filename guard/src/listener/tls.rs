//! TLS of a listener: its certificate, key and the authorities of its clients, read from files and read again when
//! they change.
//!
//! Connections that are open keep what they were made with. A certificate that cannot be used replaces none: the one in
//! use stays until the files are right again, so that half a replacement is no outage.

mod files;
mod handshake;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chancery_verify::{Clock, SystemClock, small_file::SlowReads};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{rustls, server::TlsStream};

use self::files::Loaded;
use super::Protocol;

/// How often the files are read again.
const READ_EVERY: Duration = Duration::from_secs(5);
/// How often what an operator has to know is logged.
const WARN_EVERY: Duration = Duration::from_hours(6);
/// How long that may take: they may be on a network.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The files of a listener with TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its authority.
    pub cert: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// The authorities one of which must have issued the certificate of each client; without them, clients need none.
    pub client_ca: Option<PathBuf>,
}

/// Why a listener cannot have TLS. Quotes nothing of the files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file does not have in it what it should.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The key is another certificate's.
    #[error("{} is not the key of the certificate {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

/// What has become of a listener's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// When the certificate, the first of its chain, expires, in seconds since 1970.
    pub expires_at: i64,
    /// From when a new one is late, in seconds since 1970: a fifth of the time for which it was issued is left.
    pub warns_at: i64,
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// Those that failed, or took too long.
    pub failed: u64,
    /// From when the certificate is valid, in seconds since 1970.
    pub valid_from: i64,
    /// Whether the files have changed to something that cannot be used.
    pub is_stuck: bool,
}

/// TLS of a listener. Clones share everything.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    protocol: Protocol,
    reads: SlowReads,
    current: Mutex<Current>,
    handshakes: AtomicU64,
    failed: AtomicU64,
}

struct Current {
    loaded: Loaded,
    /// Why the files cannot be used as they are now.
    problem: Option<String>,
}

impl Current {
    /// Notes why the files cannot be used, and says so once.
    fn note(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!(%problem, "the files of a listener's TLS cannot be used; those in use stay so");
            self.problem = Some(problem);
        }
    }
}

/// The time, in seconds since 1970.
fn now() -> i64 {
    SystemClock.now_ms() / 1000
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(files: TlsFiles, protocol: Protocol) -> Result<Self, TlsError> {
        let loaded = files::load(&files, protocol)?;
        let current = Mutex::new(Current { loaded, problem: None });
        let (reads, handshakes, failed) = (SlowReads::within(READ_TIMEOUT), AtomicU64::default(), AtomicU64::default());
        Ok(Self(Arc::new(Shared { files, protocol, reads, current, handshakes, failed })))
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// What has become of it.
    #[must_use]
    pub fn status(&self) -> TlsStatus {
        let (life, is_stuck) = self.with_current(|c| (c.loaded.life, c.problem.is_some()));
        let files::Life { expires_at, warns_at, valid_from, above_expires_at: _ } = life;
        let (handshakes, failed) = (self.0.handshakes.load(Relaxed), self.0.failed.load(Relaxed));
        TlsStatus { expires_at, warns_at, handshakes, failed, valid_from, is_stuck }
    }

    /// Whether the certificate's file has one in it that nobody else has issued, so that clients can be told to trust
    /// that file.
    #[must_use]
    pub fn includes_root(&self) -> bool {
        self.with_current(|current| files::includes_root(&current.loaded.chain))
    }

    /// Whether a client that trusts the authorities in this file, and no others, accepts the certificate for this name at
    /// this time, in seconds since 1970.
    #[must_use]
    pub fn is_accepted(&self, authorities: &Path, name: &str, at: i64) -> bool {
        let chain = self.with_current(|current| current.loaded.chain.clone());
        files::is_accepted(&chain, authorities, name, at).unwrap_or(false)
    }

    /// Reads the files again from time to time, and at once when `asked` changes. Logs what an operator has to know. Never
    /// returns.
    #[expect(clippy::disallowed_methods, reason = "only jobs may sleep")]
    pub async fn keep_fresh(self, mut asked: watch::Receiver<u64>) {
        let mut warned: Option<Instant> = None;
        loop {
            if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                self.warnings(now()).iter().for_each(|warning| tracing::warn!("{warning}"));
                warned = Some(Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep(READ_EVERY) => {}
                Ok(()) = asked.changed() => {}
            }
            self.read_again().await;
        }
    }

    /// What an operator has to know at this time, in seconds since 1970: a sentence each.
    #[must_use]
    pub fn warnings(&self, now: i64) -> Vec<String> {
        let (status, cert) = (self.status(), self.0.files.cert.display());
        let mut warnings = Vec::new();
        if status.is_stuck {
            warnings.push(format!("the TLS files of {cert} cannot be used any more; the log says why"));
        }
        if now < status.valid_from {
            warnings.push(format!("the certificate {cert} is not valid yet: is the clock of this machine right?"));
        } else if now >= status.expires_at {
            warnings.push(format!("the certificate {cert} has expired"));
        } else if now >= status.warns_at {
            let hours = (status.expires_at - now) / 3600;
            let left = if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") };
            warnings.push(format!("the certificate {cert} expires in {left}"));
        }
        let above = self.with_current(|current| current.loaded.life.above_expires_at);
        if above.is_some_and(|expires_at| expires_at <= now) {
            warnings.push(format!(
                "in {cert}, a certificate after the first has expired: clients that need it to find their authority cannot connect"
            ));
        }
        warnings
    }

    /// Reads the files again, and uses what is in them from now on if it can be used. Returns whether something new is
    /// in use.
    pub async fn read_again(&self) -> bool {
        let (shared, mark) = (self.0.clone(), self.with_current(|current| current.loaded.mark));
        let load = move || files::load_changed(&shared.files, shared.protocol, mark);
        let read = match self.0.reads.read(load).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot read {}: {error}", self.0.files.cert.display())),
        };
        self.use_from_now_on(read, now())
    }

    /// A certificate that is not valid now takes the place of none that is.
    fn use_from_now_on(&self, read: Result<Option<Loaded>, String>, now: i64) -> bool {
        let cert = self.0.files.cert.display();
        self.with_current(|current| match read {
            Ok(None) => {
                current.problem = None;
                false
            }
            Ok(Some(loaded)) if current.loaded.life.is_valid(now) && !loaded.life.is_valid(now) => {
                let which = if now < loaded.life.valid_from { "is not valid yet" } else { "has expired" };
                current.note(format!("the certificate in {cert} {which}"));
                false
            }
            Ok(Some(loaded)) => {
                tracing::info!(%cert, expires_at = loaded.life.expires_at, "the certificate was replaced");
                *current = Current { loaded, problem: None };
                true
            }
            Err(problem) => {
                current.note(problem);
                false
            }
        })
    }

    fn with_current<T>(&self, change: impl FnOnce(&mut Current) -> T) -> T {
        change(&mut self.0.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a connection of a stream, within this time. Returns none if that fails.
    pub(super) async fn accept(&self, stream: TcpStream, limit: Duration) -> Option<TlsStream<TcpStream>> {
        let began = Instant::now();
        let config: Arc<rustls::ServerConfig> = self.with_current(|current| current.loaded.config.clone());
        // Whoever says nothing has not begun a handshake: a proxy that looks whether the port is open, most often.
        let first = timeout(limit, handshake::first_byte(&stream)).await.ok()?.ok()?;
        // Counted even where this future is dropped half-way.
        let mut ended = Ended { counter: Some(&self.0.failed) };
        let left = limit.saturating_sub(began.elapsed());
        let accepted = match timeout(left, handshake::accept(config, stream, first)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match accepted {
            Ok(stream) => {
                ended.counter = None;
                self.0.handshakes.fetch_add(1, Relaxed);
                Some(stream)
            }
            Err(error) => {
                tracing::debug!(%error, after = ?began.elapsed(), "a TLS handshake failed");
                None
            }
        }
    }
}

/// Counts when dropped.
struct Ended<'a> {
    counter: Option<&'a AtomicU64>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.counter {
            counter.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
