use proptest::{collection::vec, prelude::*};

use super::{
    TARGETS,
    changes::{changed, large},
};

#[test]
fn every_seed_is_accepted() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            assert!((target.run)(&seed), "{}: {}", target.name, String::from_utf8_lossy(&seed));
        }
    }
}

#[test]
fn large_inputs_are_refused_without_overflow_of_the_stack() {
    for input in large(1 << 20) {
        for target in TARGETS {
            assert!(!(target.run)(&input), "{}: {:?}", target.name, input.get(..8));
        }
    }
}

/// 16 MiB of zeros fit; a kilobyte of this becomes a megabyte.
#[cfg(feature = "http")]
#[test]
fn r07_a_compressed_list_takes_no_more_than_its_bound() {
    use std::io::Write;
    for (mib, accepted) in [(16, true), (17, false), (256, false)] {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..mib {
            zlib.write_all(&vec![0; 1 << 20]).unwrap();
        }
        assert_eq!(super::lists::bits(&zlib.finish().unwrap()), accepted, "{mib} MiB");
    }
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
