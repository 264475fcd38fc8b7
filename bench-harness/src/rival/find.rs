//! Where programs are, and what they say about their version.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rival::Rival;

/// A rival that is here.
#[derive(Clone)]
pub(crate) struct Installed {
    pub(crate) rival: &'static dyn Rival,
    pub(crate) program: PathBuf,
    pub(crate) version: Option<String>,
}

/// Looks for a rival on the PATH, in /usr/sbin, where Debian has daemons, and where `ci/peers` puts wheels.
pub(crate) fn find(rival: &'static dyn Rival) -> Option<Installed> {
    let program = folders()
        .into_iter()
        .map(|folder| folder.join(rival.name()))
        .find(|path| is_program(path))?;
    let version = version(&program, rival.version_argument());
    Some(Installed {
        rival,
        program,
        version,
    })
}

fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .chain(cache.map(|cache| cache.join("ringway-peers/bin")))
        .collect()
}

fn is_program(path: &Path) -> bool {
    const ANYBODY_EXECUTES: u32 = 0o111;
    fs::metadata(path)
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & ANYBODY_EXECUTES != 0)
}

/// The version that a program says with `argument`.
fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let said = [output.stdout, output.stderr].concat(); // nginx says it on standard error
    version_in(&String::from_utf8_lossy(&said))
}

/// The first thing in the first line that looks like a version.
pub(crate) fn version_in(said: &str) -> Option<String> {
    let line = said.lines().find(|line| !line.trim().is_empty())?;
    let mut words = line.split(|character: char| character.is_whitespace() || character == '/');
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    words.find(is_version).map(str::to_owned)
}

/// A path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-+:,=@%".contains(character);
    match path.chars().all(plain) {
        true => path.into_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_say() {
        for (said, version) in [
            (
                "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: 2.6\n",
                Some("2.6.12-1+deb12u4"),
            ),
            ("nginx version: nginx/1.22.1\n", Some("1.22.1")),
            (
                "Squid Cache: Version 5.7\nService Name: squid\n",
                Some("5.7"),
            ),
            (
                "\n/usr/bin/envoy  version: 9e55809337/1.40.0/Clean/RELEASE/BoringSSL\n",
                Some("1.40.0"),
            ),
            ("usage: program [options]\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(said).as_deref(), version, "{said}");
        }
    }

    #[test]
    fn a_path_stays_one_word_of_a_shell() {
        assert_eq!(quoted(Path::new("/usr/sbin/nginx")), "/usr/sbin/nginx");
        let odd = "/tmp/it's a \"path\"";
        let output = Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(Path::new(odd)))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), odd);
    }
}
