//! Reads files that hold one small thing, such as a key or a password.

use std::{fs, io, io::Read, path::Path};

use zeroize::Zeroizing;

/// Reads a regular file of at most `limit` bytes. Opening a pipe would wait for its writer, and a device may be without
/// end.
///
/// # Errors
/// It cannot be read, is not a regular file, or is larger.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let kind = fs::metadata(path)?.file_type();
    // Reading a directory fails with a clearer sentence.
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.min(8192)));
    fs::File::open(path)?.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// It cannot be read, or is not text.
pub(super) fn read_text(path: &Path, limit: usize) -> io::Result<Zeroizing<String>> {
    let text = std::str::from_utf8(&read(path, limit)?).map(ToOwned::to_owned);
    text.map(Zeroizing::new).map_err(|_| io::Error::other("it is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_regular_file_is_read_and_everything_else_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("good"), "0123456789").unwrap();
        assert_eq!(read(&at("good"), 10).unwrap().as_slice(), b"0123456789");
        assert_eq!(read_text(&at("good"), 10).unwrap().as_str(), "0123456789");
        assert_eq!(read(&at("good"), 9).unwrap_err().to_string(), "it is larger than 9 bytes");
        fs::write(at("binary"), b"\xff\xfe").unwrap();
        assert_eq!(read_text(&at("binary"), 10).unwrap_err().to_string(), "it is not text");
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for other in [at("pipe"), "/dev/zero".into()] {
            assert_eq!(read(&other, 10).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!(read(dir.path(), 10).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&at("missing"), 10).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
