//! How is it written for a person which partitions statements read?

use std::fmt::Write as _;

use advice::partitions::{Pruning, PruningReport, SetUse, StatementPruning, TriedInterval};
use model::{Bytes, Finding, Millis, ObjectRef, Severity};

use crate::printer::{Printer, count, one_line, plain};

/// The whole answer.
pub(super) fn answer(
    printer: &Printer,
    report: &PruningReport,
    intervals: &[TriedInterval],
    findings: &[Finding],
    limit: usize,
) -> String {
    let mut out = String::new();
    for set in &report.sets {
        let of_set = report.statements.iter().filter(|s| s.uses.iter().any(|u| u.table == set.table));
        let (mut statements, mut ms) = (0, 0.0);
        for statement in of_set {
            statements += 1;
            ms += statement.total_ms;
        }
        let _ = writeln!(
            out,
            "{} by {}: {}, {:.0} rows, {}; {} of the workload, {:.1} % of its time",
            plain(&set.table.to_string()),
            plain(&set.key),
            count(set.partitions.len(), "partition"),
            set.rows,
            Bytes::from_pages(u64::try_from(set.pages).unwrap_or(0)),
            count(statements, "statement"),
            100.0 * ms / report.total_ms.max(f64::MIN_POSITIVE),
        );
    }
    out.push_str(&intervals_text(printer, report, intervals, findings));
    if report.statements.is_empty() {
        out.push_str("no statement that was counted touches a partitioned table\n");
    }
    for statement in report.statements.iter().take(limit) {
        out.push('\n');
        out.push_str(&statement_text(printer, report, statement, findings));
    }
    if report.statements.len() > limit {
        let _ =
            writeln!(out, "\n{} more; -n shows them", count(report.statements.len() - limit, "statement"));
    }
    if !report.skipped.is_empty() {
        let _ = writeln!(out, "\nleft out: {}", count(report.skipped.len(), "statement"));
        for skipped in report.skipped.iter().take(limit) {
            let _ = writeln!(out, "  {}: {}", skipped.queryid, plain(&skipped.reason));
        }
    }
    out
}

/// What longer and shorter partitions would do.
fn intervals_text(
    printer: &Printer,
    report: &PruningReport,
    intervals: &[TriedInterval],
    findings: &[Finding],
) -> String {
    let mut out = String::new();
    for set in &report.sets {
        let of_set: Vec<&TriedInterval> = intervals.iter().filter(|t| t.table == set.table).collect();
        let before = of_set.iter().find_map(|t| t.trial.as_ref()?.planning_before);
        let Some(current) = of_set.first().map(|t| t.current.to_string()) else { continue };
        let mut rows = vec![vec![
            format!("{current} (as it is)"),
            set.partitions.len().to_string(),
            "-".to_owned(),
            before.map_or_else(|| "-".to_owned(), |p| p.again.to_string()),
            before.map_or_else(|| "-".to_owned(), |p| p.first.to_string()),
        ]];
        for tried in &of_set {
            let Some(trial) = &tried.trial else { continue };
            let after = trial.planning_after;
            rows.push(vec![
                tried.interval.to_string(),
                trial.partitions.to_string(),
                format!("{:+.1} %", -100.0 * trial.net_share()),
                after.map_or_else(|| "-".to_owned(), |p| p.again.to_string()),
                after.map_or_else(|| "-".to_owned(), |p| p.first.to_string()),
            ]);
        }
        let headers = ["partitions of", ">number", ">time", ">planning", ">first"];
        out.extend(printer.table(&headers, &rows).lines().map(|line| format!("  {line}\n")));
        for tried in &of_set {
            if let Some(problem) = &tried.problem {
                let _ = writeln!(out, "  {}: {}", tried.interval, plain(problem));
            }
        }
        let own = |f: &&Finding| f.object == ObjectRef::Relation { name: set.table.clone() };
        for finding in findings.iter().filter(own) {
            let _ = writeln!(out, "  ! {}", plain(&finding.summary));
            let _ = writeln!(out, "    {}", plain(&finding.detail));
        }
    }
    out
}

