//! Gathers what the attributes and events of one span say.
//!
//! Attributes come in any order, and what one means can depend on another that
//! comes later, so a draft only collects; [`Draft::finish`] decides.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::{self, Value};
use super::flattened::Lists;
use super::names::{self, Age, Field};
use super::record::{Facts, SpanKind};
use super::{broken_off, documents, messages, metadata, usage, value};
use crate::domain::interaction::{Message, Part, Role, ToolCall};

/// What is known of a span while its attributes are read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) facts: Facts,
    operation: Option<SpanKind>,
    kind: Option<SpanKind>,
    provider: Option<String>,
    request_model: Option<String>,
    template_text: Option<String>,
    system: Vec<Part>,
    lists: Lists,
    input_value: Option<String>,
    input_json: bool,
    output_value: Option<String>,
    output_json: bool,
    tool_name: Option<String>,
    tool_id: Option<String>,
    tool_arguments: Option<String>,
    tool_result: Option<String>,
    error_type: Option<String>,
    /// What the span's status says of its failure.
    pub(super) failed: Option<String>,
    /// The span's status says that it did not fail.
    pub(super) succeeded: bool,
    /// Type and text of the last exception; one that was caught is no failure.
    pub(super) exception: (Option<String>, Option<String>),
    /// Messages that came in events of the older conventions.
    pub(super) event_input: Vec<Message>,
    pub(super) event_output: Vec<Message>,
}

/// Sets what is not set, or what only an older name has set.
fn put<T>(slot: &mut Option<T>, age: Age, value: Option<T>) {
    if value.is_some() && (age == Age::Current || slot.is_none()) {
        *slot = value;
    }
}

impl Draft {
    /// On top of what is known already.
    pub(super) fn on(facts: Facts) -> Self {
        Self { facts, ..Self::default() }
    }

    pub(super) fn attributes(&mut self, attributes: Vec<KeyValue>) {
        for attribute in attributes {
            if let Some(value) = attribute.value {
                self.attribute(attribute.key, value);
            }
        }
    }

    fn attribute(&mut self, name: String, value: AnyValue) {
        if let Some((field, age)) = names::field(&name) {
            self.known(field, age, name, value);
        } else if let Some((list, path)) = names::spread(&name) {
            self.lists.set(list, path, value);
        } else if let Some(text) = value::text(value) {
            metadata::add(&mut self.facts.metadata, name, text);
        }
    }

    fn known(&mut self, field: Field, age: Age, name: String, value: AnyValue) {
        let facts = &mut self.facts;
        match field {
            Field::Operation => put(&mut self.operation, age, value::name(value).and_then(|n| operation(&n))),
            Field::Kind => put(&mut self.kind, age, value::name(value).and_then(|n| kind(&n))),
            Field::Session => put(&mut facts.session, age, value::name(value)),
            Field::Conversation => put(&mut facts.conversation, age, value::name(value)),
            Field::User => put(&mut facts.user, age, value::name(value)),
            Field::Tenant => put(&mut facts.tenant, age, value::name(value)),
            Field::RequestClass => put(&mut facts.request_class, age, value::name(value)),
            Field::TemplateName => put(&mut facts.template, age, value::name(value)),
            Field::TemplateVersion => put(&mut facts.template_version, age, value::name(value)),
            Field::TemplateText => put(&mut self.template_text, age, value::name(value)),
            Field::Provider => {
                let provider = value::name(value);
                if let Some(provider) = &provider {
                    metadata::add(&mut facts.metadata, name, provider.clone());
                }
                put(&mut self.provider, age, provider);
            }
            Field::RequestModel => {
                let model = value::name(value);
                if let Some(model) = &model {
                    metadata::add(&mut facts.metadata, name, model.clone());
                }
                put(&mut self.request_model, age, model);
            }
            Field::ResponseModel => put(&mut facts.model, age, value::name(value)),
            Field::Streamed => put(&mut facts.streamed, age, value::truth(&value)),
            Field::InvocationParameters => {
                if let Some(text) = value::text(value) {
                    put(&mut facts.streamed, Age::Older, stream_of(&text));
                    metadata::add(&mut facts.metadata, name, text);
                }
            }
            Field::FirstChunk => {
                let seconds = value::number(&value).filter(|seconds| (0.0..1e9).contains(seconds));
                put(&mut facts.first_token_us, age, seconds.map(|seconds| (seconds * 1e6).round() as u64));
            }
            Field::FinishReasons => put(&mut facts.finish_reason, age, value::first(value)),
            Field::InputTokens => put(&mut facts.usage.input, age, value::count(&value)),
            Field::OutputTokens => put(&mut facts.usage.output, age, value::count(&value)),
            Field::CachedTokens => put(&mut facts.usage.cached_input, age, value::count(&value)),
            Field::CacheWriteTokens => put(&mut facts.usage.cache_write_input, age, value::count(&value)),
            Field::ReasoningTokens => put(&mut facts.usage.reasoning, age, value::count(&value)),
            Field::Cost => put(&mut facts.cost, age, value::number(&value).filter(|cost| *cost >= 0.0)),
            Field::InputMessages => self.input_messages(age, value),
            Field::OutputMessages => self.output_messages(age, value),
            Field::SystemInstructions => {
                if let Some(text) = value::name(value) {
                    self.system = messages::instructions(text);
                }
            }
            Field::InputValue => put(&mut self.input_value, age, value::text(value)),
            Field::InputType => self.input_json = is_json(value),
            Field::OutputValue => put(&mut self.output_value, age, value::text(value)),
            Field::OutputType => self.output_json = is_json(value),
            Field::ToolName => put(&mut self.tool_name, age, value::name(value)),
            Field::ToolCallId => put(&mut self.tool_id, age, value::name(value)),
            Field::ToolArguments => put(&mut self.tool_arguments, age, value::text(value)),
            Field::ToolResult => put(&mut self.tool_result, age, value::text(value)),
            Field::Documents => match value::text(value).as_deref().map(documents::list) {
                Some(Some(documents)) => facts.documents = documents,
                Some(None) => metadata::note(&mut facts.metadata, metadata::CONTENT, "unread_documents"),
                None => {}
            },
            Field::ErrorType => put(&mut self.error_type, age, value::name(value).map(type_name)),
            Field::Metadata => {
                if let Some(text) = value::text(value) {
                    spread_metadata(&mut facts.metadata, name, text);
                }
            }
            Field::Ignored => {}
        }
    }

