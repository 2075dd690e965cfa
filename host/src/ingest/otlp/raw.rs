//! Messages as JSON holds them, before anybody asks what they mean.
//!
//! No field has a type that everybody keeps to, so each takes what comes.
//! Texts are read in one pass: they are most of what a span is made of.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A message of the GenAI conventions (`parts`) or of the chat API (`content`, `tool_calls`).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawMessage<'a> {
    pub(super) role: Loose,
    pub(super) name: Loose,
    #[serde(borrow)]
    pub(super) parts: Parts<'a>,
    #[serde(borrow)]
    pub(super) content: Parts<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
    pub(super) tool_call_id: Loose,
    /// The call that a tool's message answers, in the older events.
    pub(super) id: Loose,
    pub(super) finish_reason: Loose,
}

/// A call of a tool, of the chat API.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawCall<'a> {
    pub(super) id: Loose,
    #[serde(borrow)]
    pub(super) function: Option<RawFunction<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawFunction<'a> {
    pub(super) name: Loose,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// A part of a message. What has a structure of its own stays the text that it is.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPart<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Loose,
    pub(super) content: Loose,
    pub(super) text: Loose,
    pub(super) id: Loose,
    pub(super) name: Loose,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) server_tool_call: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) server_tool_call_response: Option<&'a RawValue>,
    pub(super) uri: Loose,
    pub(super) file_id: Loose,
    pub(super) mime_type: Loose,
    pub(super) modality: Loose,
    #[serde(borrow)]
    pub(super) image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) file: Option<&'a RawValue>,
}

/// A file of the chat API.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawFile {
    pub(super) file_id: Loose,
    pub(super) filename: Loose,
    pub(super) file_data: Loose,
}

/// An image of the chat API.
#[derive(Deserialize)]
pub(super) struct RawImage {
    pub(super) url: Loose,
}

/// Text, or the text of a number or a truth; nothing for whatever else it is.
#[derive(Debug, Default)]
pub(super) struct Loose(pub(super) Option<String>);

/// A list of parts. A text is a list of one part, which is text.
#[derive(Default)]
pub(super) struct Parts<'a>(pub(super) Vec<RawPart<'a>>);

impl Parts<'_> {
    fn text(text: String) -> Self {
        Self(vec![RawPart { text: Loose(Some(text)), ..RawPart::default() }])
    }
}

/// Visits the values that are read alike as text, alone or as a part.
macro_rules! visit_texts {
    ($made:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok($made(text.to_owned()))
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok($made(number.to_string()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok($made(number.to_string()))
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok($made(number.to_string()))
        }

        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($made(value.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Loose;

            visit_texts!(|text| Loose(Some(text)));

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }
        }

        from.deserialize_any(Any)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Parts<'de>;

            visit_texts!(Parts::text);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Parts<'de>, A::Error> {
                Ok(Parts(vec![RawPart::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Vec::new();
                while let Some(more) = list.next_element::<Parts<'de>>()? {
                    parts.extend(more.0);
                }
                Ok(Parts(parts))
            }
        }

        from.deserialize_any(Any)
    }
}
