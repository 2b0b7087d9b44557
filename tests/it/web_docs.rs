//! The code in docs/web.md is that of the examples, which run.

use std::{fs, path::Path};

const PAGE: &str = include_str!("../../docs/web.md");

/// The blocks of code below a link to a file, with that file.
fn blocks() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut pieces = PAGE.split("```");
    let mut before = pieces.next().unwrap();
    while let (Some(block), Some(after)) = (pieces.next(), pieces.next()) {
        let line = before.trim_end().lines().last().unwrap_or_default();
        if let Some(path) = line.strip_suffix("):").and_then(|line| line.rsplit_once("](../")).map(|(_, path)| path) {
            all.push((path, block.split_once('\n').unwrap().1.to_owned()));
        }
        before = after;
    }
    all
}

#[test]
fn the_code_in_the_first_hour_is_that_of_the_examples() {
    let blocks = blocks();
    for (path, block) in &blocks {
        let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(file.contains(block.as_str()), "{path} has no\n{block}");
    }
    for framework in ["express", "next", "flask", "fastapi", "axum", "vite"] {
        assert!(blocks.iter().any(|(path, _)| path.contains(framework)), "nothing of {framework}");
    }
    // Every block in these languages comes from somewhere.
    let code = ["```js\n", "```python\n", "```rust\n"].map(|fence| PAGE.matches(fence).count()).iter().sum::<usize>();
    assert_eq!(blocks.len(), code);
}
