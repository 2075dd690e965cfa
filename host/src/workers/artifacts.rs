//! Compiled artifacts on disk: a cache that is never trusted without its MAC.
//!
//! The daemon reads and hands over artifacts; it never maps one. Deleting the
//! folder is always safe.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::domain::digest::Digest;

const MAC_BYTES: usize = blake3::OUT_LEN;

/// A compiled plugin in sealed memory, which workers share.
#[derive(Debug)]
pub struct Artifact {
    digest: Digest,
    memory: OwnedFd,
}

/// The cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to use the artifact cache `{}`: {source}", path.display())]
pub struct ArtifactError {
    path: PathBuf,
    source: io::Error,
}

/// The folder of artifacts.
#[derive(Debug)]
pub struct ArtifactCache {
    folder: PathBuf,
    bytes_max: u64,
    key: [u8; 32],
}

impl Artifact {
    /// Takes what a compile worker made of the component with this digest.
    pub fn new(digest: Digest, bytes: &[u8]) -> io::Result<Self> {
        Ok(Self { digest, memory: sealed_memory("artifact", bytes)? })
    }

    /// The component's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// A copy of the bytes that nobody can change any more.
pub(super) fn sealed_memory(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

impl ArtifactCache {
    /// Opens or makes the folder and its key. Artifacts beyond `bytes_max` are
    /// removed, the least recently used first.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, ArtifactError> {
        let failed = |source| ArtifactError { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let key = Self::key(&folder.join("key")).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), bytes_max, key })
    }

    fn key(path: &Path) -> io::Result<[u8; 32]> {
        let mut key = [0; 32];
        match File::open(path) {
            Ok(mut file) => file.read_exact(&mut key)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                key = rand::random();
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(&key)?;
            }
            Err(error) => return Err(error),
        }
        Ok(key)
    }

    fn path(&self, digest: Digest, compatibility: u64) -> PathBuf {
        let digest = digest.to_string();
        let digits = digest.trim_start_matches("sha256:");
        self.folder.join(format!("{digits}.{compatibility:016x}"))
    }

    fn mac(&self, digest: Digest, compatibility: u64, artifact: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.as_bytes());
        hasher.update(&compatibility.to_le_bytes());
        hasher.update(artifact);
        hasher.finalize()
    }

    /// The artifact of a component, where the cache has it unharmed. A file
    /// that fails its check is removed and counts as missing.
    pub fn get(&self, digest: Digest, compatibility: u64) -> Result<Option<Artifact>, ArtifactError> {
        let path = self.path(digest, compatibility);
        let failed = |source| ArtifactError { path: path.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Comparing `blake3::Hash`es takes the same time wherever they differ.
        let sound = bytes.split_last_chunk::<MAC_BYTES>().filter(|(artifact, mac)| {
            self.mac(digest, compatibility, artifact) == blake3::Hash::from_bytes(**mac)
        });
        match sound {
            Some((artifact, _)) => {
                // Its age decides what goes first; an artifact works without.
                File::open(&path).and_then(|file| file.set_modified(SystemTime::now())).ok();
                Artifact::new(digest, artifact).map(Some).map_err(failed)
            }
            None => {
                tracing::warn!(path = %path.display(), "a cached artifact failed its check; it will be made again");
                fs::remove_file(&path).map_err(failed)?;
                Ok(None)
            }
        }
    }

    /// Keeps an artifact. A crash in the middle leaves no half file under its name.
    pub fn put(&self, digest: Digest, compatibility: u64, bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let path = self.path(digest, compatibility);
        let failed = |source| ArtifactError { path: path.clone(), source };
        let staging = path.with_extension(format!("{}.part", std::process::id()));
        let mac = self.mac(digest, compatibility, bytes);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&staging)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.write_all(mac.as_bytes())?;
                crate::fault::point("artifact-staged");
                fs::rename(&staging, &path)
            })
            .map_err(failed)?;
        self.evict_but(&path).map_err(failed)?;
        Artifact::new(digest, bytes).map_err(failed)
    }

    /// Makes room; `kept` stays whatever its size.
    fn evict_but(&self, kept: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another process may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && entry.file_name() != "key" {
                total += metadata.len();
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if path != kept && fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_truncated_or_foreign_file_counts_as_missing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = ArtifactCache::open(folder.path(), 1 << 20).expect("opened");
        let digest = Digest::of(b"component");
        cache.put(digest, 7, b"machine code").expect("kept");
        assert!(cache.get(digest, 7).expect("readable").is_some());
        assert!(cache.get(digest, 8).expect("readable").is_none(), "of another engine");
        let path = cache.path(digest, 7);
        let whole = fs::read(&path).expect("readable");
        let mut changed = whole.clone();
        changed[0] ^= 1;
        for harmed in [&changed[..], &whole[..20], &whole[..whole.len() - 1], b""] {
            fs::write(&path, harmed).expect("writable");
            assert!(cache.get(digest, 7).expect("readable").is_none());
            assert!(!path.exists(), "a harmed file is removed");
        }
        let other = Digest::of(b"another component");
        fs::write(cache.path(other, 7), whole).expect("writable");
        assert!(cache.get(other, 7).expect("readable").is_none(), "moved from another component");
    }

    #[test]
    fn the_least_recently_used_artifact_makes_room() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = ArtifactCache::open(folder.path(), 3 * (100 + MAC_BYTES as u64)).expect("opened");
        let digests = [b"a", b"b", b"c", b"d"].map(|component| Digest::of(component));
        for (age_s, digest) in [(30, digests[0]), (20, digests[1]), (10, digests[2])] {
            cache.put(digest, 1, &[7; 100]).expect("kept");
            let file = File::open(cache.path(digest, 1)).expect("there");
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age_s)).expect("aged");
        }
        assert!(cache.get(digests[0], 1).expect("readable").is_some(), "used a moment ago");
        cache.put(digests[3], 1, &[7; 100]).expect("kept");
        let left = digests.map(|digest| cache.path(digest, 1).exists());
        assert_eq!(left, [true, false, true, true]);
        cache.put(digests[1], 1, &[7; 1000]).expect("kept");
        let left = digests.map(|digest| cache.path(digest, 1).exists());
        assert_eq!(left, [false, true, false, false], "one that is larger than all the room stays");
        assert!(folder.path().join("key").exists());
    }

    #[test]
    fn the_folder_and_key_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("artifacts");
        ArtifactCache::open(&folder, 1 << 20).expect("opened");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("key"))), (0o700, 0o600));
    }
}
