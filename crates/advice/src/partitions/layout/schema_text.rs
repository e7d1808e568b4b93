//! How is the text of a schema changed so that a table in it is divided? Statement by statement of what `pg_dump`
//! writes; what is not about the table stays letter by letter.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use sql::{Lexeme, LexemeKind, lexemes};

/// What is to be changed.
pub(super) struct Edit<'a> {
    pub table: &'a QualifiedName,
    /// Partitions that go.
    pub removed: &'a BTreeSet<QualifiedName>,
    /// Their indexes.
    pub removed_indexes: &'a BTreeSet<QualifiedName>,
    /// `RANGE (created_at)`
    pub partition_by: String,
    /// New partitions with their bounds.
    pub partitions: Vec<(QualifiedName, String)>,
    /// Indexes of the table, and what makes each of them and its parts.
    pub indexes: Vec<(QualifiedName, String)>,
    /// Foreign keys that go, by table and constraint.
    pub lost: BTreeSet<(QualifiedName, String)>,
}

/// What becomes of a statement.
enum Fate {
    Stays,
    Goes,
    Becomes(String),
}

impl Edit<'_> {
    /// Changes the text.
    ///
    /// # Errors
    /// When the text cannot be read, or does not create the table.
    pub fn apply(&self, schema_sql: &str) -> Result<String, String> {
        // psql's own commands, by which newer dumps are fenced, are no SQL.
        let text: String =
            schema_sql.lines().filter(|line| !line.starts_with('\\')).flat_map(|line| [line, "\n"]).collect();
        let all = lexemes(&text).map_err(|e| format!("the schema could not be read: {e}."))?;
        let words: Vec<Lexeme> = all.into_iter().filter(|l| l.kind != LexemeKind::Comment).collect();
        let mut by_index: BTreeMap<&QualifiedName, &str> =
            self.indexes.iter().map(|(name, sql)| (name, sql.as_str())).collect();
        let (mut out, mut created, mut from) = (String::with_capacity(text.len()), false, 0);
        for statement in words.split_inclusive(|l| l.of(&text) == ";") {
            let Some(last) = statement.last() else { continue };
            let piece = text.get(from..last.end).unwrap_or_default();
            from = last.end;
            let reader = Reader { text: &text, lexemes: statement };
            match self.fate(&reader, &mut by_index, &mut created) {
                Fate::Stays => out.push_str(piece),
                Fate::Goes => out.push('\n'),
                Fate::Becomes(sql) => {
                    out.push('\n');
                    out.push_str(&sql);
                }
            }
        }
        out.push_str(text.get(from..).unwrap_or_default());
        if created {
            // Indexes that the text makes in a way that was not understood.
            for sql in by_index.values() {
                out.push('\n');
                out.push_str(sql);
            }
            Ok(out)
        } else {
            Err(format!("the schema does not create {}.", self.table))
        }
    }

    fn fate(
        &self,
        reader: &Reader<'_>,
        by_index: &mut BTreeMap<&QualifiedName, &str>,
        created: &mut bool,
    ) -> Fate {
        let words = reader.head();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["CREATE", "TABLE", ..] => self.create_table(reader, 2, created),
            ["CREATE", "UNLOGGED", "TABLE", ..] => self.create_table(reader, 3, created),
            ["CREATE", "INDEX", ..] => self.create_index(reader, 2, by_index),
            ["CREATE", "UNIQUE", "INDEX", ..] => self.create_index(reader, 3, by_index),
            ["ALTER", "TABLE", "ONLY", ..] => self.alter_table(reader, 3, by_index),
            ["ALTER", "TABLE", ..] => self.alter_table(reader, 2, by_index),
            ["ALTER", "INDEX", ..] => match reader.name(2) {
                Some((index, _))
                    if self.removed_indexes.contains(&index) || by_index.contains_key(&index) =>
                {
                    Fate::Goes
                }
                Some((index, _)) if self.indexes.iter().any(|(name, _)| name == &index) => Fate::Goes,
                _ => Fate::Stays,
            },
            _ => Fate::Stays,
        }
    }

    fn create_table(&self, reader: &Reader<'_>, at: usize, created: &mut bool) -> Fate {
        let Some((table, next)) = reader.name(at) else { return Fate::Stays };
        if self.removed.contains(&table) {
            return Fate::Goes;
        }
        if &table != self.table {
            return Fate::Stays;
        }
        let Some(end) = reader.end_of_brackets(next) else { return Fate::Stays };
        *created = true;
        let mut sql = format!("{}\nPARTITION BY {};\n", reader.until(end), self.partition_by);
        for (name, bound) in &self.partitions {
            sql.push_str(&format!("CREATE TABLE {name} PARTITION OF {table} {bound};\n"));
        }
        Fate::Becomes(sql)
    }

    /// An index is made on each partition before it is made on the whole, which then takes those in.
    fn create_index(
        &self,
        reader: &Reader<'_>,
        at: usize,
        by_index: &mut BTreeMap<&QualifiedName, &str>,
    ) -> Fate {
        let Some((index, next)) = reader.name(at) else { return Fate::Stays };
        let on = next + 1 + usize::from(reader.is(next + 1, "ONLY"));
        let Some((table, _)) = reader.name(on) else { return Fate::Stays };
        if self.removed.contains(&table) {
            return Fate::Goes;
        }
        if &table != self.table {
            return Fate::Stays;
        }
        let index = QualifiedName::new(table.schema, index.name);
        by_index.remove(&index).map_or(Fate::Stays, |sql| Fate::Becomes(sql.to_owned()))
    }

    fn alter_table(
        &self,
        reader: &Reader<'_>,
        at: usize,
        by_index: &mut BTreeMap<&QualifiedName, &str>,
    ) -> Fate {
        let Some((table, next)) = reader.name(at) else { return Fate::Stays };
        let adds = reader.is(next, "ADD") && reader.is(next + 1, "CONSTRAINT");
        let constraint = if adds { reader.identifier(next + 2) } else { None };
        if self.removed.contains(&table) {
            return Fate::Goes;
        }
        if let Some(constraint) = &constraint
            && self.lost.contains(&(table.clone(), constraint.clone()))
        {
            return Fate::Goes;
        }
        if &table != self.table {
            return Fate::Stays;
        }
        if let Some(constraint) = constraint {
            let index = QualifiedName::new(table.schema.clone(), constraint);
            if let Some(sql) = by_index.remove(&index) {
                return Fate::Becomes(sql.to_owned());
            }
        }
        let own = ["ATTACH", "CLUSTER", "REPLICA", "SET", "INHERIT"];
        if own.iter().any(|word| reader.is(next, word)) {
            return Fate::Goes;
        }
        Fate::Becomes(format!("ALTER TABLE {table} {}\n", reader.from(next)))
    }
}

