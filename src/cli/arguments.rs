//! What is wrong with a command line beyond what its grammar says, in terms of what was typed: flags that do nothing
//! without another, and violations by the flag that caused them.

use clap::{ArgMatches, Command, CommandFactory, error::ErrorKind, parser::ValueSource};

use super::Cli;
use crate::error::{Error, Violation};

/// Flags that do nothing without another: the command, the flag, and the other one.
const DEPENDENT: [(&[&str], &str, &str); 12] = [
    (&["guard"], "client_id", "watch"),
    (&["guard"], "client_secret_file", "watch"),
    (&["client", "create"], "site_home", "site"),
    (&["client", "create"], "logo_uri", "site"),
    (&["client", "create"], "accent_color", "site"),
    (&["client", "create"], "browser_tokens", "site"),
    (&["serve"], "app", "dev"),
    (&["serve"], "app_listen", "app"),
    (&["config", "check"], "app", "dev"),
    (&["config", "check"], "app_listen", "app"),
    (&["config", "show"], "app", "dev"),
    (&["config", "show"], "app_listen", "app"),
];

/// Fields of requests, and the arguments by which commands take them where these have another name.
const FIELDS: [(&str, &[&str]); 10] = [
    ("algorithm", &["alg"]),
    ("client_id", &["id", "client"]),
    ("email", &["emails"]),
    ("emails", &["email"]),
    ("issuer", &["url"]),
    ("key", &["file"]),
    ("role_id", &["role"]),
    ("session_id", &["id"]),
    ("session_ids", &["id"]),
    ("user_id", &["user"]),
];

/// Flags that do nothing beside another: the command, the flag, and the other one.
const USELESS_BESIDE: [(&[&str], &str, &str); 1] = [(&["guard"], "fail_open_for", "no_revocations")];

/// The command that was chosen, with its path and its arguments.
pub(super) struct Chosen<'a> {
    path: Vec<&'a str>,
    command: Command,
    matches: &'a ArgMatches,
}

impl<'a> Chosen<'a> {
    /// Follows the subcommands.
    pub(super) fn of(matches: &'a ArgMatches) -> Self {
        let mut command = Cli::command();
        // Now each command knows its whole name, for its usage.
        command.build();
        let mut chosen = Self { path: Vec::new(), command, matches };
        while let Some((name, below)) = chosen.matches.subcommand() {
            let Some(command) = chosen.command.find_subcommand(name).cloned() else { break };
            chosen.path.push(name);
            (chosen.command, chosen.matches) = (command, below);
        }
        chosen
    }

    /// Refuses a flag that does nothing without another that is missing.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        for (path, flag, needs) in DEPENDENT {
            if self.path == path && self.has(flag) && !self.has(needs) {
                return Err(self.refusal(&useless(&self.name(flag), &self.name(needs))));
            }
        }
        for (path, flag, other) in USELESS_BESIDE {
            if self.path == path && self.has(flag) && self.has(other) {
                let sentence = format!("{} does nothing beside {}", self.name(flag), self.name(other));
                return Err(self.refusal(&usage(sentence)));
            }
        }
        Ok(())
    }

    /// The refusal with the usage of the command.
    fn refusal(&self, refused: &Refused) -> clap::Error {
        self.command.clone().error(ErrorKind::MissingRequiredArgument, &refused.0)
    }

    fn has(&self, id: &str) -> bool {
        self.matches.value_source(id) == Some(ValueSource::CommandLine)
    }

    /// An argument as it is typed.
    fn name(&self, id: &str) -> String {
        self.find(id).unwrap_or_else(|| id.to_owned())
    }

    fn find(&self, id: &str) -> Option<String> {
        let arg = self.command.get_arguments().find(|arg| arg.get_id() == id)?;
        let value =
            || arg.get_value_names().and_then(<[_]>::first).map_or_else(|| id.to_uppercase(), ToString::to_string);
        Some(arg.get_long().map_or_else(|| format!("<{}>", value()), |long| format!("--{long}")))
    }

    /// A field of a request, by the argument that it came from. Fields within a field keep their path.
    fn argument_of(&self, field: &str) -> String {
        let (head, path) = field.split_once('.').map_or((field, None), |(head, path)| (head, Some(path)));
        let others = FIELDS.iter().find(|(name, _)| *name == head).map_or(&[][..], |(_, ids)| ids);
        let found = std::iter::once(head).chain(others.iter().copied()).find_map(|id| self.find(id));
        let argument = found.unwrap_or_else(|| head.to_owned());
        path.map_or_else(|| argument.clone(), |path| format!("{argument}: {path}"))
    }

    /// The error with violations by what was typed, and a refusal with the usage of the command.
    pub(super) fn in_its_terms(&self, error: anyhow::Error) -> anyhow::Error {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return self.refusal(refused).into();
        }
        let Some(Error::Invalid(violations)) = error.downcast_ref() else { return error };
        let said = |v: &Violation| format!("{}: {}", self.argument_of(&v.field), v.description);
        anyhow::anyhow!(violations.iter().map(said).collect::<Vec<_>>().join("; "))
    }
}

