//! Lines for a shell that call a method of a demo.

use serde_json::{Map, Value, json};

use super::{
    DemoSecrets,
    view::{Api, Method, Type},
};

/// Puts an access token for the server itself into the variable `TOKEN`.
pub(super) fn token_line(server: &str, demo: &DemoSecrets) -> String {
    let body = json!({
        "clientId": demo.app,
        "login": demo.username,
        "password": demo.password,
        "audience": server,
    });
    let curl = &demo.curl;
    let login = format!(
        "{curl} -s {server}/chancery.v1.AuthService/Login -H 'content-type: application/json' -d {}",
        quoted(&body.to_string())
    );
    format!("TOKEN=$({login} | sed 's/.*\"accessToken\": *\"\\([^\"]*\\)\".*/\\1/')")
}

/// A call of a method, or a look at a document.
pub(super) fn line(api: &Api, method: &Method, demo: &DemoSecrets) -> String {
    let curl = &demo.curl;
    let url = format!("{}{}", api.server, method.path.replace("{list}", "0"));
    if method.verb == "GET" {
        return format!("{curl} -s {url}");
    }
    let credentials = match method.security.as_deref() {
        Some("bearer") => " -H \"authorization: Bearer $TOKEN\"".to_owned(),
        Some("basic") => format!(" -u {}:{}", demo.service, demo.secret),
        _ => String::new(),
    };
    let request = method.request.as_deref().and_then(|name| api.type_named(name));
    let body = request.map(|request| body(request, method, demo)).unwrap_or_default();
    let body = quoted(&Value::Object(body).to_string()).replace(TOKEN, "'\"$TOKEN\"'");
    format!("{curl} -s {url} -H 'content-type: application/json'{credentials} -d {body}")
}

/// Where the token stands.
const TOKEN: &str = "(the token)";

/// A message with what a demo has for its required fields.
fn body(request: &Type, method: &Method, demo: &DemoSecrets) -> Map<String, Value> {
    let mut body = Map::new();
    let anonymous = method.security.is_none();
    for field in &request.fields {
        let own_client = field.name == "clientId" && anonymous && !field.required;
        if own_client {
            body.insert(field.name.clone(), demo.app.into());
        } else if field.required {
            body.insert(field.name.clone(), value(&field.name, demo));
        }
    }
    body
}

fn value(field: &str, demo: &DemoSecrets) -> Value {
    match field {
        "login" | "userId" => demo.username.as_str().into(),
        "password" | "currentPassword" => demo.password.as_str().into(),
        "newPassword" => "another long pass phrase".into(),
        "clientId" => "shop".into(),
        "token" => TOKEN.into(),
        "email" => "grace@example.com".into(),
        "user" => json!({ "name": "grace" }),
        "client" => json!({ "clientId": "shop", "public": true, "firstParty": true, "audiences": ["shop-api"] }),
        "role" => json!({ "name": "clerk" }),
        "roleId" | "name" => "clerk".into(),
        "owner" => "USER".into(),
        "namespace" => "cart".into(),
        "value" => json!({ "items": ["book"] }),
        other => other.into(),
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_quotes_stays_one_word() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
