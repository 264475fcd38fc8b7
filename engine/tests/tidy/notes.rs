//! The notes say what is true of the code: the paths, the code and the tests they name exist, and they have their
//! form.

use std::collections::BTreeSet;

use super::source::{Finding, Tree};

/// Headings of a note on a mechanism.
const NOTE: [&str; 8] = [
    "What it is",
    "Why we use it",
    "First kernel",
    "How our code uses it",
    "What can go wrong",
    "Fallback",
    "How it is tested",
    "Sources",
];
/// Headings of a decision.
const DECISION: [&str; 4] = ["Context", "Choice", "Consequence", "What would overturn it"];
const TESTED: &str = "How it is tested";

const NOTES: &str = "kernel-notes/";
const INDEX: &str = "kernel-notes/README.md";
const DECISIONS: &str = "kernel-notes/decisions/";

/// Folders at the root that a path may start with.
const FOLDERS: [&str; 7] = [
    "engine/",
    "bin/",
    "bench-harness/",
    NOTES,
    "ci/",
    ".ci/",
    ".github/",
];
/// Ends of the names of files that are ours.
const ENDS: [&str; 4] = [".rs", ".md", ".toml", ".lock"];

/// Documents that name code: the notes, the architecture, and every README.
fn documents(tree: &Tree) -> impl Iterator<Item = Document<'_>> {
    tree.files()
        .filter(|(path, _)| {
            path.ends_with(".md")
                && (path.starts_with(NOTES)
                    || path.ends_with("ARCHITECTURE.md")
                    || path.ends_with("README.md"))
        })
        .map(|(path, text)| Document { path, text })
}

#[derive(Clone, Copy)]
struct Document<'tree> {
    path: &'tree str,
    text: &'tree str,
}

impl<'tree> Document<'tree> {
    fn finding(self, line: usize, text: impl Into<String>) -> Finding {
        Finding {
            path: self.path.to_owned(),
            line,
            text: text.into(),
        }
    }

    /// The lines that are prose, with their number.
    fn prose(self) -> impl Iterator<Item = (usize, &'tree str)> {
        let mut fenced = false;
        self.text
            .lines()
            .enumerate()
            .filter_map(move |(number, line)| {
                let fence = line.trim_start().starts_with("```");
                fenced ^= fence;
                (!fenced && !fence).then_some((number + 1, line))
            })
    }

    /// What stands between backticks.
    fn spans(self) -> impl Iterator<Item = (usize, &'tree str)> {
        self.prose()
            .flat_map(|(number, line)| spans(line).map(move |span| (number, span)))
    }

    fn headings(self) -> Vec<&'tree str> {
        self.prose()
            .filter_map(|(_, line)| line.strip_prefix("## "))
            .collect()
    }

    /// Where its relative links lead, from the root.
    fn links(self) -> impl Iterator<Item = (usize, String)> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.prose().flat_map(move |(number, line)| {
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'));
            let local = targets
                .map(|(target, _)| target)
                .filter(|target| !target.contains(':') && !target.starts_with('#'));
            local.map(move |target| (number, joined(folder, target)))
        })
    }
}

/// `folder` and `path` put together, without `..`.
fn joined(folder: &str, path: &str) -> String {
    let path = path.split('#').next().unwrap_or(path);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Paths and links that lead nowhere.
pub(crate) fn paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in documents(tree) {
        for (line, span) in document.spans() {
            let plain = !span.is_empty()
                && span.chars().all(|character| {
                    character.is_ascii_alphanumeric() || "/._-*".contains(character)
                });
            let ours = FOLDERS.iter().any(|folder| span.starts_with(folder))
                || ENDS.iter().any(|end| span.ends_with(end)) && !span.starts_with(['/', '.', '*']);
            if plain && ours && !leads_somewhere(tree, span) {
                findings.push(document.finding(line, format!("no such path: {span}")));
            }
        }
        for (line, target) in document.links() {
            if !tree.has(&target) {
                findings.push(document.finding(line, format!("a link to nothing: {target}")));
            }
        }
    }
    findings
}

