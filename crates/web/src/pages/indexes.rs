//! Which indexes are there, how big are they, and are they used?

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use maud::html;
use model::quote_identifier;
use postgres::catalog::{IndexFactsRow, index_facts};

use super::figures::{bytes, count, moment, percent, rate, written};
use super::layout::{self, Page};
use super::listing::{Column, Listing, OWN_SCHEMA, by};
use super::samples::{Rows, value};
use super::tables::table_link;
use super::{Visit, link};
use crate::Failure;

const PLACE: &str = "/indexes";

struct Row {
    datname: String,
    schema: String,
    table: String,
    index: String,
    bytes: f64,
    scans: f64,
    rows_read: f64,
    hit_ratio: f64,
    facts: Option<IndexFactsRow>,
}

impl Row {
    /// What it is there for, and what is wrong with it.
    fn role(&self) -> &'static str {
        match &self.facts {
            Some(f) if !f.valid => "invalid",
            Some(f) if f.primary => "primary key",
            Some(f) if f.constraint.is_some() => "constraint",
            Some(f) if f.unique => "unique",
            Some(_) if self.scans == 0.0 => "unused",
            Some(f) if f.partial => "partial",
            _ => "",
        }
    }
}

const COLUMNS: &[Column<Row>] = &[
    Column {
        key: "name",
        title: "Index",
        meaning: "Its name",
        figures: false,
        order: |a, b| (&a.datname, &a.schema, &a.index).cmp(&(&b.datname, &b.schema, &b.index)),
        cell: |r| {
            html! {
                @if r.index == "other" && r.table == "other" { span.dim { "all other indexes" } } @else { (quote_identifier(&r.index)) }
            }
        },
    },
    Column {
        key: "table",
        title: "Table",
        meaning: "The table that it is of",
        figures: false,
        order: |a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)),
        cell: |r| {
            html! {
                a href=(table_link(&r.datname, &r.schema, &r.table)) { (model::QualifiedName::new(r.schema.clone(), r.table.clone())) }
            }
        },
    },
    Column {
        key: "role",
        title: "Is",
        meaning: "What it is there for; unused: no scan since the statistics were reset, and no constraint rests on it",
        figures: false,
        order: |a, b| a.role().cmp(b.role()),
        cell: |r| {
            html! {
                @match r.role() {
                    "invalid" => strong.bad { "invalid" },
                    "unused" => span.warn { "unused" },
                    other => (other),
                }
                @if let Some(facts) = r.facts.as_ref().filter(|f| f.access_method != "btree") { " " span.dim { (facts.access_method) } }
            }
        },
    },
    Column {
        key: "size",
        title: "Size",
        meaning: "Of the index alone",
        figures: true,
        order: |a, b| by(a.bytes, b.bytes),
        cell: |r| html! { (bytes(r.bytes)) },
    },
    Column {
        key: "scans",
        title: "Scans",
        meaning: "Since the statistics were reset",
        figures: true,
        order: |a, b| by(a.scans, b.scans),
        cell: |r| html! { (count(r.scans)) },
    },
    Column {
        key: "rows",
        title: "Entries/scan",
        meaning: "Entries that a scan returns",
        figures: true,
        order: |a, b| by(a.rows_read / a.scans, b.rows_read / b.scans),
        cell: |r| html! { (rate(r.rows_read / r.scans)) },
    },
    Column {
        key: "hit",
        title: "Cache hits",
        meaning: "Blocks found in shared buffers",
        figures: true,
        order: |a, b| by(a.hit_ratio, b.hit_ratio),
        cell: |r| html! { (percent(r.hit_ratio)) },
    },
];

async fn facts(visit: &Visit) -> Result<Arc<Vec<IndexFactsRow>>, Failure> {
    if let Some(kept) = visit.site.kept.index_facts.get() {
        return Ok(kept);
    }
    let session = visit.site.live.session(&visit.site.app.exporter).await?;
    let rows = Arc::new(index_facts(&session, session.version_num()).await?);
    Ok(visit.site.kept.index_facts.put(rows))
}

pub(crate) async fn list(visit: Visit) -> Response {
    let figures = Rows::read(
        &visit.site.app.exporter,
        ["datname", "schema", "table", "index"],
        [
            "postgres_index_size_bytes",
            "postgres_index_scans_total",
            "postgres_index_rows_read_total",
            "postgres_index_blocks_read_total",
            "postgres_index_blocks_hit_total",
        ],
    );
    let facts = facts(&visit).await;
    let here = visit.site.app.exporter.options().target.database().to_owned();
    let mut by_name: HashMap<(&str, &str), &IndexFactsRow> = HashMap::new();
    if let Ok(facts) = &facts {
        by_name.extend(facts.iter().map(|f| ((f.schema.as_str(), f.name.as_str()), f)));
    }
    let mut rows: Vec<Row> = figures
        .rows
        .into_iter()
        .map(|([datname, schema, table, index], [bytes, scans, rows_read, read, hit])| Row {
            facts: by_name
                .get(&(schema.as_str(), index.as_str()))
                .filter(|_| datname == here)
                .map(|f| IndexFactsRow::clone(f)),
            hit_ratio: hit / (read + hit),
            datname,
            schema,
            table,
            index,
            bytes,
            scans,
            rows_read,
        })
        .collect();
    let only = visit.wanted.other("only").to_owned();
    let unused = |r: &&Row| r.role() == "unused" && r.schema != OWN_SCHEMA;
    let (unused, invalid) = (rows.iter().filter(unused), rows.iter().filter(|r| r.role() == "invalid"));
    let (unused_bytes, unused, invalid) =
        (unused.clone().map(|r| r.bytes).sum::<f64>(), unused.count(), invalid.count());
    if !only.is_empty() {
        rows.retain(|r| r.role() == only);
    }
    let reset =
        value(&visit.site.app.exporter, "postgres_database_statistics_reset_timestamp_seconds", Some(&here));
    let listing = Listing {
        path: PLACE,
        what: "indexes",
        columns: COLUMNS,
        sorted_by: "size",
        wanted: &visit.wanted,
        text: |r| format!("{} {}.{} {} {}", r.datname, r.schema, r.table, r.index, r.role()),
        own: |r| r.schema == OWN_SCHEMA,
    };
    let body = html! {
        p.dim {
            "Scans are counted "
            @match reset.and_then(moment) {
                Some(at) => { "since " (written(at)) },
                None => { "since the statistics of the database were reset" },
            }
            ", on this server alone: an index that is used on a standby only looks unused here."
        }
        ul.cards {
            li { a href=(PLACE) { "All" } b { (count(visit.site.app.exporter.samples("postgres_index_size_bytes").len() as f64)) } }
            li { a href=(link(PLACE, &[("only", "unused")])) { "Unused" } b { (unused) } span.dim { (bytes(unused_bytes)) } }
            li { a href=(link(PLACE, &[("only", "invalid")])) { "Invalid" } b class=[(invalid > 0).then_some("bad")] { (invalid) } }
        }
        @if let Err(failure) = &facts { (layout::failure(failure)) }
        (listing.show(rows))
    };
    visit.show(&Page { title: "Indexes", place: PLACE, live: false }, &body)
}
