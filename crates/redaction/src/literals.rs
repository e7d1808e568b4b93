//! Which constants in SQL are data, and what stands in for them?
//!
//! A string is data unless it is an argument that only programs choose (`date_trunc('day', …)`), a name
//! (`'…'::regclass`) or a label of an enumerated type. A number is data where it is compared with something, is a
//! default or a bound of a partition; in arithmetic, `LIMIT` and the like it is part of the program. What a string
//! means is told by its cast, by the column that it is compared with, and else by what it looks like.

use std::collections::{BTreeMap, BTreeSet};

use model::Snapshot;
use sql::{Lexeme, LexemeKind};

use crate::kind::{Kind, TextOrder};
use crate::statistics::kind_of_all;
use crate::values::{self, Replace};

/// Functions whose first argument is a word of PostgreSQL's own.
const WORDS_OF_THE_SERVER: &[&str] = &[
    "current_setting",
    "date_bin",
    "date_part",
    "date_trunc",
    "decode",
    "encode",
    "extract",
    "nextval",
    "currval",
    "set_config",
    "setval",
    "timezone",
    "to_tsquery",
    "plainto_tsquery",
    "phraseto_tsquery",
    "websearch_to_tsquery",
    "to_tsvector",
    "make_interval",
];

/// Types whose values are names, formats or lengths of time in a program.
const PROGRAM_TYPES: &[&str] = &[
    "regclass",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "interval",
];

const COMPARISONS: &[&str] = &["=", "<>", "!=", "<", ">", "<=", ">=", "between"];

/// Longer strings are programs or documents, and are left out.
const LONGEST: usize = 4000;

/// What is known of names in SQL.
pub(crate) struct Names {
    /// What columns of a name hold, where all of that name hold the same.
    columns: BTreeMap<String, Option<Kind>>,
    enums: BTreeSet<String>,
}

impl Names {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let enums = enums(&snapshot.schema_sql);
        let mut columns: BTreeMap<String, Option<Kind>> = BTreeMap::new();
        for column in snapshot.relations.iter().flat_map(|r| &r.columns) {
            let kind = Kind::of_column(column, &|name| enums.contains(name));
            columns
                .entry(column.name.clone())
                .and_modify(|known| {
                    if known.as_ref() != Some(&kind) {
                        *known = None;
                    }
                })
                .or_insert(Some(kind));
        }
        Self { columns, enums }
    }

    pub(crate) fn is_enum(&self, name: &str) -> bool {
        self.enums.contains(name)
    }

    fn column(&self, word: &str) -> Option<&Kind> {
        self.columns.get(&unquoted(word))?.as_ref()
    }
}

/// The names of enumerated types of a schema, without their schemas.
fn enums(schema_sql: &str) -> BTreeSet<String> {
    let types = schema_sql.split("CREATE TYPE ").skip(1).filter_map(|rest| rest.split_once(" AS ENUM"));
    types
        .filter(|(name, _)| name.len() < 200)
        .map(|(name, _)| unquoted(name.rsplit('.').next().unwrap_or(name)))
        .collect()
}

pub(crate) fn unquoted(word: &str) -> String {
    match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => word.to_lowercase(),
    }
}

/// A text with its lexemes, as it is gone through.
pub(crate) struct Text<'a> {
    pub(crate) sql: &'a str,
    /// Without comments.
    pub(crate) lexemes: Vec<Lexeme>,
    names: &'a Names,
}

impl<'a> Text<'a> {
    pub(crate) fn new(sql: &'a str, lexemes: Vec<Lexeme>, names: &'a Names) -> Self {
        Self { sql, lexemes, names }
    }

