//! What stands in the attribute's parentheses.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitBool, LitFloat, LitInt, LitStr, Path, Token, bracketed, parenthesized};

/// The options, as written.
#[derive(Default)]
pub struct Options {
    pub name: Option<LitStr>,
    pub title: Option<LitStr>,
    pub deterministic: Option<LitBool>,
    pub batch_max: Option<LitInt>,
    pub range: Option<(Expr, Expr)>,
    pub direction: Option<LitStr>,
    pub prepare: Option<Path>,
    pub outputs: Option<Path>,
    pub modes: Option<Vec<LitStr>>,
    /// The function takes all items of a batch.
    pub batch: bool,
    /// The plugin asks a judge.
    pub judging: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let name = key.to_string();
            let flag = match name.as_str() {
                "batch" => Some(&mut options.batch),
                "judging" => Some(&mut options.judging),
                _ => None,
            };
            if let Some(flag) = flag {
                *flag = true;
                comma_or_end(input)?;
                continue;
            }
            input.parse::<Token![=]>()?;
            match name.as_str() {
                "name" => options.name = Some(input.parse()?),
                "title" => options.title = Some(input.parse()?),
                "deterministic" => options.deterministic = Some(input.parse()?),
                "batch_max" => options.batch_max = Some(input.parse()?),
                "direction" => options.direction = Some(input.parse()?),
                "prepare" => options.prepare = Some(input.parse()?),
                "outputs" => options.outputs = Some(input.parse()?),
                "range" => {
                    let ends;
                    parenthesized!(ends in input);
                    let low = ends.parse()?;
                    ends.parse::<Token![,]>()?;
                    options.range = Some((low, ends.parse()?));
                }
                "modes" => {
                    let names;
                    bracketed!(names in input);
                    let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?;
                    options.modes = Some(names.into_iter().collect());
                }
                other => return Err(syn::Error::new(key.span(), format!("unknown option `{other}`"))),
            }
            comma_or_end(input)?;
        }
        Ok(options)
    }
}

fn comma_or_end(input: ParseStream<'_>) -> syn::Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

/// The variant of `Direction` that a word names.
pub fn direction(word: Option<&LitStr>) -> syn::Result<Ident> {
    let call_site = proc_macro2::Span::call_site();
    let Some(word) = word else { return Ok(Ident::new("HigherIsBetter", call_site)) };
    match word.value().as_str() {
        "higher" => Ok(Ident::new("HigherIsBetter", call_site)),
        "lower" => Ok(Ident::new("LowerIsBetter", call_site)),
        "neutral" => Ok(Ident::new("Neutral", call_site)),
        other => {
            Err(syn::Error::new(word.span(), format!("direction `{other}` is not higher, lower or neutral")))
        }
    }
}

/// A float literal for a range's end.
pub fn end(value: f64) -> Expr {
    let literal = LitFloat::new(&format!("{value:.1}"), proc_macro2::Span::call_site());
    Expr::Lit(syn::ExprLit { attrs: Vec::new(), lit: literal.into() })
}
