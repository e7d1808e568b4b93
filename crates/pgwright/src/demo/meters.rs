//! Which rows does the smart-meter demo load? Customers, their meters, and a daily load profile.
//!
//! Source: the maintenance tutorial whose tables `m_customerinfo`, `m_meterinfo` and `t_dlpdata` and
//! whose join over the last day these are. Each meter sends one reading per day, at a minute of its
//! own shortly after midnight UTC; readings are stored in the order in which they arrive. The tutorial's
//! second step divides the readings by month, which is a scenario of its own.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};

use super::copy_format::{RowSink, Timestamp};
use super::registry_plan::{DAY, SECOND};
use super::{Table, TableRows};
use crate::workload::draw::Draw;

const FIRST_NAMES: [&str; 12] =
    ["Ana", "Ben", "Chiara", "Dmitri", "Emre", "Fatima", "Grace", "Hugo", "Ines", "Jonas", "Kofi", "Lena"];
const LAST_NAMES: [&str; 12] = [
    "Almeida", "Bauer", "Costa", "Dubois", "Eriksen", "Ferrari", "Garcia", "Hansen", "Ivanov", "Jansen",
    "Kowalski", "Lopez",
];
const CITIES: [&str; 10] =
    ["Porto", "Graz", "Lyon", "Gdansk", "Bergen", "Turin", "Ghent", "Leipzig", "Malaga", "Tartu"];
const TARIFFS: [&str; 4] = ["flat", "flat", "day-night", "dynamic"];

#[derive(Clone, Copy)]
struct Sizes {
    customers: usize,
    meters: usize,
    readings: usize,
}

/// Days of readings that each meter has.
const DAYS: u32 = 80;

/// The statements that create the tables. With a time the readings are divided by month, from the first
/// reading to the month after that time.
pub(super) fn tables_sql(partitioned_at: Option<DateTime<Utc>>) -> String {
    let mut sql = include_str!("meters_tables.sql").to_owned();
    let Some(now) = partitioned_at else { return sql };
    if let Some(end) = sql.trim_end().strip_suffix(';').map(str::len) {
        sql.truncate(end);
        sql.push_str(" PARTITION BY RANGE (reading_timestamp);\n");
    }
    let first = (now - TimeDelta::days(i64::from(DAYS) + 1)).date_naive();
    let mut month = first.with_day(1).unwrap_or(first);
    let last = now.date_naive().checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
    while month <= last {
        let next = month.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        // Writing to a String cannot fail. The bounds are instants, whatever the session's time zone is.
        let _ = write!(
            sql,
            "CREATE /* pgwright:demo_load */ TABLE public.t_dlpdata_{} PARTITION OF public.t_dlpdata\n    \
             FOR VALUES FROM ('{month} 00:00:00+00') TO ('{next} 00:00:00+00');\n",
            month.format("%Y_%m")
        );
        month = next;
    }
    sql
}

/// The tables in the order in which they refer to one another.
pub(super) fn tables(scale: f64, seed: u64, now: Timestamp, partitioned: bool) -> Vec<Table> {
    let scaled = |at_one: f64| (at_one * scale).round().max(20.0) as usize;
    let sizes = Sizes {
        customers: scaled(20_000.0),
        meters: scaled(25_000.0),
        readings: scaled(25_000.0 * f64::from(DAYS)),
    };
    let table =
        |name, columns, rows: usize, write: fn(Sizes, Timestamp, Draw, &mut RowSink) -> TableRows, stream| {
            let generate =
                Box::new(move |sink: &mut RowSink| write(sizes, now, Draw::new(seed, stream), sink));
            let partitioned = partitioned && name == "t_dlpdata";
            Table { name, columns, rows: rows as u64, partitioned, generate }
        };
    vec![
        table(
            "m_customerinfo",
            "customer_id, first_name, last_name, email, city, tariff, created_at",
            sizes.customers,
            customers,
            20,
        ),
        table(
            "m_meterinfo",
            "meter_id, customer_id, msn, meter_type, status, installed_at",
            sizes.meters,
            meters,
            21,
        ),
        table(
            "t_dlpdata",
            "reading_id, meter_id, reading_timestamp, kwh_reading",
            sizes.readings,
            readings,
            22,
        ),
    ]
}

fn customers(sizes: Sizes, now: Timestamp, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    for position in 0..sizes.customers {
        let id = position as i32 + 1;
        let (first, last) = (draw.pick(&FIRST_NAMES), draw.pick(&LAST_NAMES));
        let email = format!("{}.{}.{id}@example.org", first.to_lowercase(), last.to_lowercase());
        let age = 2_000 * DAY - 1_500 * DAY * position as i64 / sizes.customers as i64;
        sink.row(7)?
            .int4(id)
            .text(first)
            .text(last)
            .text(&email)
            .text(draw.pick(&CITIES))
            .text(draw.pick(&TARIFFS))
            .timestamptz(now - age);
    }
    Ok(())
}

fn meters(sizes: Sizes, now: Timestamp, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    for position in 0..sizes.meters {
        let id = position as i32 + 1;
        // Every customer has one meter, some have more.
        let customer =
            if position < sizes.customers { position as u64 } else { draw.below(sizes.customers as u64) };
        let kind = draw.pick(&["single-phase", "single-phase", "single-phase", "three-phase", "heat-pump"]);
        let age = 1_900 * DAY - 1_400 * DAY * position as i64 / sizes.meters as i64;
        sink.row(6)?
            .int4(id)
            .int4(customer as i32 + 1)
            .text(&format!("MSN{:09}", 100_000_000 + id))
            .text(kind)
            .text(if draw.chance(0.97) { "connected" } else { "disconnected" })
            .timestamptz(now - age);
    }
    Ok(())
}

fn readings(sizes: Sizes, now: Timestamp, mut draw: Draw, sink: &mut RowSink) -> TableRows {
    let usual: Vec<f64> = (0..sizes.meters).map(|_| draw.normal(2.1, 0.5).exp().clamp(0.5, 200.0)).collect();
    // In whole rounds over all meters, the last of them within the last day; an unfinished round is
    // the oldest.
    for position in 0..sizes.readings {
        let from_end = sizes.readings - 1 - position;
        let (round, meter) = (from_end / sizes.meters, sizes.meters - 1 - from_end % sizes.meters);
        let within = meter as f64 / sizes.meters as f64;
        let at = now - round as i64 * DAY - ((1.0 - within) * (6 * 3_600 * SECOND) as f64) as i64;
        let kwh = (usual[meter] * draw.uniform(0.5, 1.6) * 10_000.0) as u64;
        sink.row(4)?.int8(position as i64 + 1).int4(meter as i32 + 1).timestamptz(at).numeric4(kwh);
    }
    Ok(())
}
