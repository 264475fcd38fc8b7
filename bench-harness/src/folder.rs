//! A folder that goes away with the value, for what is written only to be read by started programs.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// It and all that is in it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    /// A new one for this user alone; `name` is for the eye.
    pub(crate) fn temporary(name: &str) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let own = std::process::id();
        let path = env::temp_dir().join(format!("ringway-bench-{name}-{own}-{number}"));
        // It fails where somebody has put something in this place before.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, kept: false })
    }

    /// One that stays, made if it is missing.
    pub(crate) fn kept(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let path = fs::canonicalize(path)?; // since programs read it from elsewhere
        Ok(Self { path, kept: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_with_its_files_and_a_kept_one_stays() {
        let outer = Folder::temporary("folder-test").unwrap();
        let inner = outer.path().join("a/b");
        let kept = Folder::kept(&inner).unwrap();
        fs::write(kept.path().join("file"), "text").unwrap();
        drop(kept);
        assert!(inner.join("file").exists());
        let path = outer.path().to_owned();
        drop(outer);
        assert!(!path.exists());
    }
}
