use std::{
    fs,
    path::{Path, PathBuf},
};

/// The modules of `app`. Each may import only those before it.
const ORDER: &[&str] = &[
    "machine",
    "config",
    "telemetry",
    "output",
    "pause",
    "signals",
    "certificates",
    "dev_certificate",
    "data_dir",
    "database",
    "sealing_file",
    "workplace",
    "serving",
    "first_start",
    "declared",
    "preflight",
    "migration_plan",
    "schema",
    "hashing",
    "opening",
    "limits",
    "token_sizes",
    "figures",
    "mail",
    "jobs",
    "account",
    "set_up",
    "listeners",
    "dev",
    "servers",
    "doctor",
    "audit_export",
    "backup",
    "restore",
    "restored",
    "health",
];

/// Each source file of `app`, with its top-level module.
fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app");
    let (mut all, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let module = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
            let module = module.trim_end_matches(".rs").to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if module != "tests" && !path.ends_with("tests.rs") {
                all.push((module, path));
            }
        }
    }
    all
}

/// The modules of `app` that a source file imports: as `super::x` directly in `app`, as `crate::app::x` anywhere.
fn imports(code: &str, directly_in_app: bool) -> Vec<String> {
    let code: String = code.split_whitespace().collect();
    let paths: &[&str] = if directly_in_app { &["super::", "crate::app::"] } else { &["crate::app::"] };
    let mut found = Vec::new();
    for after in paths.iter().flat_map(|path| code.split(path).skip(1)) {
        let group = after.strip_prefix('{').unwrap_or(after);
        let (mut depth, mut words) = (0, vec![String::new()]);
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                _ if depth > 0 => {}
                ',' if group.len() < after.len() => words.push(String::new()),
                c if c.is_alphanumeric() || c == '_' || c == ':' => words.last_mut().unwrap().push(c),
                _ => break,
            }
        }
        let modules = words.iter().map(|word| word.split(':').next().unwrap());
        // A trailing comma leaves an empty word.
        found.extend(modules.filter(|module| !module.is_empty()).map(str::to_owned));
    }
    found
}

#[test]
fn imports_within_app_go_one_way() {
    let mut seen = 0;
    for (module, path) in sources() {
        let place = |name: &str| ORDER.iter().position(|m| *m == name);
        let own = place(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        let directly_in_app = path.parent().unwrap().ends_with("src/app");
        let text = fs::read_to_string(&path).unwrap();
        for import in imports(text.split("#[cfg(test)]").next().unwrap(), directly_in_app) {
            seen += 1;
            // Items defined in `app.rs` itself depend on every module, so no module may import them.
            let good = place(&import).is_some_and(|place| place <= own);
            assert!(good, "{} imports {import}", path.display());
        }
    }
    assert!(seen >= 10, "only {seen} imports are seen");
}

#[test]
fn the_import_reader_understands_groups_and_paths() {
    let code = "use super::{\n config::Mail,\n pause::{pause, wait},\n};\nuse super::jobs;\nsuper::dev::set_up()";
    assert_eq!(imports(code, true), ["config", "pause", "jobs", "dev"]);
    assert_eq!(imports("use super::setting::section;\nuse crate::app::machine::Machine;", false), ["machine"]);
}
