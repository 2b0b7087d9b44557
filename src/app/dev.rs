//! The demo of `serve --dev`: a user, an application and a service with known secrets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use chancery_guard::listener::Tls;
use serde_json::Map;
use tokio::net::TcpListener;

use super::{
    certificates::Certificates,
    config::{Config, Listen, PerListener},
    dev_certificate::DevCertificate,
    listeners::Listeners,
    output::quoted,
};
use crate::{
    domain::client::Grant,
    error::{Error, Result},
    secret::{ClientSecret, Password},
    service::{Admin, ClientPatch, NewClientRequest, NewUserRequest, Service},
    web::{DemoSecrets, DevHints},
};

/// The demo user.
const USER: &str = "ada";
/// The demo user's password, fixed so that the README can print it.
pub(super) const PASSWORD: &str = "correct horse battery staple";
/// The demo service's secret, fixed for the same reason.
pub(super) const SECRET: &str = "demo-service-secret-known-to-everybody";

/// The demo's application.
const APP: &str = "demo-app";
/// What the application may do; an older demo's may not have guests.
const GRANTS: [&str; 3] = ["direct_login", "refresh_token", "guest"];
const OLDER_GRANTS: [Grant; 2] = [Grant::DirectLogin, Grant::RefreshToken];
/// Where the development server of Vite has pages that call the demo.
const PAGES: [&str; 2] = ["http://localhost:5173", "http://127.0.0.1:5173"];
/// The port of localhost at which `serve --dev --app URL` serves it.
const SITE_PORT: u16 = 8000;

/// Creates whatever is missing from the demo. The application that it stands in front of, if any, is at this port of
/// localhost.
pub(super) async fn set_up(service: &Service, app_port: Option<u16>) -> Result<()> {
    let issuer = service.issuer().to_owned();
    let text = str::to_owned;
    let user = NewUserRequest {
        name: text(USER),
        emails: vec![text("ada@example.com")],
        subject: None,
        password: Some(Password::new(text(PASSWORD))),
        attributes: Map::new(),
        ..NewUserRequest::default()
    };
    if let Err(Error::NotFound(..)) = service.users.get(&Admin::command(), "ada").await {
        ignore_existing(service.users.create(&Admin::command(), user).await.map(|_| ()))?;
    }
    let app = NewClientRequest {
        id: text(APP),
        public: true,
        first_party: true,
        grants: GRANTS.map(text).to_vec(),
        audiences: vec![text("demo-api"), issuer.clone()],
        scopes: vec![text("orders.read"), text("orders.write")],
        registration: true,
        site: site_at(app_port.unwrap_or(SITE_PORT)),
        browser_tokens: true,
        cors_origins: PAGES.map(text).to_vec(),
        ..NewClientRequest::default()
    };
    let worker = NewClientRequest {
        id: text("demo-service"),
        audiences: vec![text("demo-api"), issuer],
        permissions: vec![text("revocations.read")],
        scopes: vec![text("orders.read")],
        secret: Some(ClientSecret::new(text(SECRET))),
        ..NewClientRequest::default()
    };
    for client in [app, worker] {
        if service.clients.get(&Admin::command(), &client.id).is_err() {
            ignore_existing(service.clients.create(&Admin::command(), client).await.map(|_| ()))?;
        }
    }
    ensure_guests(service).await?;
    ensure_site(service, app_port).await
}

