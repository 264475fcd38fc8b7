//! The repository as the rules see it: files by path, and Rust sources as tokens that know their line and whether
//! they are test code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// 0 when it concerns the whole file.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// The files of the repository, by their path from its root.
pub(crate) struct Tree {
    /// The text of those that are text, empty for the others.
    files: BTreeMap<String, String>,
    sources: Vec<Source>,
}

impl Tree {
    /// The repository this test is in.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(root.join(&folder)).expect("a folder of the repository");
            for entry in entries {
                let entry = entry.expect("an entry of a folder");
                let name = entry.file_name().into_string().expect("a name in UTF-8");
                let path = folder.join(&name);
                if entry.file_type().expect("its type").is_dir() {
                    if name != "target" && name != ".git" {
                        folders.push(path);
                    }
                    continue;
                }
                let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
                files.insert(path.to_str().expect("a path in UTF-8").to_owned(), text);
            }
        }
        Self::new(files)
    }

    /// A repository of these files, path and text.
    #[cfg(test)]
    pub(crate) fn sample(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        Self::new(
            files
                .map(|&(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        )
    }

    fn new(files: BTreeMap<String, String>) -> Self {
        let mut sources: Vec<Source> = files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs");
            let declared = tests
                .iter()
                .any(|module| stem == module || stem.starts_with(&format!("{module}/")));
            source.all_test = declared || source.path.split('/').any(|part| part == "tests");
        }
        Self { files, sources }
    }

    /// Every Rust source.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The Rust sources under `folder`, which ends in a slash.
    pub(crate) fn sources_under(&self, folder: &str) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| source.path.starts_with(folder))
    }

    /// Every file with its text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// The modules right below `engine/src`.
    pub(crate) fn engine_modules(&self) -> BTreeSet<&str> {
        self.sources_under("engine/src/")
            .map(|source| {
                let below = &source.path["engine/src/".len()..];
                below
                    .split('/')
                    .next()
                    .unwrap_or(below)
                    .trim_end_matches(".rs")
            })
            .filter(|&module| module != "lib")
            .collect()
    }
}

/// A Rust source.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<String>,
    pub(crate) tokens: Vec<Token>,
    /// Lines, from and to, that only tests see.
    test_lines: Vec<(usize, usize)>,
    all_test: bool,
}