/// A path from the root, possibly with a `*` in it, or the bare name of a file.
fn leads_somewhere(tree: &Tree, path: &str) -> bool {
    if let Some((start, end)) = path.split_once('*') {
        return tree
            .files()
            .any(|(file, _)| file.starts_with(start) && file.ends_with(end));
    }
    let bare = !path.contains('/')
        && tree
            .files()
            .any(|(file, _)| file.ends_with(&format!("/{path}")));
    bare || tree.has(path)
}

/// Names of code that no source knows: `Type::function` anywhere, and long names such as those of tests.
pub(crate) fn code(tree: &Tree) -> Vec<Finding> {
    let words: BTreeSet<&str> = tree
        .sources()
        .iter()
        .flat_map(|source| {
            source
                .tokens
                .iter()
                .filter(|token| token.word)
                .map(|token| token.text.as_str())
        })
        .collect();
    let mut findings = Vec::new();
    for document in documents(tree) {
        for (line, span) in document.spans() {
            let name = span.trim_end_matches("()");
            let parts: Vec<&str> = name.split("::").collect();
            let is_name = parts.iter().all(|part| is_identifier(part));
            let long = name.matches('_').count() >= 4
                && name
                    .chars()
                    .all(|character| !character.is_ascii_uppercase());
            if is_name
                && (parts.len() > 1 || long)
                && !parts.iter().all(|part| words.contains(part))
            {
                findings.push(document.finding(line, format!("no source knows {name}")));
            }
        }
    }
    findings
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Whether this can only be meant as the name of a test: three words or more.
fn is_test_name(span: &str) -> bool {
    is_identifier(span)
        && span.matches('_').count() >= 2
        && !span.chars().any(|character| character.is_ascii_uppercase())
}

/// Tests that are named, by the section on tests of a note or by a column of the index, and do not exist (in the file
/// that is named with them); and notes and rows of the index that name none.
pub(crate) fn tests(tree: &Tree) -> Vec<Finding> {
    let known: BTreeSet<(&str, &str)> = tree
        .sources()
        .iter()
        .flat_map(|source| source.tests().map(|(name, _)| (name, source.path.as_str())))
        .collect();
    let in_file = |name: &str, file: &str| {
        known
            .iter()
            .any(|&(test, path)| test == name && path.starts_with(file))
    };
    let mut findings = Vec::new();
    for document in documents(tree).filter(|document| document.path.starts_with(NOTES)) {
        let mut any = false;
        for (line, file, name) in tested(document) {
            any |= in_file(name, file);
            if !in_file(name, "") {
                findings.push(document.finding(line, format!("no such test: {name}")));
            } else if !in_file(name, file) {
                findings.push(document.finding(line, format!("{name} is not in {file}")));
            }
        }
        if !any && is_note(document.path) {
            findings.push(document.finding(0, "names no test"));
        }
        for (line, cell) in test_cells(document) {
            let mut names = spans(cell).peekable();
            if names.peek().is_none() && document.path == INDEX {
                findings.push(document.finding(line, "this row names no test"));
            }
            findings.extend(
                names
                    .filter(|name| !in_file(name, ""))
                    .map(|name| document.finding(line, format!("no such test: {name}"))),
            );
        }
    }
    findings
}

/// The tests that the section on tests names: line, file named before it in the same item, name.
fn tested(document: Document<'_>) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut here = false;
    let mut file = "";
    for (number, line) in document.prose() {
        if let Some(heading) = line.strip_prefix("## ") {
            here = heading == TESTED;
        }
        if line.starts_with("- ") || line.is_empty() {
            file = "";
        }
        for span in spans(line).filter(|_| here) {
            if FOLDERS.iter().any(|folder| span.starts_with(folder)) {
                file = span;
            } else if is_test_name(span) {
                found.push((number, file, span));
            }
        }
    }
    found
}

/// The cells of table columns headed "test".
fn test_cells(document: Document<'_>) -> Vec<(usize, &str)> {
    let mut column = None;
    let mut cells = Vec::new();
    for (number, line) in document.prose() {
        let row: Vec<&str> = line.split('|').map(str::trim).collect();
        if row.len() < 3 {
            column = None;
        } else if column.is_none() {
            column = row.iter().position(|cell| *cell == "test");
        } else if let Some(cell) = column.and_then(|column| row.get(column)) {
            let rule = cell.chars().all(|character| "-: ".contains(character)) && !cell.is_empty();
            if !rule {
                cells.push((number, *cell));
            }
        }
    }
    cells
}

fn is_note(path: &str) -> bool {
    path.starts_with(NOTES) && !path.starts_with(DECISIONS) && path != INDEX
}

/// Notes without the fixed headings, or that the index does not link.
pub(crate) fn skeleton(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let linked: BTreeSet<String> = documents(tree)
        .filter(|document| document.path == INDEX)
        .flat_map(|index| index.links().map(|(_, target)| target))
        .collect();
    if linked.is_empty() {
        findings.push(Finding {
            path: INDEX.to_owned(),
            line: 0,
            text: "links no note".to_owned(),
        });
    }
    for document in documents(tree)
        .filter(|document| document.path.starts_with(NOTES) && document.path != INDEX)
    {
        let expected = if is_note(document.path) {
            &NOTE[..]
        } else {
            &DECISION[..]
        };
        if !document.text.starts_with("# ") || document.headings() != expected {
            findings.push(document.finding(
                1,
                format!("the headings are not a title and {}", expected.join(", ")),
            ));
        }
        let mut last = "#";
        for (number, line) in document.prose().filter(|(_, line)| !line.is_empty()) {
            if line.starts_with('#') && last.starts_with("## ") {
                findings.push(document.finding(number - 1, "an empty section"));
            }
            last = line;
        }
        if !linked.contains(document.path) {
            findings.push(document.finding(0, "the index does not link it"));
        }
    }
    findings
}

/// Decisions whose numbers leave a gap, come twice, or differ between name and title.
pub(crate) fn decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let decisions = documents(tree).filter(|document| document.path.starts_with(DECISIONS));
    let mut next = 1;
    for decision in decisions {
        let number = format!("{next:04}");
        let name = &decision.path[DECISIONS.len()..];
        if !name.starts_with(&format!("{number}-")) {
            findings.push(decision.finding(1, format!("the next number is {number}")));
        }
        if !decision.text.starts_with(&format!(
            "# {}: ",
            name.split('-').next().unwrap_or_default()
        )) {
            findings.push(decision.finding(1, "the title has another number"));
        }
        next += 1;
    }
    if next == 1 {
        findings.push(Finding {
            path: DECISIONS.to_owned(),
            line: 0,
            text: "there are none".to_owned(),
        });
    }
    findings
}

