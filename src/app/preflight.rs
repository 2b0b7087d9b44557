//! What a server refuses before it changes anything. `serve` and `config check` share this, so that they agree.

use std::{
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::Path,
};

use super::{
    config::{App, Config, Database, Draft, Examined},
    data_dir,
    database::companion_problem,
    declared::{Declaration, check_alone},
    first_start::Found,
    machine::Machine,
    sealing_file,
};
use crate::store::Location;

/// What the command line of `serve` says besides the settings.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct ServeOptions {
    /// Whether this is the demo.
    pub dev: bool,
    /// Whether it makes a certificate for its listeners.
    pub tls: bool,
    /// Whether it may listen beyond loopback.
    pub dev_anywhere: bool,
    /// Whether to migrate an older PostgreSQL schema.
    pub migrate: bool,
    /// Whether to make the sealing key of an empty PostgreSQL database.
    pub create_sealing_key: bool,
    /// The application that a demo stands in front of.
    pub app: Option<String>,
    /// Where it does.
    pub app_listen: Option<SocketAddr>,
}

/// The configuration of a server on this machine, and what its database is to have. Opens no database and no listener, and writes nothing.
///
/// # Errors
/// Every problem, each as a sentence for the operator.
pub fn server_config(
    mut draft: Draft,
    options: ServeOptions,
    machine: Machine,
) -> Result<(Config, Option<Declaration>), Vec<String>> {
    if options.dev_anywhere {
        draft.let_demo_listen_anywhere();
    }
    let Examined { mut config, mut problems, database_is_readable } = draft.examine_server(options.dev, machine);
    problems.extend(dev_tls(&mut config, &options));
    if options.dev_anywhere && !options.dev {
        problems.push("--dev-anywhere is for a demo (--dev)".to_owned());
    }
    config.migrate = options.migrate;
    config.create_sealing_key = options.create_sealing_key;
    config.app = App::read(options.app.as_deref(), options.app_listen, &mut problems);
    let mut apply = None;
    if let Some(path) = &config.apply {
        match declaration(path, config.listen.issuer.as_deref()) {
            Ok(read) => apply = Some(read),
            Err(found) => problems.extend(found),
        }
    }
    // Without its settings, the checks would be about a database that nobody named.
    if database_is_readable {
        problems.extend(database_problems(&mut config.database, options.create_sealing_key));
    }
    if problems.is_empty() { Ok((config, apply)) } else { Err(problems) }
}

/// A file of declarations, as far as it can be checked without the database.
fn declaration(path: &Path, issuer: Option<&str>) -> Result<Declaration, Vec<String>> {
    let declaration = Declaration::read(path)?;
    check_alone(&declaration, issuer).map(|()| declaration)
}

/// Turns on TLS with a certificate of the demo's own. Returns why that cannot be.
fn dev_tls(config: &mut Config, options: &ServeOptions) -> Option<String> {
    if !options.tls {
        return None;
    }
    if !options.dev {
        return Some(
            "--tls makes the certificate of a demo (--dev); a server needs --tls-cert and --tls-key".to_owned(),
        );
    }
    if !config.tls.is_off() {
        return Some("--tls makes a certificate, and has no effect beside a certificate that is given".to_owned());
    }
    if config.listen.issuer.as_ref().is_some_and(|issuer| issuer.starts_with("http://")) {
        return Some("--tls needs an issuer that begins with https://".to_owned());
    }
    (config.dev_tls, config.listen.https) = (true, true);
    None
}

fn database_problems(database: &mut Database, create_sealing_key: bool) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(create_sealing_key.then(|| idle_flag(database)).flatten());
    let directory = database.needs_directory().then(|| data_dir::problem(&database.data_dir)).flatten();
    let usable = directory.is_none();
    problems.extend(directory);
    match sealing_file::read_once(database) {
        Err(error) => problems.push(format!("{error:#}")),
        Ok(false) if !create_sealing_key => problems.extend(sealing_file::needed(database)),
        Ok(_) => {}
    }
    match &database.location {
        Location::Sqlite(path) => {
            problems.extend(sqlite_problem(path, &database.data_dir).or_else(|| companion_problem(path)));
        }
        Location::Postgres(_) => {}
    }
    if usable {
        match Found::look(database) {
            Ok(found) if found.lacks_key(database) => problems.push(sealing_file::missing(database, false)),
            Ok(_) => {}
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    problems
}

/// Why --create-sealing-key does nothing, if it does nothing.
fn idle_flag(database: &Database) -> Option<String> {
    if let Location::Sqlite(_) = database.location {
        let why = "--create-sealing-key has no effect on SQLite, whose first start makes the key anyway";
        return Some(why.to_owned());
    }
    database.names_its_key().then(|| {
        format!(
            "--create-sealing-key makes sealing.key in the data directory, and has no effect beside the key in {}",
            sealing_file::whereabouts(database)
        )
    })
}

/// What is wrong with the place of an SQLite database.
fn sqlite_problem(path: &Path, data_dir: &Path) -> Option<String> {
    let cannot = |error: io::Error| Some(format!("cannot open the database {}: {error}", path.display()));
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        // The data directory is made where it is missing, and has been looked at.
        Err(e) if e.kind() == io::ErrorKind::NotFound && parent == data_dir => return None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return data_dir::may_write(parent).err().and_then(cannot);
        }
        Err(error) => return cannot(error),
    };
    let mut start = Vec::new();
    match file.take(16).read_to_end(&mut start) {
        Err(error) => cannot(error),
        Ok(length) if length > 0 && start != b"SQLite format 3\0" => {
            Some(format!("cannot open the database {}: the file is not a database of SQLite's", path.display()))
        }
        Ok(_) => None,
    }
}
