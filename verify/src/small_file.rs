//! Reads small files that may change, be on a network, or be no files at all. The guard reads its own by this too.

use std::{
    fs::{self, File},
    io::{Error, Read, Result},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

/// U+FEFF in UTF-8, with which some editors begin a file.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads that may hang. They take turns, so that those that do take up one thread and not all.
#[derive(Debug)]
pub struct SlowReads {
    limit: Duration,
    turn: Arc<Semaphore>,
}

impl SlowReads {
    /// Reads that end, or are given up, within `limit`.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self { limit, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Reads where it may take its time.
    ///
    /// # Errors
    /// It took too long, as the end of a sentence.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = self.turn.clone();
        let reading = async {
            let turn = turn.acquire_owned().await.map_err(Error::other)?;
            let reading = tokio::task::spawn_blocking(move || {
                let read = read();
                drop(turn);
                read
            });
            reading.await.map_err(Error::other)
        };
        timeout(self.limit, reading).await.map_err(|_| Error::other("it took too long"))?
    }
}

/// A regular file with a bound on its size, and on the time that reading it takes.
#[derive(Debug)]
pub(crate) struct SmallFile {
    path: PathBuf,
    most: u64,
    reads: SlowReads,
}

impl SmallFile {
    /// A file of at most `most` bytes, which is read within `limit`.
    pub(crate) fn new(path: PathBuf, most: u64, limit: Duration) -> Self {
        Self { path, most, reads: SlowReads::within(limit) }
    }

    #[cfg(feature = "watch")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Why it cannot be read, as the end of a sentence.
    pub(crate) async fn read(&self) -> Result<Vec<u8>> {
        let (path, most) = (self.path.clone(), self.most);
        self.reads.read(move || read_file(&path, most)).await?
    }
}

/// Reads a regular file of at most `most` bytes.
fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
    // A pipe gives what is in it only once, and opening one without a writer would never end.
    if !fs::metadata(path)?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads a regular file in PEM of at most `most` bytes, without the marks that editors put before its text: a line with
/// one in front of it begins no certificate.
///
/// # Errors
/// Why it cannot be read, as the end of a sentence.
pub fn read_pem(path: &Path, most: u64) -> Result<Vec<u8>> {
    let bytes = read_file(path, most)?;
    // A file put together of others has one before each.
    let (mut kept, mut rest) = (Vec::with_capacity(bytes.len()), bytes.as_slice());
    while let Some(at) = rest.windows(MARK.len()).position(|bytes| bytes == MARK) {
        kept.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + MARK.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_is_not_joined_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = SmallFile::new(path, 7, Duration::from_secs(2));
        let hangs = file.reads.turn.clone().try_acquire_owned().unwrap();
        assert_eq!(file.read().await.unwrap_err().to_string(), "it took too long");
        drop(hangs);
        assert_eq!(file.read().await.unwrap(), b"content");
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_regular_file_is_refused_by_its_size_and_kind() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "contents").unwrap();
        for (name, says) in [("file", "it is larger than 7 bytes"), (".", "it is not a regular file")] {
            let file = SmallFile::new(dir.path().join(name), 7, Duration::from_secs(2));
            assert_eq!(file.read().await.unwrap_err().to_string(), says);
        }
    }

    #[tokio::test]
    async fn reads_that_come_together_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = SmallFile::new(path, 7, Duration::from_secs(20));
        let (first, second) = tokio::join!(file.read(), file.read());
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }

    #[test]
    fn marks_of_editors_are_no_part_of_a_pem_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (written, read) in [
            ("\u{feff}-----BEGIN", "-----BEGIN"),
            ("\u{feff}one\n\u{feff}two\n", "one\ntwo\n"),
            ("as it is\n", "as it is\n"),
            ("\u{feff}", ""),
            ("", ""),
        ] {
            fs::write(&path, written).unwrap();
            assert_eq!(read_pem(&path, 100).unwrap(), read.as_bytes(), "{written:?}");
        }
    }
}