/// A token; groups are flat, an opening and a closing one around what is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) word: bool,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let stream: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path} is no Rust: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let mut source = Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            test_lines: Vec::new(),
            tokens,
            all_test: false,
        };
        source.test_lines = source
            .test_items()
            .map(|(start, end)| (source.tokens[start].line, source.tokens[end].line))
            .collect();
        source
    }

    /// Whether only tests see this line.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.all_test
            || self
                .test_lines
                .iter()
                .any(|&(from, to)| (from..=to).contains(&line))
    }

    /// Whether the whole file is there for tests.
    pub(crate) fn is_all_test(&self) -> bool {
        self.all_test
    }

    pub(crate) fn finding(&self, line: usize, text: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            text: text.into(),
        }
    }

    /// Whether the tokens from `at` on are these.
    pub(crate) fn follows(&self, at: usize, texts: &[&str]) -> bool {
        texts
            .iter()
            .enumerate()
            .all(|(offset, &text)| self.text(at + offset) == text)
    }

    /// The text of a token; empty past the end.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    /// The positions of a word, which is no part of a string or comment.
    pub(crate) fn words<'source>(
        &'source self,
        word: &'source str,
    ) -> impl Iterator<Item = usize> + 'source {
        (0..self.tokens.len()).filter(move |&at| self.tokens[at].word && self.text(at) == word)
    }

    /// The position of the token that closes the group opened at `open`.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        for at in open..self.tokens.len() {
            match self.text(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// Where the item that starts at `start` ends: its `;` or the brace that closes its body.
    pub(crate) fn item_end(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.tokens.len() {
            match self.text(at) {
                ";" => return at,
                "{" => return self.closing(at),
                "(" | "[" => at = self.closing(at),
                _ => {}
            }
            at += 1;
        }
        self.tokens.len().saturating_sub(1)
    }

    /// The functions that the test runner calls, with their line.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&str, usize)> {
        (0..self.tokens.len())
            .filter(|&at| self.follows(at, &["#", "[", "test", "]"]))
            .filter_map(|at| {
                let function = (at..self.item_end(at)).find(|&at| self.text(at) == "fn")?;
                Some((self.text(function + 1), self.tokens[function].line))
            })
    }

    /// The items behind `#[cfg(test)]`, from the attribute to their end.
    fn test_items(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.tokens.len())
            .filter(|&at| self.follows(at, &["#", "[", "cfg", "(", "test", ")", "]"]))
            .map(|at| {
                let mut item = at + 7;
                while self.follows(item, &["#", "["]) {
                    item = self.closing(item + 1) + 1;
                }
                (at, self.item_end(item))
            })
    }

    /// The modules in files of their own that are declared for tests only, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let (folder, file) = stem.rsplit_once('/').unwrap_or(("", stem));
        let folder = match file {
            "mod" | "lib" | "main" => folder,
            _ => stem,
        };
        self.test_items()
            .filter(|&(_, end)| self.text(end) == ";")
            .filter_map(|(start, end)| {
                let name = (start..end).find(|&at| self.text(at) == "mod")? + 1;
                Some(format!("{folder}/{}", self.text(name)))
            })
            .collect()
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let (text, word) = match tree {
            TokenTree::Ident(ident) => (ident.to_string(), true),
            TokenTree::Punct(punct) => (punct.as_char().to_string(), false),
            TokenTree::Literal(literal) => (literal.to_string(), false),
            TokenTree::Group(group) => {
                flatten_group(&group, tokens);
                continue;
            }
        };
        tokens.push(Token { text, line, word });
    }
}

fn flatten_group(group: &Group, tokens: &mut Vec<Token>) {
    let token = |text: &str, span: Span| Token {
        text: text.to_owned(),
        line: span.start().line,
        word: false,
    };
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::None => return flatten(group.stream(), tokens),
    };
    tokens.push(token(open, group.span_open()));
    flatten(group.stream(), tokens);
    tokens.push(token(close, group.span_close()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_told_apart() {
        let tree = Tree::sample(&[
            (
                "engine/src/a/mod.rs",
                "fn a() {}\n#[cfg(test)]\nmod sample;\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n",
            ),
            ("engine/src/a/sample.rs", "fn d() {}\n"),
            ("engine/src/a/sample/deep.rs", "fn d() {}\n"),
            (
                "engine/src/a/samples.rs",
                "#[cfg(test)]\nconst A: [u8; 1] = [1];\nfn e() {}\n",
            ),
            ("engine/tests/f.rs", "fn f() {}\n"),
        ]);
        let told = |path: &str| -> Vec<bool> {
            let source = tree.sources().iter().find(|source| source.path == path);
            let source = source.expect(path);
            (1..=source.lines.len())
                .map(|line| source.is_test(line))
                .collect()
        };
        assert_eq!(
            told("engine/src/a/mod.rs"),
            [false, true, true, true, true, true, true, false]
        );
        assert_eq!(told("engine/src/a/sample.rs"), [true]);
        assert_eq!(told("engine/src/a/sample/deep.rs"), [true]);
        assert_eq!(told("engine/src/a/samples.rs"), [true, true, false]);
        assert_eq!(told("engine/tests/f.rs"), [true]);
        assert!(
            tree.has("engine/src/a/") && tree.has("engine/tests/f.rs") && !tree.has("engine/te")
        );
    }

    #[test]
    fn comments_and_strings_are_no_words() {
        let source = Source::new(
            "a.rs",
            "//! unsafe\nconst A: &str = \"unsafe\"; // unsafe\nunsafe fn a() {}\n",
        );
        let lines: Vec<usize> = source
            .words("unsafe")
            .map(|at| source.tokens[at].line)
            .collect();
        assert_eq!(lines, [3]);
    }
}
