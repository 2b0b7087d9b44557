//! Pipes without a writer, and large files, in place of files with a key or a password.

use std::{fs, process::Command};

use crate::{refused::Refused, server::FREE_PORTS};

#[tokio::test]
async fn a_pipe_without_a_writer_and_a_large_file_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    fs::write(dir.path().join("large"), "s".repeat(4097)).unwrap();
    let serve = format!("serve {} --dev", FREE_PORTS.join(" "));
    let mail =
        "--mail-smtp smtps://mail.example.com --mail-from a@example.com --mail-username ada --mail-password-file";
    let guard = "guard --issuer https://id.example.com --audience api --watch https://id.example.com --client-id g";
    let large = "it is larger than 4096 bytes";
    // A start reads a pipe once. The guard reads its file before each connection.
    for (name, at_a_start, always) in
        [("pipe", "does anything write to it?", "it is not a regular file"), ("large", large, large)]
    {
        for (line, setting, says) in [
            (format!("{serve} --sealing-key-file {name}"), "sealing key", at_a_start),
            (format!("{serve} {mail} {name}"), "mail-password-file", at_a_start),
            (format!("{guard} --client-secret-file {name}"), "client-secret-file", always),
        ] {
            Refused { line: &line, says: &[setting, name, says], ..Refused::default() }.check(dir.path()).await;
        }
    }
}
