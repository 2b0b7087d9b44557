//! The certificates of the listeners.

use std::path::PathBuf;

use chancery_guard::listener::{Protocol, Tls as Loaded, TlsFiles};

use super::{
    setting::{Setting, section},
    value::FileOrNone,
};

section! {
    /// TLS
    TlsDraft;
    /// Certificate of all listeners (PEM), followed by those that lead to its authority; read again when it changes
    tls_cert: PathBuf as "FILE";
    /// Its private key (PEM)
    tls_key: PathBuf as "FILE";
    /// Authorities (PEM) one of which must have issued the certificate of each client
    tls_client_ca: PathBuf as "FILE";
    /// Certificate of the gRPC listener, in place of `tls_cert`; `none` for no TLS there
    grpc_tls_cert: FileOrNone as "FILE";
    /// Its private key
    grpc_tls_key: PathBuf as "FILE";
    /// Authorities of the gRPC listener's clients, in place of `tls_client_ca`; `none` to ask for no certificate
    grpc_tls_client_ca: FileOrNone as "FILE";
    /// Certificate of the HTTP listener, in place of `tls_cert`; `none` for no TLS there
    http_tls_cert: FileOrNone as "FILE";
    /// Its private key
    http_tls_key: PathBuf as "FILE";
    /// Authorities of the HTTP listener's clients, in place of `tls_client_ca`; `none` to ask for no certificate
    http_tls_client_ca: FileOrNone as "FILE";
    /// Certificate of the check, in place of `tls_cert`; `none` for no TLS there
    check_tls_cert: FileOrNone as "FILE";
    /// Its private key
    check_tls_key: PathBuf as "FILE";
    /// Authorities of the check's clients, in place of `tls_client_ca`; `none` to ask for no certificate
    check_tls_client_ca: FileOrNone as "FILE";
    /// Certificate of the telemetry listener, in place of `tls_cert`; `none` for no TLS there
    telemetry_tls_cert: FileOrNone as "FILE";
    /// Its private key
    telemetry_tls_key: PathBuf as "FILE";
    /// Authorities of the telemetry listener's clients, in place of `tls_client_ca`; `none` to ask for no certificate
    telemetry_tls_client_ca: FileOrNone as "FILE";
}

/// Something of each listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerListener<T> {
    /// Of the gRPC listener.
    pub grpc: T,
    /// Of the HTTP listener.
    pub http: T,
    /// Of the check.
    pub check: T,
    /// Of the telemetry listener.
    pub telemetry: T,
}

/// The files of each listener with TLS.
pub type Tls = PerListener<Option<TlsFiles>>;

impl<T> PerListener<T> {
    /// Makes something of each.
    pub(in crate::app) fn map<U>(self, mut make: impl FnMut(T) -> U) -> PerListener<U> {
        let Self { grpc, http, check, telemetry } = self;
        PerListener { grpc: make(grpc), http: make(http), check: make(check), telemetry: make(telemetry) }
    }

    /// Each with the name of its listener.
    fn all(&self) -> [(&'static str, &T); 4] {
        let Self { grpc, http, check, telemetry } = self;
        [("grpc", grpc), ("http", http), ("check", check), ("telemetry", telemetry)]
    }
}

impl<T> PerListener<Option<T>> {
    /// Those that there are, each with the name of its listener.
    pub(in crate::app) fn named(&self) -> impl Iterator<Item = (&'static str, &T)> {
        self.all().into_iter().filter_map(|(name, one)| Some((name, one.as_ref()?)))
    }
}

impl Tls {
    /// The same files for every listener.
    pub(in crate::app) fn everywhere(files: &TlsFiles) -> Self {
        PerListener::default().map(|()| Some(files.clone()))
    }

