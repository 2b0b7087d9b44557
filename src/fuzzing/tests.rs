use std::{collections::BTreeSet, fs, path::Path};

use chancery_verify::fuzzing::changes::{changed, large};
use proptest::{collection::vec, prelude::*};

use super::TARGETS;

#[test]
fn every_seed_is_accepted() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            assert!((target.run)(&seed), "{}: {}", target.name, String::from_utf8_lossy(&seed));
        }
    }
}

#[test]
fn large_inputs_are_read_without_overflow_of_the_stack() {
    for input in large(1 << 20) {
        for target in TARGETS {
            (target.run)(&input);
        }
    }
}

#[test]
fn every_target_has_a_fuzz_target_of_its_own() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest: toml::Table = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap().parse().unwrap();
    let all = chancery_verify::fuzzing::TARGETS.iter().map(|t| ("chancery_verify", t.name));
    let all: BTreeSet<_> = all.chain(TARGETS.iter().map(|t| ("chancery", t.name))).collect();
    for (owner, name) in &all {
        let text = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap_or_default();
        assert!(text.contains(&format!("{owner}::fuzzing::run(\"{name}\", data)")), "{owner} {name}: {text}");
    }
    let names: BTreeSet<_> = all.iter().map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(names.len(), all.len(), "two targets have one name");
    let bins = manifest["bin"].as_array().unwrap().iter();
    let bins: BTreeSet<_> = bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bins, names.iter().cloned().chain(["seeds".to_owned()]).collect());
    let files = fs::read_dir(fuzz.join("fuzz_targets")).unwrap();
    let files: BTreeSet<_> =
        files.map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(files, names);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..512)) {
        for target in TARGETS {
            (target.run)(&data);
        }
    }

    #[test]
    fn changed_inputs_never_panic(pick in any::<usize>(), steps in vec(any::<(u8, u16, u16, u8)>(), 1..8)) {
        for target in TARGETS {
            (target.run)(&changed(&(target.seeds)(), pick, &steps));
        }
    }
}
