//! Words that mean unfinished work or say nothing.

use super::source::{Finding, Tree};

/// Macros for code that is not there yet or should not stay.
const MACROS: [&str; 3] = [
    concat!("to", "do"),
    concat!("unim", "plemented"),
    concat!("d", "bg"),
];
/// Marks for later, which is never.
const MARKS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];
/// Parts of names that say nothing.
const VAGUE: [&str; 3] = ["Helper", "Manager", "Util"];

/// Unfinished work: macros in sources, marks in any text.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for at in 0..source.tokens.len() {
            if MACROS.contains(&source.text(at))
                && source.text(at + 1) == "!"
                && source.tokens[at].word
            {
                findings
                    .push(source.finding(source.tokens[at].line, format!("{}!", source.text(at))));
            }
        }
    }
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let words =
                line.split(|character: char| !character.is_alphanumeric() && character != '_');
            findings.extend(
                words
                    .filter(|word| MARKS.contains(word))
                    .map(|mark| Finding {
                        path: path.to_owned(),
                        line: number + 1,
                        text: mark.to_owned(),
                    }),
            );
        }
    }
    findings
}

/// Names of types, modules and functions that say nothing.
pub(crate) fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for at in 0..source.tokens.len().saturating_sub(1) {
            if !source.tokens[at].word || !source.tokens[at + 1].word {
                continue;
            }
            let name = source.text(at + 1);
            let vague = match source.text(at) {
                "struct" | "enum" | "trait" | "type" | "union" => {
                    VAGUE.iter().any(|part| name.contains(part))
                }
                "mod" => {
                    let says_nothing = |part: &str| {
                        VAGUE
                            .iter()
                            .any(|vague| vague.eq_ignore_ascii_case(part.trim_end_matches('s')))
                    };
                    name.split('_').any(says_nothing)
                }
                "fn" => name.starts_with("get_"),
                _ => false,
            };
            if vague {
                findings.push(source.finding(
                    source.tokens[at].line,
                    format!("a name that says nothing: {name}"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, text: &str) -> usize {
        rule(&Tree::sample(&[("engine/src/a.rs", text)])).len()
    }

    #[test]
    fn unfinished_work_is_found() {
        for name in MACROS {
            assert_eq!(
                found(unfinished, &format!("fn a() {{ {name}!() }}")),
                1,
                "{name}"
            );
            assert_eq!(found(unfinished, &format!("fn {name}() {{}}")), 0, "{name}");
        }
        for mark in MARKS {
            assert_eq!(
                found(unfinished, &format!("// {mark}: later\nfn a() {{}}")),
                1,
                "{mark}"
            );
            assert_eq!(
                unfinished(&Tree::sample(&[("README.md", &format!("({mark})"))])).len(),
                1,
                "{mark}"
            );
            assert_eq!(
                found(unfinished, &format!("const A_{mark}: u8 = 1;")),
                0,
                "{mark}"
            );
        }
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for text in [
            "struct BufferManager;",
            "pub enum ParseHelper {}",
            "trait StreamUtil {}",
            "type Utils = u8;",
            "mod util;",
            "mod test_helpers {}",
            "impl A { pub(super) fn get_address(&self) {} }",
        ] {
            assert_eq!(found(names, text), 1, "{text}");
        }
        for text in [
            "struct Utility_;",
            "fn target() {}",
            "fn a() { b.get_or_init(c) }",
            "// struct Helper",
        ] {
            assert_eq!(
                found(names, text),
                usize::from(text.contains("Utility")),
                "{text}"
            );
        }
    }
}