    /// Whether no listener has any.
    pub(in crate::app) fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

/// The settings of one listener.
struct Own<'a> {
    cert: &'a Setting<FileOrNone>,
    key: &'a Setting<PathBuf>,
    client_ca: &'a Setting<FileOrNone>,
}

impl TlsDraft {
    /// Finds out which listener has which files, and collects all problems. Reads the files if this process `serves`.
    pub(super) fn check(&self, serves: bool, problems: &mut Vec<String>) -> Tls {
        let before = problems.len();
        pair((&self.tls_cert, self.tls_cert.is_set()), (&self.tls_key, self.tls_key.is_set()), problems);
        let any_cert = self.tls_cert.is_set() || self.own().all().iter().any(|(_, own)| own.cert.is_set());
        let tls = self.own().map(|own| self.files(&own, problems));
        if self.tls_client_ca.is_set() && !any_cert {
            problems.push(self.tls_client_ca.problem("has no effect without a certificate (tls_cert)"));
        }
        if serves && problems.len() == before {
            problems.extend(tls.unusable());
        }
        tls
    }

    /// What is wrong with settings of a check that is off.
    pub(super) fn idle_check(&self) -> Option<String> {
        let why = "has no effect without a listener of the check (check)";
        let cert = self.check_tls_cert.is_set().then(|| self.check_tls_cert.problem(why));
        cert.or_else(|| self.check_tls_client_ca.is_set().then(|| self.check_tls_client_ca.problem(why)))
    }

    fn own(&self) -> PerListener<Own<'_>> {
        PerListener {
            grpc: Own { cert: &self.grpc_tls_cert, key: &self.grpc_tls_key, client_ca: &self.grpc_tls_client_ca },
            http: Own { cert: &self.http_tls_cert, key: &self.http_tls_key, client_ca: &self.http_tls_client_ca },
            check: Own { cert: &self.check_tls_cert, key: &self.check_tls_key, client_ca: &self.check_tls_client_ca },
            telemetry: Own {
                cert: &self.telemetry_tls_cert,
                key: &self.telemetry_tls_key,
                client_ca: &self.telemetry_tls_client_ca,
            },
        }
    }

    /// The files of a listener, if it has TLS.
    fn files(&self, own: &Own<'_>, problems: &mut Vec<String>) -> Option<TlsFiles> {
        let pair_of_its_own = match own.cert.get() {
            Some(FileOrNone::None) => {
                problems.extend(own.key.is_set().then(|| own.key.problem("has no effect without a certificate")));
                let asks = own.client_ca.get().is_some_and(|ca| ca.file().is_some());
                problems.extend(asks.then(|| own.client_ca.problem("has no effect without a certificate")));
                return None;
            }
            Some(FileOrNone::File(_)) => true,
            None => own.key.is_set(),
        };
        let (cert, key) = if pair_of_its_own {
            pair((own.cert, own.cert.is_set()), (own.key, own.key.is_set()), problems);
            (own.cert.get().and_then(FileOrNone::file), own.key.get())
        } else {
            (self.tls_cert.get(), self.tls_key.get())
        };
        let Some((cert, key)) = cert.zip(key) else {
            let alone = own.client_ca.is_set() && !pair_of_its_own && !self.tls_cert.is_set();
            problems.extend(alone.then(|| own.client_ca.problem("has no effect without a certificate")));
            return None;
        };
        let client_ca = match own.client_ca.get() {
            Some(own) => own.file(),
            None => self.tls_client_ca.get(),
        };
        Some(TlsFiles { cert: cert.clone(), key: key.clone(), client_ca: client_ca.cloned() })
    }
}

impl Tls {
    /// What is wrong with the files, each once.
    fn unusable(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut problems = Vec::new();
        for (_, files) in self.named() {
            if seen.contains(&files) {
                continue;
            }
            seen.push(files);
            problems.extend(Loaded::load(files.clone(), Protocol::Http).err().map(|error| format!("TLS: {error}")));
        }
        problems.dedup();
        problems
    }
}

