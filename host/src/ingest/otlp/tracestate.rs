//! The sampling threshold that a client writes into a span's trace state.
//!
//! OpenTelemetry, "TraceState: Probability Sampling": under the key `ot`, `th`
//! holds up to 14 hexadecimal digits of a 56-bit rejection threshold *T*, with
//! zeros at its end left out. A trace is kept where its 56 random bits are not
//! below *T*, so it was kept with probability 1 − *T* / 2⁵⁶.

/// Digits of a whole threshold.
const DIGITS: u32 = 14;

/// The probability with which a span was kept; none where its trace state does
/// not say so, or says it wrongly.
pub(super) fn kept_with_probability(trace_state: &str) -> Option<f64> {
    let ours = trace_state.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let digits = ours.split(';').find_map(|value| value.strip_prefix("th:"))?;
    let length = u32::try_from(digits.len()).ok().filter(|length| (1..=DIGITS).contains(length))?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let threshold = u64::from_str_radix(digits, 16).ok()? << (4 * (DIGITS - length));
    // The difference is at most 2^56, so the division loses at most the last three of its bits.
    Some(((1_u64 << 56) - threshold) as f64 / (1_u64 << 56) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_of_the_specification() {
        // The table of "OpenTelemetry tracestate handling", section "Rejection Threshold":
        // `th:0` keeps all, `th:8` a half, `th:c` a quarter; and the smallest probability that it can express.
        let cases = [
            ("ot=th:0", 1.0),
            ("ot=th:8", 0.5),
            ("ot=th:c", 0.25),
            ("ot=th:fd70a3d70a3d71", 0.01),
            ("ot=th:ffffffffffffff", 2f64.powi(-56)),
            ("congo=t61rcWkgMzE,ot=rv:9b8233f7e3a151;th:8", 0.5),
            ("congo=t61rcWkgMzE, ot=th:C", 0.25),
        ];
        for (state, expected) in cases {
            let found = kept_with_probability(state).expect(state);
            assert!((found - expected).abs() <= expected * 1e-12, "{state}: {found}");
        }
    }

    #[test]
    fn what_is_no_threshold_says_nothing() {
        for state in [
            "",
            "ot=",
            "ot=th:",
            "ot=th:g",
            "ot=th:+8",
            "ot=th:fffffffffffffff",
            "rojo=th:8",
            "xot=th:8",
            "ot=rv:8",
        ] {
            assert_eq!(kept_with_probability(state), None, "{state}");
        }
    }
}
