//! Reads passwords from a prompt or from standard input. Never from an argument, which every process on the machine
//! could read.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};

use crate::secret::Password;

/// Maximum bytes read from standard input.
const MAX_BYTES: u64 = 4096;

/// Reads a new password.
pub(super) fn read(from_stdin: bool) -> anyhow::Result<Password> {
    if from_stdin {
        let mut text = String::new();
        std::io::stdin()
            .take(MAX_BYTES)
            .read_to_string(&mut text)
            .context("cannot read the password from standard input")?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(Password::new(text.strip_suffix('\r').unwrap_or(text).to_owned()));
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for a password; pipe it in and add --password-stdin");
    }
    let first = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("Repeat the password: ")? != first {
        bail!("the two passwords differ");
    }
    Ok(Password::new(first))
}
