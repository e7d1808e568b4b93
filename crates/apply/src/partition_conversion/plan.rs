//! What will a conversion do? The table, the names, the partitions, and what becomes of everything that hangs on
//! the table. It is stored with the conversion, so that whoever goes on after an interruption does the same.

use model::{Division, KeyKind, LockLevel, Millis, QualifiedName, quote_identifier};
use partitioning::Bound;
use serde::{Deserialize, Serialize};

use super::attachments::{Attachment, Fate};
use super::subject::{Index, Subject};

/// How a table becomes a partitioned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The table becomes one partition of a new one; no row is copied.
    Attach,
    /// The rows are copied into partitions while the table is written to.
    Rewrite,
}

impl Method {
    /// As it is written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Rewrite => "rewrite",
        }
    }
}

/// A partition and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPartition {
    /// Its name.
    pub name: QualifiedName,
    /// What it takes.
    pub bound: Bound,
}

/// One step as it is shown before anything is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversionStep {
    /// What it does, in a few words.
    pub title: String,
    /// Its statements, or the most telling of them.
    pub sql: Vec<String>,
    /// The strongest lock on the table.
    pub lock: LockLevel,
    /// What the lock means for others, in a sentence.
    pub lock_detail: String,
    /// How long it will take, roughly; `None` when it is an instant.
    pub expected: Option<Millis>,
}

/// A conversion, decided in every part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConversionPlan {
    /// The table, under the name that it keeps.
    pub table: QualifiedName,
    /// The partitioned table until the swap.
    pub shadow: QualifiedName,
    /// The old table after the swap: kept beside (rewrite) or a partition (attach).
    pub kept: QualifiedName,
    /// The partition column.
    pub column: String,
    /// How it divides the table.
    pub division: Division,
    /// How.
    pub method: Method,
    /// Why this way, in a sentence.
    pub why: String,
    /// The partitions that are made, the default partition last. With [`Method::Attach`] those after the old table.
    pub partitions: Vec<NewPartition>,
    /// With [`Method::Attach`], what the old table takes as a partition.
    pub history: Option<Bound>,
    /// The columns that identify a row in both tables: the key and the partition column.
    pub identity: Vec<String>,
    /// What becomes of everything that hangs on the table.
    pub attachments: Vec<Attachment>,
    /// The steps in order.
    pub steps: Vec<ConversionStep>,
    /// What to know, in sentences.
    pub notices: Vec<String>,
    /// The rows of the table, as PostgreSQL estimates them.
    pub rows_estimate: i64,
    /// The bytes of the table with its indexes.
    pub bytes: i64,
    /// `server_version_num` of the server.
    pub version_num: i32,
    /// The table and what hangs on it, as they were read.
    pub(crate) subject: Subject,
}

/// The longest name that PostgreSQL keeps, in bytes.
const NAME_MAX: usize = 63;

