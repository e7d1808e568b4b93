//! Which statements are the same but for their values? A text in one form: values as `$1`, `$2`, …, words in lower
//! case, one blank where one is needed, lists of values as `$1 /*, ... */`.
//!
//! The lexical rules are those of "Lexical Structure" of the manual; the form is that of `pg_stat_statements`, so that a
//! statement of a log can be looked up there and explained. A parser would know more and cost a hundred times as much;
//! and logs hold statements that do not parse.

/// Longest normalised text that is kept.
const MAX_BYTES: usize = 64 * 1024;

/// Whether a parenthesis is set apart after a word.
fn is_spaced(word: &[u8]) -> bool {
    // The compiler tells words apart by length first.
    matches!(
        word,
        b"all"
            | b"and"
            | b"any"
            | b"array"
            | b"as"
            | b"between"
            | b"by"
            | b"case"
            | b"check"
            | b"distinct"
            | b"else"
            | b"except"
            | b"exists"
            | b"filter"
            | b"from"
            | b"group"
            | b"having"
            | b"ilike"
            | b"in"
            | b"intersect"
            | b"into"
            | b"is"
            | b"join"
            | b"key"
            | b"lateral"
            | b"like"
            | b"limit"
            | b"materialized"
            | b"not"
            | b"offset"
            | b"on"
            | b"or"
            | b"order"
            | b"over"
            | b"recursive"
            | b"references"
            | b"returning"
            | b"select"
            | b"set"
            | b"some"
            | b"then"
            | b"union"
            | b"using"
            | b"values"
            | b"when"
            | b"where"
            | b"with"
            | b"within"
    )
}

/// Puts statements into one form; keeps its buffers.
#[derive(Default)]
pub(crate) struct Normalizer {
    out: Vec<u8>,
    word: Vec<u8>,
    values: u32,
    last: Last,
    /// Open lists of values: the depth of their parenthesis.
    depth: u32,
    lists: Vec<List>,
}

/// A parenthesis whose content may be a list of values alone.
struct List {
    depth: u32,
    /// Whether it stands behind VALUES, where another may follow.
    is_row: bool,
    /// Where it begins in the output, for rows that are left out.
    begin: usize,
    values_before: u32,
    /// Whether it held anything but values so far.
    plain: bool,
    /// Values in it.
    count: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    Word,
    /// A word after which a parenthesis is set apart.
    Keyword,
    /// IN, ARRAY: a list may follow.
    ListWord,
    /// VALUES: rows may follow.
    ValuesWord,
    Value,
    Operator,
    Comma,
    Open,
    Close,
    /// The end of a row behind VALUES that held values alone.
    Row,
    /// The comma after such a row.
    RowComma,
    Dot,
    Cast,
}

impl Normalizer {
    /// The normalised text.
    pub(crate) fn normalize(&mut self, text: &[u8]) -> &[u8] {
        self.out.clear();
        self.lists.clear();
        (self.values, self.last, self.depth) = (0, Last::Nothing, 0);
        let mut at = 0;
        while at < text.len() && self.out.len() < MAX_BYTES {
            at = self.token(text, at);
        }
        while self.out.last().is_some_and(|b| matches!(b, b' ' | b';')) {
            self.out.pop();
        }
        &self.out
    }

