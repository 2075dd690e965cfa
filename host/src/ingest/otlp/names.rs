//! The one table of attribute names: what each means, and which names are
//! older ones for the same thing.
//!
//! OpenTelemetry's GenAI conventions are still moving and OpenInference has its
//! own names, so a fact can come under several. A current name wins over an
//! older one wherever both are there. A name that is not in the table becomes
//! metadata.

use std::sync::LazyLock;

/// What an attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The operation, by the GenAI conventions.
    Operation,
    /// The kind of span, by OpenInference.
    Kind,
    Session,
    Conversation,
    User,
    Tenant,
    RequestClass,
    TemplateName,
    TemplateVersion,
    /// The template itself; names it where it has no name.
    TemplateText,
    /// Whose model it is. Kept in the metadata too.
    Provider,
    /// The model that was asked for. Kept in the metadata only: the one that answered may be another.
    RequestModel,
    ResponseModel,
    Streamed,
    /// JSON with the parameters of the request, `stream` among them.
    InvocationParameters,
    /// Seconds until the first chunk.
    FirstChunk,
    FinishReasons,
    InputTokens,
    OutputTokens,
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    Cost,
    InputMessages,
    OutputMessages,
    SystemInstructions,
    InputValue,
    InputType,
    OutputValue,
    OutputType,
    ToolName,
    ToolCallId,
    ToolArguments,
    ToolResult,
    Documents,
    ErrorType,
    /// A JSON object of the client's own names and values.
    Metadata,
    /// Recognised and left out: large without saying anything of the interaction, or said by others.
    Ignored,
}

/// Whether a name is the one of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Current,
    Older,
}

use Age::{Current, Older};

