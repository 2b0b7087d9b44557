//! Forms, as browsers send them without scripts, `application/x-www-form-urlencoded`, or as scripts do, in JSON, and nothing
//! else. `text/plain` and `multipart/form-data` are what another site's form could send without asking, too.

mod json;

use std::fmt;

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use crate::{
    secret::{Password, TypedCode},
    time::Ttl,
};

/// The largest form.
pub const MAX_BODY: usize = 64 * 1024;
/// The most fields.
pub const MAX_FIELDS: usize = 64;
/// The longest name of a field.
const MAX_NAME: usize = 64;
/// How long a form may take to arrive.
const MAX_WAIT: Ttl = Ttl::from_secs(30);

/// Why a body is no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It has another type.
    #[error("the form must be sent as application/x-www-form-urlencoded or application/json")]
    OtherType,
    /// It is too large.
    #[error("the form is larger than 64 KiB")]
    TooLarge,
    /// It has too many fields.
    #[error("the form has more than 64 fields")]
    TooManyFields,
    /// The name of a field is no name.
    #[error("the form has a field whose name is longer than 64 bytes, or no text in UTF-8")]
    Name,
    /// A field stands there twice, so that it is not clear which one was meant.
    #[error("the field {0} stands there twice")]
    Twice(String),
    /// A field is no text.
    #[error("the field {0} is no text in UTF-8")]
    NotText(String),
    /// It says that it is JSON, and is no object.
    #[error("the form is no object in JSON")]
    Json,
    /// A field in JSON is neither a string nor a boolean.
    #[error("the field {0} is neither a string nor a boolean")]
    NotFlat(String),
    /// It did not arrive.
    #[error("the form did not arrive in time")]
    Incomplete,
}

impl FormError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::OtherType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyFields | Self::Name | Self::Twice(_) | Self::NotText(_) | Self::Json | Self::NotFlat(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The field at fault.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Twice(name) | Self::NotText(name) | Self::NotFlat(name) => Some(name),
            _ => None,
        }
    }
}

/// How a form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// `name=value&…`.
    Urlencoded,
    /// One object.
    Json,
}

/// The fields of a form. They are wiped when dropped, for a password may be among them, and only their names are printed.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is no form, or it does not arrive within half a minute.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, FormError> {
        let written = written(headers).ok_or(FormError::OtherType)?;
        let body = arrived(body, MAX_BODY).await?;
        match written {
            Written::Urlencoded => Self::parse(&body),
            Written::Json => Self::parse_json(&body),
        }
    }

    /// Reads `{"name": "value", …}`, with `true` for a box that is ticked.
    ///
    /// # Errors
    /// It is no form. The first fault counts.
    pub fn parse_json(body: &[u8]) -> Result<Self, FormError> {
        json::parse(body).map(Self)
    }

    /// Reads `name=value&…` (URL standard, "application/x-www-form-urlencoded parsing"). Unlike there, what is no UTF-8
    /// is refused, and so is a name that stands there twice.
    ///
    /// # Errors
    /// It is no form. The first fault counts.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        if body.len() > MAX_BODY {
            return Err(FormError::TooLarge);
        }
        let mut form = Self(Vec::new());
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_at(pair.iter().position(|b| *b == b'=').unwrap_or(pair.len()));
            let name = decoded(name).filter(|name| name.len() <= MAX_NAME).ok_or(FormError::Name)?.to_string();
            if form.has(&name) {
                return Err(FormError::Twice(name));
            }
            let Some(value) = decoded(value.strip_prefix(b"=").unwrap_or_default()) else {
                return Err(FormError::NotText(name));
            };
            if form.0.len() == MAX_FIELDS {
                return Err(FormError::TooManyFields);
            }
            form.0.push((name, value));
        }
        Ok(form)
    }

    /// The names of the fields, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a field was sent, empty or not. A box that is not ticked is not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// What a field holds; nothing if it was not sent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What a field for a password holds.
    #[must_use]
    pub fn password(&self, name: &str) -> Password {
        Password::new(self.text(name).to_owned())
    }

    /// What a field for a code holds.
    #[must_use]
    pub fn code(&self, name: &str) -> TypedCode {
        TypedCode::new(self.text(name).to_owned())
    }
}

/// How the body is written, if it may be a form: of one type, which may say that it is UTF-8, and not compressed.
fn written(headers: &HeaderMap) -> Option<Written> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else { return None };
    let mut parts = content_type.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default();
    let is = |part: &[u8], wanted: &str| part.eq_ignore_ascii_case(wanted.as_bytes());
    let is_utf8 = |part: &[u8]| is(part, "charset=utf-8") || is(part, "charset=\"utf-8\"");
    if headers.contains_key(header::CONTENT_ENCODING) || !parts.all(is_utf8) {
        return None;
    }
    let known = [("application/x-www-form-urlencoded", Written::Urlencoded), ("application/json", Written::Json)];
    known.into_iter().find(|(name, _)| is(kind, name)).map(|(_, written)| written)
}

/// Reads a body that is one value in JSON.
///
/// # Errors
/// [`FormError::OtherType`], [`FormError::TooLarge`], [`FormError::Json`], or it does not arrive within half a minute.
pub(super) async fn read_json(headers: &HeaderMap, body: Body, most: usize) -> Result<serde_json::Value, FormError> {
    if written(headers) != Some(Written::Json) {
        return Err(FormError::OtherType);
    }
    serde_json::from_slice(&arrived(body, most).await?).map_err(|_| FormError::Json)
}

/// The whole body, if it arrives in time.
async fn arrived(body: Body, most: usize) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let arrives = tokio::time::timeout(MAX_WAIT.duration(), collect(body, most));
    arrives.await.unwrap_or(Err(FormError::Incomplete))
}

async fn collect(mut body: Body, most: usize) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let size = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if size > most {
        return Err(FormError::TooLarge);
    }
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FormError::Incomplete)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if out.len() + data.len() > most {
            return Err(FormError::TooLarge);
        }
        out.extend_from_slice(data);
    }
    Ok(out)
}

/// Decodes `+` and `%41`. What is no such escape stays. Nothing, if that is no UTF-8.
pub(super) fn decoded(text: &[u8]) -> Option<Zeroizing<String>> {
    let (mut out, mut rest) = (Zeroizing::new(Vec::with_capacity(text.len())), text);
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.split_first_chunk::<2>().filter(|_| first == b'%');
        let escape = digits.and_then(|([high, low], after)| Some((hex(*high)? << 4 | hex(*low)?, after)));
        let (byte, after) = escape.unwrap_or((if first == b'+' { b' ' } else { first }, after));
        out.push(byte);
        rest = after;
    }
    Some(Zeroizing::new(std::str::from_utf8(&out).ok()?.to_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