/// Makes sure that the application may have guests, unless it was given other grants on purpose.
async fn ensure_guests(service: &Service) -> Result<()> {
    let admin = Admin::command();
    if !service.clients.get(&admin, APP).is_ok_and(|client| client.config.grants == OLDER_GRANTS) {
        return Ok(());
    }
    let patch = ClientPatch { grants: Some(GRANTS.map(str::to_owned).to_vec()), ..ClientPatch::default() };
    match service.clients.update(&admin, APP, &patch, None).await {
        // It was deleted meanwhile.
        Err(Error::NotFound(..)) => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Makes sure that a client has the site at which the application is found; an older demo's has none.
async fn ensure_site(service: &Service, app_port: Option<u16>) -> Result<()> {
    let admin = Admin::command();
    let has_site = service.clients.get(&admin, APP).is_ok_and(|client| client.config.site.is_some());
    let port = match app_port {
        None if has_site => return Ok(()),
        other => other.unwrap_or(SITE_PORT),
    };
    service.live.confirm().await?;
    if service.live.snapshot().site_of("http", &format!("localhost:{port}")).is_some() {
        return Ok(());
    }
    let patch = ClientPatch { site: Some(site_at(port)), ..ClientPatch::default() };
    match service.clients.update(&admin, APP, &patch, None).await {
        // It was deleted, or a disabled client has the site: the operator wants it that way.
        Err(Error::NotFound(..) | Error::Invalid(_)) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn site_at(port: u16) -> String {
    format!("http://localhost:{port}/auth")
}

/// Where browsers find the issuer's own pages. Those of a demo that is reached from elsewhere are at this machine's name:
/// browsers allow cookies and passkeys without TLS nowhere else.
pub(super) fn own_origin(config: &Config, issuer: &str) -> String {
    let http = config.listen.http;
    let elsewhere = config.dev && !http.ip().is_loopback() && !config.listen.https;
    if elsewhere { format!("http://localhost:{}", http.port()) } else { issuer.to_owned() }
}

/// Says to everybody who starts it what a demo beyond loopback is.
pub(super) fn warn_of_others(config: &Config) {
    let Listen { grpc, http, telemetry, .. } = config.listen;
    if config.dev && [grpc, http, telemetry].iter().any(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            %grpc, %http,
            "THIS DEMO LISTENS BEYOND THIS MACHINE, AND EVERYBODY KNOWS ITS PASSWORDS: whoever reaches it can sign in, \
             read every mail it keeps, and make tokens for its audiences. It is for containers and networks of your own"
        );
    }
}

/// Ignores things that already exist: another process may have set up the demo in the meantime.
fn ignore_existing(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Exists(..)) => Ok(()),
        other => other,
    }
}

/// What the page of calls puts into its lines.
pub(super) fn secrets(hints: Option<&DevHints>) -> DemoSecrets {
    let (username, password) = (USER.to_owned(), PASSWORD.to_owned());
    let curl = hints.map_or_else(|| Reach::Plain.curl(), |hints| hints.curl.clone());
    DemoSecrets { curl, username, password, app: APP, service: "demo-service", secret: SECRET }
}

/// How clients on this machine reach a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Without TLS.
    Plain,
    /// By TLS. They trust what is in the file, if one is named, and else what the system trusts.
    Tls(Option<PathBuf>),
}

impl Reach {
    /// How each listener is reached, with the certificate that was made for a demo, if one was.
    pub(super) fn all(certificates: &Certificates, made: Option<&DevCertificate>, shared: bool) -> PerListener<Self> {
        let all = certificates.clone().map(|tls| tls.map_or(Self::Plain, |tls| Self::by_tls(&tls, made)));
        if shared { PerListener { grpc: all.http.clone(), ..all } } else { all }
    }

    fn by_tls(tls: &Tls, made: Option<&DevCertificate>) -> Self {
        // A certificate of an authority that is not in its file is for clients that trust the authority already.
        let given = || tls.includes_root().then(|| tls.files().cert.clone());
        Self::Tls(made.map(|made| made.ca.clone()).or_else(given))
    }

    /// A program, with the flags by which it trusts the listener.
    fn program(&self, name: &str, without_tls: &str, authority: &str) -> String {
        match self {
            Self::Plain => format!("{name}{without_tls}"),
            Self::Tls(None) => name.to_owned(),
            Self::Tls(Some(file)) => format!("{name} {authority} {}", word(file)),
        }
    }

    fn grpcurl(&self) -> String {
        self.program("grpcurl", " -plaintext", "-cacert")
    }

    fn curl(&self) -> String {
        self.program("curl", "", "--cacert")
    }

    fn url(&self, address: SocketAddr) -> String {
        let scheme = if *self == Self::Plain { "http" } else { "https" };
        format!("{scheme}://{address}")
    }
}

/// A path as a word for a shell.
fn word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { path } else { quoted(&path) }
}

