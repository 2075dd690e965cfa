//! Tells an answer that was broken off from a product that failed.
//!
//! A client that goes away shows up as an exception in most languages, so the
//! exception's name decides. Where a stream is merely closed there is none: the
//! official instrumentations of OpenAI then give `error` as the reason to stop,
//! on a span without an error; OpenInference leaves the span without the status
//! that it gives to every finished one.

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

/// Whether a reason to stop, on a span without an error, says that the stream was broken off.
pub(super) fn stopped_short(finish_reason: &str) -> bool {
    finish_reason == "error" || by_client(finish_reason)
}

/// Whether an error's type or text says that the client broke off.
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
