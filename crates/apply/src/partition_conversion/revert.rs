//! How is a conversion taken back, or made final? Before the swap by removing what it has made; after it by carrying
//! back what was written since and putting the old table into its place again.

use model::{QualifiedName, quote_identifier, quote_literal};
use postgres::Session;

use super::capture::{Capture, Way};
use super::compare;
use super::drain::Drainer;
use super::failure;
use super::not_null;
use super::plan::{ConversionPlan, KEPT, Method, NEW};
use super::script;
use super::site::{Brief, Site, open_session};
use super::state::{Step, to_step};
use super::subject::Trigger;
use crate::error::Error;

fn back<'a>(site: &'a Site<'_>) -> Capture<'a> {
    Capture { plan: &site.plan, id: site.id, way: Way::Back }
}

/// Begins to take back: records it, so that an interruption goes on with it.
pub(crate) async fn begin(site: &Site<'_>, step: Step) -> Result<Step, Error> {
    let next = match (step.is_swapped(), site.plan.method) {
        (false, _) => Step::CleanUp,
        (true, Method::Rewrite) => Step::CarryBack,
        (true, Method::Attach) => Step::SwapBack,
    };
    site.advance(&site.session, Vec::new(), next).await?;
    Ok(next)
}

/// Carries back what was written since the swap, and compares.
pub(crate) async fn carry_back(site: &Site<'_>) -> Result<Step, Error> {
    let back = back(site);
    let known: Vec<&QualifiedName> = site.plan.partitions.iter().map(|p| &p.name).collect();
    let now = site.partitions_of(&site.plan.table).await?;
    let gone: Vec<String> = known.iter().filter(|p| !now.contains(p)).map(ToString::to_string).collect();
    if !gone.is_empty() {
        return Err(failure::new(
            format!("partitions of {} were removed since it was converted", site.plan.table),
            format!("Gone: {}. The old table still has their rows.", gone.join(", ")),
            "Finish the conversion with \"pgwright partition convert finish\".",
        ));
    }
    let drainer = Drainer::open(site, back.clone(), true).await?;
    drainer.catch_up(site, Step::CarryBack).await?;
    compare::run(site, &back).await?;
    site.advance(&site.session, Vec::new(), Step::SwapBack).await?;
    Ok(Step::SwapBack)
}

/// Puts the old table back into its place.
pub(crate) async fn swap_back(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let mut locks =
        vec![(plan.table.to_string(), "ACCESS EXCLUSIVE"), (plan.kept.to_string(), "ACCESS EXCLUSIVE")];
    let others = script::others_in_swap(plan).into_iter();
    locks.extend(others.filter(|t| **t != plan.table).map(|t| (t.to_string(), "SHARE ROW EXCLUSIVE")));
    let back = back(site);
    let mut statements = Vec::new();
    if plan.method == Method::Rewrite {
        let partitions = site.partitions_of(&plan.table).await?;
        statements.push(format!("PERFORM {}()", back.drain()));
        statements.extend(back.drop_triggers(&plan.table, &partitions));
    }
    statements.extend(exchange_back(plan));
    statements.extend(script::reference_again(plan));
    statements.extend(script::views(plan));
    statements.extend(script::publish(plan));
    statements.extend(to_step(site.id, Step::Restore));
    let brief = Brief { step: Step::SwapBack, locks, statements };
    match plan.method {
        Method::Rewrite => {
            let drainer = Drainer::open(site, back, true).await?;
            drainer.catch_up(site, Step::SwapBack).await?;
            site.briefly(drainer.session(), &brief, async || drainer.catch_up(site, Step::SwapBack).await)
                .await?;
        }
        Method::Attach => {
            let session = open_session(site.target, site.options).await?;
            site.briefly(&session, &brief, async || Ok(())).await?;
        }
    }
    Ok(Step::Restore)
}

