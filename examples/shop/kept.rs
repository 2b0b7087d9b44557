//! What Chancery keeps for whoever is there: a value under a name, and its version.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::chancery::Chancery;

/// How often a change is tried that another tab comes before.
const TRIES: usize = 5;
const JSON: &str = "application/json";

/// Where a value is kept, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) namespace: &'static str,
    /// `user`: it follows the person to every device. `session`: it stays with this browser.
    pub(crate) owner: &'static str,
}

/// A value as it was read.
pub(crate) struct Kept<T> {
    /// The value, or what stands for none.
    pub(crate) value: T,
    /// Its version, as an entity tag; none if there is no value.
    version: Option<HeaderValue>,
}

impl<T> Kept<T> {
    /// The version, for a page that shows the value. Empty if there is no value.
    pub(crate) fn version(&self) -> &str {
        self.version.as_ref().and_then(|version| version.to_str().ok()).unwrap_or_default()
    }
}

/// What a change led to.
pub(crate) enum Changed {
    /// It is kept. The browser gets these cookies: a guest is born with the first value.
    Kept(HeaderMap),
    /// Another request has changed it before.
    Late,
}

impl Place {
    fn path(self) -> String {
        format!("/auth/data/{}?owner={}", self.namespace, self.owner)
    }

    /// What is kept here.
    pub(crate) async fn read<T: DeserializeOwned + Default>(
        self,
        chancery: &Chancery,
        parts: &Parts,
    ) -> Result<Kept<T>, Response> {
        let answer = chancery.get(parts, &self.path()).send().await.map_err(unavailable)?;
        match answer.status() {
            StatusCode::OK => {
                let version = answer.headers().get(header::ETAG).cloned();
                // What an older shop has kept may not be readable any more.
                let text = answer.bytes().await.map_err(unavailable)?;
                let value = serde_json::from_slice(&text).unwrap_or_default();
                Ok(Kept { value, version })
            }
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => Ok(Kept { value: T::default(), version: None }),
            _ => Err(refused(answer).await),
        }
    }

    /// Replaces what was read.
    pub(crate) async fn replace<T: Serialize + Sync, U: Sync>(
        self,
        chancery: &Chancery,
        parts: &Parts,
        (read, value): (&Kept<U>, &T),
    ) -> Result<Changed, Response> {
        let json = serde_json::to_vec(value)
            .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response())?;
        let request = chancery.change(parts, Method::PUT, &self.path()).header(header::CONTENT_TYPE, JSON).body(json);
        let request = match &read.version {
            Some(version) => request.header(header::IF_MATCH, version),
            None => request.header(header::IF_NONE_MATCH, "*"),
        };
        changed(request.send().await.map_err(unavailable)?).await
    }

    /// Deletes the value where it still has this version. Of several requests that try, one succeeds.
    pub(crate) async fn delete(self, chancery: &Chancery, parts: &Parts, version: &str) -> Result<Changed, Response> {
        if version.is_empty() {
            return Ok(Changed::Late);
        }
        let request = chancery.change(parts, Method::DELETE, &self.path()).header(header::IF_MATCH, version);
        changed(request.send().await.map_err(unavailable)?).await
    }

    /// Reads, changes and replaces a value; again if another tab has changed it in between.
    pub(crate) async fn change<T: Serialize + DeserializeOwned + Default + Send + Sync>(
        self,
        chancery: &Chancery,
        parts: &Parts,
        change: impl Fn(&mut T) + Send + Sync,
    ) -> Result<HeaderMap, Response> {
        for _ in 0..TRIES {
            let mut read = self.read::<T>(chancery, parts).await?;
            change(&mut read.value);
            if let Changed::Kept(cookies) = self.replace(chancery, parts, (&read, &read.value)).await? {
                return Ok(cookies);
            }
        }
        Err((StatusCode::SERVICE_UNAVAILABLE, "Too many changes at once: please try again.").into_response())
    }
}

async fn changed(answer: reqwest::Response) -> Result<Changed, Response> {
    match answer.status() {
        StatusCode::PRECONDITION_FAILED => Ok(Changed::Late),
        status if status.is_success() => Ok(Changed::Kept(cookies(&answer))),
        _ => Err(refused(answer).await),
    }
}

fn cookies(answer: &reqwest::Response) -> HeaderMap {
    let all = answer.headers().get_all(header::SET_COOKIE).iter();
    all.map(|cookie| (header::SET_COOKIE, cookie.clone())).collect()
}

/// What Chancery says of a change that it refuses (RFC 9457). A browser without cookies has some now.
async fn refused(answer: reqwest::Response) -> Response {
    let (status, cookies) = (answer.status(), cookies(&answer));
    let problem = answer.bytes().await.ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let text = format!("{}. Please go back and try again.", detail.unwrap_or("Chancery refuses this"));
    (status, cookies, text).into_response()
}

fn unavailable(error: reqwest::Error) -> Response {
    (StatusCode::BAD_GATEWAY, format!("Chancery does not answer: {error}")).into_response()
}
