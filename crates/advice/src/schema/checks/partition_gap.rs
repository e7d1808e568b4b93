//! Are there rows for which a partitioned table has no partition?
//!
//! Bounds of neighbouring range partitions that do not meet, remainders that no hash partition takes, and time that
//! runs out: the last partition ends within `partition_ahead_days`. A DEFAULT partition takes such rows, so then there
//! is no gap. Keys of several columns and keys of other types than numbers and times are not judged.

use chrono::{DateTime, Datelike as _, FixedOffset, Months, NaiveDate, NaiveDateTime, Timelike as _};
use model::snapshot::{Relation, RelationKind};
use model::{LockLevel, QualifiedName, Severity, quote_literal};

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "partition-gap",
    title: "rows that no partition takes",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum End {
    Min,
    Number(f64),
    Time(DateTime<FixedOffset>),
    Max,
}

#[derive(Debug)]
struct Range<'a> {
    from: End,
    to: End,
    from_text: &'a str,
    to_text: &'a str,
}

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.snapshot.relations.iter().filter(|r| r.kind == RelationKind::PartitionedTable) {
        let bounds: Vec<&str> = facts
            .tables
            .children(&relation.name)
            .iter()
            .filter_map(|p| p.partition_bound.as_deref())
            .collect();
        if bounds.contains(&"DEFAULT") {
            continue;
        }
        let Some(key) = &relation.partition_key else { continue };
        if bounds.is_empty() {
            found.push(CHECK.finding(
                relation_ref(&relation.name),
                format!("partitioned table {} has no partition", relation.name),
                "Every INSERT fails.",
            ));
        } else if key.starts_with("RANGE") {
            found.extend(ranges(facts, relation, &bounds));
        } else if key.starts_with("HASH") {
            found.extend(remainders(relation, &bounds));
        }
    }
    found
}

fn ranges(facts: &Facts<'_>, relation: &Relation, bounds: &[&str]) -> Vec<LintFinding> {
    // A bound that is not understood may be anywhere.
    let Some(mut ranges) = bounds.iter().map(|b| range(b)).collect::<Option<Vec<Range<'_>>>>() else {
        return Vec::new();
    };
    ranges.sort_by(|a, b| a.from.partial_cmp(&b.from).unwrap_or(std::cmp::Ordering::Equal));
    let mut found = Vec::new();
    for pair in ranges.windows(2) {
        let [before, after] = pair else { continue };
        if before.to < after.from {
            let (from, to) = (before.to_text, after.from_text);
            let mut finding = CHECK
                .finding(
                    relation_ref(&relation.name),
                    format!("table {} has no partition from {from} to {to}", relation.name),
                    "An INSERT of a row in between fails. If none will come, this is no fault.",
                )
                .mended_by(attach(facts, relation, from, to));
            finding.finding.key = format!("{} from {from} to {to}", finding.finding.key);
            found.push(finding);
        }
    }
    if let Some(last) = ranges.last() {
        found.extend(ahead(facts, relation, last));
    }
    found
}

/// Whether time runs out.
fn ahead(facts: &Facts<'_>, relation: &Relation, last: &Range<'_>) -> Option<LintFinding> {
    let (End::Time(from), End::Time(to)) = (last.from, last.to) else { return None };
    let now = facts.snapshot.taken_at.fixed_offset();
    let days = (to - now).num_minutes() as f64 / 1440.0;
    // A table that ended a year ago is an archive.
    if days > facts.thresholds.partition_ahead_days || days < -365.0 {
        return None;
    }
    let next = following(from, to);
    let next_text = quote_literal(&next.format(if last.to_text.len() <= 12 { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S%:z" }).to_string());
    let mut finding = CHECK
        .finding(
            relation_ref(&relation.name),
            match days <= 0.0 {
                true => format!("the last partition of {} ended at {}", relation.name, last.to_text),
                false => format!("the last partition of {} ends at {}, in {days:.1} days", relation.name, last.to_text),
            },
            "From then on an INSERT of a present row fails. Make partitions ahead of time, by a job that is watched.",
        )
        .severity(if days <= 0.0 { Severity::Error } else { Severity::Warning })
        .mended_by(attach(facts, relation, last.to_text, &next_text));
    finding.finding.key.push_str(" ahead");
    Some(finding)
}

/// The end of the partition after one: as many months where both ends begin a month, else as long.
fn following(from: DateTime<FixedOffset>, to: DateTime<FixedOffset>) -> DateTime<FixedOffset> {
    let begins_month = |t: DateTime<FixedOffset>| t.day() == 1 && t.num_seconds_from_midnight() == 0;
    let months = (to.year() - from.year()) * 12 + to.month() as i32 - from.month() as i32;
    match u32::try_from(months) {
        Ok(months) if months > 0 && begins_month(from) && begins_month(to) => {
            to.checked_add_months(Months::new(months)).unwrap_or(to)
        }
        _ => to + (to - from),
    }
}

/// A partition made apart and then attached, which does not stop anybody.
fn attach(facts: &Facts<'_>, relation: &Relation, from: &str, to: &str) -> Remedy {
    let table = &relation.name;
    let taken = |name: &QualifiedName| facts.tables.relation(name).is_some();
    let digits: String = from.chars().filter(char::is_ascii_digit).take(8).collect();
    let name = (0..)
        .map(|n| {
            let suffix = if n == 0 { format!("_{digits}") } else { format!("_{digits}_{n}") };
            let base: String = table.name.chars().take(40).collect();
            QualifiedName::new(table.schema.clone(), format!("{base}{suffix}"))
        })
        .find(|name| !taken(name))
        .unwrap_or_else(|| table.clone());
    Remedy::sql(
        vec![
            format!("CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"),
            format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})"),
        ],
        LockLevel::ShareUpdateExclusive,
        format!("SHARE UPDATE EXCLUSIVE on {table} for an instant, as the new partition is empty: reads and writes go on."),
    )
}

fn range(bound: &str) -> Option<Range<'_>> {
    let inner = bound.strip_prefix("FOR VALUES FROM (")?.strip_suffix(')')?;
    let (from_text, to_text) = inner.split_once(") TO (")?;
    Some(Range { from: end(from_text)?, to: end(to_text)?, from_text, to_text })
}

