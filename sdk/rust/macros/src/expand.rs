//! The expansion: the author's function as it is, and a module `plugin` beside it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Expr, ExprLit, ItemFn, Lit, Meta};

use crate::options::{Options, direction, end};

/// Which attribute.
#[derive(Clone, Copy)]
pub enum Kind {
    Scorer,
    Classifier,
    Extractor,
}

/// Writes the plugin around a function.
pub fn expand(kind: Kind, options: Options, function: ItemFn) -> syn::Result<TokenStream> {
    if function.sig.inputs.len() != 2 {
        return Err(syn::Error::new_spanned(
            &function.sig,
            "a plugin's function takes two references: its configuration and what it looks at, one or (with `batch`) \
             a slice",
        ));
    }
    if matches!(kind, Kind::Classifier) && options.modes.is_none() && options.outputs.is_none() {
        return Err(syn::Error::new_spanned(&function.sig, "a classifier declares `modes` or `outputs`"));
    }
    let function_name = &function.sig.ident;
    let name = options.name.map_or_else(|| function_name.to_string().replace('_', "-"), |name| name.value());
    let title = options.title.map_or_else(|| first_paragraph(&function.attrs), |title| title.value());
    let title = if title.is_empty() { name.clone() } else { title };
    // Models answer differently from time to time.
    let deterministic = options.deterministic.map_or(!options.judging, |yes| yes.value());
    let batch_max = options.batch_max.map_or_else(|| quote!(1000), |count| quote!(#count));
    let (low, high) = options.range.unwrap_or_else(|| (end(0.0), end(1.0)));
    let direction = direction(options.direction.as_ref())?;
    let modes = options.modes.unwrap_or_default();
    let prepare = options.prepare.map_or_else(|| quote!(runtime::as_it_is), |path| quote!(super::#path));
    let takes = if options.batch { quote!(all) } else { quote!(each) };
    let outputs = match (options.outputs, kind, options.batch) {
        (Some(path), _, _) => quote!(super::#path),
        (None, Kind::Scorer, false) => quote!(runtime::one_output(&ABOUT, super::#function_name)),
        (None, Kind::Scorer, true) => quote!(runtime::one_output_of_batches(&ABOUT, super::#function_name)),
        (None, Kind::Classifier, _) => quote!(runtime::declared_modes(&ABOUT)),
        (None, Kind::Extractor, false) => quote!(runtime::one_signal(&ABOUT, super::#function_name)),
        (None, Kind::Extractor, true) => {
            quote!(runtime::one_signal_of_batches(&ABOUT, super::#function_name))
        }
    };
    let exported = match kind {
        Kind::Scorer => Exported {
            world: "scorer",
            interface: quote!(scoring),
            method: quote!(score_batch),
            input: quote!(Interaction),
            answer: quote!(Score),
        },
        Kind::Classifier => Exported {
            world: "classifier",
            interface: quote!(classification),
            method: quote!(classify_batch),
            input: quote!(Interaction),
            answer: quote!(Label),
        },
        Kind::Extractor => Exported {
            world: "extractor",
            interface: quote!(extraction),
            method: quote!(extract_batch),
            input: quote!(Session),
            answer: quote!(Signal),
        },
    };
    let component = component(&exported, options.judging);
    let Exported { method, input, answer, .. } = exported;
    Ok(quote! {
        #function

        /// What the host calls. Tests may call it too: it works natively.
        pub mod plugin {
            use ::assay_plugin::prelude::*;
            use ::assay_plugin::runtime;

            const ABOUT: runtime::About = runtime::About {
                name: #name,
                version: env!("CARGO_PKG_VERSION"),
                title: #title,
                deterministic: #deterministic,
                batch_max: #batch_max,
                range: (#low, #high),
                direction: Direction::#direction,
                modes: &[#(#modes),*],
            };

            /// What the plugin is.
            pub fn describe() -> ::assay_plugin::Descriptor {
                runtime::describe(&ABOUT, #prepare, super::#function_name)
            }

            /// The outputs that a configuration gives, or what is wrong with it.
            pub fn configure(config: &str) -> Result<Vec<Output>, Vec<Problem>> {
                runtime::configure(#prepare, #outputs, super::#function_name, config)
            }

            /// One answer for each item.
            pub fn #method(config: &str, items: &[#input]) -> Vec<Result<Vec<#answer>, PluginError>> {
                runtime::#method(&ABOUT, #prepare, runtime::#takes(super::#function_name), config, items)
            }

            #component
        }
    })
}

/// The contract's text, so that a plugin needs no file beside it.
const CONTRACT: [&str; 4] = [
    include_str!("../../../../wit/v0.1.0/types.wit"),
    include_str!("../../../../wit/v0.1.0/plugin.wit"),
    include_str!("../../../../wit/v0.1.0/host.wit"),
    include_str!("../../../../wit/v0.1.0/worlds.wit"),
];

/// What a kind of plugin exports beside `lifecycle`.
struct Exported {
    world: &'static str,
    interface: TokenStream,
    method: TokenStream,
    input: TokenStream,
    answer: TokenStream,
}

/// The component's exports, which exist only where they mean something.
fn component(exported: &Exported, is_judging: bool) -> TokenStream {
    let Exported { world, interface, method, input, answer } = exported;
    let (world, shared_judge, connect) = if is_judging {
        let shared = quote!("assay:plugin/judge@0.1.0": ::assay_plugin::bindings::assay::plugin::judge,);
        let import = quote!(::assay_plugin::bindings::assay::plugin::judge::complete);
        (format!("judging-{world}"), shared, quote!(::assay_plugin::judge::connected(#import);))
    } else {
        ((*world).to_owned(), TokenStream::new(), TokenStream::new())
    };
    // One document declares its package once.
    let package = "package assay:plugin@0.1.0;";
    let contract = format!("{package}\n{}", CONTRACT.map(|file| file.replacen(package, "", 1)).concat());
    quote! {
        #[cfg(target_arch = "wasm32")]
        mod component {
            use super::*;
            use exports::assay::plugin::{#interface, lifecycle};

            ::assay_plugin::wit_bindgen::generate!({
                inline: #contract,
                world: #world,
                runtime_path: "::assay_plugin::wit_bindgen::rt",
                with: {
                    "assay:plugin/types@0.1.0": ::assay_plugin::bindings::assay::plugin::types,
                    "assay:plugin/log@0.1.0": ::assay_plugin::bindings::assay::plugin::log,
                    #shared_judge
                },
            });

            struct Plugin;

            impl lifecycle::Guest for Plugin {
                fn describe() -> lifecycle::Descriptor {
                    let about = super::describe();
                    lifecycle::Descriptor {
                        name: about.name,
                        version: about.version,
                        title: about.title,
                        deterministic: about.deterministic,
                        config_schema_json: about.config_schema_json,
                        batch_max: about.batch_max,
                    }
                }

                fn configure(config: String) -> Result<Vec<lifecycle::Output>, Vec<lifecycle::Problem>> {
                    match super::configure(&config) {
                        Ok(outputs) => Ok(outputs.into_iter().map(output).collect()),
                        Err(problems) => Err(problems
                            .into_iter()
                            .map(|problem| lifecycle::Problem { path: problem.path, message: problem.message })
                            .collect()),
                    }
                }
            }

            fn output(output: Output) -> lifecycle::Output {
                lifecycle::Output {
                    name: output.name,
                    capability: match output.capability {
                        Capability::Score => lifecycle::Capability::Score,
                        Capability::Label => lifecycle::Capability::Label,
                        Capability::Signal => lifecycle::Capability::Signal,
                    },
                    kind: match output.kind {
                        OutputKind::Number(Range { low, high }) => {
                            lifecycle::OutputKind::Number(lifecycle::Range { low, high })
                        }
                        OutputKind::Boolean => lifecycle::OutputKind::Boolean,
                        OutputKind::Category(names) => lifecycle::OutputKind::Category(names),
                    },
                    direction: match output.direction {
                        Direction::HigherIsBetter => lifecycle::Direction::HigherIsBetter,
                        Direction::LowerIsBetter => lifecycle::Direction::LowerIsBetter,
                        Direction::Neutral => lifecycle::Direction::Neutral,
                    },
                    description: output.description,
                }
            }

            impl #interface::Guest for Plugin {
                fn #method(config: String, items: Vec<#input>) -> Vec<Result<Vec<#answer>, PluginError>> {
                    #connect
                    super::#method(&config, &items)
                }
            }

            export!(Plugin);
        }
    }
}

/// The doc comment up to its first empty line.
fn first_paragraph(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let paragraph: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ").trim_end_matches('.').to_owned()
}
