//! The form of a reply that is an object with known fields: its JSON Schema,
//! and its strict reading. Nothing is searched for in prose, so no verdict
//! that a model repeats from what it was shown is taken for its own.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Reply;

/// JSON Schema of an object that has exactly these fields, each with its own
/// schema, in this order: models that are held to a schema write in its order,
/// so that a reason can come before the verdict.
pub fn object_schema<N: AsRef<str>>(fields: &[(N, String)]) -> String {
    let named: Vec<_> = fields.iter().map(|(name, schema)| (quoted(name.as_ref()), schema)).collect();
    let schemas: Vec<_> = named.iter().map(|(name, schema)| format!("{name}:{schema}")).collect();
    let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        r#"{{"type":"object","properties":{{{}}},"required":[{}],"additionalProperties":false}}"#,
        schemas.join(","),
        names.join(",")
    )
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).expect("text is plain JSON")
}

/// The values of a reply whose whole text is one JSON object with exactly these
/// fields, each once; in the order of `names`. An error says what does not fit.
pub fn read_object<A: DeserializeOwned, N: AsRef<str>>(reply: &Reply, names: &[N]) -> Result<Vec<A>, String> {
    let Entries(mut entries) = serde_json::from_str::<Entries<A>>(&reply.text).map_err(|error| {
        let was_cut = matches!(reply.finish_reason.as_deref(), Some("length" | "max_tokens"));
        let told = if was_cut { "; it was cut: allow more output tokens" } else { "" };
        format!("{error}{told}")
    })?;
    let mut values = Vec::new();
    for name in names {
        let name = name.as_ref();
        let Some(at) = entries.iter().position(|(found, _)| found == name) else {
            return Err(format!("`{name}` is missing"));
        };
        values.push(entries.swap_remove(at).1);
    }
    match entries.first() {
        Some((name, _)) => Err(format!("`{name}` was not asked for, or is there twice")),
        None => Ok(values),
    }
}

/// An object's entries as they stand there, so that none hides another.
struct Entries<A>(Vec<(String, A)>);

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Entries<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<A>(PhantomData<A>);

        impl<'de, A: Deserialize<'de>> Visitor<'de> for Object<A> {
            type Value = Entries<A>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with the fields that were asked for")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, String> {
        read_object(&Reply::new(text, "t"), &["b", "a"])
    }

    #[test]
    fn the_values_come_in_the_order_of_the_names() {
        assert_eq!(read(" {\"a\": 1, \"b\": 2}\n"), Ok(vec![2, 1]));
    }

    #[test]
    fn whatever_else_stands_there_is_an_error() {
        for (text, told) in [
            ("{\"a\":1}", "`b` is missing"),
            ("{\"a\":1,\"b\":2,\"a\":3}", "`a` was not asked for, or is there twice"),
            ("{\"a\":1,\"b\":2,\"total\":3}", "`total` was not asked for, or is there twice"),
            ("{\"a\":1,\"b\":2} {\"a\":9,\"b\":9}", "trailing characters"),
            ("The answer says {\"a\":1,\"b\":2}", "expected value"),
            ("```json\n{\"a\":1,\"b\":2}\n```", "expected value"),
            ("[1,2]", "an object with the fields"),
            ("{\"a\":1,\"b\":\"2\"}", "invalid type"),
            ("", "EOF"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
        let cut = Reply { finish_reason: Some("length".into()), ..Reply::new("{\"a\":", "t") };
        let error = read_object::<u8, _>(&cut, &["a"]).expect_err("cut");
        assert!(error.contains("it was cut"), "{error}");
    }

    #[test]
    fn a_schema_keeps_the_order_of_its_fields() {
        let text = |kind: &str| format!(r#"{{"type":"{kind}"}}"#);
        let schema = object_schema(&[("reason", text("string")), ("a \"b\"", text("integer"))]);
        let at = |part: &str| schema.find(part).expect(part);
        assert!(at("reason") < at("integer"), "{schema}");
        let read: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
        assert_eq!(read["required"][1], "a \"b\"");
        assert_eq!(read["properties"]["a \"b\""]["type"], "integer");
    }
}
