//! Which statements make the partitioned table, put it in the old one's place, and put the old one back?
//!
//! Each function gives the statements of one transaction from the stored plan alone. Source: PostgreSQL manual,
//! "CREATE TABLE" (LIKE, PARTITION OF), "ALTER TABLE", "ALTER SEQUENCE", "CREATE VIEW".

use model::{KeyKind, QualifiedName, quote_identifier, quote_literal};

use super::plan::{ConversionPlan, KEPT, Method, NEW};
use super::subject::{Column, ForeignKey, Grant, Index, Policy, Sequence, Trigger};

/// Makes the partitioned table with its partitions, without indexes, and gives it everything that is tied to the
/// table itself.
pub(crate) fn shadow(plan: &ConversionPlan) -> Vec<String> {
    let subject = &plan.subject;
    let shadow = &plan.shadow;
    let mut like = vec!["DEFAULTS", "GENERATED", "IDENTITY", "STORAGE", "CONSTRAINTS", "COMMENTS"];
    if plan.version_num >= 140_000 {
        like.push("COMPRESSION");
    }
    let like: Vec<String> = like.into_iter().map(|what| format!("INCLUDING {what}")).collect();
    let mut sql = vec![format!(
        "CREATE TABLE {shadow} (LIKE {} {}) PARTITION BY {} ({})",
        plan.table,
        like.join(" "),
        match plan.division.kind {
            KeyKind::List => "LIST",
            KeyKind::Hash => "HASH",
            _ => "RANGE",
        },
        quote_identifier(&plan.column)
    )];
    // Partitions that are made later go where the partitioned table says.
    if let (Some(space), Some(create)) = (&subject.tablespace, sql.first_mut()) {
        create.push_str(&format!(" TABLESPACE {}", quote_identifier(space)));
    }
    // The promise of where the old table ends is not one of the whole.
    sql.push(format!("ALTER TABLE {shadow} DROP CONSTRAINT IF EXISTS {}", super::not_null::CONSTRAINT));
    for partition in &plan.partitions {
        sql.push(create_partition(plan, &partition.name, &partition.bound.sql(plan.division.kind)));
    }
    let owner = quote_identifier(&subject.owner);
    for table in tables(plan) {
        sql.push(format!("ALTER TABLE {table} OWNER TO {owner}"));
        sql.extend(subject.columns.iter().flat_map(|c| column_settings(table, c)));
        if matches!(subject.replica_identity.as_str(), "f" | "n") {
            let what = if subject.replica_identity == "f" { "FULL" } else { "NOTHING" };
            sql.push(format!("ALTER TABLE {table} REPLICA IDENTITY {what}"));
        }
    }
    sql.extend(
        subject.comment.as_ref().map(|c| format!("COMMENT ON TABLE {shadow} IS {}", quote_literal(c))),
    );
    sql.extend(grants(plan, shadow));
    if subject.row_security {
        sql.push(format!("ALTER TABLE {shadow} ENABLE ROW LEVEL SECURITY"));
    }
    if subject.force_row_security {
        sql.push(format!("ALTER TABLE {shadow} FORCE ROW LEVEL SECURITY"));
    }
    for statistics in &subject.statistics {
        let head = format!("CREATE STATISTICS {}", statistics.name);
        let tail = format!(" FROM {}", plan.table);
        // pg_get_statisticsobjdef() writes the two names as pgwright does.
        let middle = statistics.definition.strip_prefix(&head).and_then(|rest| rest.strip_suffix(&tail));
        let Some(middle) = middle else { continue };
        let name = plan.beside(&statistics.name.schema, &statistics.name.name, NEW);
        sql.push(format!("CREATE STATISTICS {name}{middle} FROM {shadow}"));
        if let Some(target) = statistics.target {
            sql.push(format!("ALTER STATISTICS {name} SET STATISTICS {target}"));
        }
        if let Some(comment) = &statistics.comment {
            sql.push(format!("COMMENT ON STATISTICS {name} IS {}", quote_literal(comment)));
        }
        sql.push(format!("ALTER STATISTICS {name} OWNER TO {owner}"));
    }
    sql
}

