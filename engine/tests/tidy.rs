//! The house rules of the repository, held by a test: layers, unsafe code, sizes, words, and what the notes promise.
//!
//! Sources are taken apart by `proc-macro2`, so that comments, strings and macros are what the compiler takes them
//! for. Each rule is a function from a [`source::Tree`] to what it finds wrong; here it is asked about the
//! repository, in its own file about samples that break it, because a rule that cannot fail is a defect.

#![forbid(unsafe_code)]

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/notes.rs"]
mod notes;
#[path = "tidy/panics.rs"]
mod panics;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/unsafety.rs"]
mod unsafety;
#[path = "tidy/words.rs"]
mod words;

use std::sync::LazyLock;

use source::{Finding, Tree};

static REPOSITORY: LazyLock<Tree> = LazyLock::new(Tree::read);

/// Fails with all findings, one per line.
#[track_caller]
fn expect_none(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} found:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn the_whole_repository_is_looked_at() {
    for path in [
        "engine/src/lib.rs",
        "engine/src/ring/uring.rs",
        "engine/tests/tidy/source.rs",
        "bin/src/main.rs",
        "bench-harness/src/main.rs",
    ] {
        let found = REPOSITORY
            .sources()
            .iter()
            .any(|source| source.path == path);
        assert!(found, "{path}");
    }
    assert!(REPOSITORY.has("Cargo.toml") && !REPOSITORY.has("target"));
}

#[test]
fn modules_import_only_what_their_layer_may() {
    expect_none(layers::modules(&REPOSITORY));
    expect_none(layers::spare_exceptions(&REPOSITORY));
}

#[test]
fn grammar_knows_no_clock_and_no_socket() {
    expect_none(layers::outside(&REPOSITORY));
}

#[test]
fn programs_use_the_public_api_and_the_bench_harness_none_of_it() {
    expect_none(layers::programs(&REPOSITORY));
}

#[test]
fn unsafe_code_is_in_ring_only() {
    expect_none(unsafety::places(&REPOSITORY));
}

#[test]
fn modules_say_what_they_allow() {
    expect_none(unsafety::attributes(&REPOSITORY));
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    expect_none(unsafety::reasons(&REPOSITORY));
}

#[test]
fn functions_are_short() {
    expect_none(sizes::functions(&REPOSITORY, sizes::LONG_FUNCTIONS));
}

#[test]
fn files_are_short() {
    expect_none(sizes::files(&REPOSITORY, sizes::LONG_FILES));
}

#[test]
fn nothing_is_left_undone() {
    expect_none(words::unfinished(&REPOSITORY));
}

#[test]
fn names_say_what_things_are() {
    expect_none(words::names(&REPOSITORY));
}

#[test]
fn peers_reach_no_panic() {
    expect_none(panics::panics(&REPOSITORY, panics::ALLOWED));
}

#[test]
fn notes_name_paths_that_exist() {
    expect_none(notes::paths(&REPOSITORY));
}

#[test]
fn notes_name_code_that_exists() {
    expect_none(notes::code(&REPOSITORY));
}

#[test]
fn notes_name_tests_that_exist() {
    expect_none(notes::tests(&REPOSITORY));
}

#[test]
fn notes_have_their_skeleton() {
    expect_none(notes::skeleton(&REPOSITORY));
}

#[test]
fn decisions_are_numbered_without_gaps() {
    expect_none(notes::decisions(&REPOSITORY));
}

#[test]
fn comments_name_notes_that_exist() {
    expect_none(notes::references(&REPOSITORY));
}