/// A name with what it says.
type Row = (&'static str, Field, Age);

/// Sorted by name, for people.
pub(super) const NAMES: &[Row] = &[
    ("assay.request_class", Field::RequestClass, Current),
    ("assay.tenant", Field::Tenant, Current),
    ("enduser.id", Field::User, Older),
    ("error.type", Field::ErrorType, Current),
    ("gen_ai.completion", Field::OutputMessages, Older),
    ("gen_ai.conversation.id", Field::Conversation, Current),
    ("gen_ai.input.messages", Field::InputMessages, Current),
    ("gen_ai.operation.name", Field::Operation, Current),
    ("gen_ai.output.messages", Field::OutputMessages, Current),
    ("gen_ai.prompt", Field::InputMessages, Older),
    ("gen_ai.prompt.name", Field::TemplateName, Current),
    ("gen_ai.prompt.version", Field::TemplateVersion, Current),
    ("gen_ai.provider.name", Field::Provider, Current),
    ("gen_ai.request.model", Field::RequestModel, Current),
    ("gen_ai.request.stream", Field::Streamed, Current),
    ("gen_ai.response.finish_reasons", Field::FinishReasons, Current),
    ("gen_ai.response.model", Field::ResponseModel, Current),
    ("gen_ai.response.time_to_first_chunk", Field::FirstChunk, Current),
    ("gen_ai.retrieval.documents", Field::Documents, Current),
    ("gen_ai.system", Field::Provider, Older),
    ("gen_ai.system_instructions", Field::SystemInstructions, Current),
    ("gen_ai.tool.call.arguments", Field::ToolArguments, Current),
    ("gen_ai.tool.call.id", Field::ToolCallId, Current),
    ("gen_ai.tool.call.result", Field::ToolResult, Current),
    ("gen_ai.tool.definitions", Field::Ignored, Current),
    ("gen_ai.tool.name", Field::ToolName, Current),
    ("gen_ai.usage.cache_creation.input_tokens", Field::CacheWriteTokens, Older),
    ("gen_ai.usage.cache_creation_input_tokens", Field::CacheWriteTokens, Older),
    ("gen_ai.usage.cache_read.input_tokens", Field::CachedTokens, Current),
    ("gen_ai.usage.cache_read_input_tokens", Field::CachedTokens, Older),
    ("gen_ai.usage.cache_write.input_tokens", Field::CacheWriteTokens, Current),
    ("gen_ai.usage.completion_tokens", Field::OutputTokens, Older),
    ("gen_ai.usage.cost", Field::Cost, Older),
    ("gen_ai.usage.input_tokens", Field::InputTokens, Current),
    ("gen_ai.usage.output_tokens", Field::OutputTokens, Current),
    ("gen_ai.usage.prompt_tokens", Field::InputTokens, Older),
    ("gen_ai.usage.reasoning.output_tokens", Field::ReasoningTokens, Current),
    ("input.mime_type", Field::InputType, Current),
    ("input.value", Field::InputValue, Current),
    ("llm.cost.total", Field::Cost, Current),
    ("llm.finish_reason", Field::FinishReasons, Older),
    ("llm.invocation_parameters", Field::InvocationParameters, Current),
    ("llm.model_name", Field::ResponseModel, Older),
    ("llm.prompt_template.template", Field::TemplateText, Current),
    ("llm.prompt_template.version", Field::TemplateVersion, Older),
    ("llm.provider", Field::Provider, Older),
    ("llm.request.model_name", Field::RequestModel, Older),
    ("llm.response.model_name", Field::ResponseModel, Current),
    ("llm.system", Field::Provider, Older),
    ("llm.token_count.completion", Field::OutputTokens, Older),
    ("llm.token_count.completion_details.reasoning", Field::ReasoningTokens, Older),
    ("llm.token_count.prompt", Field::InputTokens, Older),
    ("llm.token_count.prompt_details.cache_input", Field::CachedTokens, Older),
    ("llm.token_count.prompt_details.cache_read", Field::CachedTokens, Current),
    ("llm.token_count.prompt_details.cache_write", Field::CacheWriteTokens, Current),
    ("llm.token_count.total", Field::Ignored, Current),
    ("metadata", Field::Metadata, Current),
    ("openinference.span.kind", Field::Kind, Current),
    ("output.mime_type", Field::OutputType, Current),
    ("output.value", Field::OutputValue, Current),
    ("prompt.id", Field::TemplateName, Older),
    ("session.id", Field::Session, Current),
    ("tenant.id", Field::Tenant, Older),
    ("tool.id", Field::ToolCallId, Older),
    ("tool.name", Field::ToolName, Older),
    ("user.id", Field::User, Current),
];

/// The table's rows by the length of their names: few names share one, so a
/// name is found by comparing it with three others or less on average.
static BY_LENGTH: LazyLock<Vec<Vec<Row>>> = LazyLock::new(|| {
    let longest = NAMES.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); longest + 1];
    for row in NAMES {
        rows[row.0.len()].push(*row);
    }
    rows
});

/// What the attribute of a name says; none where it is the client's own.
pub(super) fn field(name: &str) -> Option<(Field, Age)> {
    let rows = BY_LENGTH.get(name.len())?;
    rows.iter().find(|row| row.0 == name).map(|row| (row.1, row.2))
}

/// What a list that OpenInference spreads over many attributes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    InputMessages,
    OutputMessages,
    Documents,
    Ignored,
}

/// The beginnings of names that a list is spread over.
const SPREAD: &[(&str, Spread)] = &[
    ("embedding.embeddings.", Spread::Ignored),
    ("llm.input_messages.", Spread::InputMessages),
    ("llm.output_messages.", Spread::OutputMessages),
    ("llm.tools.", Spread::Ignored),
    ("reranker.input_documents.", Spread::Ignored),
    ("reranker.output_documents.", Spread::Documents),
    ("retrieval.documents.", Spread::Documents),
];

/// Which list an attribute belongs to, and the rest of its name.
pub(super) fn spread(name: &str) -> Option<(Spread, &str)> {
    SPREAD.iter().find_map(|(start, list)| Some((*list, name.strip_prefix(start)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        for (name, meaning, age) in NAMES {
            assert_eq!(field(name), Some((*meaning, *age)), "{name}");
        }
        assert_eq!(field("gen_ai.request.temperature"), None);
    }

    #[test]
    fn a_list_gives_the_rest_of_the_name() {
        assert_eq!(
            spread("llm.input_messages.3.message.role"),
            Some((Spread::InputMessages, "3.message.role"))
        );
        assert_eq!(spread("llm.input_messages"), None);
    }
}