fn statement_text(
    printer: &Printer,
    report: &PruningReport,
    statement: &StatementPruning,
    findings: &[Finding],
) -> String {
    let mut out = format!(
        "{}  {:.1} % of the time, {}, {} each\n",
        statement.queryid,
        100.0 * statement.total_ms / report.total_ms.max(f64::MIN_POSITIVE),
        count(usize::try_from(statement.calls).unwrap_or(0), "call"),
        Millis(statement.mean_ms),
    );
    let _ = writeln!(out, "  {}", one_line(&statement.query, printer.width.saturating_sub(2)));
    if let Some(constraint) = &statement.foreign_key {
        let _ = writeln!(out, "  (the check of foreign key {})", plain(constraint));
    }
    for set in &statement.uses {
        let _ = writeln!(out, "  {}", plain(&use_text(set)));
    }
    if let (Some(planning), true) = (&statement.planning, statement.foreign_key.is_none()) {
        let _ = write!(
            out,
            "  planning on the twin: {}, {} the first time in a session",
            planning.again, planning.first
        );
        if let Some(constant) = &statement.planning_with_constant {
            let _ = write!(out, "; with a constant for now: {} and {}", constant.again, constant.first);
        }
        out.push('\n');
    }
    if let Some(generic) = &statement.generic {
        let _ = writeln!(
            out,
            "  prepared: {}; the plan for all values holds {} and {}",
            if generic.is_chosen {
                "PostgreSQL would take the plan for all values"
            } else {
                "PostgreSQL would go on planning for given values"
            },
            count(generic.planned, "partition"),
            if generic.prunes { "leaves some out when it runs" } else { "reads all of them" },
        );
    }
    let own = |f: &&Finding| f.object == ObjectRef::Statement { queryid: statement.queryid };
    for finding in findings.iter().filter(own) {
        let mark = if finding.severity >= Severity::Warning { '!' } else { '-' };
        let _ = writeln!(out, "  {mark} {}", plain(&finding.summary));
        let _ = writeln!(out, "    {}", plain(&finding.detail));
    }
    if let Some(rewrite) = &statement.rewrite {
        let _ = write!(
            out,
            "  rewrite ({}{}): reads {} instead of {}",
            rewrite.rules.join(", "),
            if rewrite.is_proved { ", proved" } else { ", not proved: see pgwright rewrite" },
            number(rewrite.read),
            number(statement.uses.iter().map(|u| u.read).sum::<f64>()),
        );
        if rewrite.planned > rewrite.read {
            let _ =
                writeln!(out, "; planned for {}, the others left out at the start", number(rewrite.planned));
        } else {
            let _ = writeln!(out, ", cost {:.0} instead of {:.0}", rewrite.cost_after, rewrite.cost_before);
        }
        for line in rewrite.sql.lines() {
            let _ = writeln!(out, "    {}", plain(line));
        }
    }
    out
}

fn number(n: f64) -> String {
    if (n - n.round()).abs() < 0.05 { format!("{n:.0}") } else { format!("{n:.1}") }
}

fn use_text(set: &SetUse) -> String {
    let name = if set.alias == set.table.name {
        set.table.to_string()
    } else {
        format!("{} {}", set.table, set.alias)
    };
    let (all, planned, read) = (set.partitions, number(set.planned), number(set.read));
    match set.pruning {
        _ if all == 0 => format!("{name}: has no partitions"),
        _ if set.planned == 0.0 => {
            format!("{name}: none of {all} partitions: the values that were tried hold for no row of them")
        }
        Pruning::Planning => {
            format!("{name}: {read} of {all} partitions, the others left out while planning")
        }
        Pruning::Start => {
            format!(
                "{name}: {read} of {all} partitions; planned for {planned}, the others left out at the start"
            )
        }
        Pruning::Subquery => {
            format!(
                "{name}: planned for {planned} of {all} partitions; which of them are read is decided when the plan runs, by \
                 the value that a subquery gives"
            )
        }
        Pruning::RowByRow => {
            format!(
                "{name}: planned for {planned} of {all} partitions; each row that is looked up reads its own"
            )
        }
        Pruning::None => format!("{name}: all {all} partitions"),
    }
}
