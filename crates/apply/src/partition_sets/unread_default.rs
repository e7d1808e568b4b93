//! How is a partition attached beside a large DEFAULT, without DEFAULT being read while everybody waits?
//!
//! ATTACH locks DEFAULT with ACCESS EXCLUSIVE and reads it to its end, looking for rows of the new partition, unless a
//! validated CHECK of DEFAULT says that it has none. Such a CHECK cannot be there before: it would refuse the very rows
//! that go to DEFAULT because nothing else takes them yet. So the CHECK that is there before is `NOT (bound) OR
//! in_default()`, with a function that is IMMUTABLE and says true. It refuses nothing, and is validated while others write.
//!
//! The transaction that attaches locks DEFAULT, moves what is left, makes sure by the index on the key that no row of the
//! bound is in it, and only then makes the function say false. For that transaction alone the CHECK now is `NOT (bound)`,
//! since PostgreSQL folds constants before it compares a CHECK with a bound, and it is true. Nobody else ever sees the
//! function say false: function and CHECK are gone when the transaction ends. What a death leaves is a CHECK that is
//! always true, which the next run takes away.
//!
//! Source: PostgreSQL manual, "ALTER TABLE", ATTACH PARTITION; `check_default_partition_contents` and
//! `ConstraintImpliedByRelConstraint` in `tablecmds.c`.

use model::{QualifiedName, quote_literal};
use serde::{Deserialize, Serialize};

/// The size from which on DEFAULT is not read under its lock: some 10 ms' worth of reading.
pub(crate) const LARGE_BYTES: i64 = 16 << 20;

/// The CHECK.
const CHECK: &str = "pgwright_elsewhere";

/// A large DEFAULT whose index on the key shows what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadDefault {
    /// The partition.
    pub name: QualifiedName,
    /// Its OID, which makes the function its own.
    pub oid: u32,
}

impl UnreadDefault {
    fn function(&self) -> QualifiedName {
        QualifiedName::new("pgwright", format!("in_default_{}", self.oid))
    }

    fn says(&self, answer: bool) -> String {
        format!(
            "CREATE OR REPLACE FUNCTION {}() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'select {answer}'",
            self.function()
        )
    }

    /// What is done before, in a transaction of its own that locks DEFAULT for an instant.
    pub(crate) fn preparation(&self, check: &str) -> Vec<String> {
        let (default, function) = (&self.name, self.function());
        vec![
            format!("ALTER TABLE {default} DROP CONSTRAINT IF EXISTS {CHECK}"),
            self.says(true),
            format!("GRANT EXECUTE ON FUNCTION {function}() TO PUBLIC"),
            format!(
                "ALTER TABLE {default} ADD CONSTRAINT {CHECK} CHECK (NOT ({check}) OR {function}()) NOT VALID"
            ),
        ]
    }

    /// What reads DEFAULT once, while others read and write.
    pub(crate) fn validation(&self) -> String {
        format!("ALTER TABLE {} VALIDATE CONSTRAINT {CHECK}", self.name)
    }

    /// Settings of the transaction that attaches. The index is to be used whatever statistics say, and policies are not
    /// to hide rows.
    pub(crate) fn settings() -> [String; 2] {
        ["SET LOCAL enable_seqscan = off".to_owned(), "SET LOCAL row_security = off".to_owned()]
    }

    /// What stands before ATTACH, when DEFAULT is locked.
    pub(crate) fn proof(&self, check: &str) -> [String; 2] {
        let body = format!(
            "BEGIN IF EXISTS (SELECT FROM ONLY {} WHERE {check}) THEN \
             RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = {}; END IF; END",
            self.name,
            quote_literal(&format!(
                "rows of the new partition have come into DEFAULT {} meanwhile",
                self.name
            ))
        );
        [format!("DO LANGUAGE plpgsql {}", quote_literal(&body)), self.says(false)]
    }

    /// What stands after ATTACH, or is done when it did not come to it.
    pub(crate) fn removal(&self) -> [String; 2] {
        [
            format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {CHECK}", self.name),
            format!("DROP FUNCTION IF EXISTS {}()", self.function()),
        ]
    }
}
