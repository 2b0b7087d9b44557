//! The blocks of docs/guard.md.

const PAGE: &str = include_str!("../../../docs/guard.md");

/// The first block in a language below a heading.
pub(crate) fn block(heading: &str, language: &str) -> &'static str {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let opening = format!("```{language}\n");
    let (_, text) = section.split_once(&opening).unwrap_or_else(|| panic!("{heading} has no block in {language}"));
    text.split("\n```").next().unwrap()
}

/// The text with other addresses. Each that is printed must be there.
pub(crate) fn with_addresses(text: &str, addresses: &[(&str, String)]) -> String {
    let mut text = text.to_owned();
    // First by names that no address resembles, so that no replacement is replaced itself.
    for (n, (printed, _)) in addresses.iter().enumerate() {
        assert!(text.contains(printed), "{printed} is not printed in {text}");
        text = text.replace(printed, &format!("<{n}>"));
    }
    for (n, (_, actual)) in addresses.iter().enumerate() {
        text = text.replace(&format!("<{n}>"), actual);
    }
    text
}
