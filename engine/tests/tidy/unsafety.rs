//! Unsafe code: where it may be, what modules say about it, and that each place says why it is sound.

use super::source::{Finding, Source, Tree};

/// The one place for unsafe code.
const UNSAFE: &str = "engine/src/ring/";

/// Fewest words of a reason.
const REASON_WORDS_MIN: usize = 3;
/// Lines of code that may stand between a reason and what it is for: the start of the statement.
const REASON_DISTANCE_MAX: usize = 3;
/// A reason that leads to the one before it, which must be in the same function.
const AS_ABOVE: &str = "as above.";

/// Unsafe code outside its place.
pub(crate) fn places(tree: &Tree) -> Vec<Finding> {
    let sources = tree
        .sources()
        .iter()
        .filter(|source| !source.path.starts_with(UNSAFE));
    sources
        .flat_map(|source| {
            source
                .words("unsafe")
                .map(|at| source.finding(source.tokens[at].line, "unsafe code outside ring"))
        })
        .collect()
}

/// Crates and modules without the attribute that holds [`places`] at compile time.
pub(crate) fn attributes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut expect = |source: Option<&Source>, path: &str, level: &str| {
        if source.is_none_or(|source| !says(source, level)) {
            findings.push(Finding {
                path: path.to_owned(),
                line: 1,
                text: format!("does not say #![{level}(unsafe_code)]"),
            });
        }
    };
    let source_at = |path: &str| tree.sources().iter().find(|source| source.path == path);
    expect(source_at("engine/src/lib.rs"), "engine/src/lib.rs", "deny");
    for path in ["bin/src/main.rs", "bench-harness/src/main.rs"] {
        expect(source_at(path), path, "forbid");
    }
    for module in tree.engine_modules() {
        let files = [
            format!("engine/src/{module}.rs"),
            format!("engine/src/{module}/mod.rs"),
        ];
        let source = files.iter().find_map(|path| source_at(path));
        let level = if module == "ring" { "allow" } else { "forbid" };
        let path = source.map_or(files[0].as_str(), |source| source.path.as_str());
        expect(source, path, level);
    }
    for source in tree.sources() {
        let lines = source
            .words("unsafe_code")
            .filter(|&at| matches!(source.text(at - 2), "allow" | "expect" | "warn"));
        if source.path != "engine/src/ring/mod.rs" {
            findings.extend(
                lines.map(|at| source.finding(source.tokens[at].line, "allows unsafe code")),
            );
        }
    }
    findings
}

fn says(source: &Source, level: &str) -> bool {
    let attribute = ["#", "!", "[", level, "(", "unsafe_code", ")", "]"];
    (0..source.tokens.len()).any(|at| source.follows(at, &attribute))
}