    /// Takes one token and says where the next begins.
    fn token(&mut self, text: &[u8], at: usize) -> usize {
        let byte = text[at];
        let next = text.get(at + 1).copied().unwrap_or(0);
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0 => at + 1,
            b'-' if next == b'-' => memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n + 1),
            b'/' if next == b'*' => after_comment(text, at),
            b'\'' => {
                self.value();
                after_quoted(text, at + 1, false)
            }
            b'"' => {
                let end = after_identifier(text, at + 1);
                self.word(&text[at..end], Last::Word);
                end
            }
            b'$' if next.is_ascii_digit() => {
                self.value();
                at + 1 + text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count()
            }
            b'$' => match after_dollar_quoted(text, at) {
                Some(end) => {
                    self.value();
                    end
                }
                None => {
                    self.operator(&text[at..=at]);
                    at + 1
                }
            },
            b'0'..=b'9' => self.number(text, at),
            b'.' if next.is_ascii_digit() && !matches!(self.last, Last::Word | Last::Close) => {
                self.number(text, at)
            }
            b'.' => {
                self.push(b".", Last::Dot);
                at + 1
            }
            b':' if next == b':' => {
                self.push(b"::", Last::Cast);
                at + 2
            }
            b',' => {
                let last = if self.last == Last::Row { Last::RowComma } else { Last::Comma };
                self.push(b",", last);
                at + 1
            }
            b'(' | b'[' => {
                self.open(byte);
                at + 1
            }
            b')' | b']' => {
                self.close(byte);
                at + 1
            }
            b';' => {
                self.push(b";", Last::Comma);
                at + 1
            }
            b if b.is_ascii_alphabetic() || b == b'_' || b >= 0x80 => {
                let length = text[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'$') || **b >= 0x80)
                    .count();
                let end = at + length;
                // e'…', b'…', x'…', n'…' and u&'…' are values.
                if length == 1 && text.get(end) == Some(&b'\'') && b"eEbBxXnN".contains(&byte) {
                    self.value();
                    return after_quoted(text, end + 1, matches!(byte, b'e' | b'E'));
                }
                if length == 1 && matches!(byte, b'u' | b'U') && text[end..].starts_with(b"&'") {
                    self.value();
                    return after_quoted(text, end + 2, false);
                }
                let mut word = std::mem::take(&mut self.word);
                word.clear();
                word.extend(text[at..end].iter().map(u8::to_ascii_lowercase));
                let kind = match &word[..] {
                    b"in" | b"array" => Last::ListWord,
                    b"values" => Last::ValuesWord,
                    w if is_spaced(w) => Last::Keyword,
                    _ => Last::Word,
                };
                if &word[..] != b"default" {
                    self.spoil();
                }
                self.push_word(&word, kind);
                self.word = word;
                end
            }
            _ => {
                let operator = text[at..].iter().take_while(|b| b"+-*/<>=~!@#%^&|`?".contains(b)).count();
                let mut length = if text[at..].starts_with(b":=") { 2 } else { operator.max(1) };
                for n in 1..length {
                    let pair = &text[at + n..at + n + 2.min(text.len() - at - n)];
                    if matches!(pair, b"--" | b"/*") {
                        length = n;
                        break;
                    }
                }
                // "=-5" is an equals sign and a negative number, as the server reads it.
                let symbols = &text[at..at + length];
                if length > 1
                    && matches!(symbols[length - 1], b'-' | b'+')
                    && !symbols.iter().any(|b| b"~!@#%^&|`?".contains(b))
                {
                    length -= 1;
                }
                let symbol = &text[at..at + length];
                let follows_operand = matches!(self.last, Last::Word | Last::Value | Last::Close | Last::Row);
                let is_sign = matches!(symbol, b"-" | b"+")
                    && !follows_operand
                    && matches!(text[at + 1..], [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..]);
                if !is_sign {
                    self.operator(symbol);
                }
                at + length
            }
        }
    }

    fn number(&mut self, text: &[u8], at: usize) -> usize {
        self.value();
        let mut end = at;
        while end < text.len() {
            let b = text[end];
            let exponent_sign = matches!(b, b'+' | b'-')
                && matches!(text[end - 1], b'e' | b'E')
                && text.get(at + 1).is_none_or(|b| !matches!(b, b'x' | b'X'))
                && end > at
                && text.get(end + 1).is_some_and(u8::is_ascii_digit);
            // "1..10" is a range of PL/pgSQL.
            let dot = b == b'.' && text.get(end + 1) != Some(&b'.');
            if !(b.is_ascii_alphanumeric() || b == b'_' || dot || exponent_sign) {
                break;
            }
            end += 1;
        }
        end
    }

    fn value(&mut self) {
        if let Some(list) = self.lists.last_mut()
            && list.depth == self.depth
            && list.plain
        {
            list.count += 1;
            if list.count > 1 {
                // The comma before goes; the list is marked once.
                while self.out.last().is_some_and(|b| matches!(b, b',' | b' ')) {
                    self.out.pop();
                }
                if list.count == 2 {
                    self.out.extend_from_slice(b" /*, ... */");
                }
                self.last = Last::Value;
                return;
            }
        }
        self.values += 1;
        let mut digits = [0_u8; 10];
        let text = decimal(self.values, &mut digits);
        self.space_before_word();
        self.out.push(b'$');
        self.out.extend_from_slice(text);
        self.last = Last::Value;
    }

    fn word(&mut self, word: &[u8], last: Last) {
        self.spoil();
        self.push_word(word, last);
    }

    fn push_word(&mut self, word: &[u8], last: Last) {
        self.space_before_word();
        self.out.extend_from_slice(word);
        self.last = last;
    }

    fn space_before_word(&mut self) {
        if !matches!(self.last, Last::Nothing | Last::Open | Last::Dot | Last::Cast) {
            self.out.push(b' ');
        }
    }

    fn operator(&mut self, symbol: &[u8]) {
        self.spoil();
        if !matches!(self.last, Last::Nothing | Last::Open) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(symbol);
        self.last = Last::Operator;
    }

    fn push(&mut self, symbol: &[u8], last: Last) {
        if matches!(last, Last::Dot | Last::Cast) {
            self.spoil();
        }
        self.out.extend_from_slice(symbol);
        self.last = last;
    }

    fn open(&mut self, byte: u8) {
        let (list, is_row) = match self.last {
            Last::ListWord => (true, false),
            Last::ValuesWord | Last::RowComma => (true, true),
            _ => (false, false),
        };
        // A row begins before its comma.
        let begin = if self.last == Last::RowComma { self.out.len() - 1 } else { self.out.len() };
        if !list {
            self.spoil();
        }
        self.depth += 1;
        if list {
            let values_before = self.values;
            self.lists.push(List { depth: self.depth, is_row, begin, values_before, plain: true, count: 0 });
        }
        let apart = match self.last {
            Last::Keyword | Last::Operator | Last::Comma | Last::RowComma | Last::ValuesWord => true,
            Last::ListWord => byte == b'(',
            _ => false,
        };
        if apart {
            self.out.push(b' ');
        }
        self.out.push(byte);
        self.last = Last::Open;
    }

    fn close(&mut self, byte: u8) {
        self.out.push(byte);
        self.last = Last::Close;
        let Some(list) = self.lists.pop_if(|l| l.depth == self.depth) else {
            self.depth = self.depth.saturating_sub(1);
            return;
        };
        self.depth = self.depth.saturating_sub(1);
        if !(list.is_row && list.plain) {
            return;
        }
        self.last = Last::Row;
        // A further row of values alone adds nothing but a mark.
        if self.out.get(list.begin) == Some(&b',') {
            self.out.truncate(list.begin);
            self.values = list.values_before;
            if !self.out.ends_with(b") /*, ... */") {
                self.out.extend_from_slice(b" /*, ... */");
            }
        }
    }

    /// The innermost list holds something else than values.
    fn spoil(&mut self) {
        if let Some(list) = self.lists.last_mut() {
            list.plain = false;
        }
    }
}

fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

fn after_comment(text: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at + 1 < text.len() {
        match &text[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn after_quoted(text: &[u8], begin: usize, escapes: bool) -> usize {
    let mut at = begin;
    loop {
        let found = if escapes {
            memchr::memchr2(b'\'', b'\\', &text[at..])
        } else {
            memchr::memchr(b'\'', &text[at..])
        };
        let Some(n) = found else { return text.len() };
        at += n;
        if text[at] == b'\\' || text.get(at + 1) == Some(&b'\'') {
            at = (at + 2).min(text.len());
        } else {
            return at + 1;
        }
    }
}

fn after_identifier(text: &[u8], begin: usize) -> usize {
    let mut at = begin;
    while let Some(n) = memchr::memchr(b'"', &text[at..]) {
        at += n + 1;
        if text.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    text.len()
}

fn after_dollar_quoted(text: &[u8], at: usize) -> Option<usize> {
    let tag =
        text[at + 1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80).count();
    let opened = at + tag + 2;
    if text.get(opened - 1) != Some(&b'$') {
        return None;
    }
    let mark = &text[at..opened];
    Some(memchr::memmem::find(&text[opened..], mark).map_or(text.len(), |n| opened + n + mark.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalize(text: &str) -> String {
        String::from_utf8(Normalizer::default().normalize(text.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn values_blanks_and_comments_do_not_matter() {
        for (text, expected) in [
            (
                "SELECT  *\n\tFROM t -- why\nWHERE a=1 /* x /* y */ */ AND b = 'it''s';",
                "select * from t where a = $1 and b = $2",
            ),
            (
                "select e'a\\'b', $tag$ ' $tag$, $$x$$, U&'d', 1.5e-3, .5, 0xff",
                "select $1, $2, $3, $4, $5, $6, $7",
            ),
            ("select a-1, -1, a =-1, b->>'c', d#>-2", "select a - $1, $2, a = $3, b ->> $4, d #>- $5"),
            (
                "select count (*), max(x) from \"A b\".\"c\"\"d\"",
                "select count(*), max(x) from \"A b\".\"c\"\"d\"",
            ),
            (
                "select t.a::text, '1'::int, now() - interval '1 day'",
                "select t.a::text, $1::int, now() - interval $2",
            ),
            ("select $1, 2, a[1:2]", "select $1, $2, a[$3 : $4]"),
            ("select 'open", "select $1"),
            ("", ""),
        ] {
            assert_eq!(normalize(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_of_values_are_one_whatever_their_length() {
        let in_list = "select * from t where a in ($1 /*, ... */) and b = $2";
        assert_eq!(normalize("select * from t where a in (1, 2,3) and b = 4"), in_list);
        assert_eq!(normalize("SELECT * FROM t WHERE a IN ('x', 'y') and b = 4"), in_list);
        assert_eq!(normalize("select * from t where a in (1)"), "select * from t where a in ($1)");
        assert_eq!(normalize("select f(1, 2), (3, 4)"), "select f($1, $2), ($3, $4)");
        assert_eq!(normalize("select array[1,2,3]"), "select array[$1 /*, ... */]");
        assert_eq!(normalize("select 1 in (select 2, 3)"), "select $1 in (select $2, $3)");
        let rows = "insert into t values ($1 /*, ... */) /*, ... */ on conflict do nothing";
        assert_eq!(normalize("insert into t values (1,2), (3,4), (5, 6) on conflict do nothing"), rows);
        assert_eq!(normalize("insert into t values (1,2), (3, default) on conflict do nothing"), rows);
        assert_eq!(
            normalize("insert into t values (1, now()), (2, now())"),
            "insert into t values ($1, now()), ($2, now())"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_what_is_normal_stays(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut normalizer = Normalizer::default();
            normalizer.normalize(&bytes);
        }

        #[test]
        fn a_normal_text_stays(text in "[a-c (),.'0-9=<>\\[\\]$;:\"-]{0,60}") {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
