//! Judges: the models that plugins may ask, and what they may cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::target::KeySource;

/// Settings of judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Judge {
    /// For how many days a reply is used again for the same request; 0 for never.
    pub cache_days: u32,
    /// The models, by the name that plugins use.
    pub profiles: BTreeMap<String, Profile>,
}

impl Default for Judge {
    fn default() -> Self {
        Self { cache_days: 30, profiles: BTreeMap::new() }
    }
}

/// One model and how to ask it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Which interface the endpoint speaks.
    pub api: JudgeApi,
    /// What stands before `/chat/completions` or `/v1/messages`.
    pub base_url: String,
    /// The model to ask for.
    pub model: String,
    /// Where the key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// Plugins that may ask: names, or beginnings of names with `*`.
    #[serde(default = "everyone")]
    pub plugins: Vec<String>,
    /// How a reply is made to fit its schema.
    #[serde(default)]
    pub structured_output: StructuredOutput,
    /// Sampling temperature where the plugin does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens of a reply, whatever the plugin says.
    #[serde(default = "output_tokens_max")]
    pub output_tokens_max: u32,
    /// Calls under way at a time.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Requests that are begun in a minute; none for as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens of requests and replies in a minute, as far as they can be guessed
    /// before a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Attempts after the first.
    #[serde(default = "retries")]
    pub retries: u32,
    /// What tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// What one run may cost, in the currency of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_per_run: Option<f64>,
    /// What all calls of a day (UTC) may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_per_day: Option<f64>,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeApi {
    /// `POST {base_url}/chat/completions`.
    OpenaiChat,
    /// `POST {base_url}/v1/messages`.
    AnthropicMessages,
}

/// How a reply is made to fit its schema. It is checked in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StructuredOutput {
    /// The endpoint is given the schema: `response_format`, or a tool that has
    /// to be used.
    #[default]
    Schema,
    /// The endpoint is told to reply with JSON and given the schema in the older
    /// form, `{"type": "json_object", "schema": …}`, as llama.cpp's servers take it.
    JsonSchema,
    /// The endpoint is told to reply with JSON, the model what it has to look
    /// like.
    Json,
    /// Only the model is told.
    Prompt,
}

/// Price of a million tokens, in any one currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what is sent.
    pub input_per_million: f64,
    /// Of what is sent and was cached by the endpoint; as other input where it
    /// is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_per_million: Option<f64>,
    /// Of what is replied, reasoning included.
    pub output_per_million: f64,
}

fn everyone() -> Vec<String> {
    vec!["*".into()]
}

fn output_tokens_max() -> u32 {
    2_048
}

fn concurrency() -> usize {
    16
}

fn timeout_ms() -> u64 {
    60_000
}

fn retries() -> u32 {
    6
}

impl Profile {
    /// Whether a plugin may ask this judge.
    pub fn is_granted_to(&self, plugin: &str) -> bool {
        self.plugins.iter().any(|granted| match granted.strip_suffix('*') {
            Some(beginning) => plugin.starts_with(beginning),
            None => granted == plugin,
        })
    }
}

impl Judge {
    pub(super) fn check(&self) -> Result<(), super::ConfigError> {
        for (name, profile) in &self.profiles {
            profile.check().map_err(|reason| super::ConfigError::Value {
                key: "judge.profiles",
                message: format!("profile `{name}`: {reason}"),
            })?;
        }
        Ok(())
    }
}

impl Profile {
    fn check(&self) -> Result<(), String> {
        if self.model.trim().is_empty() {
            return Err("`model` is empty".into());
        }
        if !(1..=1_024).contains(&self.concurrency) {
            return Err("`concurrency` is not in 1 to 1024".into());
        }
        if !(1..=3_600_000).contains(&self.timeout_ms) {
            return Err("`timeout_ms` is not in 1 to 3600000".into());
        }
        if self.retries > 20 {
            return Err("`retries` is over 20".into());
        }
        if self.output_tokens_max == 0
            || self.requests_per_minute == Some(0)
            || self.tokens_per_minute == Some(0)
        {
            return Err(
                "`output_tokens_max`, `requests_per_minute` and `tokens_per_minute` are at least 1".into()
            );
        }
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err("`temperature` is not in 0 to 2".into());
        }
        let amounts = [self.budget_per_run, self.budget_per_day].into_iter().flatten();
        let prices = self.price.iter().flat_map(|price| {
            [price.input_per_million, price.output_per_million]
                .into_iter()
                .chain(price.cached_input_per_million)
        });
        if amounts.clone().chain(prices).any(|amount| !amount.is_finite() || amount < 0.0) {
            return Err("a price or budget is negative or no number".into());
        }
        if amounts.count() > 0 && self.price.is_none() {
            return Err("a budget needs a `price`".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(more: &str) -> Profile {
        let text =
            format!("api = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\n{more}");
        toml::from_str(&text).expect("a profile")
    }

    #[test]
    fn a_judge_is_granted_to_nobody_by_name_or_to_a_family() {
        let granted = |list: &str, plugin: &str| profile(&format!("plugins = {list}")).is_granted_to(plugin);
        assert!(profile("").is_granted_to("anyone"));
        assert!(!granted("[]", "rubric"));
        assert!(granted("[\"rubric\"]", "rubric") && !granted("[\"rubric\"]", "rubric-two"));
        assert!(granted("[\"team-*\"]", "team-tone") && !granted("[\"team-*\"]", "rubric"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (more, word) in [
            ("concurrency = 0", "concurrency"),
            ("timeout_ms = 0", "timeout_ms"),
            ("retries = 21", "retries"),
            ("temperature = 3.0", "temperature"),
            ("budget_per_day = 5.0", "price"),
            ("price = { input_per_million = -1.0, output_per_million = 1.0 }", "negative"),
        ] {
            let reason = profile(more).check().expect_err(more);
            assert!(reason.contains(word), "{reason}");
        }
        assert_eq!(profile("requests_per_minute = 10").check(), Ok(()));
    }
}