    fn at(&self, at: Option<usize>) -> &'a str {
        at.and_then(|at| self.lexemes.get(at)).map_or("", |l| l.of(self.sql))
    }

    pub(crate) fn word(&self, at: Option<usize>) -> String {
        self.at(at).to_ascii_lowercase()
    }

    /// The word before, `n` lexemes back.
    fn back(&self, at: usize, n: usize) -> String {
        self.word(at.checked_sub(n))
    }

    /// What stands in for the constant at a place; `None` leaves it as it is.
    pub(crate) fn constant(&self, at: usize, in_bound: bool, replace: &mut dyn Replace) -> Option<String> {
        let lexeme = self.lexemes.get(at)?;
        let text = lexeme.of(self.sql);
        match lexeme.kind {
            LexemeKind::String => self.string(at, text, in_bound, replace),
            LexemeKind::Number if in_bound || self.is_compared(at) => {
                replace.scalar(&self.number_kind(at), text)
            }
            LexemeKind::Bits => {
                Some(text.chars().map(|c| if c.is_ascii_digit() && c != '0' { '0' } else { c }).collect())
            }
            _ => None,
        }
    }

    fn string(&self, at: usize, text: &str, in_bound: bool, replace: &mut dyn Replace) -> Option<String> {
        let Some(value) = sql::string_value(text).filter(|v| v.len() <= LONGEST) else {
            return Some("''".into());
        };
        let cast = self.cast_after(at).or_else(|| self.type_before(at));
        if self.is_word_of_the_server(at)
            || self.is_option(at)
            || cast.as_deref().is_some_and(|c| PROGRAM_TYPES.contains(&c))
        {
            return None;
        }
        let operator = self.operator_before(at);
        if ["~~", "~~*", "!~~", "!~~*", "like", "ilike"].contains(&operator.as_str()) {
            return Some(model::quote_literal(&pattern(&value, replace)));
        }
        let of_operator = match operator.as_str() {
            "->" | "->>" | "?" => Some(Kind::Word),
            "#>" | "#>>" | "?|" | "?&" => Some(Kind::Array(Box::new(Kind::Word))),
            _ => None,
        };
        let order = |kind: Option<&Kind>| match kind {
            Some(Kind::Text(order) | Kind::Padded(order)) => order.clone(),
            _ => TextOrder::Database,
        };
        let column = if in_bound { None } else { self.column_before(at) };
        let kind = of_operator
            .or_else(|| {
                let name = cast.as_deref()?;
                let known = Kind::of_type(name, order(column), None, &|n| self.names.is_enum(n));
                // `'x'::text` compared with `lower(label)` is of the column's collation.
                Some(known)
            })
            .or_else(|| column.cloned())
            .unwrap_or_else(|| looks_like(&value));
        if kind == Kind::Kept {
            return None;
        }
        // A constant may have another form than its column: part of a document, an element of an array.
        let of_kind = values::value(&kind, &value, replace);
        let stand_in = match of_kind {
            None if cast.is_none() => values::value(&looks_like(&value), &value, replace),
            other => other,
        };
        Some(stand_in.map_or_else(|| "NULL".into(), |s| model::quote_literal(&s)))
    }

    /// `date_trunc('day', …)`
    fn is_word_of_the_server(&self, at: usize) -> bool {
        self.back(at, 1) == "(" && WORDS_OF_THE_SERVER.contains(&self.back(at, 2).as_str())
            // `x AT TIME ZONE 'UTC'`
            || (self.back(at, 1) == "zone" && self.back(at, 3) == "at")
            || ["escape", "language", "collation", "as"].contains(&self.back(at, 1).as_str()) && self.at(Some(at)).len() < 4
    }

    /// `WITH (fillfactor='70')`, `gist_trgm_ops (siglen='32')`
    fn is_option(&self, at: usize) -> bool {
        if self.back(at, 1) != "=" {
            return false;
        }
        let mut depth = 0_i32;
        let mut place = at;
        while let Some(before) = place.checked_sub(1) {
            place = before;
            match self.at(Some(place)) {
                ")" => depth += 1,
                "(" if depth == 0 => {
                    let opener = self.back(place, 1);
                    return ["with", "set"].contains(&opener.as_str()) || opener.ends_with("_ops");
                }
                "(" => depth -= 1,
                _ => {}
            }
        }
        false
    }

    /// The type of `'…'::type`, without modifiers.
    fn cast_after(&self, at: usize) -> Option<String> {
        (self.at(Some(at + 1)) == "::").then(|| self.type_name(at + 2))
    }

    fn type_name(&self, mut at: usize) -> String {
        let mut name = unquoted(self.at(Some(at)));
        while self.at(Some(at + 1)) == "." {
            at += 2;
            name = unquoted(self.at(Some(at)));
        }
        let mut next = at + 1;
        if self.at(Some(next)) == "(" {
            while !matches!(self.at(Some(next)), ")" | "") {
                next += 1;
            }
            next += 1;
        }
        for tail in ["precision", "varying", "with", "without", "time", "zone"] {
            if self.word(Some(next)) == tail {
                name = format!("{name} {tail}");
                next += 1;
            }
        }
        if self.at(Some(next)) == "(" {
            while !matches!(self.at(Some(next)), ")" | "") {
                next += 1;
            }
            next += 1;
        }
        if self.at(Some(next)) == "[" { format!("{name}[]") } else { name }
    }

    /// The type of `date '…'`.
    fn type_before(&self, at: usize) -> Option<String> {
        let word = self.back(at, 1);
        let known =
            ["date", "timestamp", "timestamptz", "time", "interval", "uuid", "inet", "cidr", "jsonb", "json"];
        match word.as_str() {
            "zone"
                if self.back(at, 2) == "time" && ["with", "without"].contains(&self.back(at, 3).as_str()) =>
            {
                Some("timestamptz".into())
            }
            w if known.contains(&w) => Some(word),
            _ => None,
        }
    }

    /// The operator that has the constant on its right side, brackets and lists in between.
    fn operator_before(&self, at: usize) -> String {
        let mut back = 1;
        while ["(", "array", "["].contains(&self.back(at, back).as_str()) {
            back += 1;
        }
        self.back(at, back)
    }

    /// The column that a constant is compared with: the nearest one before it, not behind a logical operator.
    fn column_before(&self, at: usize) -> Option<&Kind> {
        for back in 1..=24 {
            let place = at.checked_sub(back)?;
            let word = self.word(Some(place));
            if ["and", "or", "where", "not", ";", "values", "set", "select"].contains(&word.as_str()) {
                // `BETWEEN 'a' AND 'b'`
                if word == "and" && (2..6).any(|n| self.back(place, n) == "between") {
                    continue;
                }
                return None;
            }
            let is_type = self.at(place.checked_sub(1)) == "::";
            if self.lexemes[place].kind == LexemeKind::Word
                && !is_type
                && let Some(kind) = self.names.column(self.at(Some(place)))
            {
                return Some(kind);
            }
        }
        None
    }

    /// Whether a number is on one side of a comparison, in a list after IN or ANY, or a default.
    fn is_compared(&self, at: usize) -> bool {
        let mut back = 1;
        // `(0)::numeric`, `- 1`
        while ["(", "-"].contains(&self.back(at, back).as_str()) {
            back += 1;
        }
        let before = self.back(at, back);
        if COMPARISONS.contains(&before.as_str()) || before == "default" {
            return true;
        }
        if before == "and" && (2..8).any(|n| self.back(at, back + n) == "between") {
            return true;
        }
        let mut next = at + 1;
        while self.at(Some(next)) == ")" {
            next += 1;
        }
        let is_operand = ["%", "*", "/", "+", "-", "^"].contains(&self.back(at, 1).as_str());
        if COMPARISONS.contains(&self.at(Some(next))) && !is_operand {
            return true;
        }
        // Back to the beginning of a list.
        let mut place = at;
        while let Some(before) = place.checked_sub(1) {
            match self.word(Some(before)).as_str() {
                "(" => return ["in", "values"].contains(&self.back(before, 1).as_str()),
                "[" => return self.back(before, 1) == "array",
                "," | "::" | "-" => {}
                _ if self.lexemes[before].kind == LexemeKind::Number => {}
                _ if self.at(before.checked_sub(1)) == "::" => {}
                _ => return false,
            }
            place = before;
        }
        false
    }

    fn number_kind(&self, at: usize) -> Kind {
        match self.column_before(at) {
            Some(kind @ Kind::Number(_)) => kind.clone(),
            _ => Kind::Number(None),
        }
    }
}