/// What the demo's own page tells people to try.
pub(super) fn hints(listeners: &Listeners, reach: &PerListener<Reach>) -> anyhow::Result<DevHints> {
    let check = listeners.check.as_ref().map(TcpListener::local_addr).transpose()?;
    Ok(DevHints {
        grpcurl: reach.grpc.grpcurl(),
        curl: reach.http.curl(),
        grpc: listeners.grpc_address()?.to_string(),
        check: check.map(|address| format!("{} -i {}", reach.check.curl(), reach.check.url(address))),
        app: listeners.app_port()?.map(|port| format!("http://localhost:{port}/")),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    })
}

/// Commands to try.
pub(super) fn lines_to_try(
    grpc: SocketAddr,
    http: SocketAddr,
    app_port: Option<u16>,
    reach: &PerListener<Reach>,
) -> String {
    // A listener on every address is found on this machine too.
    let found = |mut address: SocketAddr| {
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    };
    let (grpc, http) = (found(grpc), reach.http.url(found(http)));
    let (grpcurl, curl) = (reach.grpc.grpcurl(), reach.http.curl());
    let app = app_port.map(|port| format!(" and http://localhost:{port}/")).unwrap_or_default();
    format!(
        "\nThis is a demo: everybody knows its passwords. Try, in another terminal:\n\n  \
         {grpcurl} -d @ {grpc} chancery.v1.AuthService/Login <<'EOF'\n  \
         {{\"client_id\": \"demo-app\", \"login\": \"ada\", \"password\": \"{PASSWORD}\"}}\n  EOF\n\n  \
         {curl} -s {http}/.well-known/jwks.json\n\n\
         In a browser: {http}/{app}\n\
         What can be called by curl: {http}/dev/api\n\
         Mails are kept instead of sent, without --mail-smtp: {http}/dev/mail\n\
         The service demo-service has the secret {SECRET}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chancery_guard::listener::Protocol;

    use super::*;
    use crate::time::Timestamp;

    fn everywhere(reach: &Reach) -> PerListener<Reach> {
        PerListener::default().map(|()| reach.clone())
    }

    #[test]
    fn the_lines_to_try_trust_what_each_listener_has() {
        let [grpc, http] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let file = |path: &str| everywhere(&Reach::Tls(Some(path.into())));
        let mixed = PerListener { http: Reach::Plain, ..file("dir/ca.pem") };
        for (reach, lines) in [
            (
                everywhere(&Reach::Plain),
                ["grpcurl -plaintext -d @", "curl -s http://127.0.0.1:2/.well", ": http://127.0.0.1:2/dev/mail"],
            ),
            (
                file("dir/ca.pem"),
                [
                    "grpcurl -cacert dir/ca.pem -d @",
                    "curl --cacert dir/ca.pem -s https://",
                    ": https://127.0.0.1:2/dev/mail",
                ],
            ),
            (
                file("my dir/ca"),
                ["grpcurl -cacert 'my dir/ca' -d @", "curl --cacert 'my dir/ca' -s https://", ": https://"],
            ),
            (everywhere(&Reach::Tls(None)), ["grpcurl -d @", "curl -s https://", ": https://127.0.0.1:2/dev/mail"]),
            (mixed, ["grpcurl -cacert dir/ca.pem -d @", "curl -s http://", ": http://127.0.0.1:2/dev/mail"]),
        ] {
            let printed = lines_to_try(grpc, http, None, &reach);
            for line in lines {
                assert!(printed.contains(line), "{line} in {printed}");
            }
        }
    }

    #[test]
    fn a_certificate_of_an_authority_that_is_not_in_its_file_needs_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let made = DevCertificate::ensure(dir.path(), None, Timestamp::from_millis(1_800_000_000_000)).unwrap();
        let reach = |trusted| {
            let http = Tls::load(made.files.clone(), Protocol::Http).unwrap();
            Reach::all(&Certificates { http: Some(http), ..Certificates::default() }, trusted, true)
        };
        let (cert, ca) = (dir.path().join("tls-cert.pem"), dir.path().join("tls-ca.pem"));
        assert_eq!((reach(None).grpc, reach(None).check), (Reach::Tls(None), Reach::Plain));
        assert_eq!(reach(Some(&made)).grpc, Reach::Tls(Some(ca.clone())));
        let whole = [fs::read(&cert).unwrap(), fs::read(&ca).unwrap()].concat();
        fs::write(&cert, whole).unwrap();
        assert_eq!(reach(None).http, Reach::Tls(Some(cert)));
    }
}