/// The names change hands again.
fn exchange_back(plan: &ConversionPlan) -> Vec<String> {
    let subject = &plan.subject;
    let (table, shadow, kept) = (&plan.table, &plan.shadow, &plan.kept);
    let mut sql = Vec::new();
    for key in &subject.referencing {
        sql.push(format!("ALTER TABLE {} DROP CONSTRAINT {}", key.table, quote_identifier(&key.name)));
    }
    for publication in &subject.publications {
        sql.push(format!("ALTER PUBLICATION {} DROP TABLE {table}", quote_identifier(&publication.name)));
    }
    if plan.method == Method::Attach {
        // Its triggers go with it, those of the parent are not its own any more; rows that came since go to it.
        sql.push(format!("ALTER TABLE {table} DETACH PARTITION {kept}"));
        let columns = subject.copied_columns();
        sql.push(format!(
            "INSERT INTO {kept} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {table}"
        ));
    }
    for sequence in subject.sequences.iter().filter(|s| s.identity) {
        sql.extend(give_back_sequence(plan, &sequence.name, &sequence.column));
    }
    sql.push(format!("ALTER TABLE {table} RENAME TO {}", quote_identifier(&shadow.name)));
    sql.push(format!("ALTER TABLE {kept} RENAME TO {}", quote_identifier(&table.name)));
    for index in &subject.indexes {
        let in_schema = |name: &str| QualifiedName::new(&table.schema, name);
        let new = plan.new_index(index);
        sql.push(format!("ALTER INDEX {} RENAME TO {}", in_schema(&index.name), quote_identifier(&new.name)));
        let replaced = plan.method == Method::Attach && index.unique && !index.has_key(&plan.column);
        if !replaced {
            let old = plan.kept_index(index);
            sql.push(format!("ALTER INDEX {old} RENAME TO {}", quote_identifier(&index.name)));
        }
    }
    for statistics in &subject.statistics {
        let name = &statistics.name;
        let old = plan.beside(&name.schema, &name.name, KEPT);
        sql.push(format!(
            "ALTER STATISTICS {name} RENAME TO {}",
            quote_identifier(&plan.beside(&name.schema, &name.name, NEW).name)
        ));
        sql.push(format!("ALTER STATISTICS {old} RENAME TO {}", quote_identifier(&name.name)));
    }
    for sequence in subject.sequences.iter().filter(|s| !s.identity) {
        let column = quote_identifier(&sequence.column);
        sql.push(format!("ALTER SEQUENCE {} OWNED BY {table}.{column}", sequence.name));
    }
    match plan.method {
        Method::Rewrite => {
            sql.extend(subject.triggers.iter().map(|t| trigger_state(table, t)));
            sql.extend(subject.foreign_keys.iter().map(|k| script::add_foreign_key(table, k, false)));
        }
        Method::Attach => sql.extend(subject.triggers.iter().flat_map(|t| script::create_trigger(table, t))),
    }
    sql
}

fn trigger_state(table: &QualifiedName, trigger: &Trigger) -> String {
    let state = match trigger.enabled.as_str() {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => "ENABLE",
    };
    format!("ALTER TABLE {table} {state} TRIGGER {}", quote_identifier(&trigger.name))
}

/// Lets the old table's identity go on where the partitioned one's is.
fn give_back_sequence(plan: &ConversionPlan, name: &QualifiedName, column: &str) -> Vec<String> {
    let new = plan.beside(&name.schema, &name.name, NEW);
    let mut sql = vec![format!("ALTER SEQUENCE {name} RENAME TO {}", quote_identifier(&new.name))];
    match plan.method {
        Method::Rewrite => {
            let old = plan.beside(&name.schema, &name.name, KEPT);
            sql.push(format!("ALTER SEQUENCE {old} RENAME TO {}", quote_identifier(&name.name)));
        }
        Method::Attach => {
            let always = plan.subject.column(column).is_some_and(|c| c.identity == "a");
            let add = format!(
                "ALTER TABLE {} ALTER COLUMN {} ADD GENERATED {} AS IDENTITY (SEQUENCE NAME {name}",
                plan.kept,
                quote_identifier(column),
                if always { "ALWAYS" } else { "BY DEFAULT" }
            );
            // With the options that it had, which the partitioned table's has too.
            sql.push(format!(
                "EXECUTE (SELECT pg_catalog.concat({}, ' START WITH ', s.seqstart, ' INCREMENT BY ', s.seqincrement, ' \
                 MINVALUE ', s.seqmin, ' MAXVALUE ', s.seqmax, ' CACHE ', s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' \
                 ELSE ' NO CYCLE' END, ')') FROM pg_catalog.pg_sequence s WHERE s.seqrelid = {}::pg_catalog.regclass)",
                quote_literal(&add),
                quote_literal(&new.to_string())
            ));
            if let Some(old) = plan.subject.sequences.iter().find(|s| &s.name == name) {
                sql.extend(script::sequence_settings(old, name));
            }
        }
    }
    sql.push(script::go_on(&new, name));
    sql
}