/// What a string without a cast looks like.
fn looks_like(value: &str) -> Kind {
    if value.starts_with('{') && !crate::json::looks_like_one(value) {
        let elements: Vec<String> = model::snapshot::array_elements(value).into_iter().flatten().collect();
        return Kind::Array(Box::new(kind_of_all(&elements)));
    }
    if value == "t" || value == "f" {
        return Kind::text();
    }
    kind_of_all(&[value.to_owned()])
}

/// A pattern of LIKE: its stretches of text are replaced, its wildcards stay.
fn pattern(value: &str, replace: &mut dyn Replace) -> String {
    let mut out = String::new();
    for part in value.split_inclusive(['%', '_']) {
        let text = part.trim_end_matches(['%', '_']);
        if !text.is_empty() {
            out.push_str(&replace.beginning(text));
        }
        out.push_str(&part[text.len()..]);
    }
    out
}

/// A statement that no planner sees, without its constants: what they mean depends on the command.
pub(crate) fn emptied(sql: &str) -> Option<String> {
    let (mut out, mut done) = (String::with_capacity(sql.len()), 0);
    for lexeme in sql::lexemes(sql).ok()? {
        out.push_str(sql.get(done..lexeme.start)?);
        done = lexeme.end;
        out.push_str(match lexeme.kind {
            LexemeKind::String | LexemeKind::Bits => "''",
            LexemeKind::Number => "0",
            LexemeKind::Comment => " ",
            _ => lexeme.of(sql),
        });
    }
    out.push_str(sql.get(done..)?);
    Some(out)
}

