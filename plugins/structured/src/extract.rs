//! Finding the JSON in an answer.

use crate::config::Extract;

/// The text that should be JSON.
pub fn json_text(answer: &str, extract: Extract) -> &str {
    match extract {
        Extract::Whole => answer,
        Extract::Fenced => fenced(answer).unwrap_or(answer),
    }
}

/// Inside of the first block that three backticks open and close.
fn fenced(answer: &str) -> Option<&str> {
    let (_, after) = answer.split_once("```")?;
    let (_language, block) = after.split_once('\n')?;
    block.split_once("```").map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fenced_block_is_taken_with_or_without_a_language() {
        for answer in ["Here:\n```json\n{\"a\":1}\n```\nDone.", "```\n{\"a\":1}\n```"] {
            assert_eq!(json_text(answer, Extract::Fenced).trim(), "{\"a\":1}");
        }
        assert_eq!(json_text("{}", Extract::Fenced), "{}");
        assert_eq!(json_text("```json\n{}\n```", Extract::Whole), "```json\n{}\n```");
    }
}
