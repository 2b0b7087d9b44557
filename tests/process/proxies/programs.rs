//! The services that docs/guard.md prints: they refuse what has not passed a guard.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{interval, timeout};

use super::{
    asked::{ask, free_port, try_ask},
    printed::{block, with_addresses},
};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_printed_services_refuse_what_has_no_subject() {
    let dir = tempfile::tempdir().unwrap();
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"));
    for (language, program, file) in
        [("python", var("CHTEST_PYTHON"), "service.py"), ("js", var("CHTEST_NODE"), "service.mjs")]
    {
        let (port, path) = (free_port(), dir.path().join(file));
        let printed = block("Your service", language);
        fs::write(&path, with_addresses(printed, &[("3000", port.to_string())])).unwrap();
        let mut command = Command::new(program);
        let service = Service(command.arg(&path).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let up = async {
            let mut ticks = interval(Duration::from_millis(20));
            while try_ask(port, "GET", "/", &[], b"").await.is_none() {
                ticks.tick().await;
            }
        };
        timeout(Duration::from_secs(30), up).await.expect(file);
        for headers in [&[][..], &[("X-Chancery-Subject", "")], &[("Authorization", "Bearer a.b.c")]] {
            assert_eq!(ask(port, "GET", "/", headers, b"").await.status, 401, "{file}: {headers:?}");
        }
        let answer = ask(port, "GET", "/", &[("X-Chancery-Subject", "usr_1")], b"").await;
        assert!(answer.status == 200 && answer.body.contains("hello usr_1"), "{file}: {answer:?}");
        drop(service);
    }
}
