//! The attributes of `assay-plugin`: each turns one function into a plugin.
//!
//! The expansion names no type of the author's: everything is inferred by the
//! generic functions of `assay_plugin::runtime`.

mod expand;
mod options;

use proc_macro::TokenStream;
use syn::parse_macro_input;

use expand::{Kind, expand};

/// Makes a scorer of `fn(&Config, &Interaction) -> answer`.
///
/// The answer is a `bool`, an `f64` in the range, a `Score`, a `Vec<Score>`
/// (with `outputs`), an `Option` of these, or a `Result` of these with a
/// `PluginError`. The doc comment is the plugin's title.
///
/// Options: `name = "…"`, `title = "…"`, `deterministic = false`,
/// `batch_max = 1000`, `range = (0.0, 1.0)`, `direction = "higher"` (or
/// `"lower"`, `"neutral"`), `prepare = path` to a
/// `fn(Config) -> Result<State, Vec<Problem>>` that runs once a batch (the
/// function then takes `&State`), `outputs = path` to a
/// `fn(&State) -> Vec<Output>`.
///
/// With `batch` the function is `fn(&Config, &[Interaction]) -> Vec<answer>`
/// and answers each item of a batch in its place. With `judging` it may ask a
/// judge (`assay_plugin::judge`); `deterministic` is then `false` unless it is
/// given.
#[proc_macro_attribute]
pub fn scorer(options: TokenStream, function: TokenStream) -> TokenStream {
    let (options, function) = (parse_macro_input!(options), parse_macro_input!(function));
    expand(Kind::Scorer, options, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a failure classifier of `fn(&Config, &Interaction) -> answer`.
///
/// The answer is a `Label`, an `Option<Label>`, a `Vec<Label>`, or a `Result`
/// of these. `modes = ["…"]` declares the failure modes; the other options are
/// those of `scorer`.
#[proc_macro_attribute]
pub fn classifier(options: TokenStream, function: TokenStream) -> TokenStream {
    let (options, function) = (parse_macro_input!(options), parse_macro_input!(function));
    expand(Kind::Classifier, options, function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a signal extractor of `fn(&Config, &Session) -> answer`.
///
/// The answer is a `bool` or an `f64` for the whole session, a `Signal`, an
/// `Option` or a `Vec` of them, or a `Result` of these. The options are those
/// of `scorer`.
#[proc_macro_attribute]
pub fn extractor(options: TokenStream, function: TokenStream) -> TokenStream {
    let (options, function) = (parse_macro_input!(options), parse_macro_input!(function));
    expand(Kind::Extractor, options, function).unwrap_or_else(syn::Error::into_compile_error).into()
}
