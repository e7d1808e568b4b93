//! Does VACUUM keep up, is there room for transactions and sequences, and do jobs run?

use axum::response::Response;
use maud::{Markup, html};
use model::QualifiedName;

use super::Visit;
use super::figures::{bar, count, percent, seconds};
use super::layout::Page;
use super::listing::{Column, Listing, OWN_SCHEMA, by};
use super::samples::{Rows, sum, value};
use super::tables::{self, when};
use crate::Site;

const PLACE: &str = "/maintenance";
/// Transactions after which the server takes no writes any more, less a safety margin of its own.
const WRAPAROUND: f64 = 2_000_000_000.0;
/// Sequences that are told of.
const SEQUENCES: usize = 20;

const COLUMNS: &[Column<tables::Row>] = &[
    Column {
        key: "name",
        title: "Table",
        meaning: "Schema and name",
        figures: false,
        order: |a, b| (&a.datname, &a.schema, &a.table).cmp(&(&b.datname, &b.schema, &b.table)),
        cell: tables::Row::titled,
    },
    Column {
        key: "due",
        title: "Due",
        meaning: "Dead rows among those from which on autovacuum comes, by the server's settings",
        figures: true,
        order: |a, b| by(a.dead / a.trigger, b.dead / b.trigger),
        cell: |r| html! { span class=[r.is_due().then_some("warn")] { (percent(r.dead / r.trigger)) } },
    },
    Column {
        key: "dead",
        title: "Dead rows",
        meaning: "Rows that VACUUM can remove, as the statistics count them",
        figures: true,
        order: |a, b| by(a.dead, b.dead),
        cell: |r| html! { (count(r.dead)) span.dim { " " (percent(r.dead_ratio())) } },
    },
    tables::LAST_VACUUM,
    Column {
        key: "modified",
        title: "Changed since analyze",
        meaning: "Rows changed since ANALYZE",
        figures: true,
        order: |a, b| by(a.modified, b.modified),
        cell: |r| html! { (count(r.modified)) },
    },
    tables::LAST_ANALYZE,
    Column {
        key: "age",
        title: "Oldest unfrozen",
        meaning: "Transactions since the oldest that is not frozen",
        figures: true,
        order: |a, b| by(a.xid_age, b.xid_age),
        cell: |r| html! { (count(r.xid_age)) },
    },
];

pub(crate) async fn show(visit: Visit) -> Response {
    let site = &visit.site;
    let listing = Listing {
        path: PLACE,
        what: "tables",
        columns: COLUMNS,
        sorted_by: "due",
        wanted: &visit.wanted,
        text: |r| format!("{} {}.{}", r.datname, r.schema, r.table),
        own: |r| r.schema == OWN_SCHEMA,
    };
    let body = html! {
        (cards(site))
        (progress(site))
        (databases(site))
        (sequences(site))
        (jobs(site))
        h2 { "Tables" }
        (listing.show(tables::sampled(site)))
    };
    visit.show(&Page { title: "Maintenance", place: PLACE, live: false }, &body)
}

fn cards(site: &Site) -> Markup {
    let exporter = &site.app.exporter;
    let of = |metric: &str| value(exporter, metric, None).unwrap_or(f64::NAN);
    let enabled = of("postgres_server_autovacuum_enabled");
    let snapshots = exporter.samples("postgres_oldest_snapshot_age_transactions");
    let oldest = snapshots.iter().map(|s| s.value).fold(0.0, f64::max);
    html! {
        ul.cards {
            li {
                "Autovacuum"
                @if enabled == 0.0 { b.bad { "off" } } @else { b { (count(of("postgres_autovacuum_workers"))) } }
                span.dim { "of " (count(of("postgres_autovacuum_workers_allowed"))) " workers at work" }
            }
            li { "Oldest snapshot" b { (count(oldest)) } span.dim { "transactions ago; what it can see stays" } }
            li { "Invalid indexes" b { (count(sum(exporter, "postgres_invalid_indexes"))) } }
        }
    }
}