/// Comments and texts that name a note that does not exist.
pub(crate) fn references(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let comment = if path.ends_with(".rs") {
                line.split_once("//").map_or("", |(_, comment)| comment)
            } else {
                line
            };
            for rest in comment.split(NOTES).skip(1) {
                let end = rest.find(|character: char| {
                    !(character.is_ascii_alphanumeric() || "/-_.".contains(character))
                });
                let named = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
                let target = format!("{NOTES}{named}");
                if named.ends_with(".md") && !tree.has(&target) {
                    findings.push(Finding {
                        path: path.to_owned(),
                        line: number + 1,
                        text: format!("no such note: {target}"),
                    });
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: (&str, &str) = (
        "engine/tests/a.rs",
        "#[test]\n#[should_panic]\nfn it_is_so() {}\nfn it_is_not_so() {}\nstruct Ring { some_counter_of: u8 }",
    );

    fn note() -> String {
        let sections =
            NOTE.map(|heading| format!("## {heading}\n\nIn `engine/tests/a.rs`: `it_is_so`.\n\n"));
        format!("# Title\n\n{}", sections.concat())
    }

    fn texts(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        rule(&Tree::sample(files))
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn paths_and_links_to_nothing_are_found() {
        let found = |text: &str| texts(paths, &[("kernel-notes/a.md", text), TEST]).len();
        for text in [
            "`engine/tests/b.rs`",
            "`engine/srd/`",
            "`b.rs`",
            "`engine/tests/*.md`",
            "[a](b.md)",
            "[a](../engine/b)",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in [
            "`engine/tests/a.rs`",
            "`engine/tests/`",
            "`engine/tests/*.rs`",
            "`a.rs`",
            "[a](a.md)",
            "[a](../engine/tests/a.rs#b)",
            "[a](https://b/c.md)",
            "`and/or`",
            "`/etc/b.toml`",
            "engine/tests/b.rs",
            "```\n`engine/tests/b.rs`\n```",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn names_that_no_source_knows_are_found() {
        let found = |text: &str| texts(code, &[("engine/ARCHITECTURE.md", text), TEST]).len();
        for text in [
            "`Ring::it_was_so`",
            "`Rang::it_is_so()`",
            "`it_was_so_for_long`",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in [
            "`Ring::it_is_so()`",
            "`it_is_not_so`",
            "`short_name`",
            "`A_B_C_D_E_F`",
            "`a b::c`",
            "Ring::none",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn tests_that_do_not_exist_are_found() {
        let found = |text: &str| {
            texts(
                tests,
                &[("kernel-notes/a.md", text), TEST, ("engine/tests/b.rs", "")],
            )
        };
        assert_eq!(found(&note()), [""; 0]);
        assert_eq!(
            found(&note().replace("`it_is_so`", "`it_is_not_so`")),
            ["no such test: it_is_not_so", "names no test"]
        );
        assert_eq!(
            found(&note().replace("tests/a.rs", "tests/b.rs")),
            ["it_is_so is not in engine/tests/b.rs", "names no test"]
        );
        assert_eq!(
            found(&note().replace("`it_is_so`", "by hand")),
            ["names no test"]
        );
        let index = |row: &str| {
            texts(
                tests,
                &[
                    (INDEX, &format!("| what | test |\n|---|---|\n{row}\n")),
                    TEST,
                ],
            )
        };
        assert_eq!(index("| a | `it_is_so` |"), [""; 0]);
        assert_eq!(index("| a | `it_was_so` |"), ["no such test: it_was_so"]);
        assert_eq!(index("| a | by hand |"), ["this row names no test"]);
    }

    #[test]
    fn a_note_out_of_form_is_found() {
        let index = "[a](a.md)";
        let found = |text: &str, index: &str| {
            texts(skeleton, &[("kernel-notes/a.md", text), (INDEX, index)]).len()
        };
        assert_eq!(found(&note(), index), 0);
        assert_eq!(
            found(&note().replace("## Fallback", "## Instead"), index),
            1
        );
        assert_eq!(
            found(&note().replace("## Sources", "### Sources"), index),
            1
        );
        assert_eq!(found(&note().replace("# Title", "Title"), index), 1);
        assert_eq!(
            found(
                &note().replace(
                    "Fallback\n\nIn `engine/tests/a.rs`: `it_is_so`.",
                    "Fallback"
                ),
                index
            ),
            1
        );
        assert_eq!(found(&note(), "nothing"), 2);
    }

    #[test]
    fn decisions_with_gaps_are_found() {
        let found = |files: &[(&str, &str)]| texts(decisions, files);
        let first = ("kernel-notes/decisions/0001-a.md", "# 0001: a");
        assert_eq!(
            found(&[first, ("kernel-notes/decisions/0002-b.md", "# 0002: b")]),
            [""; 0]
        );
        assert_eq!(
            found(&[first, ("kernel-notes/decisions/0003-b.md", "# 0003: b")]),
            ["the next number is 0002"]
        );
        assert_eq!(
            found(&[first, ("kernel-notes/decisions/0001-b.md", "# 0001: b")]),
            ["the next number is 0002"]
        );
        assert_eq!(
            found(&[("kernel-notes/decisions/0001-a.md", "# 0002: a")]),
            ["the title has another number"]
        );
        assert_eq!(found(&[]), ["there are none"]);
    }

    #[test]
    fn comments_on_notes_that_do_not_exist_are_found() {
        let found = |name: &str| {
            let comment = format!("//! See `{NOTES}{name}`.");
            texts(
                references,
                &[("kernel-notes/a.md", ""), ("engine/src/b.rs", &comment)],
            )
            .len()
        };
        assert_eq!(found("a.md"), 0);
        assert_eq!(found("b.md"), 1);
        assert_eq!(found("decisions/0001-a.md"), 1);
    }
}