/// The partitioned table and the partitions that were made with it.
fn tables(plan: &ConversionPlan) -> impl Iterator<Item = &QualifiedName> {
    std::iter::once(&plan.shadow).chain(plan.partitions.iter().map(|p| &p.name))
}

fn create_partition(plan: &ConversionPlan, name: &QualifiedName, clause: &str) -> String {
    let subject = &plan.subject;
    let mut sql = format!("CREATE TABLE {name} PARTITION OF {} {clause}", plan.shadow);
    if let Some(method) = subject.access_method.as_ref().filter(|m| *m != "heap") {
        sql.push_str(&format!(" USING {}", quote_identifier(method)));
    }
    let toast = subject.toast_options.iter().map(|o| format!("toast.{o}"));
    let options: Vec<String> = subject.options.iter().cloned().chain(toast).map(|o| option(&o)).collect();
    if !options.is_empty() {
        sql.push_str(&format!(" WITH ({})", options.join(", ")));
    }
    if let Some(space) = &subject.tablespace {
        sql.push_str(&format!(" TABLESPACE {}", quote_identifier(space)));
    }
    sql
}

/// `name=value` of `pg_class.reloptions` with the value quoted.
pub(crate) fn option(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => format!("{name} = {}", quote_literal(value)),
        None => text.to_owned(),
    }
}

fn column_settings(table: &QualifiedName, column: &Column) -> Vec<String> {
    let name = quote_identifier(&column.name);
    let mut sql = Vec::new();
    if let Some(target) = column.statistics_target {
        sql.push(format!("ALTER TABLE {table} ALTER COLUMN {name} SET STATISTICS {target}"));
    }
    if !column.options.is_empty() {
        let options: Vec<String> = column.options.iter().map(|o| option(o)).collect();
        sql.push(format!("ALTER TABLE {table} ALTER COLUMN {name} SET ({})", options.join(", ")));
    }
    sql
}

/// Takes away what default privileges have given to others than the owner. Otherwise a partition, which is a way
/// around the policies and privileges of the whole, would be open to them.
fn close(kind: &str, name: &QualifiedName) -> String {
    format!(
        "DO {}",
        quote_literal(&format!(
            "DECLARE g record; BEGIN FOR g IN SELECT DISTINCT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE \
             pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(e.grantee)) END AS role FROM pg_catalog.pg_class c \
             CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) e WHERE c.oid = {}::pg_catalog.regclass AND \
             e.grantee <> c.relowner LOOP EXECUTE pg_catalog.concat({}, g.role); END LOOP; END",
            quote_literal(&name.to_string()),
            quote_literal(&format!("REVOKE ALL ON {kind} {name} FROM ")),
        ))
    )
}

/// The privileges on the table.
fn grants(plan: &ConversionPlan, shadow: &QualifiedName) -> Vec<String> {
    let subject = &plan.subject;
    let mut sql: Vec<String> = tables(plan).map(|table| close("TABLE", table)).collect();
    if subject.owner_grants_changed {
        sql.push(format!("REVOKE ALL ON TABLE {shadow} FROM {}", quote_identifier(&subject.owner)));
        sql.extend(subject.owner_grants.iter().map(|g| grant("TABLE", shadow, g)));
    }
    sql.extend(subject.grants.iter().map(|g| grant("TABLE", shadow, g)));
    sql
}

fn grant(kind: &str, object: &QualifiedName, grant: &Grant) -> String {
    let column = grant.column.as_ref().map(|c| format!(" ({})", quote_identifier(c))).unwrap_or_default();
    let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
    format!("GRANT {}{column} ON {kind} {object} TO {}{option}", grant.privilege, grant.role)
}

fn policy(table: &QualifiedName, policy: &Policy) -> Vec<String> {
    let command = match policy.command.as_str() {
        "r" => "SELECT",
        "a" => "INSERT",
        "w" => "UPDATE",
        "d" => "DELETE",
        _ => "ALL",
    };
    let name = quote_identifier(&policy.name);
    let kind = if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" };
    let mut sql =
        format!("CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {}", policy.roles.join(", "));
    if let Some(using) = &policy.using {
        sql.push_str(&format!(" USING ({using})"));
    }
    if let Some(check) = &policy.check {
        sql.push_str(&format!(" WITH CHECK ({check})"));
    }
    let mut all = vec![sql];
    all.extend(
        policy
            .comment
            .as_ref()
            .map(|c| format!("COMMENT ON POLICY {name} ON {table} IS {}", quote_literal(c))),
    );
    all
}

