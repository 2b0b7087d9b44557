//! The words of mails: built in, or from files of the same name. Both are tried out with sample values
//! before the server starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};

use ulid::Ulid;

use super::{Letter, Rendered};
use crate::{
    domain::mail::{Content, Language, MailKind, Recipient, Way},
    id::MailId,
    secret::MailedSecret,
    time::{Timestamp, Ttl},
};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every template that is compiled in.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("templates/", $name)))),*];
    };
}

built_in![
    "layout.html",
    "verify_email.txt",
    "verify_email.html",
    "password_reset.txt",
    "password_reset.html",
    "password_changed.txt",
    "password_changed.html",
    "email_changed.txt",
    "email_changed.html",
    "account_exists.txt",
    "account_exists.html",
    "invitation.txt",
    "invitation.html",
    "new_device.txt",
    "new_device.html",
];

/// What a text begins with; the rest of the line is the mail's subject.
const SUBJECT: &str = "Subject: ";

/// The templates.
pub struct Templates {
    environment: Environment<'static>,
    /// Name of every template, and the file it came from.
    sources: BTreeMap<String, Option<PathBuf>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

impl Templates {
    /// Reads the templates: those of `folder` take the place of the built-in ones.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with file and line.
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
        for path in folder.map(|f| files(f, &mut problems)).unwrap_or_default() {
            templates.add_file(path, &mut problems);
        }
        // What does not parse need not be tried out.
        if problems.is_empty() {
            templates.try_out(&mut problems);
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// Puts a letter into words, in its language if there are templates in it.
    ///
    /// # Errors
    /// Template and line, and what is wrong there; never a value.
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

    fn part(&self, letter: &Letter, kind: &str) -> Result<String, String> {
        let name = self.name(letter, kind);
        let minutes = ((letter.expires_at.since(letter.now).seconds() + 59) / 60).max(1);
        let own = [("to", letter.to.to_string()), ("until", letter.expires_at.for_people())];
        let given = letter.params.iter().map(|(name, value)| (name.as_str(), value.clone()));
        // They were cleaned when they were handed in; here too none may begin a line of its own.
        let texts = given.chain(own).map(|(name, text)| (name, Value::from(text.replace(char::is_control, " "))));
        let values = Value::from_pairs(texts.chain([("minutes", Value::from(minutes))]));
        let rendered = self.environment.get_template(&name).and_then(|template| template.render(values));
        rendered.map_err(|error| self.problem(&name, &error))
    }

    /// The template of a letter's kind in its language, in a wider one, or in ours.
    fn name(&self, letter: &Letter, part: &str) -> String {
        let kind = letter.kind.as_str();
        let mut tags = letter.language.from_narrow_to_wide().map(|tag| format!("{kind}.{tag}.{part}"));
        tags.find(|name| self.sources.contains_key(name)).unwrap_or_else(|| format!("{kind}.{part}"))
    }

    fn add_file(&mut self, path: PathBuf, problems: &mut Vec<String>) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_known(&name) {
            problems.push(format!(
                "{}: is not a template name; valid names are layout.html, and KIND.txt and KIND.html or KIND.LANGUAGE.txt \
                 and KIND.LANGUAGE.html, where KIND is one of {}",
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

    /// Renders every template with sample values, and looks whether link and code are there.
    fn try_out(&self, problems: &mut Vec<String>) {
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
                problems.push(format!("{}: needs {missing} as well", self.place(&self.other_of(&stem), None)));
                continue;
            }
            let letter = sample(kind, language.parse().unwrap_or_default());
            match self.render(&letter) {
                Ok(rendered) => self.check_way(&stem, &letter, &rendered, problems),
                Err(problem) => problems.push(problem),
            }
        }
    }

    /// The one of two parts that is there.
    fn other_of(&self, stem: &str) -> String {
        let text = format!("{stem}.txt");
        if self.sources.contains_key(&text) { text } else { format!("{stem}.html") }
    }

    /// A mail with a link carries a code too, in both parts: some read where they cannot click.
    fn check_way(&self, stem: &str, letter: &Letter, rendered: &Rendered, problems: &mut Vec<String>) {
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

    /// A failure of the library: where, and what; it quotes no values.
    fn problem(&self, name: &str, error: &minijinja::Error) -> String {
        let place = self.place(error.name().unwrap_or(name), error.line());
        let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
        format!("{place}: {what}")
    }

    /// File and line.
    fn place(&self, name: &str, line: Option<usize>) -> String {
        let file = match self.sources.get(name).and_then(Option::as_ref) {
            Some(path) => path.display().to_string(),
            None => format!("the built-in {name}"),
        };
        line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
    }
}

fn is_html(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "html")
}

/// `layout.html`, `KIND.txt`, `KIND.LANGUAGE.html` and the like.
fn is_known(name: &str) -> bool {
    let Some((rest, "txt" | "html")) = name.rsplit_once('.') else { return false };
    let (stem, language) = rest.split_once('.').map_or((rest, None), |(stem, language)| (stem, Some(language)));
    let language = language.is_none_or(|tag| tag.parse::<Language>().is_ok_and(|l| l.as_str() == tag));
    language && (stem.parse::<MailKind>().is_ok() || (stem == "layout" && is_html(name)))
}

/// The files of a folder, but for hidden ones: those are an editor's, or a mounted volume's own.
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

/// The subject, and what follows its line and an empty one.
fn split(text: &str) -> Option<(String, &str)> {
    let (first, rest) = text.strip_prefix(SUBJECT)?.split_once('\n')?;
    let body = rest.trim_start_matches('\r').strip_prefix('\n')?;
    let subject: String = first.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let subject = subject.trim();
    (!subject.is_empty()).then(|| (subject.to_owned(), body))
}

/// A letter as one may come.
#[expect(clippy::expect_used, reason = "the address is fixed, and an address")]
fn sample(kind: MailKind, language: Language) -> Letter {
    let now = Timestamp::from_millis(1_893_456_000_000);
    let expires_at = now.plus(Ttl::from_secs(1800));
    let to: Recipient = "ada@example.org".parse().expect("an address");
    let way = Way {
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
        MailKind::Invitation => Content::Invitation { way, by: "Grace".to_owned() },
        MailKind::NewDevice => {
            Content::NewDevice { at: now, device: "a telephone".to_owned(), address: "192.0.2.7".to_owned() }
        }
    };
    let params = content.params("Example");
    Letter { id: MailId::from_ulid(Ulid::nil()), to, kind, language, params, now, expires_at }
}

#[cfg(test)]
mod tests;
