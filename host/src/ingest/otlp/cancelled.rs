//! Tells a client that went away from a product that failed.
//!
//! Languages report both as an exception, so the exception's name decides.

/// Last parts of names, in lower case, by which languages and SDKs report that
/// the caller no longer wants the answer.
const NAMES: &[&str] = &[
    "abort",
    "aborted",
    "aborterror",
    "apiuserabort",
    "apiuseraborterror",
    "canceled",
    "cancelederror",
    "cancelled",
    "cancellederror",
    "cancellationexception",
    "clientdisconnect",
    "context canceled",
    "generatorexit",
    "operationcanceledexception",
    "taskcanceledexception",
];

/// Whether an error's type, or a reason to stop, says that the client broke off.
pub(super) fn by_client(name: &str) -> bool {
    let last = name.rsplit(['.', ':', '/']).next().unwrap_or(name).trim().to_ascii_lowercase();
    NAMES.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_none_of_the_products_errors() {
        for name in [
            "asyncio.exceptions.CancelledError",
            "GeneratorExit",
            "AbortError",
            "context canceled",
            "cancelled",
        ] {
            assert!(by_client(name), "{name}");
        }
        for name in ["openai.RateLimitError", "500", "TimeoutError", "", "_OTHER"] {
            assert!(!by_client(name), "{name}");
        }
    }
}