/// One index of one partition.
pub(crate) fn partition_index(
    plan: &ConversionPlan,
    partition: &QualifiedName,
    position: usize,
    index: &Index,
) -> String {
    let name = quote_identifier(&plan.partition_index(partition, position, index));
    if index.constraint.is_some() {
        return format!("ALTER TABLE {partition} ADD CONSTRAINT {name} {}", plan.constraint_of(index));
    }
    let unique = if index.unique { "UNIQUE " } else { "" };
    format!("CREATE {unique}INDEX {name} ON {partition} {}", plan.placed_shape_of(index))
}

/// `TABLESPACE` stands before `WHERE`, which ends a definition; in quotes or parentheses it is something else.
pub(crate) fn with_tablespace(shape: &str, space: &str) -> String {
    let clause = format!(" TABLESPACE {}", quote_identifier(space));
    let outside = |at: &(usize, &str)| {
        let (mut depth, mut quote) = (0_i32, None);
        for c in shape[..at.0].chars() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') => depth -= 1,
                _ => {}
            }
        }
        depth == 0 && quote.is_none()
    };
    match shape.match_indices(" WHERE (").find(outside).map(|(at, _)| at) {
        Some(at) => format!("{}{clause}{}", &shape[..at], &shape[at..]),
        None => format!("{shape}{clause}"),
    }
}

/// The indexes of the partitioned table, which PostgreSQL puts together from those of the partitions; and what is
/// tied to them.
pub(crate) fn parent_indexes(plan: &ConversionPlan) -> Vec<String> {
    let mut sql = Vec::new();
    for index in &plan.subject.indexes {
        let name = plan.new_index(index);
        if index.constraint.is_some() {
            sql.push(format!(
                "ALTER TABLE {} ADD CONSTRAINT {} {}",
                plan.shadow,
                quote_identifier(&name.name),
                plan.constraint_of(index)
            ));
        } else {
            sql.push(format!(
                "CREATE {}INDEX {} ON {} {}",
                if index.unique { "UNIQUE " } else { "" },
                quote_identifier(&name.name),
                plan.shadow,
                plan.placed_shape_of(index)
            ));
        }
        sql.extend(statistics_targets(&name, index));
        if let Some(comment) = &index.comment {
            let comment = quote_literal(comment);
            sql.push(match &index.constraint {
                Some(_) => format!(
                    "COMMENT ON CONSTRAINT {} ON {} IS {comment}",
                    quote_identifier(&name.name),
                    plan.shadow
                ),
                None => format!("COMMENT ON INDEX {name} IS {comment}"),
            });
        }
    }
    sql
}

/// The targets of an index on expressions, whose columns have statistics of their own.
pub(crate) fn statistics_targets(name: &QualifiedName, index: &Index) -> Vec<String> {
    let targets = index.statistics_targets.iter();
    targets
        .map(|(column, target)| format!("ALTER INDEX {name} ALTER COLUMN {column} SET STATISTICS {target}"))
        .collect()
}

/// What the indexes of partitions are marked with: statistics targets, by which one CLUSTER goes, the replica
/// identity. A partitioned table has nothing that CLUSTER could go by.
pub(crate) fn marks(plan: &ConversionPlan) -> Vec<String> {
    let mut sql = Vec::new();
    for (position, index) in plan.subject.indexes.iter().enumerate() {
        for partition in plan.partitions.iter().map(|p| &p.name) {
            let name = plan.partition_index(partition, position, index);
            sql.extend(statistics_targets(&QualifiedName::new(&partition.schema, &name), index));
            if index.clustered {
                sql.push(format!("ALTER TABLE {partition} CLUSTER ON {}", quote_identifier(&name)));
            }
        }
    }
    sql.extend(replica_identity(plan));
    sql
}

