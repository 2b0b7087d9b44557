//! Cookies that are set on the way through several pages: each page gets those of the pages before it, and the browser
//! gets them all.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

/// The cookies that were set, by name.
#[derive(Default)]
pub(super) struct Jar(Vec<(String, HeaderValue)>);

impl Jar {
    /// Keeps the cookies of an answer, and puts them into the headers of the next request.
    pub(super) fn keep(&mut self, response: &Response, next: &mut HeaderMap) {
        for set in response.headers().get_all(header::SET_COOKIE) {
            let Some((name, value)) = pair(set) else { continue };
            put(next, name, (!is_expired(set)).then_some(value));
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.to_owned(), set.clone()));
        }
    }

    /// Adds them to an answer, but for those that it sets itself.
    pub(super) fn add_to(&mut self, response: &mut Response) {
        let own = response.headers().get_all(header::SET_COOKIE).iter();
        let own: Vec<String> = own.filter_map(|set| Some(pair(set)?.0.to_owned())).collect();
        for (_, set) in self.0.drain(..).filter(|(name, _)| !own.contains(name)) {
            response.headers_mut().append(header::SET_COOKIE, set);
        }
    }
}

/// The name and the value of a cookie that is set.
fn pair(set: &HeaderValue) -> Option<(&str, &str)> {
    set.to_str().ok()?.split(';').next()?.split_once('=')
}

/// Whether a cookie is taken away.
fn is_expired(set: &HeaderValue) -> bool {
    set.to_str().is_ok_and(|text| text.split(';').any(|part| part.trim().eq_ignore_ascii_case("max-age=0")))
}

/// Replaces a cookie of a request, or takes it away. The others stay as they are, in whatever bytes.
fn put(headers: &mut HeaderMap, name: &str, value: Option<&str>) {
    let sent = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let others = sent.map(<[u8]>::trim_ascii);
    let others = others
        .filter(|cookie| !cookie.is_empty() && cookie.split(|byte| *byte == b'=').next() != Some(name.as_bytes()));
    let mut all: Vec<Vec<u8>> = others.map(<[u8]>::to_vec).collect();
    all.extend(value.map(|value| format!("{name}={value}").into_bytes()));
    headers.remove(header::COOKIE);
    if let Ok(cookies) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
        && !all.is_empty()
    {
        headers.insert(header::COOKIE, cookies);
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, response::IntoResponse};

    use super::*;

    fn answer(cookies: &[&str]) -> Response {
        let mut response = Body::empty().into_response();
        for cookie in cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        response
    }

    fn set(response: &Response) -> Vec<&str> {
        response.headers().get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn a_page_gets_the_cookies_of_the_pages_before_it_and_the_browser_the_last_of_each_name() {
        let mut next = HeaderMap::new();
        next.append(header::COOKIE, "a=1; session=old".parse().unwrap());
        next.append(header::COOKIE, "gone=x;".parse().unwrap());
        let mut jar = Jar::default();
        jar.keep(&answer(&["session=new; Path=/", "gone=; Max-Age=0; Path=/", "b=2"]), &mut next);
        assert_eq!(next.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; session=new; b=2"]);
        jar.keep(&answer(&["b=3"]), &mut next);
        assert_eq!(next[header::COOKIE], "a=1; session=new; b=3");
        let mut last = answer(&["session=; Max-Age=0"]);
        jar.add_to(&mut last);
        assert_eq!(set(&last), ["session=; Max-Age=0", "gone=; Max-Age=0; Path=/", "b=3"]);
    }

    #[test]
    fn cookies_of_the_application_stay_as_they_are() {
        let mut next = HeaderMap::new();
        next.append(header::COOKIE, HeaderValue::from_bytes("visitor=1; city=Zürich".as_bytes()).unwrap());
        Jar::default().keep(&answer(&["session=new"]), &mut next);
        assert_eq!(next[header::COOKIE].as_bytes(), "visitor=1; city=Zürich; session=new".as_bytes());
    }

    #[test]
    fn without_cookies_there_is_no_header() {
        let mut next = HeaderMap::new();
        next.insert(header::COOKIE, "a=1".parse().unwrap());
        Jar::default().keep(&answer(&["a=; Max-Age=0", "nonsense"]), &mut next);
        assert!(next.is_empty());
    }
}
