//! Who follows this server, how far behind, and which slots keep its WAL?

use axum::response::Response;
use maud::{Markup, html};

use super::Visit;
use super::figures::{bytes, count, seconds};
use super::layout::Page;
use super::samples::{Rows, value};
use super::tables::when;
use crate::Site;

const PLACE: &str = "/replication";

pub(crate) async fn show(visit: Visit) -> Response {
    let site = &visit.site;
    let standby = value(&site.app.exporter, "postgres_server_in_recovery", None) == Some(1.0);
    let body = html! {
        p { "This server is a " strong { @if standby { "standby" } @else { "primary" } } "." }
        @if standby { (own_lag(site)) }
        (followers(site))
        (slots(site))
        (archiver(site))
    };
    visit.show(&Page { title: "Replication", place: PLACE, live: false }, &body)
}

fn own_lag(site: &Site) -> Markup {
    let of = |metric: &str| value(&site.app.exporter, metric, None).unwrap_or(f64::NAN);
    html! {
        ul.cards {
            li { "Behind" b { (seconds(of("postgres_standby_lag_seconds"))) } }
            li { "Not replayed" b { (bytes(of("postgres_standby_unreplayed_bytes"))) } }
            li { "Replay" b { @if of("postgres_standby_replay_paused") == 1.0 { span.bad { "paused" } } @else { "goes on" } } }
            li { "WAL" b { @if of("postgres_standby_receiving") == 1.0 { "streams in" } @else { span.warn { "does not stream" } } } }
        }
    }
}

fn followers(site: &Site) -> Markup {
    let found = Rows::<2, 6>::read(
        &site.app.exporter,
        ["application_name", "client_addr"],
        [
            "postgres_replication_connections",
            "postgres_replication_streaming",
            "postgres_replication_unsent_bytes",
            "postgres_replication_unflushed_bytes",
            "postgres_replication_unreplayed_bytes",
            "postgres_replication_replay_lag_seconds",
        ],
    );
    html! {
        h2 { "Who follows" }
        @if found.rows.is_empty() { p { "Nobody." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Who follows" { table {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "Address" } th.right scope="col" { "Streams" } th.right scope="col" { "Not sent" }
                th.right scope="col" { "Not flushed" } th.right scope="col" { "Not replayed" } th.right scope="col" { "Behind" }
            } }
            tbody { @for ([name, address], [connections, streaming, unsent, unflushed, unreplayed, lag]) in &found.rows { tr {
                th scope="row" { (name) } td { (address) }
                td.right class=[(streaming < connections).then_some("warn")] { (count(*streaming)) " of " (count(*connections)) }
                td.right { (bytes(*unsent)) } td.right { (bytes(*unflushed)) } td.right { (bytes(*unreplayed)) }
                td.right { (seconds(*lag)) }
            } } }
        } } }
    }
}

fn slots(site: &Site) -> Markup {
    let found = Rows::<2, 5>::read(
        &site.app.exporter,
        ["slot", "slot_type"],
        [
            "postgres_replication_slot_active",
            "postgres_replication_slot_retained_bytes",
            "postgres_replication_slot_safe_bytes",
            "postgres_replication_slot_lost",
            "postgres_replication_slot_snapshot_age_transactions",
        ],
    );
    html! {
        h2 { "Slots" }
        @if found.rows.is_empty() { p { "There are none." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Slots" { table {
            thead { tr {
                th scope="col" { "Slot" } th scope="col" { "Kind" } th scope="col" { "Is" } th.right scope="col" { "Keeps WAL" }
                th.right scope="col" title="Until it is lost, where max_slot_wal_keep_size is set" { "Left" }
                th.right scope="col" title="Transactions whose rows VACUUM cannot remove" { "Holds back" }
            } }
            tbody { @for ([slot, kind], [active, retained, safe, lost, age]) in &found.rows { tr {
                th scope="row" { (slot) } td { (kind) }
                td { @if *lost == 1.0 { strong.bad { "lost" } } @else if *active == 1.0 { "in use" } @else { span.warn { "not in use" } } }
                td.right { (bytes(*retained)) } td.right { (bytes(*safe)) } td.right { (count(*age)) }
            } } }
        } } }
    }
}

fn archiver(site: &Site) -> Markup {
    let of = |metric: &str| value(&site.app.exporter, metric, None).unwrap_or(f64::NAN);
    html! {
        @if of("postgres_archiver_enabled") == 1.0 {
            h2 { "Archiving of WAL" }
            ul.cards {
                li { "Archived" b { (count(of("postgres_archiver_archived_total"))) } span.dim { "files" } }
                li { "Last archived" b { (when(of("postgres_archiver_last_archived_timestamp_seconds"))) } }
                li { "Failures" b { (count(of("postgres_archiver_failed_total"))) } span.dim { "last " (when(of("postgres_archiver_last_failed_timestamp_seconds"))) } }
            }
        }
    }
}
