//! What becomes of each thing that hangs on the table: carried over, carried with a difference, or a reason
//! not to begin? Decided for all of them before anything is started.
//!
//! Source: PostgreSQL manual, "Partitioning" (Declarative Partitioning: Limitations), "CREATE TABLE",
//! "CREATE TRIGGER", "CREATE PUBLICATION". The list of kinds is [`KINDS`]; what belongs to none of them is
//! refused.

use serde::{Deserialize, Serialize};

use super::plan::Method;
use super::subject::{Index, Subject};

/// Every kind of thing that can hang on a table, and what becomes of it.
pub const KINDS: &[(&str, &str)] = &[
    (
        "primary key",
        "carried with the partition column added to it; the old columns alone are no longer unique",
    ),
    (
        "unique constraint",
        "carried when it holds the partition column; otherwise refused, or weakened with --weaken-unique",
    ),
    ("index", "carried; one that is invalid or holds a unique expression is refused"),
    ("exclusion constraint", "refused"),
    ("check", "carried, NOT NULL too; NOT VALID and NO INHERIT ones are refused"),
    (
        "foreign key",
        "carried, not valid at first and validated after the swap; one to the table itself is refused",
    ),
    ("referencing foreign key", "carried when a unique key with its columns remains; otherwise refused"),
    ("default", "carried"),
    ("generated column", "carried; not as partition column"),
    ("identity", "carried, going on with the next value"),
    ("sequence", "carried: owned by the column of the new table"),
    ("trigger", "carried; FOR EACH ROW triggers with transition tables are refused"),
    ("rule", "refused"),
    ("policy", "carried, with row-level security as it is"),
    (
        "view",
        "carried: made again under the same OID; one that groups by a key that gets another column is refused",
    ),
    ("materialized view", "refused"),
    ("grant", "carried"),
    ("comment", "carried"),
    ("statistics", "carried with their targets"),
    ("option", "carried: storage and autovacuum options, on every partition"),
    ("tablespace", "carried, of the table and of each index; refused when the role may not create there"),
    ("replica identity", "carried, on every partition"),
    (
        "publication",
        "carried, with its columns and rows, when it publishes through the root; otherwise refused",
    ),
    ("subscription", "refused"),
    ("inheritance", "refused"),
    ("security label", "refused"),
    (
        "other",
        "refused: functions that take or give the row type, columns of the row type, rules of other tables",
    ),
];

/// What becomes of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    /// It is there afterwards as before.
    Carried,
    /// It is there afterwards with a difference.
    Changed {
        /// Which, in a sentence.
        difference: String,
    },
    /// A reason not to begin.
    Refused {
        /// Why, in a sentence.
        reason: String,
        /// What to do instead, in a sentence.
        alternative: String,
    },
}

/// One thing that hangs on the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// One of [`KINDS`].
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

struct Judge {
    all: Vec<Attachment>,
}

impl Judge {
    fn carried(&mut self, kind: &str, name: impl Into<String>) {
        self.add(kind, name, Fate::Carried);
    }

    fn changed(&mut self, kind: &str, name: impl Into<String>, difference: impl Into<String>) {
        self.add(kind, name, Fate::Changed { difference: difference.into() });
    }

    fn refused(
        &mut self,
        kind: &str,
        name: impl Into<String>,
        reason: impl Into<String>,
        alternative: impl Into<String>,
    ) {
        self.add(kind, name, Fate::Refused { reason: reason.into(), alternative: alternative.into() });
    }

    fn add(&mut self, kind: &str, name: impl Into<String>, fate: Fate) {
        debug_assert!(KINDS.iter().any(|(k, _)| *k == kind), "{kind}");
        self.all.push(Attachment { kind: kind.into(), name: name.into(), fate });
    }
}

