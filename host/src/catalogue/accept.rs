//! The way from a file's bytes to an accepted plugin.

use std::fs;
use std::sync::Arc;

use super::{Catalogue, CatalogueError};
use crate::domain::digest::Digest;
use crate::domain::plugin::{Capability, Descriptor, shortened};
use crate::fault;
use crate::protocol::BatchFailure;
use crate::store::StoredPlugin;
use crate::workers::{Artifact, CompileError, ScorerCall};

/// What a descriptor may say, in bytes: it stands in lists, logs and the database.
const NAME_BYTES_MAX: usize = 64;
const VERSION_BYTES_MAX: usize = 64;
const TITLE_BYTES_MAX: usize = 500;
const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// A reason may quote the component.
const REASON_BYTES_MAX: usize = 2 << 10;

/// Why a file is no plugin. The text names the reason for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Rejected {
    #[error("the file has {bytes} bytes, over the limit of {bytes_max} (`workers.component_bytes_max`)")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error(
        "a core WebAssembly module, not a component: encode it with `assay plugin build FILE`, or build it with \
         your language's component tools"
    )]
    CoreModule,
    #[error(
        "a precompiled file: only portable components are accepted, because machine code cannot be checked"
    )]
    Precompiled,
    #[error("not WebAssembly")]
    NotWasm,
    #[error("{0}")]
    Compile(String),
    #[error("its `{function}` failed: {reason}")]
    Call { function: &'static str, reason: String },
    #[error("its descriptor is wrong: {0}")]
    Descriptor(String),
}

impl Catalogue {
    /// Checks a component's bytes without keeping anything but the compiled
    /// artifact: what `assay plugin check` does.
    pub async fn check(&self, component: Vec<u8>) -> Result<(StoredPlugin, Arc<Artifact>), CatalogueError> {
        check_format(&component, self.shared.component_bytes_max)?;
        let digest = Digest::of(&component);
        let size_bytes = component.len() as u64;
        let shared = &self.shared;
        let artifact = match shared.cache.get(digest, shared.workers.compatibility())? {
            Some(artifact) => artifact,
            None => self.compile(digest, component).await?.map_err(|error| match error {
                CompileError::Refused(reason) => Rejected::Compile(shortened(reason, REASON_BYTES_MAX)),
                other => Rejected::Compile(other.to_string()),
            })?,
        };
        let artifact = Arc::new(artifact);
        let failed = |function| {
            move |failure: BatchFailure| Rejected::Call {
                function,
                reason: shortened(failure.unscored.message, REASON_BYTES_MAX),
            }
        };
        let descriptor = shared.workers.describe(&artifact).await.map_err(failed("describe"))?;
        check_descriptor(&descriptor)?;
        shared
            .workers
            .validate(digest, descriptor.config_schema_json.clone(), "{}".into())
            .await
            .map_err(failed("config-schema-json"))?
            .map_err(|reason| {
                Rejected::Descriptor(format!("the configuration's schema is wrong: {reason}"))
            })?;
        shared.workers.configure(&artifact, "{}").await.map_err(failed("configure"))?.ok();
        let call = |capability| ScorerCall {
            plugin: Arc::clone(&artifact),
            capability,
            config: "{}".into(),
            judge: None,
        };
        for (capability, function) in
            [(Capability::Score, "score-batch"), (Capability::Label, "classify-batch")]
        {
            if descriptor.capabilities.contains(&capability) {
                let calls = vec![call(capability)];
                let outcome = shared.workers.score(Arc::new([]), calls).await.map_err(failed(function))?;
                for answer in outcome {
                    answer.map_err(failed(function))?;
                }
            }
        }
        if descriptor.capabilities.contains(&Capability::Signal) {
            let outcome = shared
                .workers
                .extract(Arc::new([]), vec![call(Capability::Signal)])
                .await
                .map_err(failed("extract-batch"))?;
            for answer in outcome {
                answer.map_err(failed("extract-batch"))?;
            }
        }
        let accepted_at = shared.clock.now();
        Ok((StoredPlugin { digest, descriptor, size_bytes, accepted_at }, artifact))
    }