fn end(text: &str) -> Option<End> {
    match text {
        "MINVALUE" => return Some(End::Min),
        "MAXVALUE" => return Some(End::Max),
        _ => {}
    }
    let bare = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text);
    if let Ok(number) = bare.parse::<f64>() {
        return Some(End::Number(number));
    }
    if let Ok(time) = DateTime::parse_from_str(bare, "%Y-%m-%d %H:%M:%S%.f%#z") {
        return Some(End::Time(time));
    }
    let local = NaiveDateTime::parse_from_str(bare, "%Y-%m-%d %H:%M:%S%.f").ok().or_else(|| {
        NaiveDate::parse_from_str(bare, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0))
    })?;
    Some(End::Time(local.and_utc().fixed_offset()))
}

fn remainders(relation: &Relation, bounds: &[&str]) -> Option<LintFinding> {
    let parts: Option<Vec<(u64, u64)>> = bounds
        .iter()
        .map(|bound| {
            let inner = bound.strip_prefix("FOR VALUES WITH (modulus ")?.strip_suffix(')')?;
            let (modulus, remainder) = inner.split_once(", remainder ")?;
            Some((modulus.parse().ok()?, remainder.parse().ok()?))
        })
        .collect();
    let parts = parts?;
    // Every modulus divides the next larger one.
    let largest = parts.iter().map(|(modulus, _)| *modulus).max().filter(|m| (1..=100_000).contains(m))?;
    let missing: Vec<u64> =
        (0..largest).filter(|n| !parts.iter().any(|(m, r)| *m > 0 && n % m == *r)).collect();
    if missing.is_empty() {
        return None;
    }
    let shown: Vec<String> = missing.iter().take(10).map(ToString::to_string).collect();
    Some(
        CHECK
            .finding(
                relation_ref(&relation.name),
                format!("table {} has no partition for {} of {largest} remainders", relation.name, missing.len()),
                "An INSERT fails for that part of the keys.",
            )
            .severity(Severity::Error)
            .with("remainders", shown.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_the_server_writes_them() {
        assert_eq!(end("MINVALUE"), Some(End::Min));
        assert_eq!(end("'-5'"), Some(End::Number(-5.0)));
        assert!(end("'2024-01-01'") < end("'2024-01-01 00:00:01'"));
        // The same moment in two zones.
        assert_eq!(end("'2024-01-01 02:00:00+02'"), end("'2024-01-01 00:00:00+00'"));
        assert_eq!(end("'north'"), None);
        assert_eq!(end("1, 2"), None);
    }

    #[test]
    fn partitions_go_on_as_they_were() {
        let time = |t: &str| match end(t) {
            Some(End::Time(time)) => time,
            other => panic!("{other:?}"),
        };
        let next = |from: &str, to: &str| following(time(from), time(to)).format("%Y-%m-%d").to_string();
        assert_eq!(next("'2024-01-01'", "'2024-02-01'"), "2024-03-01");
        assert_eq!(next("'2023-10-01'", "'2024-01-01'"), "2024-04-01");
        assert_eq!(next("'2024-01-08'", "'2024-01-15'"), "2024-01-22");
    }
}