/// Why a command line is refused that the grammar allows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

/// The refusal of a flag that does nothing without another.
pub(super) fn useless(flag: &str, needs: &str) -> Refused {
    usage(format!("{flag} does nothing without {needs}"))
}

/// The refusal of a command line that says nothing to do, or not what.
pub(super) const fn usage(sentence: String) -> Refused {
    Refused(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, field: &'static str) -> String {
        let words = std::iter::once("chancery").chain(line.split(' '));
        let matches = Cli::command().try_get_matches_from(words).unwrap();
        Chosen::of(&matches).in_its_terms(Error::invalid(field, "is wrong").into()).to_string()
    }

    #[test]
    fn a_violation_names_what_was_typed() {
        for (line, field, name) in [
            ("client create x", "client_id", "<ID>"),
            ("client create x", "grants", "--grant"),
            ("client create x", "audiences", "--audience"),
            ("client create x", "scopes", "--scope"),
            ("client create x", "permissions", "--permission"),
            ("client create x", "roles", "--role"),
            ("client create x", "serves", "--serves"),
            ("client create x", "claims", "--claim"),
            ("client create x", "algorithm", "--alg"),
            ("client create x", "token_lifetime", "--token-lifetime"),
            ("client create x", "cors_origins", "--cors-origin"),
            ("client update x", "browser_tokens", "--browser-tokens"),
            ("client update x", "session_idle", "--session-idle"),
            ("client update x", "trusted_end_user", "--trusted-end-user"),
            ("client rotate-secret x", "overlap", "--overlap"),
            ("user create x", "name", "<NAME>"),
            ("user create x", "emails", "--email"),
            ("user create x", "attributes.limits", "--attributes: limits"),
            ("user update x", "name", "--name"),
            ("user update x", "emails", "--email"),
            ("user reset-password x --client y", "client_id", "--client"),
            ("role create x", "name", "<NAME>"),
            ("role create x", "description", "--description"),
            ("session revoke x", "session_id", "<ID>"),
            ("settings set x 1", "name", "<NAME>"),
            ("settings set x 1", "value", "<VALUE>"),
            ("keys trust x --until 2030-01-01T00:00:00Z", "until", "--until"),
            ("keys trust x --until 2030-01-01T00:00:00Z", "kid", "--kid"),
            ("keys trust x --until 2030-01-01T00:00:00Z", "alg", "--alg"),
            ("keys trust x --until 2030-01-01T00:00:00Z", "key", "<FILE>"),
            ("issuer set x", "issuer", "<URL>"),
        ] {
            assert_eq!(said(line, field), format!("{name}: is wrong"), "{line}");
        }
    }

    #[test]
    fn every_flag_in_the_table_exists() {
        for (path, flag, needs) in DEPENDENT.into_iter().chain(USELESS_BESIDE) {
            let mut command = Cli::command();
            for name in path {
                command = command.find_subcommand(name).unwrap().clone();
            }
            for id in [flag, needs] {
                assert!(command.get_arguments().any(|arg| arg.get_id() == id), "{path:?} {id}");
            }
        }
    }

    #[test]
    fn a_refusal_ends_with_the_usage_of_the_command_that_was_typed() {
        let text = |line: &str| {
            let words = std::iter::once("chancery").chain(line.split(' '));
            let matches = Cli::command().try_get_matches_from(words).unwrap();
            let chosen = Chosen::of(&matches);
            let late = || chosen.in_its_terms(useless("--this", "--that").into());
            chosen.check().map_or_else(|refused| refused.to_string(), |()| late().to_string())
        };
        for (line, says, usage) in [
            ("user update ada", "--this does nothing without --that", "Usage: chancery user update [OPTIONS] <USER>"),
            ("client create x", "--this does nothing without --that", "Usage: chancery client create [OPTIONS] <ID>"),
            (
                "guard --issuer i --audience a --no-revocations --fail-open-for 60",
                "--fail-open-for does nothing beside --no-revocations",
                "Usage: chancery guard [OPTIONS] --issuer <URL>",
            ),
            (
                "guard --issuer i --audience a --client-id c",
                "--client-id does nothing without --watch",
                "Usage: chancery guard [OPTIONS] --issuer <URL>",
            ),
        ] {
            let text = text(line);
            assert!(text.contains(says) && text.contains(usage), "{line}: {text}");
        }
    }
}