/// The replica identity by an index, which each partition has of its own.
fn replica_identity(plan: &ConversionPlan) -> Vec<String> {
    let indexes = plan.subject.indexes.iter().enumerate();
    let Some((position, index)) = indexes.into_iter().find(|(_, i)| i.replica_identity) else {
        return Vec::new();
    };
    let on = |table: &QualifiedName, name: &str| {
        format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {}", quote_identifier(name))
    };
    let parts = plan.partitions.iter();
    let mut sql: Vec<String> =
        parts.map(|p| on(&p.name, &plan.partition_index(&p.name, position, index))).collect();
    sql.push(on(&plan.shadow, &plan.new_index(index).name));
    sql
}

/// Which tables are locked for the swap besides the table itself.
pub(crate) fn others_in_swap(plan: &ConversionPlan) -> Vec<&QualifiedName> {
    let referenced = plan.subject.foreign_keys.iter().map(|k| &k.table);
    let referencing = plan.subject.referencing.iter().map(|k| &k.table);
    let mut tables: Vec<&QualifiedName> = referenced.chain(referencing).collect();
    tables.sort();
    tables.dedup();
    tables
}

/// Gives the old table and what it holds other names, and the partitioned one the old names.
pub(crate) fn exchange(plan: &ConversionPlan) -> Vec<String> {
    let subject = &plan.subject;
    let (table, shadow, kept) = (&plan.table, &plan.shadow, &plan.kept);
    let mut sql = Vec::new();
    for key in &subject.referencing {
        sql.push(format!("ALTER TABLE {} DROP CONSTRAINT {}", key.table, quote_identifier(&key.name)));
    }
    for trigger in &subject.triggers {
        sql.push(match plan.method {
            // A partition gets the triggers of its parent.
            Method::Attach => format!("DROP TRIGGER {} ON {table}", quote_identifier(&trigger.name)),
            Method::Rewrite => {
                format!("ALTER TABLE {table} DISABLE TRIGGER {}", quote_identifier(&trigger.name))
            }
        });
    }
    if plan.method == Method::Rewrite {
        for key in &subject.foreign_keys {
            sql.push(format!("ALTER TABLE {table} DROP CONSTRAINT {}", quote_identifier(&key.name)));
        }
    }
    for column in subject.columns.iter().filter(|c| !c.identity.is_empty()) {
        sql.extend(take_over_sequence(plan, column));
    }
    for publication in &subject.publications {
        sql.push(format!("ALTER PUBLICATION {} DROP TABLE {table}", quote_identifier(&publication.name)));
    }
    sql.push(format!("ALTER TABLE {table} RENAME TO {}", quote_identifier(&kept.name)));
    sql.push(format!("ALTER TABLE {shadow} RENAME TO {}", quote_identifier(&table.name)));
    for index in &subject.indexes {
        let replaced = plan.method == Method::Attach && index.unique && !index.has_key(&plan.column);
        let old = QualifiedName::new(&table.schema, &index.name);
        if replaced {
            sql.extend(replace_key(plan, index));
            let wider = quote_identifier(&plan.kept_index(index).name);
            if index.replica_identity {
                sql.push(format!("ALTER TABLE {kept} REPLICA IDENTITY USING INDEX {wider}"));
            }
            if index.clustered {
                sql.push(format!("ALTER TABLE {kept} CLUSTER ON {wider}"));
            }
        } else {
            sql.push(format!(
                "ALTER INDEX {old} RENAME TO {}",
                quote_identifier(&plan.kept_index(index).name)
            ));
        }
        sql.push(format!(
            "ALTER INDEX {} RENAME TO {}",
            plan.new_index(index),
            quote_identifier(&index.name)
        ));
    }
    for statistics in &subject.statistics {
        let name = &statistics.name;
        let made = plan.beside(&name.schema, &name.name, NEW);
        sql.push(format!(
            "ALTER STATISTICS {name} RENAME TO {}",
            quote_identifier(&plan.beside(&name.schema, &name.name, KEPT).name)
        ));
        sql.push(format!("ALTER STATISTICS {made} RENAME TO {}", quote_identifier(&name.name)));
    }
    for sequence in subject.sequences.iter().filter(|s| !s.identity) {
        sql.push(format!(
            "ALTER SEQUENCE {} OWNED BY {table}.{}",
            sequence.name,
            quote_identifier(&sequence.column)
        ));
    }
    if plan.method == Method::Attach {
        let bound = plan.history.as_ref().map_or("DEFAULT".into(), |b| b.sql(plan.division.kind));
        sql.push(format!("ALTER TABLE {table} ATTACH PARTITION {kept} {bound}"));
    }
    sql
}

