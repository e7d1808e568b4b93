//! How is no write lost while rows are copied? Row triggers write the identity of every row that changes into a log,
//! in the writer's own transaction; whoever drains the log makes those rows of the target what they are in the
//! source.
//!
//! The proof is in `docs/concepts/partition-conversion.md`. In short: `CREATE TRIGGER` waits for everybody who has
//! written to the table, so that each write is either committed before, and seen by every later snapshot, or logged.
//! A log entry and its change become visible together. Draining reads one snapshot: it takes entries off the log,
//! deletes the target's rows of those identities and inserts the source's. What committed later is in entries that
//! the snapshot does not see, so the order of draining does not matter and nothing has to be replayed exactly once.
//!
//! Source: PostgreSQL manual, "CREATE TRIGGER", "ALTER TABLE" (ENABLE ALWAYS TRIGGER, which also fires under
//! `session_replication_role = replica`), "Transaction Isolation".

use model::{KeyKind, QualifiedName, quote_identifier, quote_literal};

use super::plan::ConversionPlan;

/// Which way rows are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the old table to the partitioned one, before the swap.
    Forth,
    /// From the partitioned table to the old one, after it.
    Back,
}

/// The log of one way of one conversion and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Capture<'a> {
    pub plan: &'a ConversionPlan,
    pub id: i64,
    pub way: Way,
}

