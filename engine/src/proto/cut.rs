//! The cut-everywhere test: bytes must mean the same however they arrive.

use std::fmt::Debug;

/// Feeds `input` whole, cut in two at every point, and byte by byte; panics unless all give the same outcome.
///
/// `fresh` makes a parser. `step` gives it everything received so far, and answers `None` while it needs more.
pub(crate) fn everywhere<Parser, Outcome: PartialEq + Debug>(
    input: &[u8],
    fresh: impl Fn() -> Parser,
    step: impl Fn(&mut Parser, &[u8]) -> Option<Outcome>,
) -> Option<Outcome> {
    let feed = |lengths: &[usize]| {
        let mut parser = fresh();
        lengths
            .iter()
            .find_map(|length| step(&mut parser, &input[..*length]))
    };
    let shown = input.escape_ascii();
    let whole = feed(&[input.len()]);
    for cut in 0..input.len() {
        assert_eq!(
            feed(&[cut, input.len()]),
            whole,
            "cut at {cut} of \"{shown}\""
        );
    }
    let lengths: Vec<usize> = (0..=input.len()).collect();
    assert_eq!(feed(&lengths), whole, "byte by byte: \"{shown}\"");
    whole
}

#[test]
#[should_panic(expected = "cut at 1")]
fn a_parser_that_depends_on_the_cut_is_caught() {
    everywhere(
        b"ab",
        || (),
        |(), received| received.first().map(|_| received.len()),
    );
}
