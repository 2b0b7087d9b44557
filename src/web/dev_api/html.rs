//! The page.

use std::fmt::{self, Write};

use super::{
    DemoSecrets, sample,
    view::{Api, Field, Kind, Method, Service, Type},
};
use crate::web::dev_mail::escape_html;

/// Writes the page.
pub(super) fn page(api: &Api, demo: &DemoSecrets) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_page(&mut out, api, demo);
    out
}

fn write_page(out: &mut String, api: &Api, demo: &DemoSecrets) -> fmt::Result {
    out.write_str(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>Calls by JSON over HTTP</title><link rel=\"icon\" href=\"data:image/x-icon,\">\
         <link rel=\"stylesheet\" href=\"/dev/api.css\"></head>\n<body><main>\n<h1>Calls by JSON over HTTP</h1>\n",
    )?;
    text(out, &api.about)?;
    out.write_str("<p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>\n<h2>A token first</h2>\n")?;
    out.write_str(
        "<p>Calls on behalf of a user need a token for this server. This line gets one for the demo's user.</p>\n",
    )?;
    writeln!(out, "<pre tabindex=\"0\"><code>{}</code></pre>", escape_html(&sample::token_line(&api.server, demo)))?;
    writeln!(
        out,
        "<p>Calls that need a permission are refused until the user has it: \
         <code>chancery role assign administrator {}</code>, with the demo's <code>--data-dir</code>.</p>",
        escape_html(&demo.username)
    )?;
    out.write_str("<nav aria-label=\"Services\"><ul>\n")?;
    for Service { name, .. } in &api.services {
        writeln!(out, "<li><a href=\"#{0}\">{0}</a></li>", escape_html(name))?;
    }
    out.write_str("<li><a href=\"#types\">Types</a></li></ul></nav>\n")?;
    for service in &api.services {
        writeln!(out, "<h2 id=\"{0}\">{0}</h2>", escape_html(&service.name))?;
        text(out, &service.about)?;
        for method in &service.methods {
            write_method(out, api, method, demo)?;
        }
    }
    out.write_str("<h2 id=\"types\">Types</h2>\n")?;
    for one in &api.types {
        writeln!(out, "<details id=\"type-{0}\"><summary><code>{0}</code></summary>", escape_html(&one.name))?;
        text(out, &one.about)?;
        fields(out, "Fields", one)?;
        out.write_str("</details>\n")?;
    }
    out.write_str("</main></body></html>\n")
}

fn write_method(out: &mut String, api: &Api, method: &Method, demo: &DemoSecrets) -> fmt::Result {
    let name = method.path.rsplit_once('/').filter(|_| method.verb == "POST").map_or(&*method.path, |(_, name)| name);
    writeln!(
        out,
        "<details id=\"{}\"><summary><code>{}</code> <span class=\"quiet\">{}</span></summary>",
        escape_html(&method.id),
        escape_html(name),
        escape_html(&method.summary)
    )?;
    text(out, &method.about)?;
    let (verb, path) = (method.verb, escape_html(&method.path));
    writeln!(out, "<p><code>{verb} {path}</code></p>")?;
    writeln!(out, "<pre tabindex=\"0\"><code>{}</code></pre>", escape_html(&sample::line(api, method, demo)))?;
    for (title, name) in [("Request", &method.request), ("Answer", &method.answer)] {
        if let Some(one) = name.as_deref().and_then(|name| api.type_named(name)) {
            fields(out, title, one)?;
        }
    }
    out.write_str("<table><caption>Errors</caption><thead><tr><th scope=\"col\">Status</th>")?;
    out.write_str("<th scope=\"col\">Reasons</th></tr></thead><tbody>\n")?;
    for (status, about) in &method.errors {
        write!(out, "<tr><th scope=\"row\">{}</th><td>", escape_html(status))?;
        text(out, about)?;
        out.write_str("</td></tr>\n")?;
    }
    out.write_str("</tbody></table></details>\n")
}

fn fields(out: &mut String, title: &str, one: &Type) -> fmt::Result {
    if one.fields.is_empty() {
        return Ok(());
    }
    write!(out, "<table><caption>{title}: <code>{}</code></caption>", escape_html(&one.name))?;
    out.write_str("<thead><tr><th scope=\"col\">Field</th><th scope=\"col\">Type</th><th scope=\"col\">About</th>")?;
    out.write_str("</tr></thead><tbody>\n")?;
    for Field { name, kind, required, about } in &one.fields {
        write!(out, "<tr><th scope=\"row\"><code>{}</code></th><td>", escape_html(name))?;
        match kind {
            Kind::Plain(kind) => out.write_str(&escape_html(kind))?,
            Kind::Named(before, name) => {
                let name = escape_html(name);
                write!(out, "{before}<a href=\"#type-{name}\">{name}</a>")?;
            }
        }
        out.write_str(if *required { ", required</td><td>" } else { "</td><td>" })?;
        text(out, about)?;
        out.write_str("</td></tr>\n")?;
    }
    out.write_str("</tbody></table>\n")
}

/// Paragraphs and lists, as the document writes them.
fn text(out: &mut String, text: &str) -> fmt::Result {
    let mut listing = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let item = line.strip_prefix("- ");
        if item.is_some() != listing {
            out.write_str(if listing { "</ul>\n" } else { "<ul>\n" })?;
            listing = !listing;
        }
        match item {
            Some(item) => writeln!(out, "<li>{}</li>", inline(item))?,
            None => writeln!(out, "<p>{}</p>", inline(line))?,
        }
    }
    if listing { out.write_str("</ul>\n") } else { Ok(()) }
}

/// A line with code in backticks. Links are shown as their text.
fn inline(line: &str) -> String {
    let escaped = escape_html(line);
    let pieces = escaped.split('`').enumerate();
    let code = pieces.map(|(n, piece)| if n % 2 == 1 { format!("<code>{piece}</code>") } else { piece.to_owned() });
    let text: String = code.collect();
    match text.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once("](")?))) {
        Some((before, (name, rest))) => {
            let (_, after) = rest.split_once(')').unwrap_or_default();
            format!("{before}{name}{after}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_code_is_marked() {
        assert_eq!(inline("a `<b>` & [Connect](https://x) too"), "a <code>&lt;b&gt;</code> &amp; Connect too");
        let mut out = String::new();
        text(&mut out, "One\n\n- `A`: x\n- y\nTwo").unwrap();
        assert_eq!(out, "<p>One</p>\n<ul>\n<li><code>A</code>: x</li>\n<li>y</li>\n</ul>\n<p>Two</p>\n");
    }
}