impl Capture<'_> {
    fn object(&self, what: &str) -> QualifiedName {
        let back = if self.way == Way::Back { "_back" } else { "" };
        QualifiedName::new("pgwright", format!("conversion_{}{back}_{what}", self.id))
    }

    /// The log.
    pub fn log(&self) -> QualifiedName {
        self.object("log")
    }

    /// The function that drains the log.
    pub fn drain(&self) -> QualifiedName {
        self.object("drain")
    }

    /// The temporary table in which a session that drains keeps identities.
    pub fn keys(&self) -> String {
        format!("pg_temp.{}", self.object("keys").name)
    }

    /// The name of the triggers; that of the one on TRUNCATE begins with it.
    pub fn trigger(&self) -> String {
        self.object("capture").name
    }

    /// The table that is written to.
    pub fn source(&self) -> &QualifiedName {
        &self.plan.table
    }

    /// The table that is kept in step.
    pub fn target(&self) -> &QualifiedName {
        match self.way {
            Way::Forth => &self.plan.shadow,
            Way::Back => &self.plan.kept,
        }
    }

    /// `ONLY` before an ordinary table keeps children out that somebody gives it meanwhile.
    pub fn only(&self) -> &'static str {
        match self.way {
            Way::Forth => "ONLY ",
            Way::Back => "",
        }
    }

    fn numbered(&self, prefix: &str) -> Vec<String> {
        (1..=self.plan.identity.len()).map(|n| format!("{prefix}_{n}")).collect()
    }

    /// The log with its functions; nothing calls them yet.
    pub fn objects(&self) -> Vec<String> {
        let type_of =
            |name: &String| self.plan.subject.column(name).map_or("text", |c| c.plain_type.as_str());
        let columns = |prefix: &str| {
            let named = self.numbered(prefix).into_iter().zip(&self.plan.identity);
            named.map(|(n, column)| format!("{n} {}", type_of(column))).collect::<Vec<_>>().join(", ")
        };
        let fields = |record: &str| {
            let fields = self.plan.identity.iter().map(|c| format!("{record}.{}", quote_identifier(c)));
            fields.collect::<Vec<_>>().join(", ")
        };
        let (log, capture, truncate) = (self.log(), self.object("capture"), self.object("truncate"));
        let (old, new) = (self.numbered("o").join(", "), self.numbered("n").join(", "));
        // With the writer's search_path, so no operator or function may be looked up in it.
        let body = format!(
            "#variable_conflict use_column
BEGIN
  IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
    INSERT /* pgwright:capture */ INTO {log} ({new}) VALUES ({});
  ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
    INSERT /* pgwright:capture */ INTO {log} ({old}) VALUES ({});
  ELSE
    INSERT /* pgwright:capture */ INTO {log} ({old}, {new}) VALUES ({}, {});
  END IF;
  RETURN NULL;
END",
            fields("NEW"),
            fields("OLD"),
            fields("OLD"),
            fields("NEW"),
        );
        let hint = match self.way {
            Way::Forth => "Try again when \"pgwright partition convert\" has finished, or delete the rows.",
            Way::Back => {
                "Run \"pgwright partition convert finish\" first, after which the conversion cannot be taken back, or \
                 delete the rows."
            }
        };
        let refuse = format!(
            "BEGIN
  RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = {}, HINT = {};
END",
            quote_literal(&format!(
                "cannot truncate {} while pgwright keeps another table in step with it",
                self.source()
            )),
            quote_literal(hint)
        );
        // VACUUM that gives the end of the emptied log back would take a lock for which every writer waits.
        vec![
            format!(
                "CREATE TABLE {log} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {}, {}) WITH (vacuum_truncate = off)",
                columns("o"),
                columns("n")
            ),
            format!(
                "CREATE FUNCTION {capture}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS {}",
                quote_literal(&body)
            ),
            format!("REVOKE ALL ON FUNCTION {capture}() FROM PUBLIC"),
            format!(
                "CREATE FUNCTION {truncate}() RETURNS trigger LANGUAGE plpgsql AS {}",
                quote_literal(&refuse)
            ),
            format!(
                "CREATE FUNCTION {}() RETURNS bigint LANGUAGE plpgsql AS {}",
                self.drain(),
                quote_literal(&self.drain_body())
            ),
        ]
    }

    fn drain_body(&self) -> String {
        let (log, keys) = (self.log(), self.keys());
        let (source, target) = (self.source(), self.target());
        let taken = |prefix: &str| {
            let names = self.numbered(prefix);
            // IS NOT NULL would ask every field of a composite value.
            format!("SELECT {} FROM gone WHERE {} IS DISTINCT FROM NULL", names.join(", "), names[0])
        };
        let columns = self.plan.subject.copied_columns();
        let of_source: Vec<String> = self
            .plan
            .subject
            .columns
            .iter()
            .filter(|c| c.generated.is_empty())
            .map(|c| format!("s.{}", quote_identifier(&c.name)))
            .collect();
        let carry = |agree: &dyn Fn(&Self, &str, &str) -> String| {
            format!(
                "DELETE /* pgwright:convert_drain */ FROM {target} t USING {keys} k WHERE {};
    INSERT /* pgwright:convert_drain */ INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
      SELECT {} FROM {}{source} s, {keys} k WHERE {};",
                agree(self, "t", "k"),
                of_source.join(", "),
                self.only(),
                agree(self, "s", "k"),
            )
        };
        format!(
            "#variable_conflict use_column
DECLARE
  taken bigint;
BEGIN
  WITH /* pgwright:convert_drain */ gone AS (
    DELETE FROM {log} l WHERE l.seq > 0 RETURNING l.*
  ), noted AS (
    INSERT INTO {keys} {} UNION {}
  )
  SELECT count(*) INTO taken FROM gone;
  -- Without hash joins each row is looked up by the key.
  IF pg_catalog.current_setting('enable_hashjoin') OPERATOR(pg_catalog.=) 'on' THEN
    {}
  ELSE
    {}
  END IF;
  RETURN taken;
END",
            taken("o"),
            taken("n"),
            carry(&Self::matches),
            carry(&Self::looked_up),
        )
    }

    /// That a row and a set of identities agree.
    pub fn matches(&self, row: &str, keys: &str) -> String {
        let pairs = self.plan.identity.iter().zip(self.numbered("k"));
        let equal = |column: &String| match *column == self.plan.column && self.plan.has_null_keys() {
            true => "IS NOT DISTINCT FROM",
            false => "=",
        };
        pairs
            .map(|(c, k)| format!("{row}.{} {} {keys}.{k}", quote_identifier(c), equal(c)))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// The same, so that rows are looked up by the index of the key. Where the statistics do not know yet that many rows
    /// have one value of the partition column, as after a load with `now()`, an index on it alone looks as good, and
    /// each row would be looked for among all of that value; of a range nobody expects a single row. In a key that
    /// goes on behind the partition column the entries of that value are read, a page of the index for some hundreds, and
    /// of the rows one.
    ///
    /// Of a hash only an equality tells the partition, and nulls are in no range.
    pub fn looked_up(&self, row: &str, keys: &str) -> String {
        if self.plan.division.kind == KeyKind::Hash || self.plan.has_null_keys() {
            return self.matches(row, keys);
        }
        let pairs = self.plan.identity.iter().zip(self.numbered("k"));
        pairs
            .map(|(column, k)| {
                let name = quote_identifier(column);
                match *column == self.plan.column {
                    true => format!("{row}.{name} >= {keys}.{k} AND {row}.{name} <= {keys}.{k}"),
                    false => format!("{row}.{name} = {keys}.{k}"),
                }
            })
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// The identities that are in the log, as `touched`.
    pub fn touched(&self) -> String {
        let log = self.log();
        let part = |prefix: &str| {
            let names = self.numbered(prefix);
            let named: Vec<String> =
                names.iter().zip(self.numbered("k")).map(|(n, k)| format!("{n} AS {k}")).collect();
            format!("SELECT {} FROM {log} WHERE {} IS DISTINCT FROM NULL", named.join(", "), names[0])
        };
        format!("touched AS MATERIALIZED ({} UNION {})", part("o"), part("n"))
    }

    /// The temporary table that a session needs in order to drain.
    pub fn session_objects(&self) -> String {
        let columns: Vec<String> = self
            .plan
            .identity
            .iter()
            .zip(self.numbered("k"))
            .map(|(c, k)| format!("{} AS {k}", quote_identifier(c)))
            .collect();
        format!(
            "CREATE TEMP TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM ONLY {} WITH NO DATA",
            self.object("keys").name,
            columns.join(", "),
            self.source()
        )
    }

    /// Lets every change of a row, and TRUNCATE, call those functions. They fire always, whatever
    /// `session_replication_role` says.
    pub fn triggers(&self, partitions: &[QualifiedName]) -> Vec<String> {
        let mut sql = self.row_triggers();
        sql.extend(self.truncate_triggers(self.source(), partitions));
        sql
    }

    /// The trigger on rows; PostgreSQL gives it to every partition, also to those that are made later.
    pub fn row_triggers(&self) -> Vec<String> {
        let (table, trigger) = (self.source(), quote_identifier(&self.trigger()));
        vec![
            format!(
                "CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {}()",
                self.object("capture")
            ),
            format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"),
        ]
    }

    /// The triggers that refuse TRUNCATE, of a table and of each partition.
    pub fn truncate_triggers(&self, table: &QualifiedName, partitions: &[QualifiedName]) -> Vec<String> {
        let truncate = quote_identifier(&self.object("truncate").name);
        let tables = std::iter::once(table).chain(partitions);
        tables
            .flat_map(|table| {
                [
                    format!(
                        "CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {}()",
                        self.object("truncate")
                    ),
                    format!("ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {truncate}"),
                ]
            })
            .collect()
    }

    /// Takes the triggers away from a table.
    pub fn drop_triggers(&self, table: &QualifiedName, partitions: &[QualifiedName]) -> Vec<String> {
        let truncate = quote_identifier(&self.object("truncate").name);
        let mut sql =
            vec![format!("DROP TRIGGER IF EXISTS {} ON {table}", quote_identifier(&self.trigger()))];
        for table in std::iter::once(table).chain(partitions) {
            sql.push(format!("DROP TRIGGER IF EXISTS {truncate} ON {table}"));
        }
        sql
    }

    /// Removes the log and its functions. The triggers are gone.
    pub fn drop_objects(&self) -> Vec<String> {
        vec![
            format!("DROP FUNCTION IF EXISTS {}()", self.object("capture")),
            format!("DROP FUNCTION IF EXISTS {}()", self.object("truncate")),
            format!("DROP FUNCTION IF EXISTS {}()", self.drain()),
            format!("DROP TABLE IF EXISTS {}", self.log()),
        ]
    }
}
