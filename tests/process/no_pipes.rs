//! Pipes and large files in place of files with a key or a password.

use std::{fs, process::Command};

use crate::{refused::Refused, server::FREE_PORTS};

#[tokio::test]
async fn what_is_no_small_regular_file_is_refused_by_name_instead_of_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    fs::write(dir.path().join("large"), "s".repeat(4097)).unwrap();
    let serve = format!("serve {} --dev", FREE_PORTS.join(" "));
    let mail =
        "--mail-smtp smtps://mail.example.com --mail-from a@example.com --mail-username ada --mail-password-file";
    let guard = "guard --issuer https://id.example.com --audience api --watch https://id.example.com --client-id g";
    for (name, says) in [("pipe", "it is not a regular file"), ("large", "it is larger than 4096 bytes")] {
        for (line, setting) in [
            (format!("{serve} --sealing-key-file {name}"), "sealing key"),
            (format!("{serve} {mail} {name}"), "mail-password-file"),
            (format!("{guard} --client-secret-file {name}"), "client-secret-file"),
        ] {
            Refused { line: &line, says: &[setting, name, says], ..Refused::default() }.check(dir.path()).await;
        }
    }
}
