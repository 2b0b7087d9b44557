//! Reads a small file that may change, be on a network, or be no file at all.

use std::{
    fs::{self, File},
    io::{Error, Read, Result},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};

/// A regular file with a bound on its size, and on the time that reading it takes.
#[derive(Debug)]
pub(crate) struct SmallFile {
    path: PathBuf,
    most: u64,
    limit: Duration,
    /// One read at a time, so that reads that hang take up one thread and not all.
    reads: Arc<Semaphore>,
}

impl SmallFile {
    /// A file of at most `most` bytes, which is read within `limit`.
    pub(crate) fn new(path: PathBuf, most: u64, limit: Duration) -> Self {
        Self { path, most, limit, reads: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Why it cannot be read, as the end of a sentence.
    pub(crate) async fn read(&self) -> Result<Vec<u8>> {
        let slow = || Error::other("it took too long");
        let permit = self.reads.clone().try_acquire_owned().map_err(|_| slow())?;
        let (path, most) = (self.path.clone(), self.most);
        let reading = tokio::task::spawn_blocking(move || {
            let read = read_file(&path, most);
            drop(permit);
            read
        });
        timeout(self.limit, reading).await.map_err(|_| slow())?.map_err(Error::other)?
    }
}

/// The same without a bound on the time, for a caller that may wait.
pub(crate) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_hangs_is_not_joined_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = SmallFile::new(path, 7, Duration::from_secs(2));
        let hangs = file.reads.clone().try_acquire_owned().unwrap();
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
}
