//! Traces of several spans.

use serde_json::json;

use super::*;
use crate::domain::interaction::Usage;

fn chat(question: &str, answer: &str) -> serde_json::Value {
    json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json!([{ "role": "user", "parts": [{ "type": "text", "content": question }] }]).to_string(),
        "gen_ai.output.messages": json!([{ "role": "assistant", "parts": [{ "type": "text", "content": answer }], "finish_reason": "stop" }]).to_string(),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    })
}

#[test]
fn a_models_call_alone_is_an_interaction() {
    let span = span(1, 0, 0, 1500, chat("where?", "there"));
    assert!(record(span.clone()).stands_alone());
    let found = interaction(vec![span]);
    assert_eq!((found.interaction.query.as_str(), found.interaction.actual.as_str()), ("where?", "there"));
    assert_eq!(found.interaction.finish_reason.as_deref(), Some("stop"));
    assert_eq!(found.interaction.timing.total_us, Some(1_500_000));
    assert_eq!(found.interaction.usage, Usage { input: Some(10), output: Some(5), ..Usage::default() });
    assert_eq!(found.origin.service.as_deref(), Some("shop"));
}
