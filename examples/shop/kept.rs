//! What Chancery keeps for whoever is there: a value under a name, and its version.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::chancery::{Chancery, take_cookies};

/// How often a change is tried that another tab comes before.
const TRIES: u32 = 12;
/// Maximum pause after the first try, in milliseconds. It doubles with each further one,
const FIRST_PAUSE: u64 = 16;
/// up to this.
const LONGEST_PAUSE: u64 = 500;
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
#[derive(Default)]
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
    /// Another request has changed it before. If it has made a guest, the browser becomes this guest's with these cookies.
    Late(HeaderMap),
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
            return Ok(Changed::Late(HeaderMap::new()));
        }
        let request = chancery.change(parts, Method::DELETE, &self.path()).header(header::IF_MATCH, version);
        changed(request.send().await.map_err(unavailable)?).await
    }

    /// Reads, changes and replaces a value; again if another tab has changed it in between, and with the cookies that the
    /// browser gets by it. Returns all of them.
    pub(crate) async fn change<T: Serialize + DeserializeOwned + Default + Send + Sync>(
        self,
        chancery: &Chancery,
        parts: &Parts,
        change: impl Fn(&mut T) + Send + Sync,
    ) -> Result<HeaderMap, Response> {
        let (mut parts, mut cookies) = (parts.clone(), HeaderMap::new());
        for tries in 0..TRIES {
            match self.change_once(chancery, &parts, &change).await {
                Ok(Changed::Kept(set)) => {
                    cookies.extend(set_cookies(&set));
                    return Ok(cookies);
                }
                Ok(Changed::Late(set)) => {
                    cookies.extend(set_cookies(&set));
                    take_cookies(&mut parts.headers, &set);
                    pause(tries).await;
                }
                Err(answer) => {
                    cookies.extend(set_cookies(answer.headers()));
                    return Err((cookies, answer).into_response());
                }
            }
        }
        let text = "Too many changes at once: please try again.";
        Err((StatusCode::SERVICE_UNAVAILABLE, cookies, text).into_response())
    }

    async fn change_once<T: Serialize + DeserializeOwned + Default + Send + Sync>(
        self,
        chancery: &Chancery,
        parts: &Parts,
        change: &(impl Fn(&mut T) + Send + Sync),
    ) -> Result<Changed, Response> {
        let mut read = self.read::<T>(chancery, parts).await?;
        change(&mut read.value);
        self.replace(chancery, parts, (&read, &read.value)).await
    }
}

/// Those who have met wait for different times, so that they do not meet again.
#[expect(clippy::disallowed_methods, reason = "a request of an example; what waits is bounded by TRIES")]
async fn pause(tries: u32) {
    let longest = (FIRST_PAUSE << tries).min(LONGEST_PAUSE);
    let random = RandomState::new().hash_one(tries) % longest;
    tokio::time::sleep(Duration::from_millis(random)).await;
}

async fn changed(answer: reqwest::Response) -> Result<Changed, Response> {
    let cookies = set_cookies(answer.headers()).collect();
    match answer.status() {
        StatusCode::PRECONDITION_FAILED => Ok(Changed::Late(cookies)),
        status if status.is_success() => Ok(Changed::Kept(cookies)),
        _ => Err(refused(answer).await),
    }
}

fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.get_all(header::SET_COOKIE).iter().map(|cookie| (header::SET_COOKIE, cookie.clone()))
}

/// What Chancery says of a change that it refuses (RFC 9457). A browser without cookies has some now.
async fn refused(answer: reqwest::Response) -> Response {
    let (status, cookies) = (answer.status(), set_cookies(answer.headers()).collect::<HeaderMap>());
    let problem = answer.bytes().await.ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let text = format!("{}. Please go back and try again.", detail.unwrap_or("Chancery refuses this"));
    (status, cookies, text).into_response()
}

fn unavailable(error: reqwest::Error) -> Response {
    (StatusCode::BAD_GATEWAY, format!("Chancery does not answer: {error}")).into_response()
}