    /// Accepts a component and makes it the current build of its name. Runs
    /// that go on keep the build they were started with.
    pub async fn accept(&self, component: Vec<u8>) -> Result<StoredPlugin, CatalogueError> {
        let digest = Digest::of(&component);
        let plugin = match self.shared.store.plugin_get(digest).await? {
            Some(known) if self.component_path(digest).is_file() => known,
            _ => {
                let (plugin, artifact) = self.check(component.clone()).await?;
                self.keep(digest, &component)?;
                self.shared.store.plugin_insert(plugin.clone()).await?;
                self.artifacts().insert(digest, artifact);
                plugin
            }
        };
        let name = plugin.descriptor.name.clone();
        self.shared.store.plugin_set_current(name, Some(digest), self.shared.clock.now()).await?;
        tracing::info!(
            plugin.name = plugin.descriptor.name,
            plugin.version = plugin.descriptor.version,
            plugin.digest = %digest,
            "plugin accepted"
        );
        Ok(plugin)
    }

    fn keep(&self, digest: Digest, component: &[u8]) -> Result<(), CatalogueError> {
        let path = self.component_path(digest);
        let staging = path.with_extension(format!("part.{}", std::process::id()));
        fs::write(&staging, component)
            .and_then(|()| {
                fault::point("component-staged");
                fs::rename(&staging, &path)
            })
            .map_err(|source| CatalogueError::File { path, source })
    }
}

/// Tells by the first bytes what a file is.
fn check_format(bytes: &[u8], bytes_max: u64) -> Result<(), Rejected> {
    if bytes.len() as u64 > bytes_max {
        return Err(Rejected::TooLarge { bytes: bytes.len() as u64, bytes_max });
    }
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Rejected::CoreModule),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => Err(Rejected::Precompiled),
        _ => Err(Rejected::NotWasm),
    }
}

fn check_descriptor(descriptor: &Descriptor) -> Result<(), Rejected> {
    let wrong = |message: String| Err(Rejected::Descriptor(message));
    let name = &descriptor.name;
    let words = name.split('-').all(|word| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    if !words || name.len() > NAME_BYTES_MAX {
        let name = shortened(name.escape_debug().to_string(), NAME_BYTES_MAX);
        return wrong(format!(
            "the name `{name}` is not lower-case words joined by hyphens, of at most {NAME_BYTES_MAX} characters"
        ));
    }
    for (what, text, bytes_max) in [
        ("version", &descriptor.version, VERSION_BYTES_MAX),
        ("title", &descriptor.title, TITLE_BYTES_MAX),
        ("configuration's schema", &descriptor.config_schema_json, SCHEMA_BYTES_MAX),
    ] {
        if text.len() > bytes_max {
            return wrong(format!("the {what} has {} bytes, over {bytes_max}", text.len()));
        }
    }
    if let Err(error) = semver::Version::parse(&descriptor.version) {
        return wrong(format!("the version `{}` is not semantic: {error}", descriptor.version));
    }
    if descriptor.batch_max == 0 {
        return wrong("`batch-max` is 0".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wrong_file_has_its_own_reason() {
        let cases: [(&[u8], &str); 5] = [
            (b"\0asm\x01\0\0\0rest", "core WebAssembly module"),
            (b"\x7fELF\x02rest", "precompiled"),
            (b"#!/bin/sh", "not WebAssembly"),
            (b"", "not WebAssembly"),
            (&[0; 101], "over the limit of 100"),
        ];
        for (bytes, reason) in cases {
            let rejected = check_format(bytes, 100).expect_err(reason).to_string();
            assert!(rejected.contains(reason), "{rejected}");
        }
        assert_eq!(check_format(b"\0asm\x0d\0\x01\0", 100), Ok(()));
    }

    #[test]
    fn a_descriptor_is_checked_field_by_field() {
        let good = Descriptor {
            name: "final-number".into(),
            version: "0.1.0".into(),
            title: String::new(),
            deterministic: true,
            config_schema_json: r#"{"type":"object"}"#.into(),
            batch_max: 1,
            capabilities: vec![Capability::Score],
            judges: false,
        };
        assert_eq!(check_descriptor(&good), Ok(()));
        let wrong: [(&str, Descriptor); 5] = [
            ("Final Number", Descriptor { name: "Final Number".into(), ..good.clone() }),
            ("not semantic", Descriptor { version: "one".into(), ..good.clone() }),
            ("batch-max", Descriptor { batch_max: 0, ..good.clone() }),
            ("title has 501 bytes", Descriptor { title: "x".repeat(501), ..good.clone() }),
            ("schema has 300000 bytes", Descriptor { config_schema_json: "x".repeat(300_000), ..good }),
        ];
        for (reason, descriptor) in wrong {
            let rejected = check_descriptor(&descriptor).expect_err(reason).to_string();
            assert!(rejected.contains(reason), "{rejected}");
        }
    }
}
