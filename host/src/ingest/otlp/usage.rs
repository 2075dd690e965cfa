//! Tokens: what one span says, and the sum over several.

use crate::domain::interaction::Usage;

/// Corrects what instrumentations are known to get wrong and says so.
///
/// Input includes cached tokens. Anthropic's own counts leave them out, and some
/// instrumentations pass them on as they are: then more is cached than there is
/// input, and the three counts are added up. For other providers such counts
/// are only flagged, because nothing says which of them is wrong.
pub(super) fn normalise(
    usage: &mut Usage,
    provider: Option<&str>,
    model: Option<&str>,
) -> Option<&'static str> {
    let input = usage.input?;
    let cached = usage.cached_input.unwrap_or(0).saturating_add(usage.cache_write_input.unwrap_or(0));
    if cached <= input {
        return None;
    }
    let theirs = provider.is_some_and(|name| name.eq_ignore_ascii_case("anthropic"))
        || model.is_some_and(|name| name.contains("claude"));
    if !theirs {
        return Some("cached_exceeds_input");
    }
    usage.input = Some(input.saturating_add(cached));
    Some("input_excluded_cached")
}

/// A sum in which a missing count stays missing: once one of several calls does
/// not say a count, the sum of that count is unknown.
#[derive(Debug, Default)]
pub(super) struct Sum {
    total: Usage,
    parts: usize,
}

impl Sum {
    fn add(&mut self, usage: &Usage) {
        let first = self.parts == 0;
        self.parts += 1;
        let add = |total: &mut Option<u64>, count: Option<u64>| {
            *total = match (*total, count) {
                (None, count) if first => count,
                (Some(total), Some(count)) => Some(total.saturating_add(count)),
                _ => None,
            };
        };
        add(&mut self.total.input, usage.input);
        add(&mut self.total.output, usage.output);
        add(&mut self.total.cached_input, usage.cached_input);
        add(&mut self.total.cache_write_input, usage.cache_write_input);
        add(&mut self.total.reasoning, usage.reasoning);
    }

    /// The counts of one call.
    pub(super) fn of(usage: &Usage) -> Self {
        Self { total: *usage, parts: 1 }
    }

    /// Adds another sum; an empty one changes nothing.
    pub(super) fn merge(&mut self, other: &Self) {
        if !other.is_empty() {
            self.add(&other.total);
        }
    }

    /// The sum, with counts that it does not know taken from a total.
    pub(super) fn or(self, total: &Usage) -> Self {
        let sum = self.total;
        Self::of(&Usage {
            input: sum.input.or(total.input),
            output: sum.output.or(total.output),
            cached_input: sum.cached_input.or(total.cached_input),
            cache_write_input: sum.cache_write_input.or(total.cache_write_input),
            reasoning: sum.reasoning.or(total.reasoning),
        })
    }

    /// The sum.
    pub(super) fn total(&self) -> Usage {
        self.total
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.parts == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, cached: u64, write: u64) -> Usage {
        Usage {
            input: Some(input),
            cached_input: Some(cached),
            cache_write_input: Some(write),
            ..Usage::default()
        }
    }

    #[test]
    fn tokens_that_anthropic_left_out_are_added_and_flagged() {
        for (provider, model) in
            [(Some("anthropic"), None), (Some("aws.bedrock"), Some("anthropic.claude-3"))]
        {
            let mut counts = usage(10, 900, 90);
            assert_eq!(normalise(&mut counts, provider, model), Some("input_excluded_cached"));
            assert_eq!(counts, usage(1000, 900, 90));
        }
    }

    #[test]
    fn counts_that_can_be_right_stay_as_they_are() {
        let mut counts = usage(1000, 900, 100);
        assert_eq!(normalise(&mut counts, Some("anthropic"), None), None);
        assert_eq!(counts, usage(1000, 900, 100));
        let mut counts = Usage { cached_input: Some(5), ..Usage::default() };
        assert_eq!(normalise(&mut counts, Some("anthropic"), None), None);
        assert_eq!(counts.input, None);
    }

    #[test]
    fn wrong_counts_of_another_provider_are_flagged_and_not_changed() {
        let mut counts = usage(10, 900, 0);
        assert_eq!(normalise(&mut counts, Some("openai"), Some("gpt-4o")), Some("cached_exceeds_input"));
        assert_eq!(counts, usage(10, 900, 0));
    }

    #[test]
    fn a_count_that_one_call_does_not_say_is_unknown_in_the_sum() {
        let mut sum = Sum::default();
        sum.add(&usage(1, 2, 3));
        sum.add(&Usage { input: Some(10), cached_input: Some(20), ..Usage::default() });
        sum.add(&usage(100, 200, 300));
        assert_eq!(sum.total(), Usage { input: Some(111), cached_input: Some(222), ..Usage::default() });
    }
}