    fn input_messages(&mut self, age: Age, value: AnyValue) {
        let Some(text) = value::name(value) else { return };
        if age == Age::Older && !self.facts.input.is_empty() {
            return;
        }
        match messages::list(&text, Role::User) {
            Some((messages, _)) => self.facts.input = messages,
            None if text.starts_with(['[', '{']) => self.unread("unread_input"),
            None => self.facts.input = vec![messages::plain(Role::User, text)],
        }
    }

    fn output_messages(&mut self, age: Age, value: AnyValue) {
        let Some(text) = value::name(value) else { return };
        if age == Age::Older && !self.facts.output.is_empty() {
            return;
        }
        match messages::list(&text, Role::Assistant) {
            Some((messages, stopped)) => {
                self.facts.output = messages;
                put(&mut self.facts.finish_reason, Age::Older, stopped);
            }
            None if text.starts_with(['[', '{']) => self.unread("unread_output"),
            None => self.facts.output = vec![messages::plain(Role::Assistant, text)],
        }
    }

    /// Content that a client cut in the middle is no longer JSON.
    fn unread(&mut self, what: &str) {
        metadata::note(&mut self.facts.metadata, metadata::CONTENT, what);
    }

    /// Decides what all of it together says.
    pub(super) fn finish(mut self) -> (SpanKind, Facts) {
        let kind = self.kind();
        let (input, output, documents) = std::mem::take(&mut self.lists).into_parts();
        let facts = &mut self.facts;
        for (slot, ways) in
            [(&mut facts.input, [input, self.event_input]), (&mut facts.output, [output, self.event_output])]
        {
            for way in ways {
                if slot.is_empty() {
                    *slot = way;
                }
            }
        }
        if facts.documents.is_empty() {
            facts.documents = documents;
        }
        if let Some(flag) =
            usage::normalise(&mut facts.usage, self.provider.as_deref(), facts.model.as_deref())
        {
            metadata::note(&mut facts.metadata, metadata::USAGE, flag);
        }
        if let Some(text) = self.template_text {
            if facts.template.is_none() {
                facts.template = Some(format!("text-{}", &blake3::hash(text.as_bytes()).to_hex()[..12]));
            }
            metadata::add(&mut facts.metadata, "llm.prompt_template.template".to_owned(), text);
        }
        if facts.streamed.is_none() && facts.first_token_us.is_some() {
            facts.streamed = Some(true);
        }
        let (exception, told) = self.exception;
        let reasons = [&self.error_type, &self.failed, &exception];
        if reasons.into_iter().flatten().any(|reason| broken_off::by_client(reason)) {
            facts.broken_off = true;
            if let Some(name) = self.error_type.or(exception) {
                metadata::add(&mut facts.metadata, "error.type".to_owned(), name);
            }
        } else if self.failed.is_some() || self.error_type.is_some() {
            let message = self.failed.filter(|message| !message.is_empty());
            facts.error = Some(match (self.error_type, message) {
                (None, Some(message)) => message,
                (kind, message) => error(kind.or(exception), message.or(told)),
            });
        } else if self.kind.is_some() && facts.streamed == Some(true) {
            facts.broken_off = !self.succeeded && facts.finish_reason.is_none();
        }
        facts.settle();
        if kind == SpanKind::Tool {
            facts.tool = Some(ToolCall {
                id: self.tool_id,
                name: self.tool_name.unwrap_or_default(),
                arguments: self.tool_arguments.or(self.input_value.take()).unwrap_or_default(),
                output: self.tool_result.or(self.output_value.take()),
                error: facts.error.clone(),
            });
        } else if kind != SpanKind::Retrieval {
            if let (Some(value), true) = (self.input_value, facts.input.is_empty()) {
                match content::question(value, self.input_json) {
                    Value::Messages(messages) => facts.input = messages,
                    Value::Unread(value) => facts.input_value = Some(value),
                }
            }
            if let (Some(value), true) = (self.output_value, facts.output.is_empty()) {
                match content::reply(value, self.output_json) {
                    Value::Messages(messages) => facts.output = messages,
                    Value::Unread(value) => facts.output_value = Some(value),
                }
            }
        }
        if !self.system.is_empty() {
            let system = Message { role: Role::System, name: None, parts: self.system, tool_calls: vec![] };
            facts.input.insert(0, system);
        }
        content::fold_results(&mut facts.input);
        (kind, self.facts)
    }

