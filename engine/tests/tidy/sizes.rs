//! Functions and files stay short. What was longer when the rule came is in a table, and may only shrink: an entry
//! that is no longer right is a finding as well, so that the table follows.

use std::collections::BTreeMap;

use super::source::{Finding, Source, Tree};

/// Lines of a function, from `fn` to its brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file that are no tests.
const FILE_LINES_MAX: usize = 500;

/// Functions that are longer: file, name, lines.
pub(crate) const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// Files that are longer: file, lines.
pub(crate) const LONG_FILES: &[(&str, usize)] = &[];

/// Functions over the limit that are not in `known`, or not as long as it says.
pub(crate) fn functions(tree: &Tree, known: &[(&str, &str, usize)]) -> Vec<Finding> {
    let mut measured = BTreeMap::new();
    for source in tree.sources() {
        for (name, lines) in lengths(source) {
            let longest = measured
                .entry((source.path.clone(), name.to_owned()))
                .or_insert(0);
            *longest = lines.max(*longest);
        }
    }
    let known = known
        .iter()
        .map(|&(path, name, lines)| ((path.to_owned(), name.to_owned()), lines));
    let findings = ratchet(FUNCTION_LINES_MAX, &measured, known.collect());
    findings
        .into_iter()
        .map(|((path, name), text)| Finding {
            path,
            line: 0,
            text: format!("fn {name} {text}"),
        })
        .collect()
}

/// Files over the limit that are not in `known`, or not as long as it says.
pub(crate) fn files(tree: &Tree, known: &[(&str, usize)]) -> Vec<Finding> {
    let measured = tree
        .sources()
        .iter()
        .filter(|source| !source.is_all_test())
        .map(|source| {
            let lines = (1..=source.lines.len())
                .filter(|&line| !source.is_test(line))
                .count();
            (source.path.clone(), lines)
        });
    let known = known.iter().map(|&(path, lines)| (path.to_owned(), lines));
    let findings = ratchet(FILE_LINES_MAX, &measured.collect(), known.collect());
    findings
        .into_iter()
        .map(|(path, text)| Finding {
            path,
            line: 0,
            text,
        })
        .collect()
}

/// Every function with its lines.
fn lengths(source: &Source) -> impl Iterator<Item = (&str, usize)> {
    source
        .words("fn")
        .filter(|&at| source.tokens.get(at + 1).is_some_and(|name| name.word))
        .map(|at| {
            let last = source.tokens[source.item_end(at)].line;
            (source.text(at + 1), last - source.tokens[at].line + 1)
        })
}

fn ratchet<Key: Ord + Clone>(
    limit: usize,
    measured: &BTreeMap<Key, usize>,
    known: BTreeMap<Key, usize>,
) -> Vec<(Key, String)> {
    let mut findings = Vec::new();
    for (key, &lines) in measured {
        let allowed = known.get(key).copied().unwrap_or(limit);
        if lines > allowed {
            findings.push((
                key.clone(),
                format!("has {lines} lines, {allowed} are allowed"),
            ));
        }
    }
    for (key, &entry) in &known {
        let text = match measured.get(key) {
            None => "is no more: take it off the table".to_owned(),
            Some(&lines) if lines <= limit => {
                format!("has {lines} lines now: take it off the table")
            }
            Some(&lines) if lines < entry => {
                format!("has {lines} lines now: write that instead of {entry}")
            }
            Some(_) => continue,
        };
        findings.push((key.clone(), text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(lines: usize) -> String {
        format!(
            "/// Doc.\npub fn a(\n    b: [u8; 2],\n) {{\n{}}}\n",
            "    c();\n".repeat(lines - 4)
        )
    }

    fn function(lines: usize, known: &[(&str, &str, usize)]) -> Vec<String> {
        let tree = Tree::sample(&[("a.rs", &long(lines))]);
        functions(&tree, known)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn a_long_function_is_found_and_may_only_shrink() {
        assert_eq!(function(70, &[]), [""; 0]);
        assert_eq!(function(71, &[]), ["fn a has 71 lines, 70 are allowed"]);
        assert_eq!(function(80, &[("a.rs", "a", 80)]), [""; 0]);
        assert_eq!(
            function(81, &[("a.rs", "a", 80)]),
            ["fn a has 81 lines, 80 are allowed"]
        );
        assert_eq!(
            function(79, &[("a.rs", "a", 80)]),
            ["fn a has 79 lines now: write that instead of 80"]
        );
        assert_eq!(
            function(70, &[("a.rs", "a", 80)]),
            ["fn a has 70 lines now: take it off the table"]
        );
        assert_eq!(
            function(70, &[("b.rs", "a", 80)]),
            ["fn a is no more: take it off the table"]
        );
    }

    #[test]
    fn a_long_file_is_found_without_its_tests() {
        let code = "//\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(99));
        let count = |text: &str, known: &[(&str, usize)]| {
            files(&Tree::sample(&[("a/b.rs", text)]), known).len()
        };
        assert_eq!(count(&(code.clone() + &tests), &[]), 0);
        assert_eq!(count(&(code.clone() + "//\n" + &tests), &[]), 1);
        assert_eq!(
            count(&(code.clone() + "//\n" + &tests), &[("a/b.rs", 501)]),
            0
        );
        assert_eq!(count(&(code.clone() + "//\n"), &[("a/b.rs", 502)]), 1);
        assert_eq!(count(&code, &[("a/b.rs", 501)]), 1);
        assert_eq!(
            files(&Tree::sample(&[("a/tests/b.rs", &"//\n".repeat(501))]), &[]),
            []
        );
    }
}