/// Validates the old table's foreign keys, and builds the keys again that it had before it became a partition.
pub(crate) async fn restore(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    let failed = |e: tokio_postgres::Error| site.failed(&e);
    if plan.method == Method::Rewrite {
        for key in &plan.subject.foreign_keys {
            let name = quote_identifier(&key.name);
            session
                .batch_execute(&format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", plan.table))
                .await
                .map_err(failed)?;
            if let Some(comment) = &key.comment {
                let comment = quote_literal(comment);
                let sql = format!("COMMENT ON CONSTRAINT {name} ON {} IS {comment}", plan.table);
                session.batch_execute(&sql).await.map_err(failed)?;
            }
        }
    }
    for sql in script::validate_references(plan) {
        session.batch_execute(&sql).await.map_err(failed)?;
    }
    if plan.method == Method::Attach {
        for index in super::attach::wider(plan) {
            narrow(site, &session, index).await?;
        }
    }
    site.advance(&session, Vec::new(), Step::CleanUp).await?;
    Ok(Step::CleanUp)
}

/// Puts the key that the table had in the place of the wider one.
async fn narrow(site: &Site<'_>, session: &Session, index: &super::subject::Index) -> Result<(), Error> {
    let plan = &site.plan;
    let table = &plan.table;
    let wider = plan.kept_index(index);
    let temporary = plan.beside(&table.schema, &index.name, "_pgwright_old");
    let shape = crate::catalog::shape_of(&index.definition, true, &index.name, table).unwrap_or_default();
    let shape = match &index.tablespace {
        Some(space) => script::with_tablespace(shape, space),
        None => shape.to_owned(),
    };
    let is_there = |name: &QualifiedName| {
        format!(
            "select /* pgwright:conversion_narrow */ i.indisvalid::text from pg_catalog.pg_index i \
             where i.indexrelid = pg_catalog.to_regclass({})",
            quote_literal(&name.to_string())
        )
    };
    if site.text(&is_there(&wider)).await?.is_none() {
        return Ok(());
    }
    let failed = |e: tokio_postgres::Error| site.failed(&e);
    if site.text(&is_there(&temporary)).await?.as_deref() != Some("true") {
        session
            .batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {temporary}"))
            .await
            .map_err(failed)?;
        let sql = format!(
            "CREATE UNIQUE INDEX CONCURRENTLY {} ON {table} {shape}",
            quote_identifier(&temporary.name)
        );
        session.batch_execute(&sql).await.map_err(failed)?;
    }
    let name = quote_identifier(&index.name);
    let mut statements = match &index.constraint {
        Some(_) => {
            let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
            let deferrable = match (index.deferrable, !index.deferred) {
                (true, true) => " DEFERRABLE",
                (true, false) => " DEFERRABLE INITIALLY DEFERRED",
                _ => "",
            };
            vec![
                format!("ALTER TABLE {table} DROP CONSTRAINT {}", quote_identifier(&wider.name)),
                format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {name} {kind} USING INDEX {}{deferrable}",
                    quote_identifier(&temporary.name)
                ),
            ]
        }
        None => vec![format!("DROP INDEX {wider}"), format!("ALTER INDEX {temporary} RENAME TO {name}")],
    };
    if index.replica_identity {
        statements.push(format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"));
    }
    if index.clustered {
        statements.push(format!("ALTER TABLE {table} CLUSTER ON {name}"));
    }
    if let Some(comment) = &index.comment {
        let comment = quote_literal(comment);
        statements.push(match &index.constraint {
            Some(_) => format!("COMMENT ON CONSTRAINT {name} ON {table} IS {comment}"),
            None => {
                format!("COMMENT ON INDEX {} IS {comment}", QualifiedName::new(&table.schema, &index.name))
            }
        });
    }
    let locks = vec![(format!("ONLY {table}"), "ACCESS EXCLUSIVE")];
    site.briefly(session, &Brief { step: Step::Restore, locks, statements }, async || Ok(())).await
}

/// Removes what was made.
pub(crate) async fn clean_up(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    let mut statements = Vec::new();
    let (forth, back) = (Capture { plan, id: site.id, way: Way::Forth }, back(site));
    if plan.method == Method::Rewrite {
        statements.extend(forth.drop_triggers(&plan.table, &[]));
    }
    statements.extend(not_null::undo(plan));
    let locks = vec![(format!("ONLY {}", plan.table), "ACCESS EXCLUSIVE")];
    site.briefly(&session, &Brief { step: Step::CleanUp, locks, statements }, async || Ok(())).await?;
    if plan.method == Method::Attach {
        super::attach::drop_wider(site).await?;
    }
    untie(site, &session).await?;
    let mut statements = vec![format!("DROP TABLE IF EXISTS {}", plan.shadow)];
    statements.extend(forth.drop_objects());
    statements.extend(back.drop_objects());
    site.advance(&session, statements, Step::Reverted).await?;
    Ok(Step::Reverted)
}

/// Takes the foreign keys off the partitioned table. Dropping it with them would lock the tables that they reference
/// for as long as it takes to get the lock, and everybody who uses those would wait meanwhile.
async fn untie(site: &Site<'_>, session: &Session) -> Result<(), Error> {
    let shadow = quote_literal(&site.plan.shadow.to_string());
    let doing = || Error::query("read the foreign keys of the partitioned table");
    // Those of the whole first, with which those of its partitions go.
    let sql = format!(
        "select /* pgwright:conversion_untie */ k.conrelid::pg_catalog.regclass::text as relation, k.conname::text as name, \
         k.confrelid::pg_catalog.regclass::text as referenced \
         from pg_catalog.pg_partition_tree(pg_catalog.to_regclass({shadow})) t \
         join pg_catalog.pg_constraint k on k.conrelid = t.relid where k.contype = 'f' and k.conparentid = 0 \
         order by t.level, k.conname, k.oid"
    );
    let rows = session.query(&sql, &[]).await.map_err(doing())?;
    for row in rows {
        let text = |name: &str| row.try_get::<_, String>(name).map_err(doing());
        let (relation, referenced) = (text("relation")?, text("referenced")?);
        let name = quote_identifier(&text("name")?).to_string();
        let statements = vec![format!("ALTER TABLE {relation} DROP CONSTRAINT {name}")];
        let locks = vec![(referenced, "ACCESS EXCLUSIVE"), (relation, "ACCESS EXCLUSIVE")];
        let brief = Brief { step: Step::CleanUp, locks, statements };
        site.briefly(session, &brief, async || Ok(())).await?;
    }
    Ok(())
}

/// Lets what the old table has as a partition go by names as the other partitions' do. A name that is taken is left.
fn settled_names(plan: &ConversionPlan) -> Vec<String> {
    let rename = |kind: &str, found: String, from: &QualifiedName, to: &str| {
        format!(
            "DO {}",
            quote_literal(&format!(
                "BEGIN IF {found} THEN ALTER {kind} {from} RENAME TO {}; END IF; END",
                quote_identifier(to)
            ))
        )
    };
    let indexes = plan.subject.indexes.iter().enumerate().map(|(position, index)| {
        let (from, to) = (plan.kept_index(index), plan.partition_index(&plan.kept, position, index));
        let class =
            |name: &QualifiedName| format!("pg_catalog.to_regclass({})", quote_literal(&name.to_string()));
        let target = QualifiedName::new(&from.schema, &to);
        rename("INDEX", format!("{} IS NOT NULL AND {} IS NULL", class(&from), class(&target)), &from, &to)
    });
    let statistics = plan.subject.statistics.iter().map(|statistics| {
        let name = &statistics.name;
        let (from, to) =
            (plan.beside(&name.schema, &name.name, KEPT), plan.beside(&name.schema, &name.name, "_history"));
        let count = |name: &QualifiedName| {
            format!(
                "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = \
                 s.stxnamespace WHERE n.nspname = {} AND s.stxname = {})",
                quote_literal(&name.schema),
                quote_literal(&name.name)
            )
        };
        let found = format!("{} = 1 AND {} = 0", count(&from), count(&to));
        rename("STATISTICS", found, &from, &to.name)
    });
    indexes.chain(statistics).collect()
}

/// Makes the conversion final: the old table and what carries back go.
pub(crate) async fn drop_old(site: &Site<'_>) -> Result<Step, Error> {
    let plan = &site.plan;
    let session = open_session(site.target, site.options).await?;
    if plan.method == Method::Rewrite {
        let back = back(site);
        let partitions = site.partitions_of(&plan.table).await?;
        let statements = back.drop_triggers(&plan.table, &partitions);
        let locks = vec![(plan.table.to_string(), "ACCESS EXCLUSIVE")];
        site.briefly(&session, &Brief { step: Step::DropOld, locks, statements }, async || Ok(())).await?;
        let mut statements = back.drop_objects();
        statements.push(format!("DROP TABLE IF EXISTS {}", plan.kept));
        site.advance(&session, statements, Step::Finished).await?;
    } else {
        site.advance(&session, settled_names(plan), Step::Finished).await?;
    }
    Ok(Step::Finished)
}
