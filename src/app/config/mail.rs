//! The mail server and the mail templates.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::{
    named_file,
    setting::{Setting, section},
};
use crate::{
    mail::{Relay, Security, Sender, Smtp, SmtpOptions, TIMEOUT, Templates},
    secret::MailPassword,
};

section! {
    /// Mail
    #[expect(clippy::struct_field_names, reason = "fields are named as the file's keys")]
    MailDraft;
    /// Mail server: `smtps://host:465`, `smtp://host:587` (STARTTLS) or `smtp+plain://127.0.0.1:25` (loopback)
    mail_smtp: String as "URL";
    /// Sender of mails: `no-reply@example.org`, or a name and the address in angle brackets
    mail_from: String as "ADDRESS";
    /// User name at the mail server, if it asks for one
    mail_username: String as "NAME";
    /// File with the password for the mail server
    mail_password_file: PathBuf as "FILE";
    /// Password at the mail server
    mail_password: SecretString;
    /// Certificates (PEM) to trust for the mail server, in place of the system's
    mail_ca_file: PathBuf as "FILE";
    /// Directory of mail templates that replace the built-in ones
    mail_templates: PathBuf as "DIR";
}

/// More than any password takes.
const MAX_PASSWORD: u64 = 4096;
/// More than the certificates of all public authorities take.
const MAX_CA: u64 = 4 << 20;

/// Mail settings.
#[derive(Debug)]
pub struct Mail {
    /// The mail server, if there is one.
    pub server: Option<Smtp>,
    /// The mail templates.
    pub templates: Templates,
}

impl MailDraft {
    /// Reads the configured files, tries out the templates and collects all problems. Returns `None` only after adding
    /// a problem.
    pub(super) fn check(&self, dev: bool, problems: &mut Vec<String>) -> Option<Mail> {
        let server = self.server(problems);
        // A demo renders the mails that it keeps.
        if self.mail_templates.is_set() && !self.mail_smtp.is_set() && !dev {
            problems.push(self.without_server(&self.mail_templates));
        }
        match Templates::load(self.mail_templates.get().map(PathBuf::as_path)) {
            Ok(templates) => Some(Mail { server, templates }),
            Err(all) => {
                problems.extend(all.iter().map(|problem| self.mail_templates.problem(problem)));
                None
            }
        }
    }

    /// What is wrong with a setting that is only about a mail server.
    fn without_server<T>(&self, setting: &Setting<T>) -> String {
        setting.problem(format!("has no effect without {}", setting.names(&self.mail_smtp)))
    }

    /// The sender, which is not set, is named as the server was.
    fn required_with_server(&self) -> String {
        let smtp = &self.mail_smtp;
        format!("{}: is required with {}", smtp.names(&self.mail_from), smtp.names(smtp))
    }

    /// The mail server, if one is configured without problems.
    fn server(&self, problems: &mut Vec<String>) -> Option<Smtp> {
        if !self.mail_smtp.is_set() {
            self.refuse_settings_without_server(problems);
            return None;
        }
        let before = problems.len();
        let relay = self.mail_smtp.get().and_then(|url| {
            let parsed = url.parse::<Relay>();
            parsed.map_err(|problem| problems.push(self.mail_smtp.problem(problem))).ok()
        });
        let from = match self.mail_from.get().map(|from| from.parse::<Sender>()) {
            Some(Ok(from)) => Some(from),
            Some(Err(problem)) => note(problems, self.mail_from.problem(problem)),
            None if self.mail_from.is_set() => None,
            None => note(problems, self.required_with_server()),
        };
        let credentials = self.credentials(relay.as_ref(), problems);
        let ca = self.mail_ca_file.get().and_then(|path| {
            let read = named_file::read(path, MAX_CA).map_err(|error| format!("{}: {error}", path.display()));
            read.map(|bytes| bytes.to_vec()).map_err(|problem| problems.push(self.mail_ca_file.problem(problem))).ok()
        });
        let (Some(relay), Some(from), true) = (relay, from, problems.len() == before) else { return None };
        let made = Smtp::new(SmtpOptions { relay, from, credentials, ca, timeout: TIMEOUT });
        made.map_err(|problem| problems.push(self.mail_ca_file.problem(problem))).ok()
    }

    /// Reports settings that have no effect without a mail server. The password is allowed, because it may be in an
    /// environment shared with processes that do not need it.
    fn refuse_settings_without_server(&self, problems: &mut Vec<String>) {
        for (is_set, problem) in [
            (self.mail_from.is_set(), self.without_server(&self.mail_from)),
            (self.mail_username.is_set(), self.without_server(&self.mail_username)),
            (self.mail_password_file.is_set(), self.without_server(&self.mail_password_file)),
            (self.mail_ca_file.is_set(), self.without_server(&self.mail_ca_file)),
        ] {
            if is_set {
                problems.push(problem);
            }
        }
    }

    /// User name and password. They are sent only over TLS.
    fn credentials(&self, relay: Option<&Relay>, problems: &mut Vec<String>) -> Option<(String, MailPassword)> {
        let user = &self.mail_username;
        let password = match (self.mail_password_file.get(), self.mail_password.get()) {
            (Some(_), Some(_)) => {
                let what = "is set beside CHANCERY_MAIL_PASSWORD; set only one";
                return note(problems, self.mail_password_file.problem(what));
            }
            (Some(path), None) => {
                let read = named_file::read_text(path, MAX_PASSWORD);
                let read = read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
                Some(read.map_err(|error| self.mail_password_file.problem(format!("{}: {error}", path.display()))))
            }
            (None, Some(password)) => Some(Ok(password.expose_secret().to_owned())),
            (None, None) => None,
        };
        let any_password = self.mail_password_file.is_set() || self.mail_password.is_set();
        match (user.get(), password) {
            (None, Some(_)) if !user.is_set() => note(problems, user.problem("is required beside a password")),
            (Some(_), None) if !any_password => {
                let file = user.names(&self.mail_password_file);
                note(problems, user.problem(format!("needs a password, in {file} or CHANCERY_MAIL_PASSWORD")))
            }
            (Some(_), Some(Err(problem))) => note(problems, problem),
            (Some(_), Some(Ok(_))) if relay.is_some_and(|r| r.security == Security::None) => {
                note(problems, user.problem("a password is sent over TLS only, which smtp+plain:// lacks"))
            }
            (Some(name), Some(Ok(password))) => {
                let plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
                if plain(name) && plain(&password) {
                    Some((name.clone(), MailPassword::new(password)))
                } else {
                    note(problems, user.problem("user name and password must be one line of text each"))
                }
            }
            // No credentials are needed, or the problem is already reported.
            (None, _) | (Some(_), None) => None,
        }
    }
}

fn note<T>(problems: &mut Vec<String>, problem: String) -> Option<T> {
    problems.push(problem);
    None
}

#[cfg(test)]
mod tests;