/// What hangs on the table and is made again on whatever bears its name now.
pub(crate) fn hang_on(plan: &ConversionPlan) -> Vec<String> {
    let subject = &plan.subject;
    let table = &plan.table;
    let mut sql = Vec::new();
    for trigger in &subject.triggers {
        sql.extend(create_trigger(table, trigger));
    }
    // A policy can read the table itself, which has to be the one that bears the name now.
    sql.extend(subject.policies.iter().flat_map(|p| policy(table, p)));
    sql.extend(views(plan));
    sql.extend(publish(plan));
    sql
}

/// Puts the table into its publications again, with the columns and rows that they publish.
pub(crate) fn publish(plan: &ConversionPlan) -> Vec<String> {
    let publications = plan.subject.publications.iter();
    publications
        .map(|publication| {
            let name = quote_identifier(&publication.name);
            let mut sql = format!("ALTER PUBLICATION {name} ADD TABLE {}", plan.table);
            if let Some(columns) = &publication.columns {
                let columns: Vec<String> = columns.iter().map(|c| quote_identifier(c)).collect();
                sql.push_str(&format!(" ({})", columns.join(", ")));
            }
            if let Some(filter) = &publication.filter {
                sql.push_str(&format!(" WHERE ({filter})"));
            }
            sql
        })
        .collect()
}

/// The views, made again: under the same OID, so that what hangs on them stays.
pub(crate) fn views(plan: &ConversionPlan) -> Vec<String> {
    let views = plan.subject.views.iter().filter(|v| v.kind == "v");
    views
        .map(|view| {
            let options: Vec<String> = view.options.iter().map(|o| option(o)).collect();
            let with =
                if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
            let definition = view.definition.trim().trim_end_matches(';');
            format!("CREATE OR REPLACE VIEW {}{with} AS {definition}", view.name)
        })
        .collect()
}

pub(crate) fn create_trigger(table: &QualifiedName, trigger: &Trigger) -> Vec<String> {
    let name = quote_identifier(&trigger.name);
    let mut sql = vec![trigger.definition.clone()];
    let state = match trigger.enabled.as_str() {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => "",
    };
    if !state.is_empty() {
        sql.push(format!("ALTER TABLE {table} {state} TRIGGER {name}"));
    }
    sql.extend(
        trigger
            .comment
            .as_ref()
            .map(|c| format!("COMMENT ON TRIGGER {name} ON {table} IS {}", quote_literal(c))),
    );
    sql
}

/// Lets the partitioned table's identity go on where the old one's is.
fn take_over_sequence(plan: &ConversionPlan, column: &Column) -> Vec<String> {
    let Some(old) = plan.subject.sequences.iter().find(|s| s.identity && s.column == column.name) else {
        return Vec::new();
    };
    let name = quote_identifier(&column.name);
    let new = plan.beside(&old.name.schema, &old.name.name, NEW);
    let mut sql = vec![go_on(&old.name, &new)];
    match plan.method {
        Method::Rewrite => sql.push(format!(
            "ALTER SEQUENCE {} RENAME TO {}",
            old.name,
            quote_identifier(&plan.beside(&old.name.schema, &old.name.name, KEPT).name)
        )),
        // A partition has no identity of its own.
        Method::Attach => sql.push(format!("ALTER TABLE {} ALTER COLUMN {name} DROP IDENTITY", plan.table)),
    }
    sql.push(format!("ALTER SEQUENCE {new} RENAME TO {}", quote_identifier(&old.name.name)));
    sql
}

/// Lets one sequence go on where another is.
pub(crate) fn go_on(from: &QualifiedName, to: &QualifiedName) -> String {
    format!(
        "PERFORM pg_catalog.setval({}::pg_catalog.regclass, s.last_value, s.is_called) FROM {from} s",
        quote_literal(&to.to_string())
    )
}