/// Decides what becomes of everything that hangs on the table.
pub(crate) fn judge(
    subject: &Subject,
    column: &str,
    method: Method,
    weaken_unique: bool,
    version_num: i32,
) -> Vec<Attachment> {
    let mut judge = Judge { all: Vec::new() };
    indexes(&mut judge, subject, column, weaken_unique);
    constraints(&mut judge, subject, column, version_num);
    columns(&mut judge, subject);
    code(&mut judge, subject, column);
    replication(&mut judge, subject, method);
    for grant in &subject.grants {
        let of = grant.column.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
        judge.carried("grant", format!("{}{of} to {}", grant.privilege, grant.role));
    }
    if subject.comment.is_some() {
        judge.carried("comment", subject.table.to_string());
    }
    for statistics in &subject.statistics {
        judge.carried("statistics", statistics.name.to_string());
    }
    for space in &subject.closed_tablespaces {
        judge.refused(
            "tablespace",
            space,
            "The role may not create tables and indexes in it.",
            format!("GRANT CREATE ON TABLESPACE {} TO the role.", model::quote_identifier(space)),
        );
    }
    for option in subject.options.iter().chain(&subject.toast_options) {
        judge.carried("option", option);
    }
    for parent in &subject.parents {
        judge.refused(
            "inheritance",
            parent,
            "The table inherits from another or is a partition.",
            "Detach it first (ALTER TABLE … NO INHERIT or DETACH PARTITION).",
        );
    }
    for child in &subject.children {
        judge.refused(
            "inheritance",
            child,
            "Another table inherits from the table.",
            "Take it out with ALTER TABLE … NO INHERIT, or attach it as a partition afterwards.",
        );
    }
    if subject.security_labels > 0 {
        judge.refused(
            "security label",
            subject.table.to_string(),
            "Security labels are not carried.",
            "Remove the label and set it on the partitioned table afterwards.",
        );
    }
    for key in &subject.disabled_keys {
        judge.refused(
            "foreign key",
            key,
            "Its triggers are disabled, so rows may contradict it.",
            "ALTER TABLE … ENABLE TRIGGER ALL, and remove the rows that contradict it; or drop it.",
        );
    }
    for other in &subject.others {
        judge.refused(
            "other",
            other,
            "It is tied by OID to the table, its row type or the sequence of its identity, or to an extension, and would \
             stay with the old table.",
            "Drop it before and make it again afterwards.",
        );
    }
    judge.all
}

fn indexes(judge: &mut Judge, subject: &Subject, column: &str, weaken_unique: bool) {
    for index in &subject.indexes {
        let kind = match index {
            Index { primary: true, .. } => "primary key",
            Index { exclusion: true, .. } => "exclusion constraint",
            Index { unique: true, .. } => "unique constraint",
            _ => "index",
        };
        let name = index.name.as_str();
        if index.without_overlaps {
            judge.refused(
                "exclusion constraint",
                name,
                "A temporal key (WITHOUT OVERLAPS) is not carried.",
                "Drop it, and make it on each partition afterwards.",
            );
        } else if index.exclusion {
            judge.refused(
                "exclusion constraint",
                name,
                "An exclusion constraint cannot hold over partitions.",
                "Drop it, and make it on each partition afterwards.",
            );
        } else if !index.valid {
            judge.refused(
                kind,
                name,
                "The index is invalid: a build of it did not finish.",
                "Drop it, or build it again with REINDEX INDEX CONCURRENTLY.",
            );
        } else if !index.unique || index.has_key(column) && index.plain_keys {
            judge.carried(kind, name);
        } else if !index.plain_keys || index.partial {
            judge.refused(
                kind,
                name,
                "A unique index on an expression or with a predicate cannot hold over partitions.",
                "Drop it, and make it on each partition afterwards.",
            );
        } else if index.primary || weaken_unique {
            let old = index.key_columns().join(", ");
            judge.changed(
                kind,
                name,
                format!(
                    "It becomes ({old}, {column}): that ({old}) alone is unique is no longer enforced, and ON CONFLICT \
                     ({old}) has to name {column} as well."
                ),
            );
        } else {
            judge.refused(
                kind,
                name,
                format!("A unique key over partitions must hold the partition column {column}."),
                format!(
                    "Allow {column} to be added to it with --weaken-unique; keep its values unique in a table of their own \
                     that is not partitioned, written in the same transaction; or drop it."
                ),
            );
        }
    }
}

