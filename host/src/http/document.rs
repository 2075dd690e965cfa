//! What the API's description owes to every operation, so that none has to
//! repeat it: which errors it may answer, that they are problem documents, and
//! the header that every creation takes.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AllOf, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, ResponseBuilder};

use super::auth;

const PROBLEM: &str = "#/components/schemas/Problem";
const PROBLEM_TYPE: &str = "application/problem+json";

/// Adds what handlers leave out.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let open = auth::OPEN.contains(&path.as_str());
        if let Some(operation) = &mut item.post {
            operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
        }
        let operations = [(&mut item.get, false), (&mut item.put, true), (&mut item.post, true)]
            .into_iter()
            .chain([(&mut item.patch, true), (&mut item.delete, true)]);
        for (operation, writes) in operations {
            if let Some(operation) = operation {
                add_errors(operation, open, writes);
            }
        }
    }
    open_flattened(document);
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let text = text.pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(255));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A request that is sent again with its key is answered as the first time and creates nothing. \
             With a key, a body has at most `http.body_bytes_max` bytes.",
        ))
        .schema(Some(RefOr::T(Schema::Object(text.build()))))
        .build()
}

fn add_errors(operation: &mut Operation, open: bool, writes: bool) {
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && body.content.contains_key("application/x-ndjson")
    {
        // Nothing at all is no line, which is a batch like any other.
        body.required = Some(Required::False);
    }
    let has_parameters = operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let body = match &operation.request_body {
        Some(RefOr::T(body)) => Some(body),
        _ => None,
    };
    let has_json = body.is_some_and(|body| body.content.contains_key("application/json"));
    let has_body = body.is_some();
    let has_key =
        operation.parameters.iter().flatten().any(|parameter| *parameter == RefOr::T(idempotency_key()));
    let errors = [
        ("400", has_parameters || has_body, "The request cannot be read"),
        ("401", !open, "A valid token is needed"),
        ("403", true, "The token's role, the host or the origin does not allow this"),
        ("409", writes && !open, "Something stands against it, or its `Idempotency-Key` is being answered"),
        ("413", has_body, "The body is too large"),
        ("415", has_json, "The body has the wrong content type"),
        ("422", has_body || has_key, "The request cannot be carried out"),
        ("500", !open, "The daemon failed"),
        ("503", !open, "The database is in use"),
        ("507", writes && !open, "There is no room on the disk"),
    ];
    let problem = || Content::new(Some(RefOr::Ref(Ref::new(PROBLEM))));
    let responses = &mut operation.responses.responses;
    for (status, applies, description) in errors {
        if applies && !responses.contains_key(status) {
            let response = ResponseBuilder::new().description(description).content(PROBLEM_TYPE, problem());
            responses.insert(status.into(), RefOr::T(response.build()));
        }
    }
    for response in responses.values_mut() {
        if let RefOr::T(response) = response
            && response.content.values().any(is_problem)
        {
            response.content = [(PROBLEM_TYPE.to_owned(), RefOr::T(problem()))].into_iter().collect();
        }
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else { return false };
    matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location == PROBLEM)
}

/// A record that users may add nothing to is part of a larger one: there its
/// fields stand beside others, so the larger one repeats them without that rule.
fn open_flattened(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    let closed: Vec<(String, Object)> = components
        .schemas
        .iter()
        .filter_map(|(name, schema)| match schema {
            RefOr::T(Schema::Object(object)) if object.additional_properties.is_some() => {
                let mut object = object.clone();
                object.additional_properties = None;
                Some((format!("#/components/schemas/{name}"), object))
            }
            _ => None,
        })
        .collect();
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::AllOf(AllOf { items, .. })) = schema else { continue };
        for item in items {
            if let RefOr::Ref(part) = item
                && let Some((_, object)) = closed.iter().find(|(place, _)| *place == part.ref_location)
            {
                *item = RefOr::T(Schema::Object(object.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn every_error_is_a_documented_problem() {
        let document = serde_json::to_value(crate::http::openapi()).expect("plain JSON");
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    // OpenTelemetry has an error of its own.
                    let own =
                        response["description"].as_str().is_some_and(|text| text.contains("rpc.Status"));
                    if status.starts_with(['4', '5']) && path != "/readyz" && !own {
                        let content = response["content"].as_object();
                        let types: Vec<_> = content.expect("a body").keys().collect();
                        assert_eq!(types, [super::PROBLEM_TYPE], "{method} {path} {status}");
                        seen += 1;
                    }
                }
                assert!(operation["responses"]["403"].is_object(), "{method} {path}");
                let parameters = operation["parameters"].to_string();
                assert_eq!(parameters.contains("Idempotency-Key"), method == "post", "{method} {path}");
            }
        }
        assert!(seen > 50, "only {seen} errors are documented");
    }

    #[test]
    fn parameters_stand_where_they_say_and_references_lead_somewhere() {
        let document = serde_json::to_value(crate::http::openapi()).expect("plain JSON");
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().expect("a name");
                    let in_path = parameter["in"] == "path";
                    // Where it is wrong, `into_params(parameter_in = Query)` is missing.
                    assert_eq!(path.contains(&format!("{{{name}}}")), in_path, "{method} {path} {name}");
                }
            }
        }
        let text = document.to_string();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            // Where it is missing, `param(inline)` is.
            assert!(document["components"]["schemas"][name].is_object(), "`{name}` is referred to");
        }
    }

    #[test]
    fn a_flattened_record_does_not_forbid_the_fields_beside_it() {
        let document = serde_json::to_value(crate::http::openapi()).expect("plain JSON");
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Definition"]["additionalProperties"], json!(false), "users may add nothing");
        let parts = schemas["Evaluation"]["allOf"].as_array().expect("parts");
        assert!(
            parts.iter().all(|part| part["properties"].is_object() && part["additionalProperties"].is_null())
        );
    }
}