/// The sequence of an identity column gets a known name and the old one's privileges.
pub(crate) fn name_sequences(plan: &ConversionPlan) -> Vec<String> {
    let mut sql = Vec::new();
    for column in plan.subject.columns.iter().filter(|c| !c.identity.is_empty()) {
        let Some(old) = plan.subject.sequences.iter().find(|s| s.identity && s.column == column.name) else {
            continue;
        };
        let new = plan.beside(&old.name.schema, &old.name.name, NEW);
        let text = format!(
            "DO {}",
            quote_literal(&format!(
                "DECLARE made text := pg_catalog.pg_get_serial_sequence({}, {}); BEGIN IF made <> {} THEN EXECUTE \
                 pg_catalog.concat('ALTER SEQUENCE ', made, {}); END IF; END",
                quote_literal(&plan.shadow.to_string()),
                quote_literal(&column.name),
                quote_literal(&new.to_string()),
                quote_literal(&format!(" RENAME TO {}", quote_identifier(&new.name))),
            ))
        );
        sql.push(text);
        sql.extend(sequence_settings(old, &new));
    }
    sql
}

/// The privileges on a sequence and its comment, given to another.
pub(crate) fn sequence_settings(old: &Sequence, new: &QualifiedName) -> Vec<String> {
    let mut sql = vec![format!("ALTER SEQUENCE {new} AS {}", old.type_name), close("SEQUENCE", new)];
    sql.extend(old.grants.iter().map(|g| grant("SEQUENCE", new, g)));
    sql.extend(old.comment.as_ref().map(|c| format!("COMMENT ON SEQUENCE {new} IS {}", quote_literal(c))));
    sql
}

/// Puts a key that holds the partition column in the place of one that does not.
fn replace_key(plan: &ConversionPlan, index: &Index) -> Vec<String> {
    let kept = &plan.kept;
    let wider = quote_identifier(&plan.kept_index(index).name);
    let Some(constraint) = &index.constraint else {
        return vec![format!("DROP INDEX {}", QualifiedName::new(&plan.table.schema, &index.name))];
    };
    let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
    let deferrable = match (index.deferrable, !index.deferred) {
        (true, true) => " DEFERRABLE",
        (true, false) => " DEFERRABLE INITIALLY DEFERRED",
        _ => "",
    };
    vec![
        format!("ALTER TABLE {kept} DROP CONSTRAINT {}", quote_identifier(constraint)),
        format!("ALTER TABLE {kept} ADD CONSTRAINT {wider} {kind} USING INDEX {wider}{deferrable}"),
    ]
}

/// The foreign keys that other tables have to this one, not valid yet: no row of theirs is looked at under the lock.
pub(crate) fn reference_again(plan: &ConversionPlan) -> Vec<String> {
    let add = |k: &super::subject::Referencing| {
        let definition = k.definition.trim_end_matches(" NOT VALID");
        format!("ALTER TABLE {} ADD CONSTRAINT {} {definition} NOT VALID", k.table, quote_identifier(&k.name))
    };
    plan.subject.referencing.iter().map(add).collect()
}

/// The validation of those foreign keys, and their comments.
pub(crate) fn validate_references(plan: &ConversionPlan) -> Vec<String> {
    let keys = plan.subject.referencing.iter();
    keys.flat_map(|k| {
        let name = quote_identifier(&k.name);
        let validate = k.validated.then(|| format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", k.table));
        let comment = k.comment.as_ref();
        let comment =
            comment.map(|c| format!("COMMENT ON CONSTRAINT {name} ON {} IS {}", k.table, quote_literal(c)));
        validate.into_iter().chain(comment)
    })
    .collect()
}

/// `ADD CONSTRAINT … FOREIGN KEY …` on a table.
pub(crate) fn add_foreign_key(table: &QualifiedName, key: &ForeignKey, valid: bool) -> String {
    let definition = key.definition.trim_end_matches(" NOT VALID");
    let not_valid = if valid { "" } else { " NOT VALID" };
    format!("ALTER TABLE {table} ADD CONSTRAINT {} {definition}{not_valid}", quote_identifier(&key.name))
}
