//! Lists the targets, or writes the seeds of one into a folder: seeds [TARGET FOLDER].

use std::{env, fs, path::Path};

fn main() -> std::io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (name, folder) = (arguments.next(), arguments.next());
    for target in chancery_verify::fuzzing::TARGETS.iter().chain(chancery::fuzzing::TARGETS) {
        match (&name, &folder) {
            (Some(name), Some(folder)) if name == target.name => {
                for (at, seed) in (target.seeds)().into_iter().enumerate() {
                    fs::write(Path::new(folder).join(format!("seed-{at}")), seed)?;
                }
            }
            (None, _) => println!("{}", target.name),
            _ => {}
        }
    }
    Ok(())
}