/// A statement of the text.
struct Reader<'a> {
    text: &'a str,
    lexemes: &'a [Lexeme],
}

impl Reader<'_> {
    /// The first words in capitals.
    fn head(&self) -> Vec<String> {
        self.lexemes.iter().take(4).map(|l| l.of(self.text).to_ascii_uppercase()).collect()
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.lexemes.get(at).is_some_and(|l| l.of(self.text).eq_ignore_ascii_case(word))
    }

    fn identifier(&self, at: usize) -> Option<String> {
        let lexeme = self.lexemes.get(at).filter(|l| l.kind == LexemeKind::Word)?;
        QualifiedName::parse(lexeme.of(self.text), "").ok().map(|n| n.name)
    }

    /// A name with or without a schema, and where it ends.
    fn name(&self, at: usize) -> Option<(QualifiedName, usize)> {
        let first = self.identifier(at)?;
        if self.is(at + 1, ".") {
            let second = self.identifier(at + 2)?;
            return Some((QualifiedName::new(first, second), at + 3));
        }
        Some((QualifiedName::new("", first), at + 1))
    }

    /// Where the bracket that opens here closes.
    fn end_of_brackets(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (position, lexeme) in self.lexemes.iter().enumerate().skip(at) {
            match lexeme.of(self.text) {
                "(" => depth += 1,
                ")" => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(position);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn until(&self, at: usize) -> &str {
        let start = self.lexemes.first().map_or(0, |l| l.start);
        let end = self.lexemes.get(at).map_or(start, |l| l.end);
        self.text.get(start..end).unwrap_or_default()
    }

    fn from(&self, at: usize) -> &str {
        let start = self.lexemes.get(at).map_or(0, |l| l.start);
        let end = self.lexemes.last().map_or(start, |l| l.end);
        self.text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"\restrict x
SET check_function_bodies = false;
CREATE TABLE public."a.b" (
    id integer NOT NULL,
    note text DEFAULT ';)'::text,
    CONSTRAINT c CHECK ((id > 0))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public."a.b" ALTER COLUMN id SET STATISTICS 10;
CREATE TABLE public.other (id integer REFERENCES x(y));
CREATE TABLE public.old (id integer);
ALTER TABLE ONLY public."a.b" ADD CONSTRAINT "a.b_pkey" PRIMARY KEY (id);
ALTER TABLE ONLY public.other ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES public."a.b"(id);
CREATE INDEX i ON public."a.b" USING btree (note);
CREATE INDEX j ON public.old USING btree (id);
ALTER INDEX public.i ATTACH PARTITION public.j;
\unrestrict x
"#;

    #[test]
    fn only_what_is_about_the_table_is_changed() {
        let table = QualifiedName::new("public", "a.b");
        let removed = BTreeSet::from([QualifiedName::new("public", "old")]);
        let removed_indexes = BTreeSet::from([QualifiedName::new("public", "j")]);
        let edit = Edit {
            table: &table,
            removed: &removed,
            removed_indexes: &removed_indexes,
            partition_by: "RANGE (id)".into(),
            partitions: vec![(QualifiedName::new("public", "p"), "DEFAULT".into())],
            indexes: vec![
                (QualifiedName::new("public", "a.b_pkey"), "-- key\n".into()),
                (QualifiedName::new("public", "i"), "-- index\n".into()),
            ],
            lost: BTreeSet::from([(QualifiedName::new("public", "other"), "fk".to_owned())]),
        };
        let changed = edit.apply(DUMP).unwrap();
        let lines: Vec<&str> = changed.lines().filter(|l| !l.trim().is_empty()).collect();
        assert_eq!(
            lines,
            [
                "SET check_function_bodies = false;",
                "CREATE TABLE public.\"a.b\" (",
                "    id integer NOT NULL,",
                "    note text DEFAULT ';)'::text,",
                "    CONSTRAINT c CHECK ((id > 0))",
                ")",
                "PARTITION BY RANGE (id);",
                "CREATE TABLE public.p PARTITION OF public.\"a.b\" DEFAULT;",
                "ALTER TABLE public.\"a.b\" ALTER COLUMN id SET STATISTICS 10;",
                "CREATE TABLE public.other (id integer REFERENCES x(y));",
                "-- key",
                "-- index",
            ]
        );
        assert!(edit.apply("CREATE TABLE public.x (id integer);").is_err());
    }
}
