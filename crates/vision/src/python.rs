//! The few Python literals that model metadata has: integers, strings, lists, dictionaries.

/// A value as Python's `repr` writes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Integer(i64),
    Text(String),
    /// A list or a tuple.
    List(Vec<Literal>),
    /// Keys and values in their order.
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    /// The number, also where a dictionary's key is a number in quotes.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Lists in lists deeper than this are no metadata, and would eat the stack.
const MAX_DEPTH: usize = 8;

/// Reads one literal; `None` where the text is anything else.
pub(crate) fn parse(text: &str) -> Option<Literal> {
    let mut reader = Reader { rest: text };
    let literal = reader.literal(MAX_DEPTH)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(literal)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Takes `c` if it comes next, after any space.
    fn take(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.rest.starts_with(c);
        if found {
            self.next();
        }
        found
    }

    fn literal(&mut self, depth: usize) -> Option<Literal> {
        let depth = depth.checked_sub(1)?;
        self.skip_space();
        match self.rest.chars().next()? {
            '[' => self.items(']', |r| r.literal(depth)).map(Literal::List),
            '(' => self.items(')', |r| r.literal(depth)).map(Literal::List),
            '{' => self.items('}', |r| r.entry(depth)).map(Literal::Dict),
            '\'' | '"' => self.text().map(Literal::Text),
            _ => self.integer().map(Literal::Integer),
        }
    }

    /// Items up to the closing bracket, a comma between them and perhaps one at the end.
    fn items<T>(&mut self, close: char, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.next()?;
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(item(self)?);
            if !self.take(',') {
                return self.take(close).then_some(items);
            }
        }
        Some(items)
    }

    fn entry(&mut self, depth: usize) -> Option<(Literal, Literal)> {
        let key = self.literal(depth)?;
        if !self.take(':') {
            return None;
        }
        Some((key, self.literal(depth)?))
    }

    fn integer(&mut self) -> Option<i64> {
        let is_part = |c: char| c.is_ascii_digit() || c == '-' || c == '+';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().ok()
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.next()?;
        let mut text = String::new();
        loop {
            match self.next()? {
                c if c == quote => return Some(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    /// What follows a backslash; `repr` writes these and no others.
    fn escape(&mut self) -> Option<char> {
        match self.next()? {
            c @ ('\\' | '\'' | '"') => Some(c),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'x' => self.code(2),
            'u' => self.code(4),
            'U' => self.code(8),
            _ => None,
        }
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let hex = self.rest.get(..digits)?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(hex, 16).ok()?;
        self.rest = &self.rest[digits..];
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(s: &str) -> Literal {
        Literal::Text(s.to_owned())
    }

    #[test]
    fn literals_are_read_as_python_writes_them() {
        assert_eq!(
            parse(" [640, 640] "),
            Some(Literal::List(vec![Literal::Integer(640); 2]))
        );
        assert_eq!(
            parse("(17, 3,)"),
            Some(Literal::List(vec![
                Literal::Integer(17),
                Literal::Integer(3)
            ]))
        );
        assert_eq!(parse("{}"), Some(Literal::Dict(vec![])));
        assert_eq!(parse("-5"), Some(Literal::Integer(-5)));
        assert_eq!(parse(r#""it's""#), Some(text("it's")));
        assert_eq!(
            parse(r"'a \'b\' \\ \x41\u00e9\U0001f600'"),
            Some(text("a 'b' \\ A\u{e9}\u{1f600}"))
        );
        assert_eq!(
            parse("{0: 'person', 1: 'caf\u{e9}'}"),
            Some(Literal::Dict(vec![
                (Literal::Integer(0), text("person")),
                (Literal::Integer(1), text("caf\u{e9}"))
            ]))
        );
    }

    #[test]
    fn anything_else_is_nothing() {
        for bad in [
            "",
            "x",
            "[1",
            "[1 2]",
            "{0 'a'}",
            "{0:}",
            "'open",
            "'\\x4'",
            "'\\xg0'",
            "'\\ud800'",
            "'\\q'",
            "1 2",
            "[,]",
            "99999999999999999999",
            "1.5",
            "'\\x\u{e9}1'",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), None);
    }
}
