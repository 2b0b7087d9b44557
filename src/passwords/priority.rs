//! The priority of the threads that hash.

/// How much nicer a hashing thread is than the rest of the process. At 10 Linux gives the event loop
/// nine tenths of a core that both want, so that whatever else the process does goes on in a storm of
/// sign-ins; an idle core still hashes at full speed.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 10;

/// Lowers the priority of the thread that calls this. Elsewhere than on Linux it does nothing: a thread
/// has no nice value of its own there.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    use rustix::{
        process::{getpriority_process, setpriority_process},
        thread::gettid,
    };
    const NICEST: i32 = 19;
    // Linux keeps the value for each thread.
    let thread = Some(gettid());
    let lowered = getpriority_process(thread).and_then(|now| setpriority_process(thread, (now + NICER_BY).min(NICEST)));
    if let Err(error) = lowered {
        tracing::warn!(%error, "cannot lower the priority of the hashing threads; sign-ins may slow down other calls");
    }
}

/// Does nothing here.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::{process::getpriority_process, thread::gettid};

    use super::*;

    #[test]
    fn only_the_thread_that_asks_becomes_nicer() {
        let here = getpriority_process(Some(gettid())).unwrap();
        let there = std::thread::spawn(|| {
            lower();
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(there.join().unwrap(), (here + NICER_BY).min(19));
        assert_eq!(getpriority_process(Some(gettid())).unwrap(), here);
    }
}
