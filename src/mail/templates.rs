//! Templates of mails: built in, or from files of the same names. All are rendered with sample values before the
//! server starts.

mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig};

use ulid::Ulid;

use super::{Letter, Rendered};
use crate::{
    domain::{
        factor::FactorKind,
        mail::{Asked, Content, Language, LinkAndCode, MailKind, Recipient},
    },
    id::MailId,
    secret::MailedSecret,
    time::{Timestamp, Ttl},
};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every built-in template.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("templates/", $name)))),*];
    };
}

built_in![
    "layout.html",
    "date.txt",
    "date.de.txt",
    "verify_email.txt",
    "verify_email.html",
    "verify_email.de.txt",
    "verify_email.de.html",
    "password_reset.txt",
    "password_reset.html",
    "password_reset.de.txt",
    "password_reset.de.html",
    "password_changed.txt",
    "password_changed.html",
    "password_changed.de.txt",
    "password_changed.de.html",
    "email_changed.txt",
    "email_changed.html",
    "email_changed.de.txt",
    "email_changed.de.html",
    "account_exists.txt",
    "account_exists.html",
    "account_exists.de.txt",
    "account_exists.de.html",
    "invitation.txt",
    "invitation.html",
    "invitation.de.txt",
    "invitation.de.html",
    "new_device.txt",
    "new_device.html",
    "new_device.de.txt",
    "new_device.de.html",
    "factor_added.txt",
    "factor_added.html",
    "factor_added.de.txt",
    "factor_added.de.html",
    "factor_removed.txt",
    "factor_removed.html",
    "factor_removed.de.txt",
    "factor_removed.de.html",
    "recovery_codes.txt",
    "recovery_codes.html",
    "recovery_codes.de.txt",
    "recovery_codes.de.html",
    "recovery_code_used.txt",
    "recovery_code_used.html",
    "recovery_code_used.de.txt",
    "recovery_code_used.de.html",
];

/// How a text template begins. The rest of the line is the subject of the mail.
const SUBJECT: &str = "Subject: ";

