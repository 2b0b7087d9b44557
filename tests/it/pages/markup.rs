//! A strict reader of our own pages. It refuses what browsers would repair: a tag that is not closed, an attribute
//! without quotes or twice, a bare `<` or `&`.

/// Elements without an end tag.
const VOID: [&str; 5] = ["meta", "link", "input", "img", "br"];

/// An element, or the root of a page.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    children: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An attribute. One without a value is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// This element and all below it, in the order of the page.
    pub(crate) fn everything(&self) -> Vec<&Self> {
        let below = self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        });
        std::iter::once(self).chain(below.flat_map(Self::everything)).collect()
    }

    /// All elements of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&Self> {
        self.everything().into_iter().filter(|element| element.name == name).collect()
    }

    /// All elements with this value of an attribute.
    pub(crate) fn with(&self, name: &str, value: &str) -> Vec<&Self> {
        self.everything().into_iter().filter(|element| element.get(name) == Some(value)).collect()
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Self> {
        self.with("id", id).first().copied()
    }

    /// The text, with single spaces.
    pub(crate) fn text(&self) -> String {
        fn collect(element: &Element, out: &mut String) {
            for node in &element.children {
                match node {
                    Node::Element(element) => collect(element, out),
                    Node::Text(text) => *out += text,
                }
            }
        }
        let mut out = String::new();
        collect(self, &mut out);
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Reads a page.
pub(crate) fn parse(page: &str) -> Result<Element, String> {
    let mut rest = page.trim().strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    let mut open = vec![Element::default()];
    while !rest.is_empty() {
        let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        if !text.is_empty() {
            open.last_mut().unwrap().children.push(Node::Text(unescape(text)?));
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
        let (tag, after) = rest[1..].split_once('>').ok_or("a tag without an end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let element = open.pop().unwrap();
            if element.name != name {
                return Err(format!("</{name}> closes <{}>", element.name));
            }
            open.last_mut().ok_or("too many end tags")?.children.push(Node::Element(element));
            continue;
        }
        let element = element(tag)?;
        if VOID.contains(&element.name.as_str()) {
            open.last_mut().unwrap().children.push(Node::Element(element));
        } else {
            open.push(element);
        }
    }
    match <[Element; 1]>::try_from(open) {
        Ok([root]) => Ok(root),
        Err(open) => Err(format!("<{}> is not closed", open.last().unwrap().name)),
    }
}

/// Reads a start tag. `>` never stands in a value: it is escaped there.
fn element(tag: &str) -> Result<Element, String> {
    let (name, mut rest) = tag.split_at(tag.find(char::is_whitespace).unwrap_or(tag.len()));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(format!("<{name}> is no element"));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    while !rest.trim_start().is_empty() {
        let trimmed = rest.trim_start();
        if trimmed.len() == rest.len() {
            return Err(format!("no space before an attribute in <{tag}>"));
        }
        let end = trimmed.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(trimmed.len());
        let (attribute, after) = trimmed.split_at(end);
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').ok_or("an attribute without an end")?;
                rest = after;
                unescape(value)?
            }
            None if after.starts_with('=') => return Err(format!("no quotes in <{tag}>")),
            None => {
                rest = after;
                String::new()
            }
        };
        let good = attribute.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if !good || attributes.iter().any(|(one, _)| one == attribute) {
            return Err(format!("the attribute {attribute} in <{tag}>"));
        }
        attributes.push((attribute.to_owned(), value));
    }
    Ok(Element { name: name.to_owned(), attributes, children: Vec::new() })
}

fn unescape(text: &str) -> Result<String, String> {
    if text.contains('<') {
        return Err(format!("a bare < in {text}"));
    }
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, after) = piece.split_once(';').ok_or_else(|| format!("a bare & in {text}"))?;
        out += match name {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            "#x27" | "#39" => "'",
            "#x2f" => "/",
            _ => return Err(format!("&{name};")),
        };
        out += after;
    }
    Ok(out)
}

#[test]
fn what_browsers_would_repair_is_refused() {
    for wrong in
        ["<p>", "<p></b>", "</p>", "<p a=b></p>", "<p a=\"1\" a=\"2\"></p>", "<p>a & b</p>", "<P></P>", "< p></p>"]
    {
        assert!(parse(&format!("<!DOCTYPE html>{wrong}")).is_err(), "{wrong}");
    }
    let root = parse("<!DOCTYPE html>\n<p id=\"a\">x &lt; <b>y</b><input disabled></p>").unwrap();
    assert_eq!(root.by_id("a").unwrap().text(), "x < y");
}
