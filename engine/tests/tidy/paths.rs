//! The paths that a source names, as they are from the root of the crate: `use` lines with their groups, paths in
//! expressions and types, and what is reached through an imported name.

use std::collections::BTreeMap;

use super::source::Source;

/// A path that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// `crate::ring::sys::Pipe`, `std::time::Instant`; a glob ends in `*`.
    pub(crate) path: String,
    pub(crate) line: usize,
    /// It stands in a private `use`: what is done with the name is named as well.
    pub(crate) imported: bool,
}

/// Every path with at least two parts.
pub(crate) fn paths(source: &Source, module: &[String]) -> Vec<NamedPath> {
    let mut reader = Reader {
        source,
        found: Vec::new(),
    };
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut raw = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        inside.retain(|&(_, end)| at < end);
        if source.text(at) == "mod" && source.text(at + 2) == "{" {
            inside.push((source.text(at + 1).to_owned(), source.closing(at + 2)));
        }
        let imports =
            source.tokens[at].word && source.text(at) == "use" && source.text(at + 1) != "<";
        let start = if imports { at + 1 } else { at };
        if imports || reader.starts_path(start) {
            let exported = imports && at > 0 && matches!(source.text(at - 1), "pub" | ")");
            let end = reader.tree(start, &[], imports);
            let place: Vec<String> = inside.iter().map(|(name, _)| name.clone()).collect();
            for part in reader.found.drain(..) {
                raw.push((part, place.clone(), imports, exported));
            }
            at = end.max(at + 1);
        } else {
            at += 1;
        }
    }
    resolve(&raw, module)
}

/// A path as it is written.
struct Written {
    parts: Vec<String>,
    alias: String,
    line: usize,
}

fn resolve(raw: &[(Written, Vec<String>, bool, bool)], module: &[String]) -> Vec<NamedPath> {
    let mut imported = BTreeMap::new();
    let mut found = Vec::new();
    for imports in [true, false] {
        for (written, place, is_import, exported) in raw {
            if *is_import != imports {
                continue;
            }
            let mut here = module.to_vec();
            here.extend_from_slice(place);
            let parts = absolute(&written.parts, &here, &imported);
            let path = parts.join("::");
            if imports && !path.ends_with('*') {
                imported.insert(written.alias.clone(), parts);
            }
            found.push(NamedPath {
                path,
                line: written.line,
                imported: imports && !exported,
            });
        }
    }
    found.retain(|found| found.path.contains("::"));
    found
}

fn absolute(
    parts: &[String],
    here: &[String],
    imported: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let (mut path, rest) = match parts[0].as_str() {
        "crate" => (vec!["crate".to_owned()], &parts[1..]),
        "self" | "super" => {
            let up = parts.iter().take_while(|part| *part == "super").count();
            let mut path = vec!["crate".to_owned()];
            path.extend_from_slice(&here[..here.len().saturating_sub(up)]);
            (path, &parts[up.max(1)..])
        }
        name => match imported.get(name) {
            Some(path) => (path.clone(), &parts[1..]),
            None => return parts.to_vec(),
        },
    };
    path.extend_from_slice(rest);
    path
}

struct Reader<'source> {
    source: &'source Source,
    found: Vec<Written>,
}

impl Reader<'_> {
    fn joined(&self, at: usize) -> bool {
        self.source.follows(at, &[":", ":"])
    }

    /// Whether a path of several parts starts here.
    fn starts_path(&self, at: usize) -> bool {
        let goes_on = at > 0 && self.source.text(at - 1) == "." || at > 1 && self.joined(at - 2);
        self.source.tokens[at].word && self.joined(at + 1) && !goes_on
    }

    /// Reads the path or the tree of paths at `at`, and says where it ends.
    fn tree(&mut self, mut at: usize, prefix: &[String], imports: bool) -> usize {
        let line = self.source.tokens.get(at).map_or(0, |token| token.line);
        let mut parts = prefix.to_vec();
        if self.joined(at) {
            at += 2; // `::std::time`
        }
        loop {
            match self.source.text(at) {
                "{" if imports => return self.group(at, &parts),
                "*" if imports => {
                    parts.push("*".to_owned());
                    at += 1;
                }
                "self" if !parts.is_empty() => at += 1,
                name => {
                    if !self.source.tokens.get(at).is_some_and(|token| token.word) {
                        break;
                    }
                    parts.push(name.to_owned());
                    at += 1;
                }
            }
            if !self.joined(at) {
                break;
            }
            at += 2;
        }
        let mut alias = parts.last().cloned().unwrap_or_default();
        if imports && self.source.text(at) == "as" {
            alias = self.source.text(at + 1).to_owned();
            at += 2;
        }
        if !parts.is_empty() {
            self.found.push(Written { parts, alias, line });
        }
        at
    }

    fn group(&mut self, open: usize, prefix: &[String]) -> usize {
        let close = self.source.closing(open);
        let mut at = open + 1;
        while at < close {
            at = if self.source.text(at) == "," {
                at + 1
            } else {
                self.tree(at, prefix, true).max(at + 1)
            };
        }
        close + 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Tree;
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let tree = Tree::sample(&[("engine/src/net/stream.rs", text)]);
        let module = ["net".to_owned(), "stream".to_owned()];
        paths(&tree.sources()[0], &module)
            .into_iter()
            .map(|named| named.path)
            .collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        assert_eq!(
            named("use crate::{limits, ring::{self, sys::{Pipe, Spliced as S}, Lease}, rt::*};"),
            [
                "crate::limits",
                "crate::ring",
                "crate::ring::sys::Pipe",
                "crate::ring::sys::Spliced",
                "crate::ring::Lease",
                "crate::rt::*"
            ]
        );
    }

    #[test]
    fn imported_names_are_followed() {
        assert_eq!(
            named(
                "fn a() { sys::Pipe::open(1); t::Instant::now(); }\nuse crate::ring::sys; use std::time as t;"
            ),
            [
                "crate::ring::sys",
                "std::time",
                "crate::ring::sys::Pipe::open",
                "std::time::Instant::now"
            ]
        );
    }

    #[test]
    fn paths_in_code_macros_and_types_count() {
        assert_eq!(
            named(
                "type A = Vec<crate::rt::Rt>;\nfn a() { assert!(crate::limits::A > 1, \"crate::b::c\"); x.y::<u8>(); }"
            ),
            ["crate::rt::Rt", "crate::limits::A"]
        );
    }

    #[test]
    fn super_leads_upwards() {
        assert_eq!(
            named(
                "use super::super::ring::Key;\nuse super::Listener;\nmod tests { use super::super::dial::Race; use super::*; }"
            ),
            [
                "crate::ring::Key",
                "crate::net::Listener",
                "crate::net::dial::Race",
                "crate::net::stream::*"
            ]
        );
    }

    #[test]
    fn a_private_import_is_told_from_an_export() {
        let tree = Tree::sample(&[(
            "a.rs",
            "use crate::ring::sys;\npub use crate::ring::op;\nfn a() -> crate::b::C {}",
        )]);
        let imported: Vec<bool> = paths(&tree.sources()[0], &[])
            .iter()
            .map(|path| path.imported)
            .collect();
        assert_eq!(imported, [true, false, false]);
    }
}
