//! Who may do what.
//!
//! A loopback address may be used without a token, because whoever reaches it
//! is on this machine; but a web page in a browser here reaches it too. So the
//! `Host` has to be a name of this machine (a rebound DNS name is not), and a
//! request that a page of another origin caused is refused.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Api;
use super::problem::Problem;
use crate::domain::digest::Digest;
use crate::domain::role::Role;

/// Tells who asked, for what is kept by asker.
#[derive(Debug, Clone)]
pub struct Asker(pub String);

/// Paths that tell nothing but whether the daemon lives.
pub(super) const OPEN: [&str; 3] = ["/healthz", "/readyz", "/version"];

/// Refuses what its sender may not do.
pub async fn authorize(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match check(&api, request.method(), request.uri(), request.headers()).await {
        Ok(asker) => {
            request.extensions_mut().insert(asker);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn check(api: &Api, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Asker, Problem> {
    if api.loopback {
        check_host(api, uri, headers)?;
    }
    check_origin(headers)?;
    if OPEN.contains(&uri.path()) {
        return Ok(Asker("anyone".into()));
    }
    let needed = needed_role(method, uri.path());
    match bearer(headers)? {
        Some(token) => {
            let hash = Digest::of(token.as_bytes());
            let role = api.app.store.token_role(hash).await?;
            let role = role.ok_or_else(|| Problem::unauthorized("the token is not known, or was revoked"))?;
            if role.allows(needed) {
                Ok(Asker(hash.to_string()))
            } else {
                let (role, needed) = (role.as_str(), needed.as_str());
                Err(Problem::forbidden(format!("this needs the role `{needed}`; the token has `{role}`")))
            }
        }
        None if api.loopback && !api.config.require_token => Ok(Asker("loopback".into())),
        None => Err(Problem::unauthorized("send `Authorization: Bearer …`; `assay token create` makes one")),
    }
}

/// Paths to which production sends.
const INGEST: [&str; 4] = ["/v1/traces", "/v1/logs", "/v1/interactions", "/v1/events"];

/// Reading needs `read`, sending from production `ingest`, changing `write`, and changing what code runs or deleting
/// a user's data `admin`.
fn needed_role(method: &Method, path: &str) -> Role {
    if method.is_safe() {
        Role::Read
    } else if method == Method::POST && INGEST.contains(&path) {
        Role::Ingest
    } else if path.starts_with("/v1/plugins") || path.starts_with("/v1/users") {
        Role::Admin
    } else {
        Role::Write
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty());
    match token {
        Some((_, token)) => Ok(Some(token.trim())),
        None => Err(Problem::unauthorized("the `Authorization` header is not `Bearer …`")),
    }
}

/// The name in a host that may have a port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn check_host(api: &Api, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().unwrap_or_default(),
        // HTTP/2 has it in the target.
        None => uri.authority().map_or("", |authority| authority.as_str()),
    };
    let name = name_of(host);
    let known = ["localhost", "127.0.0.1", "[::1]"];
    if known.contains(&name) || api.config.allowed_hosts.iter().any(|allowed| allowed == name) {
        Ok(())
    } else {
        Err(Problem::forbidden(format!(
            "the host `{host}` is not this machine; `http.allowed_hosts` in the configuration allows more names"
        )))
    }
}

fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let cross_site = || Problem::forbidden("a web page of another origin may not ask this");
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return Err(cross_site());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if own.is_some() && own == host { Ok(()) } else { Err(cross_site()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_what_a_request_changes() {
        assert_eq!(needed_role(&Method::GET, "/v1/plugins"), Role::Read);
        assert_eq!(needed_role(&Method::POST, "/v1/plugins"), Role::Admin);
        assert_eq!(needed_role(&Method::DELETE, "/v1/users/u1"), Role::Admin);
        assert_eq!(needed_role(&Method::POST, "/v1/traces"), Role::Ingest);
        assert_eq!(needed_role(&Method::DELETE, "/v1/evaluations/x"), Role::Write);
    }

    #[test]
    fn a_host_loses_its_port_and_nothing_else() {
        for (host, name) in [("localhost:80", "localhost"), ("[::1]:80", "[::1]"), ("a.example", "a.example")]
        {
            assert_eq!(name_of(host), name);
        }
    }
}