/// A certificate and a key belong together.
fn pair<C, K>(cert: (&Setting<C>, bool), key: (&Setting<K>, bool), problems: &mut Vec<String>) {
    match (cert, key) {
        ((cert, true), (key, false)) => {
            problems.push(cert.problem(format_args!("needs {}, the file with its private key", cert.names(key))));
        }
        ((cert, false), (key, true)) => {
            problems.push(key.problem(format_args!("needs {}, the file with its certificate", key.names(cert))));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{config::Draft, machine::Machine};

    fn tls(set: &[(&str, &str)]) -> Result<Tls, Vec<String>> {
        let mut draft = Draft::default();
        draft.read_variables(set.iter().map(|(name, value)| (format!("CHANCERY_{name}").into(), (*value).into())));
        let mut problems = std::mem::take(&mut draft.problems);
        let tls = draft.tls.check(false, &mut problems);
        if problems.is_empty() { Ok(tls) } else { Err(problems) }
    }

    fn files(cert: &str, key: &str, client_ca: Option<&str>) -> TlsFiles {
        TlsFiles { cert: cert.into(), key: key.into(), client_ca: client_ca.map(Into::into) }
    }

    #[test]
    fn each_listener_has_the_files_of_all_unless_it_has_its_own_or_none() {
        let all = [("TLS_CERT", "c"), ("TLS_KEY", "k"), ("TLS_CLIENT_CA", "a")];
        assert_eq!(tls(&[]).unwrap(), Tls::default());
        assert_eq!(tls(&all).unwrap(), Tls::everywhere(&files("c", "k", Some("a"))));
        let own = [("GRPC_TLS_CERT", "c2"), ("GRPC_TLS_KEY", "k2"), ("HTTP_TLS_CLIENT_CA", "none")];
        let some = [all.as_slice(), &own, &[("TELEMETRY_TLS_CERT", "none"), ("CHECK_TLS_CLIENT_CA", "a3")]].concat();
        let Tls { grpc, http, check, telemetry } = tls(&some).unwrap();
        assert_eq!((grpc, http), (Some(files("c2", "k2", Some("a"))), Some(files("c", "k", None))));
        assert_eq!((check, telemetry), (Some(files("c", "k", Some("a3"))), None));
        let alone = tls(&[("CHECK_TLS_CERT", "c"), ("CHECK_TLS_KEY", "k")]).unwrap();
        assert_eq!(alone, Tls { check: Some(files("c", "k", None)), ..Tls::default() });
    }

    #[test]
    fn what_has_no_effect_or_lacks_its_other_half_is_refused() {
        for (set, says) in [
            (&[("TLS_CERT", "c")][..], "CHANCERY_TLS_CERT: needs CHANCERY_TLS_KEY, the file with its private key"),
            (&[("TLS_KEY", "k")], "CHANCERY_TLS_KEY: needs CHANCERY_TLS_CERT, the file with its certificate"),
            (&[("GRPC_TLS_CERT", "c")], "CHANCERY_GRPC_TLS_CERT: needs CHANCERY_GRPC_TLS_KEY"),
            (&[("HTTP_TLS_KEY", "k")], "CHANCERY_HTTP_TLS_KEY: needs CHANCERY_HTTP_TLS_CERT"),
            (&[("TLS_CLIENT_CA", "a")], "CHANCERY_TLS_CLIENT_CA: has no effect without a certificate"),
            (&[("CHECK_TLS_CLIENT_CA", "a")], "CHANCERY_CHECK_TLS_CLIENT_CA: has no effect without a certificate"),
            (&[("GRPC_TLS_CERT", "none"), ("GRPC_TLS_CLIENT_CA", "a")], "CHANCERY_GRPC_TLS_CLIENT_CA: has no effect"),
            (&[("CHECK_TLS_CERT", "none"), ("CHECK_TLS_KEY", "k")], "CHANCERY_CHECK_TLS_KEY: has no effect without"),
        ] {
            let problems = tls(set).unwrap_err();
            assert!(problems.len() == 1 && problems.iter().all(|p| p.starts_with(says)), "{set:?}: {problems:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_once_and_only_where_they_are_used() {
        let mut draft = Draft::default();
        let set = [("CHANCERY_TLS_CERT", "/nowhere/c"), ("CHANCERY_TLS_KEY", "/nowhere/k")];
        draft.read_variables(set.map(|(name, value)| (name.into(), value.into())));
        let machine = Machine { cores: 1, memory: None, open_files: None };
        let problems = draft.for_server(false, machine).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems.concat().starts_with("TLS: cannot read /nowhere/c: "), "{problems:?}");
    }
}
