//! Points at which a test ends the process, to see that nothing is lost.
//!
//! `ASSAY_FAULT=write-committed:3` ends a debug build the third time that it
//! passes `write-committed`, as `kill -9` would. Release builds have no points.

/// Passes a point; the process may end here.
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};

        static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("ASSAY_FAULT").ok()?;
            let (name, count) = text.split_once(':')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        if let Some((wanted, count)) = wanted
            && wanted == name
            && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
        {
            eprintln!("fault at {name}");
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