fn progress(site: &Site) -> Markup {
    let running = Rows::<4, 2>::read(
        &site.app.exporter,
        ["datname", "pid", "relid", "phase"],
        ["postgres_vacuum_heap_blocks", "postgres_vacuum_heap_blocks_scanned"],
    );
    html! {
        @if !running.rows.is_empty() {
            h2 { "VACUUM at work" }
            div.scroll tabindex="0" role="region" aria-label="VACUUM at work" { table {
                thead { tr { th scope="col" { "Process" } th scope="col" { "Database" } th scope="col" { "Phase" } th scope="col" { "Scanned" } } }
                tbody { @for ([datname, pid, relid, phase], [total, scanned]) in &running.rows { tr {
                    th scope="row" { (pid) span.dim { " on relation " (relid) } } td { (datname) } td { (phase) }
                    td { (bar(scanned / total)) " " (percent(scanned / total)) }
                } } }
            } }
        }
    }
}

fn databases(site: &Site) -> Markup {
    let ages = Rows::<1, 2>::read(
        &site.app.exporter,
        ["datname"],
        [
            "postgres_database_frozen_xid_age_transactions",
            "postgres_database_frozen_multixact_age_transactions",
        ],
    );
    html! {
        h2 { "Room for transactions" }
        p.dim { "Where the oldest transaction that is not frozen is 2 billion old, the server takes no more writes. VACUUM freezes." }
        div.scroll tabindex="0" role="region" aria-label="Room for transactions" { table {
            thead { tr { th scope="col" { "Database" } th.right scope="col" { "Oldest transaction" } th scope="col" { "Used up" } th.right scope="col" { "Oldest multixact" } } }
            tbody { @for ([datname], [age, multixacts]) in &ages.rows { tr {
                th scope="row" { (datname) } td.right { (count(*age)) } td { (bar(age / WRAPAROUND)) " " (percent(age / WRAPAROUND)) }
                td.right { (count(*multixacts)) }
            } } }
        } }
    }
}

fn sequences(site: &Site) -> Markup {
    let mut used: Vec<([String; 3], f64)> = Rows::<3, 1>::read(
        &site.app.exporter,
        ["datname", "schema", "sequence"],
        ["postgres_sequence_used_ratio"],
    )
    .rows
    .into_iter()
    .filter(|([_, schema, _], _)| schema != OWN_SCHEMA)
    .map(|(key, [used])| (key, used))
    .collect();
    used.sort_by(|a, b| by(b.1, a.1));
    html! {
        @if !used.is_empty() {
            h2 { "Fullest sequences" }
            div.scroll tabindex="0" role="region" aria-label="Fullest sequences" { table {
                thead { tr { th scope="col" { "Sequence" } th scope="col" title="Of what the sequence and its column can hold" { "Used up" } } }
                tbody { @for ([datname, schema, sequence], used) in used.iter().take(SEQUENCES) { tr {
                    th scope="row" { (QualifiedName::new(schema.clone(), sequence.clone())) span.dim { " in " (datname) } }
                    td { (bar(*used)) " " span class=[(*used > 0.7).then_some("bad")] { (percent(*used)) } }
                } } }
            } }
        }
    }
}

fn jobs(site: &Site) -> Markup {
    let jobs = Rows::<2, 5>::read(
        &site.app.exporter,
        ["jobid", "job_name"],
        [
            "postgres_job_active",
            "postgres_job_last_run_succeeded",
            "postgres_job_last_start_timestamp_seconds",
            "postgres_job_last_duration_seconds",
            "postgres_job_failures_last_day",
        ],
    );
    html! {
        @if !jobs.rows.is_empty() {
            h2 { "Jobs of pg_cron" }
            div.scroll tabindex="0" role="region" aria-label="Jobs" { table {
                thead { tr {
                    th scope="col" { "Job" } th scope="col" { "Is" } th scope="col" { "Last run" } th.right scope="col" { "Took" }
                    th.right scope="col" { "Failures within a day" }
                } }
                tbody { @for ([id, name], [active, succeeded, start, duration, failures]) in &jobs.rows { tr {
                    th scope="row" { (id) " " (name) }
                    td { @if *active == 1.0 { "scheduled" } @else { span.warn { "switched off" } } }
                    td { (when(*start)) @if *succeeded == 0.0 { " " span.bad { "failed" } } }
                    td.right { (seconds(*duration)) }
                    td.right class=[(*failures > 0.0).then_some("bad")] { (count(*failures)) }
                } } }
            } }
        }
    }
}
