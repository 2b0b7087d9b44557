//! Reads a small file that a setting names, once. It may be a pipe, as of `<(…)` in a shell: that gives what is in it
//! only once, and nothing as long as nobody writes to it.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read, Result},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

/// How long a start waits for a pipe or a file system.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole file, if it has at most so many bytes.
///
/// # Errors
/// It cannot be read, is too large, or does not end in time.
pub(in crate::app) fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>> {
    read_within(path, most, TIMEOUT)
}

fn read_within(path: &Path, most: u64, limit: Duration) -> Result<Zeroizing<Vec<u8>>> {
    let (done, is_done) = mpsc::sync_channel(1);
    let file = path.to_owned();
    // A thread that waits for nobody ends with this process, which ends over the error.
    thread::Builder::new().name("read-file".to_owned()).spawn(move || {
        let _ = done.send(read_all(&file, most));
    })?;
    is_done.recv_timeout(limit).unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(Error::new(
            ErrorKind::TimedOut,
            format!("it has not come to an end within {seconds} s; if it is a pipe, does anything write to it?"),
        ))
    })
}

fn read_all(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// The same for text.
///
/// # Errors
/// As of [`read`], or it is not UTF-8.
pub(in crate::app) fn read_text(path: &Path, most: u64) -> Result<Zeroizing<String>> {
    let bytes = read(path, most)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, io::Write};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_is_read_if_somebody_writes_to_it_and_is_not_waited_for_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = read_within(&path, 10, Duration::from_millis(1)).unwrap_err().to_string();
        assert!(error.contains("if it is a pipe"), "{error}");
        let other = dir.path().join("other");
        mknodat(CWD, &other, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let to = other.clone();
        let writer = thread::spawn(move || File::options().write(true).open(to).unwrap().write_all(b"text").unwrap());
        assert_eq!(&**read(&other, 10).unwrap(), b"text");
        writer.join().unwrap();
    }

    #[test]
    fn what_is_too_large_or_endless_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(&**read_text(&path, 5).unwrap(), "12345");
        for path in [path.as_path(), Path::new("/dev/zero")] {
            let error = read(path, 4).unwrap_err().to_string();
            assert!(error.contains("larger than 4 bytes"), "{error}");
        }
    }
}
