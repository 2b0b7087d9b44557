//! Fetches small documents over HTTP(S).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Certificate, Client, ClientBuilder, Identity, StatusCode, Url, header, redirect::Policy};

use super::{address::is_loopback, caching};
use crate::{
    causes::with_causes,
    tls_files::{InUse, TlsFiles, TlsPem, TlsReader},
};

/// Time limit of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no HTTPS connection can be made: {0}; is a package with CA certificates installed?")]
    NoTls(String),
    #[error("{0}")]
    Failed(String),
    #[error("unexpected HTTP status {0}")]
    Status(u16),
    #[error("redirects are not followed")]
    Redirected,
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the document is not UTF-8 text")]
    NotText,
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may contain secrets.
        Self::Failed(with_causes(&error.without_url()))
    }
}

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// `max-age` in seconds, if the response has one.
    pub(super) max_age: Option<i64>,
    /// How long the document has been in caches, in milliseconds.
    pub(super) age_ms: i64,
}

/// A client that follows no redirects: they could lead to someone else's keys or lists.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    client: Option<Client>,
    /// Uses no proxy. `None` for a client of the user's own.
    direct: Option<Client>,
    /// Why HTTPS is impossible: for one, a machine may have no CA certificates.
    no_tls: Option<String>,
    /// Certificates in files.
    files: Option<Arc<Reloaded>>,
}

/// A client with certificates in files, made anew when they have changed.
#[derive(Debug)]
struct Reloaded {
    files: TlsReader,
    current: Mutex<InUse<Client>>,
}

impl Reloaded {
    async fn client(&self) -> Client {
        let read = self.files.read().await;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.update(read, with_certificates);
        current.made().clone()
    }
}

impl HttpClient {
    pub(super) fn new() -> Self {
        Self::built_by(Client::builder)
    }

    fn built_by(builder: impl Fn() -> ClientBuilder) -> Self {
        let builder = || builder().redirect(Policy::none());
        let (client, no_tls) = match builder().build() {
            Ok(client) => (Some(client), None),
            // Plain HTTP needs no certificates.
            Err(error) => (without_certificates(builder()), Some(with_causes(&error))),
        };
        Self { client, direct: without_certificates(builder().no_proxy()), no_tls, files: None }
    }

    /// A client with the certificates in these files.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(super) fn with_files(files: &TlsFiles) -> Result<Self, String> {
        let files = TlsReader::new(files.clone());
        let pem = files.read_now().map_err(|error| error.to_string())?;
        let client = with_certificates(&pem)?;
        let reloaded = Reloaded { files, current: Mutex::new(InUse::new(pem, client)) };
        Ok(Self { no_tls: None, files: Some(Arc::new(reloaded)), ..Self::new() })
    }

    /// The client for an address. Plain HTTP is trusted on this machine because nobody can change what is sent there, so
    /// it must not go through a proxy, which may be on another one.
    fn client_for(&self, url: &Url) -> Option<&Client> {
        let is_local = url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
        self.direct.as_ref().filter(|_| is_local).or(self.client.as_ref())
    }

    /// Fetches a document of at most `limit` bytes. The limits hold for a client of the user's own too.
    pub(super) async fn get(&self, url: &Url, accept: &str, limit: usize) -> Result<Document, HttpError> {
        let no_tls = self.no_tls.as_ref().filter(|_| url.scheme() != "http" || self.client.is_none());
        if let Some(reason) = no_tls {
            return Err(HttpError::NoTls(reason.clone()));
        }
        let reloaded = match &self.files {
            Some(files) if url.scheme() == "https" => Some(files.client().await),
            _ => None,
        };
        let Some(client) = reloaded.as_ref().or_else(|| self.client_for(url)) else {
            return Err(HttpError::NoTls(String::new()));
        };
        let request = client.get(url.clone()).timeout(FETCH_TIMEOUT).header(header::ACCEPT, accept);
        let mut response = request.send().await?;
        // A client of the user's own may follow redirects.
        if response.url() != url {
            return Err(HttpError::Redirected);
        }
        if response.status() != StatusCode::OK {
            return Err(HttpError::Status(response.status().as_u16()));
        }
        let lines = |name| response.headers().get_all(name).iter().map(header::HeaderValue::as_bytes);
        let max_age = caching::max_age(lines(header::CACHE_CONTROL));
        let age_ms = caching::age(lines(header::AGE)).saturating_mul(1000);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, max_age, age_ms })
    }
}

impl From<Client> for HttpClient {
    fn from(client: Client) -> Self {
        Self { client: Some(client), direct: None, no_tls: None, files: None }
    }
}

fn with_certificates(pem: &TlsPem) -> Result<Client, String> {
    let mut builder = Client::builder().redirect(Policy::none());
    if let Some(ca) = &pem.ca {
        let all = Certificate::from_pem_bundle(ca).map_err(|error| with_causes(&error))?;
        if all.is_empty() {
            return Err("there is no certificate in the file with authorities".to_owned());
        }
        builder = builder.tls_certs_only(all);
    }
    if let Some((cert, key)) = &pem.client {
        let both = [cert.as_slice(), b"\n", key].concat();
        builder = builder.identity(Identity::from_pem(&both).map_err(|error| with_causes(&error))?);
    }
    builder.build().map_err(|error| with_causes(&error))
}

fn without_certificates(builder: ClientBuilder) -> Option<Client> {
    builder.tls_certs_only([]).build().ok()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers every request with a text, and returns its address.
    async fn start_server(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
                let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
            }
        });
        address
    }

    async fn read(client: &HttpClient, url: &str) -> String {
        let read = client.get(&url.parse().unwrap(), "*/*", 1024).await.unwrap();
        String::from_utf8(read.body).unwrap()
    }

    #[tokio::test]
    async fn plain_http_on_this_machine_never_goes_through_a_proxy() {
        let (issuer, proxy) = (start_server("issuer").await, start_server("proxy").await);
        let through = || Client::builder().proxy(reqwest::Proxy::all(format!("http://{proxy}")).unwrap());
        let client = HttpClient::built_by(through);
        let port = issuer.rsplit(':').next().unwrap();
        for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
            assert_eq!(read(&client, &format!("http://{host}:{port}/keys")).await, "issuer", "{host}");
        }
        assert_eq!(read(&client, "http://id.example.com/keys").await, "proxy", "the proxy is for other machines");
        let given = HttpClient::from(through().build().unwrap());
        assert_eq!(
            read(&given, &format!("http://{issuer}/keys")).await,
            "proxy",
            "a client of one's own decides itself"
        );
    }
}
