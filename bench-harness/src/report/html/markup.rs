//! HTML as it is written: elements and text. Text that comes from a file can only go through [`Markup::text`] or into
//! an attribute, and both escape it; what is not escaped has to be a constant of this program.

/// An element's attributes.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

#[derive(Debug, Default)]
pub(super) struct Markup {
    html: String,
}

impl Markup {
    pub(super) fn into_html(self) -> String {
        self.html
    }

    /// Text of this program, as it stands.
    pub(super) fn constant(&mut self, html: &'static str) {
        self.html.push_str(html);
    }

    pub(super) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.start(tag, attributes);
        self.html.push('>');
    }

    pub(super) fn close(&mut self, tag: &'static str) {
        self.html.push_str("</");
        self.html.push_str(tag);
        self.html.push('>');
        // Blocks on lines of their own, so that the source of a page can be read and compared.
        if matches!(
            tag,
            "p" | "tr" | "table" | "h1" | "h2" | "h3" | "li" | "div" | "section" | "g"
        ) {
            self.html.push('\n');
        }
    }

    /// An element without content: `<br/>`, `<line .../>`.
    pub(super) fn lone(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.start(tag, attributes);
        self.html.push_str("/>");
    }

    /// An element that holds text only.
    pub(super) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.escape(text);
    }

    /// A table that scrolls where it is wider than the page, up to its first row.
    pub(super) fn open_table<'a>(
        &mut self,
        class: &str,
        titles: impl IntoIterator<Item = &'a str>,
    ) {
        self.constant("<div class=\"wide\">");
        self.open("table", &[("class", class)]);
        self.constant("<thead><tr>");
        for title in titles {
            self.element("th", &[("scope", "col")], title);
        }
        self.constant("</tr></thead><tbody>\n");
    }

    pub(super) fn close_table(&mut self) {
        self.constant("</tbody></table></div>\n");
    }

    fn start(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.html.push('<');
        self.html.push_str(tag);
        for (name, value) in attributes {
            self.html.push(' ');
            self.html.push_str(name);
            self.html.push_str("=\"");
            self.escape(value);
            self.html.push('"');
        }
    }

    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                '\n' | '\t' => self.html.push(character),
                // No document may hold the first, and the others would turn the order of what is around them.
                control if control.is_control() => self.html.push('\u{fffd}'),
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.html.push('\u{fffd}');
                }
                other => self.html.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut markup = Markup::default();
        markup.element(
            "p",
            &[("title", "a\"b'<")],
            "<script>1 && 2</script>\u{0}\u{202e}x",
        );
        markup.lone("br", &[]);
        assert_eq!(
            markup.into_html(),
            "<p title=\"a&quot;b&#39;&lt;\">&lt;script&gt;1 &amp;&amp; 2&lt;/script&gt;\u{fffd}\u{fffd}x</p>\n<br/>"
        );
    }
}
