//! How every HTTP client of the daemon is set up.

use std::sync::Once;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url, redirect};

/// Limit of connecting, within the limit of the attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for a URL. Redirects are not followed: they would carry keys and
/// content to a place that nobody wrote down.
pub fn client_builder(url: &Url) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // An error means that the process has a provider already, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let builder = Client::builder()
        .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT);
    // Without TLS the system's certificates are not needed, and may be missing.
    if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder }
}
