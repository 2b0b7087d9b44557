//! The priority of the hashing threads.

/// The increment of a hashing thread's nice value. With 10, Linux gives the event loop nine tenths of a contended
/// core, so that everything else stays responsive in a flood of sign-ins. On an idle core, hashing still runs at
/// full speed.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 10;

/// Lowers the priority of the calling thread. Only on Linux, since elsewhere threads have no nice value of their
/// own.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    use rustix::{
        process::{getpriority_process, setpriority_process},
        thread::gettid,
    };
    const NICEST: i32 = 19;
    // On Linux the nice value belongs to the thread.
    let thread = Some(gettid());
    let lowered = getpriority_process(thread).and_then(|now| setpriority_process(thread, (now + NICER_BY).min(NICEST)));
    if let Err(error) = lowered {
        tracing::warn!(%error, "cannot lower the priority of the hashing threads; sign-ins may slow down other calls");
    }
}

/// Does nothing on this system.
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
