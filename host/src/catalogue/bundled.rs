//! The plugins that the binary carries.

use super::{Catalogue, CatalogueError};
use crate::domain::digest::Digest;

/// Name and component of each.
const BUNDLED: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

impl Catalogue {
    /// Accepts the binary's own plugins, each build of them once: whatever is
    /// chosen afterwards stays chosen.
    pub async fn accept_bundled(&self) -> Result<(), CatalogueError> {
        let seen = self.shared.store.plugin_file_list().await?;
        for (name, component) in BUNDLED {
            let file = bundled_file(name);
            let digest = Digest::of(component);
            if !seen.contains(&(file.clone(), digest)) {
                self.accept(component.to_vec()).await?;
                self.shared.store.plugin_file_set(file, Some(digest)).await?;
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "bundled:";

fn bundled_file(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Whether a remembered file is one of the binary's and not in the folder.
pub(super) fn is_bundled(file: &str) -> bool {
    file.starts_with(PREFIX)
}
