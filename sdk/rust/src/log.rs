//! Lines for the host's log. Their number and size are limited there.

#[cfg(target_arch = "wasm32")]
use crate::bindings::assay::plugin::log::{Level, write};

macro_rules! level {
    ($(#[$doc:meta])* $name:ident, $level:ident) => {
        $(#[$doc])*
        pub fn $name(message: &str) {
            #[cfg(target_arch = "wasm32")]
            write(Level::$level, message);
            #[cfg(not(target_arch = "wasm32"))]
            eprintln!("{}: {message}", stringify!($name));
        }
    };
}

level!(
    /// Of use to the plugin's author.
    debug,
    Debug
);
level!(
    /// Of use to who runs the plugin.
    info,
    Info
);
level!(
    /// Something may be wrong.
    warn,
    Warn
);
level!(
    /// Something is wrong.
    error,
    Error
);

/// Sends a panic's text to the host before the trap, which has none.
pub(crate) fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| error(&panic.to_string()))));
    }
}