/// An expression, a predicate or a statement with stand-ins. `None` when it cannot be read.
pub(crate) fn replaced(sql: &str, names: &Names, replace: &mut dyn Replace) -> Option<String> {
    let all = sql::lexemes(sql).ok()?;
    // Comments hold whatever somebody wrote; the mark of a squashed list is PostgreSQL's.
    let is_note = |l: &Lexeme| l.kind == LexemeKind::Comment && l.of(sql).trim() != "/*, ... */";
    let lexemes: Vec<Lexeme> = all.iter().copied().filter(|l| l.kind != LexemeKind::Comment).collect();
    let text = Text::new(sql, lexemes, names);
    let (mut out, mut done, mut at) = (String::with_capacity(sql.len()), 0, 0);
    let mut in_bound = false;
    for lexeme in &all {
        out.push_str(sql.get(done..lexeme.start)?);
        done = lexeme.end;
        if lexeme.kind == LexemeKind::Comment {
            if is_note(lexeme) {
                out.push(' ');
            } else {
                out.push_str(lexeme.of(sql));
            }
            continue;
        }
        match text.word(Some(at)).as_str() {
            "values" if text.back(at, 1) == "for" => in_bound = true,
            "with" | ";" => in_bound = false,
            _ => {}
        }
        match text.constant(at, in_bound, replace) {
            Some(stand_in) => out.push_str(&stand_in),
            None => out.push_str(lexeme.of(sql)),
        }
        at += 1;
    }
    out.push_str(sql.get(done..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what is data, and of which kind.
    struct Marked;

    impl Replace for Marked {
        fn scalar(&mut self, kind: &Kind, text: &str) -> Option<String> {
            let kind = format!("{kind:?}");
            Some(format!("<{} {text}>", kind.split('(').next().unwrap_or_default()))
        }
        fn beginning(&mut self, text: &str) -> String {
            format!("<{text}>")
        }
        fn lengths(&mut self, values: &[f64]) -> Vec<f64> {
            values.to_vec()
        }
        fn dropped(&mut self, _: String) {}
    }

    fn names() -> Names {
        let columns = [("status", Kind::text()), ("amount", Kind::Number(None)), ("doc", Kind::Json)];
        Names {
            columns: columns.into_iter().map(|(name, kind)| (name.to_owned(), Some(kind))).collect(),
            enums: BTreeSet::from(["Mood".to_owned()]),
        }
    }

    #[test]
    fn data_is_told_from_program() {
        for (sql, expected) in [
            (
                "status = 'a' AND amount > 10 LIMIT 10",
                "status = '<Text a>' AND amount > <Number 10> LIMIT 10",
            ),
            (
                "(status)::text = ANY (ARRAY['a'::text, 'b'::text])",
                "(status)::text = ANY (ARRAY['<Text a>'::text, '<Text b>'::text])",
            ),
            ("amount % 100 = (0)::numeric", "amount % 100 = (<Number 0>)::numeric"),
            (
                "amount in (1, 2) or amount between 3 and 4",
                "amount in (<Number 1>, <Number 2>) or amount between <Number 3> and <Number 4>",
            ),
            (
                "date_trunc('day'::text, at) > '2026-01-01'::date",
                "date_trunc('day'::text, at) > '<Time 2026-01-01>'::date",
            ),
            (
                "at > now() - interval '7 days' and at < now() - '1 mon'::interval",
                "at > now() - interval '7 days' and at < now() - '1 mon'::interval",
            ),
            (
                "timestamp with time zone '2026-01-01 00:00:00+00'",
                "timestamp with time zone '<Time 2026-01-01 00:00:00+00>'",
            ),
            ("nextval('public.s'::regclass)", "nextval('public.s'::regclass)"),
            (
                "m = 'sad'::public.\"Mood\" and flag = 't'::boolean",
                "m = 'sad'::public.\"Mood\" and flag = 't'::boolean",
            ),
            ("doc ->> 'kind' = 'x'", "doc ->> '<Word kind>' = '<Text x>'"),
            ("doc @> '{\"k\": 1}'", "doc @> '{\"<Word k>\": <Number 1>}'"),
            ("status ~~ 'ab%c_'::text", "status ~~ '<ab>%<c>_'::text"),
            (
                "to_tsvector('english'::regconfig, status) @@ to_tsquery('english', 'cat')",
                "to_tsvector('english'::regconfig, status) @@ to_tsquery('english', '<Text cat>')",
            ),
            (
                "FOR VALUES FROM (10) TO ('2026-01-01')",
                "FOR VALUES FROM (<Number 10>) TO ('<Time 2026-01-01>')",
            ),
            ("FOR VALUES WITH (modulus 4, remainder 1)", "FOR VALUES WITH (modulus 4, remainder 1)"),
            (
                "CREATE INDEX i ON t (a) WITH (fillfactor='70') WHERE (status = 'x')",
                "CREATE INDEX i ON t (a) WITH (fillfactor='70') WHERE (status = '<Text x>')",
            ),
            ("place = '(1,2)'::public.geometry", "place = NULL::public.geometry"),
            (
                "status = $1 /* user bob */ and amount in ($2 /*, ... */) -- bob",
                "status = $1   and amount in ($2 /*, ... */)  ",
            ),
            (
                "u = '0f8fad5b-d9cb-469f-a165-70867728950e'",
                "u = '<Uuid 0f8fad5b-d9cb-469f-a165-70867728950e>'",
            ),
            ("x AT TIME ZONE 'UTC'", "x AT TIME ZONE 'UTC'"),
        ] {
            assert_eq!(replaced(sql, &names(), &mut Marked).as_deref(), Some(expected));
        }
        assert_eq!(replaced("select 'open", &names(), &mut Marked), None);
        assert_eq!(emptied("set x = 'y' /* z */").as_deref(), Some("set x = ''  "));
    }
}
