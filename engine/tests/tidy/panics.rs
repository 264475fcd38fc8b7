//! Code that peers reach returns errors: no panic in `proto`, `net` and `proxy`, tests aside.

use std::collections::BTreeMap;

use super::source::{Finding, Source, Tree};

/// Where bytes and events of peers arrive.
const REACHED: [&str; 3] = ["engine/src/proto/", "engine/src/net/", "engine/src/proxy/"];
/// Where they are taken apart: an index is a panic as well.
const PARSED: &str = "engine/src/proto/";
/// Words before a bracket that is no index.
const KEYWORDS: [&str; 12] = [
    "as", "break", "const", "dyn", "else", "for", "if", "in", "let", "match", "mut", "return",
];
/// Methods that panic.
const METHODS: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];
/// Macros that panic; the `debug_` ones state what the engine promises itself.
const MACROS: [&str; 5] = ["panic", "unreachable", "assert", "assert_eq", "assert_ne"];

/// Places that panic all the same: file, what, how many, and why no peer can reach it.
pub(crate) const ALLOWED: &[(&str, &str, usize, &str)] = &[];

/// Panics that are not in `allowed`, and entries that are no longer right.
pub(crate) fn panics(tree: &Tree, allowed: &[(&str, &str, usize, &str)]) -> Vec<Finding> {
    let mut places: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for source in REACHED.iter().flat_map(|folder| tree.sources_under(folder)) {
        for at in 0..source.tokens.len() {
            let line = source.tokens[at].line;
            if is_panic(source, at) && !source.is_test(line) {
                places
                    .entry((&source.path, source.text(at)))
                    .or_default()
                    .push(line);
            }
        }
    }
    let mut findings = Vec::new();
    for (&(path, what), lines) in &places {
        let known = allowed
            .iter()
            .find(|entry| (entry.0, entry.1) == (path, what))
            .map_or(0, |entry| entry.2);
        for &line in lines.iter().skip(known) {
            findings.push(Finding {
                path: path.to_owned(),
                line,
                text: format!("{what}: return an error"),
            });
        }
    }
    for (path, what, count, _) in allowed {
        let found = places.get(&(*path, *what)).map_or(0, Vec::len);
        if found < *count {
            findings.push(Finding {
                path: (*path).to_owned(),
                line: 0,
                text: format!("{found} of {count} {what} are left: lower the entry"),
            });
        }
    }
    findings
}

fn is_panic(source: &Source, at: usize) -> bool {
    if source.path.starts_with(PARSED) && is_index(source, at) {
        return true;
    }
    if !source.tokens[at].word {
        return false;
    }
    let method = at > 0 && source.text(at - 1) == "." && source.text(at + 1) == "(";
    method && METHODS.contains(&source.text(at))
        || source.text(at + 1) == "!" && MACROS.contains(&source.text(at))
}

/// Whether the bracket at `at` takes an element or a part of what stands before it.
fn is_index(source: &Source, at: usize) -> bool {
    if at == 0 || source.text(at) != "[" {
        return false;
    }
    let before = source.text(at - 1);
    let lifetime = at > 1 && source.text(at - 2) == "'";
    matches!(before, ")" | "]" | "?")
        || source.tokens[at - 1].word && !lifetime && !KEYWORDS.contains(&before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str, allowed: &[(&str, &str, usize, &str)]) -> usize {
        panics(&Tree::sample(&[(path, text)]), allowed).len()
    }

    #[test]
    fn a_panic_where_peers_come_is_found() {
        for text in [
            "fn a() { b().unwrap(); }",
            "fn a() { b()\n.expect(\"c\"); }",
            "fn a() { panic!(\"c\"); }",
            "fn a() { unreachable!(); }",
            "fn a() { assert!(b > 1); }",
            "fn a() { debug!(\"{}\", b.unwrap()); }",
        ] {
            assert_eq!(count("engine/src/net/a.rs", text, &[]), 1, "{text}");
            assert_eq!(count("engine/src/ring/a.rs", text, &[]), 0, "{text}");
        }
        for text in [
            "fn a() { b.unwrap_or(c); debug_assert!(d); }",
            "#[cfg(test)] mod tests { fn a() { b.unwrap(); } }",
            "#[expect(dead_code)] fn a() {}",
        ] {
            assert_eq!(count("engine/src/net/a.rs", text, &[]), 0, "{text}");
        }
    }

    #[test]
    fn an_index_into_what_peers_sent_is_found() {
        for text in ["b[0]", "b()[1..]", "&mut b[c]", "b?[0]", "b[0][1]"] {
            let found = text.matches('[').count();
            let text = format!("fn a() {{ {text}; }}");
            assert_eq!(count("engine/src/proto/a.rs", &text, &[]), found, "{text}");
            assert_eq!(count("engine/src/net/a.rs", &text, &[]), 0, "{text}");
        }
        for text in [
            "#[inline] fn a(b: &'static [u8]) -> [u8; 2] { let [c, d] = e; [c, d] }",
            "fn a() { vec![1]; for a in [1] { return [2]; } }",
        ] {
            assert_eq!(count("engine/src/proto/a.rs", text, &[]), 0, "{text}");
        }
    }

    #[test]
    fn the_list_of_exceptions_is_exact() {
        let path = "engine/src/net/a.rs";
        let text = "fn a() { b().unwrap(); c().unwrap(); }";
        assert_eq!(count(path, text, &[(path, "unwrap", 2, "why")]), 0);
        assert_eq!(count(path, text, &[(path, "unwrap", 1, "why")]), 1);
        assert_eq!(count(path, text, &[(path, "unwrap", 3, "why")]), 1);
        assert_eq!(
            count(path, text, &[("engine/src/net/b.rs", "unwrap", 2, "why")]),
            3
        );
    }
}