/// A name with a suffix, cut so that PostgreSQL does not cut the suffix.
pub(crate) fn suffixed(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(NAME_MAX.saturating_sub(suffix.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

/// What a table and its indexes are called while they are made, before they get the old ones' names.
pub(crate) const NEW: &str = "_pgwright_new";
/// What the old table and its indexes are called after the swap.
pub(crate) const KEPT: &str = "_unpartitioned";

impl ConversionPlan {
    /// The reasons not to begin.
    pub fn refusals(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|a| matches!(a.fate, Fate::Refused { .. }))
    }

    /// Whether the partition column is made NOT NULL for the partitioned table.
    pub(crate) fn becomes_not_null(&self) -> bool {
        let nullable = self.subject.column(&self.column).is_some_and(|c| !c.not_null);
        nullable && !self.has_null_keys()
    }

    /// Whether rows may have no value of the partition column.
    pub(crate) fn has_null_keys(&self) -> bool {
        let nullable = self.subject.column(&self.column).is_some_and(|c| !c.not_null);
        nullable
            && matches!(self.division.kind, KeyKind::List | KeyKind::Hash)
            && self.subject.takes_null_keys()
    }

    /// The name of an index's counterpart while it is made.
    pub(crate) fn new_index(&self, index: &Index) -> QualifiedName {
        self.beside(&self.table.schema, &index.name, NEW)
    }

    /// The name of an index's counterpart on the old table.
    pub(crate) fn kept_index(&self, index: &Index) -> QualifiedName {
        self.beside(&self.table.schema, &index.name, KEPT)
    }

    /// The name of an index, a statistics object or a sequence with a suffix. One that is cut gets a number, since two
    /// long names often begin alike.
    pub(crate) fn beside(&self, schema: &str, name: &str, suffix: &str) -> QualifiedName {
        let subject = &self.subject;
        let indexes = subject.indexes.iter().map(|i| i.name.as_str());
        let statistics = subject.statistics.iter().map(|s| s.name.name.as_str());
        let mut names =
            indexes.chain(statistics).chain(subject.sequences.iter().map(|s| s.name.name.as_str()));
        let number = (name.len() + suffix.len() > NAME_MAX).then(|| names.position(|n| n == name)).flatten();
        let suffix = number.map_or_else(|| suffix.to_owned(), |n| format!("_{}{suffix}", n + 1));
        QualifiedName::new(schema, suffixed(name, &suffix))
    }

    /// The name of an index on one partition: the index's own with the partition in place of the table.
    pub(crate) fn partition_index(
        &self,
        partition: &QualifiedName,
        position: usize,
        index: &Index,
    ) -> String {
        let rest = |index: &Index| match index.name.strip_prefix(&self.table.name) {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => format!("_{}", index.name),
        };
        let own = rest(index);
        let whole = format!("{}{own}", partition.name);
        // "orders_at" and "at" on the table "orders" would get the same name.
        let alone = !self.subject.indexes.iter().take(position).any(|i| rest(i) == own);
        if alone && whole.len() <= NAME_MAX {
            whole
        } else {
            suffixed(&partition.name, &format!("_idx{}", position + 1))
        }
    }

    /// The key columns of an index on the partitioned table: a unique one holds the partition column.
    pub(crate) fn keys_of(&self, index: &Index) -> Vec<String> {
        let mut keys = index.key_columns();
        if index.unique && !index.has_key(&self.column) {
            keys.push(self.column.clone());
        }
        keys
    }

    /// An index definition from `USING` on, as the partitioned table has it, with the index's tablespace.
    pub(crate) fn placed_shape_of(&self, index: &Index) -> String {
        let shape = self.shape_of(index).unwrap_or_default();
        match &index.tablespace {
            Some(space) => super::script::with_tablespace(&shape, space),
            None => shape,
        }
    }

    /// An index definition from `USING` on, as the partitioned table has it.
    pub(crate) fn shape_of(&self, index: &Index) -> Option<String> {
        let shape = crate::catalog::shape_of(&index.definition, index.unique, &index.name, &self.table)?;
        if !index.unique || index.has_key(&self.column) {
            return Some(shape.to_owned());
        }
        let close = closing_parenthesis(shape)?;
        let (keys, rest) = shape.split_at(close);
        // The partition column may be an included one, which must not be named twice.
        Some(format!("{keys}, {}{rest}", quote_identifier(&self.column)))
    }

    /// `PRIMARY KEY (…)` or `UNIQUE (…)` of a constraint, as the partitioned table has it.
    pub(crate) fn constraint_of(&self, index: &Index) -> String {
        let list =
            |names: &[String]| names.iter().map(|n| quote_identifier(n)).collect::<Vec<_>>().join(", ");
        let keys = self.keys_of(index);
        let included: Vec<String> = index.included.iter().filter(|c| !keys.contains(c)).cloned().collect();
        let mut text = if index.primary { "PRIMARY KEY ".to_owned() } else { "UNIQUE ".to_owned() };
        if index.nulls_not_distinct {
            text.push_str("NULLS NOT DISTINCT ");
        }
        text.push_str(&format!("({})", list(&keys)));
        if !included.is_empty() {
            text.push_str(&format!(" INCLUDE ({})", list(&included)));
        }
        if !index.options.is_empty() {
            let options: Vec<String> = index.options.iter().map(|o| super::script::option(o)).collect();
            text.push_str(&format!(" WITH ({})", options.join(", ")));
        }
        if let Some(space) = &index.tablespace {
            text.push_str(&format!(" USING INDEX TABLESPACE {}", quote_identifier(space)));
        }
        if index.deferrable {
            text.push_str(if !index.deferred { " DEFERRABLE" } else { " DEFERRABLE INITIALLY DEFERRED" });
        }
        text
    }
}

/// Where the first parenthesis of a text is closed; parentheses in quotes do not count.
fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_before_the_suffix_and_between_characters() {
        assert_eq!(suffixed("orders", "_new"), "orders_new");
        let long = "ö".repeat(40);
        let cut = suffixed(&long, "_new");
        assert!(cut.len() <= 63 && cut.ends_with("ö_new"), "{cut}");
    }

    #[test]
    fn the_first_parenthesis_is_closed_behind_hostile_names() {
        for (text, expected) in [
            ("USING btree (a) INCLUDE (b)", Some("USING btree (a")),
            ("USING btree (\"a)\", lower(b)) WHERE (c > 0)", Some("USING btree (\"a)\", lower(b)")),
            ("USING btree ((a || ')'::text))", Some("USING btree ((a || ')'::text)")),
            ("USING btree", None),
            (")", None),
        ] {
            assert_eq!(closing_parenthesis(text).map(|at| &text[..at]), expected, "{text}");
        }
    }
}
