//! Checking a configuration against its plugin's JSON Schema.
//!
//! A schema comes from the plugin, and a few kilobytes of it can keep a
//! validator busy for years. So it is checked here, where no harm is done
//! when the daemon ends the process.

use serde_json::Value;

use crate::domain::plugin::{Problem, shortened};

/// Problems that are told of.
const PROBLEMS_MAX: usize = 100;
/// The longest message: it may quote the schema.
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// What is wrong with a configuration; `Err` where the schema itself is wrong.
pub fn validate(schema: &str, config: &str) -> Result<Vec<Problem>, String> {
    let told = |text: String| shortened(text, MESSAGE_BYTES_MAX);
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
    let config: Value =
        serde_json::from_str(config).map_err(|error| format!("the configuration is not JSON: {error}"))?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| told(error.to_string()))?;
    let problems = validator
        .iter_errors(&config)
        .take(PROBLEMS_MAX)
        .map(|error| Problem { path: error.instance_path().to_string(), message: told(error.to_string()) });
    Ok(problems.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_place_and_a_wrong_schema_its_reason() {
        let schema = r#"{"type":"object","properties":{"marker":{"type":"string"}}}"#;
        assert_eq!(validate(schema, "{}"), Ok(Vec::new()));
        let problems = validate(schema, r#"{"marker":5}"#).expect("the schema is right");
        assert_eq!((problems.len(), problems[0].path.as_str()), (1, "/marker"));
        assert!(validate("{", "{}").expect_err("no JSON").contains("not JSON"));
        assert!(validate(r#"{"type":"unicorn"}"#, "{}").is_err());
    }

    #[test]
    fn neither_many_problems_nor_long_ones_are_told_in_full() {
        let many: Vec<_> = (0..1_000).collect();
        let schema = format!(r#"{{"items":{{"const":"{}"}}}}"#, "x".repeat(100_000));
        let problems = validate(&schema, &serde_json::json!(many).to_string()).expect("a right schema");
        assert_eq!(problems.len(), PROBLEMS_MAX);
        assert!(problems.iter().all(|problem| problem.message.len() <= MESSAGE_BYTES_MAX + 3));
    }
}