/// Unsafe blocks, implementations and functions without a reason, or with one that says too little.
pub(crate) fn reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let mut function = 0;
        for at in 0..source.tokens.len() {
            if source.text(at) == "fn" && source.tokens[at].word {
                function = source.tokens[at].line;
            }
            if !source.tokens[at].word || source.text(at) != "unsafe" || is_type(source, at) {
                continue;
            }
            let line = source.tokens[at].line;
            match reason(source, line) {
                None => findings
                    .push(source.finding(line, "unsafe without a SAFETY comment right above")),
                Some(reason) if reason == AS_ABOVE => {
                    let above = source.lines[function.saturating_sub(1)..line - 1].iter();
                    if !above
                        .map(|text| text.trim())
                        .any(|text| text.starts_with("// SAFETY:") && !text.ends_with(AS_ABOVE))
                    {
                        findings.push(source.finding(line, "as above, where nothing is"));
                    }
                }
                Some(reason) if reason.split_whitespace().count() < REASON_WORDS_MIN => {
                    findings.push(source.finding(
                        line,
                        format!("a SAFETY comment that says nothing: {reason}"),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

/// Whether this `unsafe` is part of the type of a function, which needs no reason.
fn is_type(source: &Source, at: usize) -> bool {
    let mut at = at + 1;
    if source.text(at) == "extern" {
        at += 2;
    }
    source.text(at) == "fn" && source.text(at + 1) == "("
}

/// The text of the SAFETY comment above `line`, if one is near enough.
fn reason(source: &Source, line: usize) -> Option<String> {
    let mut code = 0;
    let mut comment = Vec::new();
    for text in source.lines[..line - 1]
        .iter()
        .rev()
        .map(|text| text.trim())
    {
        if let Some(reason) = text.strip_prefix("// SAFETY:") {
            comment.push(reason.trim());
            comment.reverse();
            return Some(comment.join(" "));
        }
        match text.strip_prefix("//") {
            Some(more) => comment.push(more.trim()),
            None if text.contains("unsafe ") || code == REASON_DISTANCE_MAX => return None,
            None => {
                comment.clear();
                code += 1;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        for path in [
            "engine/src/rt/gate.rs",
            "engine/tests/a.rs",
            "bin/src/main.rs",
            "bench-harness/src/main.rs",
        ] {
            assert_eq!(
                found(places, path, "fn a() { unsafe { b() } }"),
                1,
                "{path}"
            );
            assert_eq!(
                found(places, path, "// unsafe\nfn a() { b(\"unsafe\") }"),
                0,
                "{path}"
            );
        }
        assert_eq!(
            found(
                places,
                "engine/src/ring/key.rs",
                "fn a() { unsafe { b() } }"
            ),
            0
        );
    }

    #[test]
    fn a_missing_attribute_is_found() {
        let mut files = [
            ("engine/src/lib.rs", "#![deny(unsafe_code)]"),
            ("engine/src/ring/mod.rs", "#![allow(unsafe_code)]"),
            ("engine/src/net/mod.rs", "#![forbid(unsafe_code)]"),
            ("engine/src/net/udp.rs", ""),
            ("engine/src/addr.rs", "#![forbid(unsafe_code)]"),
            ("bin/src/main.rs", "#![forbid(unsafe_code)]"),
            ("bench-harness/src/main.rs", "#![forbid(unsafe_code)]"),
        ];
        assert_eq!(attributes(&Tree::sample(&files)), []);
        for index in [0, 1, 2, 4, 5, 6] {
            let text = std::mem::replace(&mut files[index].1, "//! #![forbid(unsafe_code)]");
            let findings = attributes(&Tree::sample(&files));
            assert_eq!(findings.len(), 1, "{}", files[index].0);
            assert_eq!(findings[0].path, files[index].0);
            files[index].1 = text;
        }
        files[3].1 = "#[allow(unsafe_code)] fn a() {}";
        assert_eq!(attributes(&Tree::sample(&files)).len(), 1);
    }

    #[test]
    fn unsafe_code_without_a_good_reason_is_found() {
        let path = "engine/src/ring/key.rs";
        for text in [
            "fn a() {\n    unsafe { b() }\n}",
            "fn a() {\n    // SAFETY: fine.\n    unsafe { b() }\n}",
            "fn a() {\n    // The call is of no consequence.\n    unsafe { b() }\n}",
            "fn a() {\n    // SAFETY: one reason for two.\n    unsafe { b() };\n    unsafe { b() }\n}",
            "// SAFETY: of another function.\nfn z() {}\nfn y() {}\nfn x() {}\nfn a() {\n    unsafe { b() }\n}",
            "fn a() {\n    // SAFETY: as above.\n    unsafe { b() }\n}",
            "fn z() {\n    // SAFETY: it is so.\n    unsafe { b() }\n}\nfn a() {\n    // SAFETY: as above.\n    unsafe { b() }\n}",
            "unsafe impl Send for A {}",
            "unsafe fn a() {}",
        ] {
            assert_eq!(found(reasons, path, text), 1, "{text}");
        }
        for text in [
            "fn a() {\n    // SAFETY: the reason is\n    // long.\n    let c = x()\n        .map(|d| unsafe { b(d) });\n}",
            "fn a() {\n    // SAFETY: it is so.\n    unsafe { b() }\n    // SAFETY: as above.\n    unsafe { b() }\n}",
            "type A = unsafe extern \"C\" fn(u8);",
            "// SAFETY: nothing in it is shared.\nunsafe impl Send for A {}",
        ] {
            assert_eq!(found(reasons, path, text), 0, "{text}");
        }
    }
}
