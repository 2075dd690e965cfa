//! A signal extractor: the user asked the very same thing twice.

use assay_plugin::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {}

/// The user asked the same question twice in a session
#[extractor(direction = "lower")]
fn repeated_question(_config: &Config, session: &Session) -> bool {
    let queries: Vec<_> = session.interactions.iter().map(|interaction| interaction.query.trim()).collect();
    queries.windows(2).any(|pair| pair[0].eq_ignore_ascii_case(pair[1]))
}
