//! Request classes: which kind of request an interaction is, by ordered rules.

use regex::Regex;

use crate::config::ClassRule;
use crate::domain::digest::Digest;
use crate::domain::interaction::Interaction;
use crate::domain::production::Origin;

use super::redaction::RuleError;

/// The rules of a configuration. The first that fits gives the class.
#[derive(Default)]
pub struct Classifier {
    rules: Vec<(ClassRule, Option<Regex>)>,
    version: String,
}

impl Classifier {
    /// Compiles the rules.
    pub fn new(rules: &[ClassRule]) -> Result<Self, RuleError> {
        let mut compiled = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let wrong = |reason: String| RuleError { number: index + 1, reason };
            if rule.class.trim().is_empty() {
                return Err(wrong("`class` is empty".into()));
            }
            let query = rule.query.as_deref().map(Regex::new).transpose();
            compiled.push((rule.clone(), query.map_err(|error| wrong(error.to_string()))?));
        }
        let written = serde_json::to_string(rules).expect("rules are plain JSON");
        let digest = Digest::of(written.as_bytes()).to_string();
        let (_, digits) = digest.split_once(':').expect("a digest names its algorithm");
        let version = format!("rules {}", &digits[..12]);
        Ok(Self { rules: compiled, version })
    }

    /// Version of the rules: other rules have another.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives an interaction its class, unless it came with one. Answers the
    /// version of the rules where they were asked, also if none of them fits; none
    /// where there are no rules.
    pub fn classify(&self, interaction: &mut Interaction, origin: &Origin) -> Option<&str> {
        if interaction.request_class.is_some() || self.rules.is_empty() {
            return None;
        }
        let fitting = self.rules.iter().find(|(rule, query)| fits(rule, query.as_ref(), interaction, origin));
        interaction.request_class = fitting.map(|(rule, _)| rule.class.clone());
        Some(&self.version)
    }
}

fn fits(rule: &ClassRule, query: Option<&Regex>, interaction: &Interaction, origin: &Origin) -> bool {
    let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
    same(&rule.template, &interaction.template)
        && same(&rule.template_version, &interaction.template_version)
        && same(&rule.model, &interaction.model)
        && same(&rule.service, &origin.service)
        && same(&rule.tenant, &origin.tenant)
        && rule.metadata.iter().all(|(name, value)| interaction.metadata.get(name) == Some(value))
        && query.is_none_or(|query| query.is_match(&interaction.query))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classifier() -> Classifier {
        let rules: Vec<ClassRule> = serde_json::from_value(serde_json::json!([
            {"class": "refund", "query": "(?i)refund|money back"},
            {"class": "billing", "template": "billing"},
            {"class": "beta", "metadata": {"channel": "beta"}},
        ]))
        .expect("valid rules");
        Classifier::new(&rules).expect("valid rules")
    }

    fn class_of(mut interaction: Interaction) -> (Option<String>, bool) {
        let classifier = classifier();
        let by_rule = classifier.classify(&mut interaction, &Origin::default()).is_some();
        (interaction.request_class, by_rule)
    }

    #[test]
    fn the_first_rule_that_fits_gives_the_class() {
        let billing = Interaction { template: Some("billing".into()), ..Interaction::default() };
        assert_eq!(class_of(billing.clone()), (Some("billing".into()), true));
        let refund = Interaction { query: "I want my MONEY back".into(), ..billing };
        assert_eq!(class_of(refund.clone()), (Some("refund".into()), true));
        let own = Interaction { request_class: Some("mine".into()), ..refund };
        assert_eq!(class_of(own), (Some("mine".into()), false));
        assert_eq!(class_of(Interaction::default()), (None, true));
    }

    #[test]
    fn other_rules_have_another_version() {
        let other = Classifier::new(&[]).expect("no rules");
        assert_ne!(other.version, classifier().version);
        assert_eq!(classifier().version, classifier().version);
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        let rule = ClassRule { class: "x".into(), query: Some("(".into()), ..ClassRule::default() };
        let Err(error) = Classifier::new(&[rule]) else { panic!("accepted") };
        assert!(error.to_string().contains("unclosed group"), "{error}");
    }
}
