//! A value read from a small file, and read again when the file has changed.
//!
//! Looking costs one stat(2), at most once in [`limits::FILE_CHECK_INTERVAL`] and only when somebody wants the value.
//! Reading happens on the worker's thread, which is why it is bounded. A file that is not there counts as empty; one
//! that cannot be read leaves the value as it was.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use crate::limits;

/// A value and the file it comes from.
#[derive(Debug)]
pub(super) struct FromFile<T> {
    path: PathBuf,
    value: T,
    /// What the value was read from; `None` stands for no file.
    seen: Option<Stamp>,
    look_again_at: Option<Instant>,
}

/// Tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl<T> FromFile<T> {
    /// A value that has not been read yet; `without` is the one that stands for an empty file.
    pub(super) fn new(path: PathBuf, without: T) -> Self {
        Self {
            path,
            value: without,
            seen: None,
            look_again_at: None,
        }
    }

    /// The value as it is at `now`, or was a few seconds ago.
    pub(super) fn current(&mut self, now: Instant, parse: impl FnOnce(&str) -> T) -> &T {
        if self.look_again_at.is_none_or(|at| now >= at) {
            self.look_again_at = Some(now + limits::FILE_CHECK_INTERVAL);
            match self.read_changed() {
                Ok(Some(text)) => self.value = parse(&text),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "cannot be read");
                }
            }
        }
        &self.value
    }

    /// The text, when it is not the one read before.
    fn read_changed(&mut self) -> io::Result<Option<String>> {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.is_file().then(|| Stamp::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if stamp == self.seen {
            return Ok(None);
        }
        let mut text = Vec::new();
        if stamp.is_some() {
            let file = File::open(&self.path)?;
            file.take(limits::FILE_BYTES_MAX).read_to_end(&mut text)?;
        }
        if text.len() as u64 == limits::FILE_BYTES_MAX {
            tracing::warn!(path = %self.path.display(), bytes_max = limits::FILE_BYTES_MAX, "only the start is read");
        }
        self.seen = stamp;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[test]
    fn read_again_only_when_changed_and_not_too_often() {
        let path = std::env::temp_dir().join(format!("ringway-file-{}", std::process::id()));
        let mut file = FromFile::new(path.clone(), String::from("nothing"));
        let readings = Cell::new(0);
        let mut now = Instant::now();
        let mut look = |after: Duration| {
            now += after;
            let parse = |text: &str| {
                readings.set(readings.get() + 1);
                text.to_owned()
            };
            (file.current(now, parse).clone(), readings.get())
        };
        let interval = limits::FILE_CHECK_INTERVAL;

        assert_eq!(look(Duration::ZERO), ("nothing".into(), 0), "no file");
        fs::write(&path, "one").expect("a temporary file");
        assert_eq!(look(interval / 2), ("nothing".into(), 0), "too early");
        assert_eq!(look(interval / 2), ("one".into(), 1));
        assert_eq!(look(interval), ("one".into(), 1), "unchanged");
        fs::write(&path, "three").expect("a temporary file");
        assert_eq!(look(interval), ("three".into(), 2));
        fs::remove_file(&path).expect("the temporary file");
        fs::create_dir(&path).expect("a directory in its place");
        assert_eq!(look(interval), (String::new(), 3), "a directory is no file");
        fs::remove_dir(&path).expect("the directory");
        assert_eq!(look(interval), (String::new(), 3), "still none");
        fs::write(&path, b"\xff").expect("a temporary file");
        assert_eq!(look(interval), ("\u{fffd}".into(), 4), "not UTF-8");
        fs::write(&path, vec![b'x'; limits::FILE_BYTES_MAX as usize + 1])
            .expect("a temporary file");
        assert_eq!(look(interval).0.len() as u64, limits::FILE_BYTES_MAX);
        fs::remove_file(&path).expect("the temporary file");
    }
}