    /// What the span stands for. Older instrumentations of models name no
    /// operation, but a model or tokens.
    fn kind(&self) -> SpanKind {
        let model = self.facts.model.is_some() || self.request_model.is_some();
        let tokens = self.facts.usage.input.is_some() || self.facts.usage.output.is_some();
        self.operation.or(self.kind).unwrap_or(if model || tokens {
            SpanKind::Model
        } else {
            SpanKind::Other
        })
    }
}

fn operation(name: &str) -> Option<SpanKind> {
    Some(match name {
        "chat" | "text_completion" | "generate_content" => SpanKind::Model,
        "embeddings" => SpanKind::Embedding,
        "execute_tool" => SpanKind::Tool,
        "invoke_agent" => SpanKind::Agent,
        "invoke_workflow" | "plan" => SpanKind::Chain,
        "retrieval" => SpanKind::Retrieval,
        // Making an agent is no request to it.
        "create_agent" => SpanKind::Other,
        _ => return None,
    })
}

fn kind(name: &str) -> Option<SpanKind> {
    Some(match name {
        "LLM" => SpanKind::Model,
        "CHAIN" => SpanKind::Chain,
        "AGENT" => SpanKind::Agent,
        "RETRIEVER" | "RERANKER" => SpanKind::Retrieval,
        "TOOL" => SpanKind::Tool,
        "EMBEDDING" => SpanKind::Embedding,
        "GUARDRAIL" => SpanKind::Guardrail,
        "EVALUATOR" => SpanKind::Evaluation,
        "PROMPT" | "UNKNOWN" => SpanKind::Other,
        _ => return None,
    })
}

/// An error's type without what Python's instrumentations have put around it.
fn type_name(name: String) -> String {
    match name.strip_prefix("<class '").and_then(|rest| rest.strip_suffix("'>")) {
        Some(inner) => inner.to_owned(),
        None => name,
    }
}

fn is_json(value: AnyValue) -> bool {
    value::text(value).is_some_and(|kind| kind.contains("json"))
}

/// Whether a request's parameters ask for a stream.
fn stream_of(parameters: &str) -> Option<bool> {
    #[derive(Deserialize)]
    struct Parameters {
        stream: Option<bool>,
    }
    serde_json::from_str::<Parameters>(parameters).ok()?.stream
}

/// The entries of a JSON object; the whole text where it is none.
fn spread_metadata(to: &mut BTreeMap<String, String>, name: String, text: String) {
    match serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(&text) {
        Ok(entries) => {
            for (name, raw) in entries {
                if let Some(text) = messages::text_of(raw) {
                    metadata::add(to, name.into_owned(), text);
                }
            }
        }
        Err(_) => metadata::add(to, name, text),
    }
}

/// One text for an error: its type and what it says, which often begins with the type.
fn error(kind: Option<String>, message: Option<String>) -> String {
    match (kind, message) {
        (Some(kind), Some(message)) if message.starts_with(kind.rsplit('.').next().unwrap_or(&kind)) => {
            message
        }
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (Some(kind), None) => kind,
        (None, Some(message)) => message,
        (None, None) => "failed without a reason".to_owned(),
    }
}