fn constraints(judge: &mut Judge, subject: &Subject, column: &str, version_num: i32) {
    for name in &subject.unproven_not_nulls {
        judge.refused(
            "check",
            name,
            "The NOT NULL constraint is NOT VALID, so rows may contradict it.",
            "Validate it with ALTER TABLE … VALIDATE CONSTRAINT, or drop it.",
        );
    }
    for check in &subject.checks {
        // One that is not enforced promises nothing of the rows, here as there.
        if !check.validated && check.enforced {
            judge.refused(
                "check",
                &check.name,
                "The constraint is NOT VALID, so rows may contradict it.",
                "Validate it with ALTER TABLE … VALIDATE CONSTRAINT, or drop it.",
            );
        } else if check.no_inherit {
            judge.refused(
                "check",
                &check.name,
                "A NO INHERIT constraint cannot be had on a partitioned table.",
                "Drop it and make it without NO INHERIT.",
            );
        } else {
            judge.carried("check", &check.name);
        }
    }
    for key in &subject.foreign_keys {
        if key.to_itself {
            judge.refused(
                "foreign key",
                &key.name,
                "The table references itself, by its OID.",
                "Drop the constraint before; one that references a key with the partition column can be made again \
                 afterwards.",
            );
        } else if !key.enforced {
            judge.refused(
                "foreign key",
                &key.name,
                "The constraint is NOT ENFORCED, so rows may contradict it.",
                "Enforce it with ALTER TABLE … ALTER CONSTRAINT … ENFORCED, or drop it.",
            );
        } else if !key.validated {
            judge.refused(
                "foreign key",
                &key.name,
                "The constraint is NOT VALID, so rows may contradict it.",
                "Validate it with ALTER TABLE … VALIDATE CONSTRAINT, or drop it.",
            );
        } else if !key.may_reference {
            judge.refused(
                "foreign key",
                &key.name,
                "The role may not make a foreign key to that table.",
                format!("GRANT REFERENCES ON {} to the role.", key.table),
            );
        } else {
            judge.carried("foreign key", &key.name);
        }
    }
    for key in &subject.referencing {
        let mut wanted = key.columns.clone();
        wanted.sort();
        let remains = subject.indexes.iter().any(|i| {
            let mut keys = i.key_columns();
            keys.sort();
            i.unique && i.has_key(column) && i.plain_keys && !i.partial && keys == wanted
        });
        let name = format!("{} of {}", key.name, key.table);
        if !remains {
            judge.refused(
                "referencing foreign key",
                name,
                format!("It references ({}), which is not unique over partitions.", key.columns.join(", ")),
                format!("Drop it, or let it reference a unique key with {column}."),
            );
        } else if !key.is_owner {
            judge.refused(
                "referencing foreign key",
                name,
                "The role does not own the referencing table.",
                "Run pgwright with a role that does.",
            );
        } else if key.partitioned && version_num < 180_000 {
            judge.refused(
                "referencing foreign key",
                name,
                "A foreign key of a partitioned table cannot be made NOT VALID before PostgreSQL 18.",
                "Drop it before and make it again afterwards.",
            );
        } else {
            judge.carried("referencing foreign key", name);
        }
    }
}

fn columns(judge: &mut Judge, subject: &Subject) {
    for column in &subject.columns {
        if !column.generated.is_empty() {
            judge.carried("generated column", &column.name);
        }
        if !column.identity.is_empty() {
            judge.carried("identity", &column.name);
        }
        if column.statistics_target.is_some() || !column.options.is_empty() {
            judge.carried("statistics", &column.name);
        }
    }
    for sequence in subject.sequences.iter().filter(|s| !s.identity) {
        judge.carried("sequence", sequence.name.to_string());
    }
}

/// Whether the text of a trigger's function assigns a value to a column of the new row, as PL/pgSQL writes it.
fn assigns(source: &str, column: &str) -> bool {
    let quoted = model::quote_identifier(column);
    let source = source.to_lowercase();
    let names = [format!("new.{}", column.to_lowercase()), format!("new.{}", quoted.to_lowercase())];
    names.iter().any(|name| {
        source.match_indices(name.as_str()).any(|(at, _)| {
            let rest = source[at + name.len()..].trim_start();
            let before = source[..at].trim_end();
            // "=" assigns too, but not in a condition.
            rest.starts_with(":=") || rest.starts_with('=') && begins_statement(before)
        })
    })
}

/// Whether a statement of PL/pgSQL begins after a text.
fn begins_statement(text: &str) -> bool {
    let word = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    text.ends_with(';') || matches!(&text[word..], "begin" | "then" | "else" | "loop")
}

/// Whether a key gets the partition column in addition.
fn is_widened(subject: &Subject, constraint: &str, column: &str) -> bool {
    subject.indexes.iter().any(|i| i.constraint.as_deref() == Some(constraint) && !i.has_key(column))
}