/// The templates.
pub struct Templates {
    environment: Environment<'static>,
    /// Every template by name, with the file it came from, if any.
    sources: BTreeMap<String, Option<PathBuf>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

impl Templates {
    /// Loads the templates. Those in `folder` replace the built-in ones.
    ///
    /// # Errors
    /// Every problem, each with file and line.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|error| vec![error.to_string()])?);
        environment.set_auto_escape_callback(|name| if is_html(name) { AutoEscape::Html } else { AutoEscape::None });
        let mut templates = Self { environment, sources: BTreeMap::new() };
        let mut problems = Vec::new();
        for (name, text) in BUILT_IN {
            templates.add(name, (*text).to_owned(), None, &mut problems);
        }
        let paths = folder.map(|f| files(f, &mut problems)).unwrap_or_default();
        templates.make_room(&paths);
        for path in paths {
            templates.add_file(path, &mut problems);
        }
        // Rendering makes sense only if everything parses.
        if problems.is_empty() {
            templates.check_all(&mut problems);
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// Renders a letter, in its language if there are templates for it.
    ///
    /// # Errors
    /// The template, the line and what is wrong there; never a value.
    pub fn render(&self, letter: &Letter) -> Result<Rendered, String> {
        let text = self.part(letter, "txt")?;
        let (subject, text) = split(&text).ok_or_else(|| {
            format!(
                "{}: must begin with a line \"{SUBJECT}…\" and an empty line",
                self.place(&self.name(letter, "txt"), Some(1))
            )
        })?;
        Ok(Rendered { subject, text: text.to_owned(), html: self.part(letter, "html")? })
    }

    fn part(&self, letter: &Letter, part: &str) -> Result<String, String> {
        let found = self.find(letter.kind.as_str(), &letter.language, part);
        let values = self.values(letter, &found)?;
        let rendered = self.environment.get_template(&found.name).and_then(|template| template.render(values));
        rendered.map_err(|error| self.problem(&found.name, &error))
    }

    fn name(&self, letter: &Letter, part: &str) -> String {
        self.find(letter.kind.as_str(), &letter.language, part).name
    }

    /// Drops the built-in templates of a kind in other languages where a file replaces that kind without a language,
    /// and there is none for the other language: an operator's own text is not to be passed over for one of ours.
    fn make_room(&mut self, paths: &[PathBuf]) {
        let names: BTreeSet<String> = paths.iter().map(|path| file_name(path)).collect();
        let has = |stem: &str| ["txt", "html"].iter().any(|part| names.contains(&format!("{stem}.{part}")));
        self.sources.retain(|name, _| {
            let Some((stem, _)) = name.rsplit_once('.') else { return true };
            let Some((kind, _)) = stem.split_once('.') else { return true };
            kind.parse::<MailKind>().is_err() || !has(kind) || has(stem)
        });
    }

    fn add_file(&mut self, path: PathBuf, problems: &mut Vec<String>) {
        let name = file_name(&path);
        if !is_known(&name) {
            problems.push(format!(
                "{}: is not a template name; valid names are layout.html, date.txt and date.LANGUAGE.txt, and KIND.txt and KIND.html or KIND.LANGUAGE.txt and KIND.LANGUAGE.html, where KIND is one of {}",
                path.display(),
                MailKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
            ));
            return;
        }
        match fs::read_to_string(&path) {
            Ok(text) => self.add(&name, text, Some(path), problems),
            Err(error) => problems.push(format!("{}: cannot be read: {error}", path.display())),
        }
    }

    fn add(&mut self, name: &str, text: String, path: Option<PathBuf>, problems: &mut Vec<String>) {
        self.sources.insert(name.to_owned(), path);
        if let Err(error) = self.environment.add_template_owned(name.to_owned(), text) {
            problems.push(self.problem(name, &error));
        }
    }

    /// Renders every template with sample values, and checks that links and codes are shown.
    fn check_all(&self, problems: &mut Vec<String>) {
        let kinds_and_languages = self.sources.keys().filter_map(|name| {
            let (kind, rest) = name.split_once('.')?;
            Some((kind.parse().ok()?, rest.split_once('.').map_or("", |(language, _)| language)))
        });
        let pairs: BTreeSet<(MailKind, &str)> = kinds_and_languages.collect();
        for (kind, language) in pairs {
            let stem =
                if language.is_empty() { kind.as_str().to_owned() } else { format!("{}.{language}", kind.as_str()) };
            if let Some(missing) =
                ["txt", "html"].map(|p| format!("{stem}.{p}")).iter().find(|n| !self.sources.contains_key(*n))
            {
                problems.push(format!("{}: needs {missing} as well", self.place(&self.existing_part(&stem), None)));
                continue;
            }
            let letter = sample(kind, language.parse().unwrap_or_default());
            match self.render(&letter) {
                Ok(rendered) => self.check_link_and_code(&stem, &letter, &rendered, problems),
                Err(problem) => problems.push(problem),
            }
        }
    }

    /// The part that exists, if only one of the two does.
    fn existing_part(&self, stem: &str) -> String {
        let text = format!("{stem}.txt");
        if self.sources.contains_key(&text) { text } else { format!("{stem}.html") }
    }

    /// Checks that a mail with a link shows the code as well, in both parts: some readers cannot click the link.
    fn check_link_and_code(&self, stem: &str, letter: &Letter, rendered: &Rendered, problems: &mut Vec<String>) {
        for (part, body) in [("txt", &rendered.text), ("html", &rendered.html)] {
            for value in ["link", "code"] {
                let Some(sample) = letter.params.get(value) else { continue };
                if !body.replace("&#x2f;", "/").contains(sample.as_str()) {
                    problems
                        .push(format!("{}: must show {{{{ {value} }}}}", self.place(&format!("{stem}.{part}"), None)));
                }
            }
        }
    }

    /// Describes an error of the library, with its location. It does not quote values.
    fn problem(&self, name: &str, error: &minijinja::Error) -> String {
        let place = self.place(error.name().unwrap_or(name), error.line());
        let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
        format!("{place}: {what}")
    }

    /// File and line, for messages.
    fn place(&self, name: &str, line: Option<usize>) -> String {
        let file = match self.sources.get(name).and_then(Option::as_ref) {
            Some(path) => path.display().to_string(),
            None => format!("the built-in {name}"),
        };
        line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_html(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "html")
}

/// Whether a file name is that of a template, such as `layout.html`, `KIND.txt` or `KIND.LANGUAGE.html`.
fn is_known(name: &str) -> bool {
    let Some((rest, "txt" | "html")) = name.rsplit_once('.') else { return false };
    let (stem, language) = rest.split_once('.').map_or((rest, None), |(stem, language)| (stem, Some(language)));
    let language = language.is_none_or(|tag| tag.parse::<Language>().is_ok_and(|l| l.as_str() == tag));
    let shared = (stem == "layout" && is_html(name)) || (stem == "date" && !is_html(name));
    language && (stem.parse::<MailKind>().is_ok() || shared)
}

/// The files in a folder, except hidden ones, which belong to editors or to mounted volumes.
fn files(folder: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let listed =
        fs::read_dir(folder).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = listed.unwrap_or_else(|error| {
        problems.push(format!("{}: cannot be read: {error}", folder.display()));
        Vec::new()
    });
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    paths
}

/// Splits a text into the subject and the body after the empty line.
fn split(text: &str) -> Option<(String, &str)> {
    let (first, rest) = text.strip_prefix(SUBJECT)?.split_once('\n')?;
    let body = rest.trim_start_matches('\r').strip_prefix('\n')?;
    let subject: String = first.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let subject = subject.trim();
    (!subject.is_empty()).then(|| (subject.to_owned(), body))
}

/// A letter with sample values.
#[expect(clippy::expect_used, reason = "the address is fixed, and an address")]
fn sample(kind: MailKind, language: Language) -> Letter {
    let now = Timestamp::from_millis(1_893_456_000_000);
    let expires_at = now.plus(Ttl::from_secs(1800));
    let to: Recipient = "ada@example.org".parse().expect("an address");
    let way = LinkAndCode {
        link: MailedSecret::new("https://id.example.org/sample-link".to_owned()),
        code: MailedSecret::new("SAMPLE-CODE".to_owned()),
        expires_at,
    };
    let content = match kind {
        MailKind::VerifyEmail => Content::VerifyEmail(way),
        MailKind::PasswordReset => Content::PasswordReset(way),
        MailKind::PasswordChanged => Content::PasswordChanged { at: now },
        MailKind::EmailChanged => Content::EmailChanged { at: now, new: to.clone() },
        MailKind::AccountExists => Content::AccountExists,
        MailKind::FactorAdded => Content::FactorAdded { at: now, kind: FactorKind::Totp },
        MailKind::FactorRemoved => Content::FactorRemoved { at: now, kind: Some(FactorKind::Passkey) },
        MailKind::RecoveryCodes => Content::RecoveryCodes { at: now },
        MailKind::RecoveryCodeUsed => Content::RecoveryCodeUsed {
            at: now,
            left: 2,
            account: Some("https://id.example.org/auth/account".to_owned()),
        },
        MailKind::Invitation => Content::Invitation { way, by: "Grace".to_owned() },
        MailKind::NewDevice => {
            Content::NewDevice { at: now, device: "a telephone".to_owned(), address: "192.0.2.7".to_owned() }
        }
    };
    let mut params = content.params("Example");
    let user_agent = "Firefox/140.0 (Linux)".to_owned();
    Asked { at: Some(now), address: "192.0.2.7".to_owned(), user_agent }.add_to(&mut params);
    Letter { id: MailId::from_ulid(Ulid::nil()), to, kind, language, params, now, expires_at }
}

#[cfg(test)]
mod tests;
