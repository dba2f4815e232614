//! What is kept of an adapter between processes: the driver's compiled pipelines, and which forms of kernels ran fastest.
//! One file each, in a folder that the host names; without a folder nothing is kept. A file that is damaged, or was written
//! for another driver or version, counts as absent; one that cannot be written is not missed.

use super::adapter::AdapterDescription;
use super::context::{Gpu, lock};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Names the folder for devices that are opened from now on; it is made when something is written.
pub fn set_cache_folder(folder: Option<PathBuf>) {
    *lock(&FOLDER) = folder;
}

/// One file about one adapter.
pub(super) struct Kept(PathBuf);

impl Kept {
    /// None without a folder.
    pub fn new(adapter: &AdapterDescription, kind: &str) -> Option<Kept> {
        let folder = lock(&FOLDER).clone()?;
        let AdapterDescription { name, backend, driver, .. } = adapter;
        let number = hash(&(name, backend, driver, env!("CARGO_PKG_VERSION")));
        Some(Kept(folder.join(format!("gpu-{number:016x}.{kind}"))))
    }

    pub fn read(&self) -> Option<Vec<u8>> {
        let bytes = std::fs::read(&self.0).ok()?;
        let (sum, content) = bytes.split_first_chunk::<8>()?;
        (u64::from_le_bytes(*sum) == hash(content)).then(|| content.to_vec())
    }

    /// Readers see the old content or the new one, whatever happens.
    pub fn write(&self, content: &[u8]) -> std::io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let new = self.0.with_added_extension(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(self.0.parent().expect("a folder and a name"))?;
        std::fs::write(&new, [&hash(content).to_le_bytes(), content].concat())?;
        std::fs::rename(&new, &self.0).inspect_err(|_| drop(std::fs::remove_file(&new)))
    }
}

/// Of this program only: other versions of Rust may hash otherwise, which reads as damage.
fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// While a run goes on pipelines are written when nothing has been compiled for so long.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// The driver's cache of compiled pipelines.
pub(super) struct PipelineCache {
    pub raw: wgpu::PipelineCache,
    file: Kept,
    /// When the newest pipeline that is not in the file was compiled.
    newest: Mutex<Option<Instant>>,
}

impl PipelineCache {
    /// None where the driver has none, or without a folder.
    pub fn new(device: &wgpu::Device, adapter: &AdapterDescription) -> Option<PipelineCache> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = Kept::new(adapter, "pipelines")?;
        let data = file.read();
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data: data.as_deref(), fallback: true };
        // SAFETY: what `save` wrote for this adapter and driver, by its name and its checksum.
        let raw = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(PipelineCache { raw, file, newest: Mutex::new(None) })
    }

    pub fn grown(&self) {
        *lock(&self.newest) = Some(Instant::now());
    }

    fn save(&self, age: Duration) {
        let mut newest = lock(&self.newest);
        if newest.is_some_and(|at| at.elapsed() >= age) {
            *newest = None;
            // A cache is not missed.
            let _ = self.raw.get_data().map(|data| self.file.write(&data));
        }
    }
}

impl Gpu {
    /// Writes the pipelines' file if there are new ones and the last of them was compiled so long ago.
    pub(super) fn save_pipelines(&self, age: Duration) {
        if let Some(cache) = &self.pipeline_cache {
            cache.save(age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::adapters;

    #[test]
    fn what_is_kept_comes_back_and_damage_counts_as_absence() {
        let Some(mut adapter) = adapters().into_iter().next() else { return };
        let folder = std::env::temp_dir().join(format!("spt-cache-{}", std::process::id()));
        let kept = |adapter: &AdapterDescription| Kept(folder.join(format!("{}.test", hash(&adapter.driver))));
        let file = kept(&adapter);
        assert_eq!(file.read(), None);
        file.write(b"some content").unwrap();
        file.write(b"other content").unwrap();
        assert_eq!(kept(&adapter).read().as_deref(), Some(&b"other content"[..]));
        adapter.driver += " 2";
        assert_eq!(kept(&adapter).read(), None);
        let mut bytes = std::fs::read(&file.0).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&file.0, &bytes).unwrap();
        assert_eq!(file.read(), None);
        std::fs::write(&file.0, b"short").unwrap();
        assert_eq!(file.read(), None);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