fn code(judge: &mut Judge, subject: &Subject, column: &str) {
    for trigger in &subject.triggers {
        if trigger.for_each_row && trigger.transition_tables {
            judge.refused(
                "trigger",
                &trigger.name,
                "A FOR EACH ROW trigger of a partitioned table cannot have transition tables.",
                "Make it FOR EACH STATEMENT, or drop it.",
            );
        } else if trigger.for_each_row && trigger.before && assigns(&trigger.source, column) {
            judge.refused(
                "trigger",
                &trigger.name,
                format!(
                    "Its function sets NEW.{column} after the partition of the row has been chosen by it."
                ),
                format!(
                    "Give {column} its value elsewhere, for instance by a default, or choose another column."
                ),
            );
        } else if trigger.for_each_row && trigger.before {
            judge.changed(
                "trigger",
                &trigger.name,
                "It must not change the partition column in a way that moves the row to another partition.",
            );
        } else {
            judge.carried("trigger", &trigger.name);
        }
    }
    for rule in &subject.rules {
        judge.refused(
            "rule",
            rule,
            "Rules are not carried: they rewrite statements, also those of pgwright.",
            "Drop the rule, or replace it by a trigger.",
        );
    }
    for policy in &subject.policies {
        judge.carried("policy", &policy.name);
    }
    for view in &subject.views {
        let name = view.name.to_string();
        if view.kind == "m" {
            judge.refused(
                "materialized view",
                name,
                "It reads the old table by OID, and a materialized view cannot be replaced in place.",
                "Drop it before and make it again afterwards.",
            );
        } else if let Some(key) = view.keys.iter().find(|k| is_widened(subject, k, column)) {
            judge.refused(
                "view",
                name,
                format!(
                    "It groups by the columns of {key} alone, which will not tell rows apart without {column}."
                ),
                format!("Name {column} in its GROUP BY too, or drop it before and make it again afterwards."),
            );
        } else if view.is_owner {
            judge.carried("view", name);
        } else {
            judge.refused(
                "view",
                name,
                format!("It belongs to {} and can only be replaced by its owner.", view.owner),
                "Run pgwright with a role that has the privileges of the owner.",
            );
        }
    }
}

fn replication(judge: &mut Judge, subject: &Subject, method: Method) {
    for publication in &subject.publications {
        if publication.whole {
            judge.refused(
                "publication",
                &publication.name,
                "It publishes all tables, so that subscribers would be sent rows of tables that they do not have.",
                "Publish tables by name, and leave this one out while it is converted.",
            );
        } else if !publication.through_root {
            judge.refused(
                "publication",
                &publication.name,
                "It would publish changes under the names of partitions, which subscribers do not have.",
                "ALTER PUBLICATION … SET (publish_via_partition_root = true).",
            );
        } else if publication.is_owner {
            judge.carried("publication", &publication.name);
        } else {
            judge.refused(
                "publication",
                &publication.name,
                "The role does not own the publication.",
                "Run pgwright with a role that does.",
            );
        }
    }
    if subject.subscribed {
        judge.refused(
            "subscription",
            subject.table.to_string(),
            "A subscription writes to the table by its OID and would stop at the swap without a word.",
            "Convert the publisher's table, or end the subscription for this table.",
        );
    }
    let index_identity = subject.indexes.iter().find(|i| i.replica_identity);
    match (subject.replica_identity.as_str(), index_identity) {
        ("f" | "n", _) => judge.carried("replica identity", subject.table.to_string()),
        ("i", Some(index)) if method == Method::Rewrite || index.unique => {
            judge.carried("replica identity", &index.name);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_sets_the_partition_column_is_recognised() {
        for (source, column, expected) in [
            ("begin new.at := now(); return new; end", "at", true),
            ("BEGIN\n  NEW.at = now();\n  RETURN NEW; END", "at", true),
            ("begin if new.n > 3 then new.at=now(); end if; return new; end", "at", true),
            ("begin new.n := 1; new.\"A t\" := now(); return new; end", "A t", true),
            ("begin if new.at = old.at then return null; end if; return new; end", "at", false),
            ("begin new.attempts := 1; return new; end", "at", false),
            ("begin new.n := extract(day from new.at); return new; end", "at", false),
        ] {
            assert_eq!(assigns(source, column), expected, "{source}");
        }
    }
}
