//! `pgwright report`: what was found and done, as Markdown, HTML or JSON.

use std::path::PathBuf;

use advice::profiling::{Sort, rank};
use clap::Args as ClapArgs;
use model::Snapshot;
use plan::Plan;
use plan::render::Style;

use super::context::SnapshotSource;
use super::rewrite::ShownStatement;
use super::verify::verdict_words;
use super::{Context, advise, rewrite, write_text};
use crate::error::{CommandError, CommandResult, Exit};
use crate::printer::count;
use crate::report::document::{Report, Section, Step, StepChart};
use crate::report::{Format, render};

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Example:\n  pgwright report --out shop.html postgres://app@db.example.com/shop")]
pub struct Args {
    #[command(flatten)]
    source: SnapshotSource,
    /// Where to write; standard output by default. The ending decides the format.
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    /// The format, where the ending does not say it.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many statements are shown.
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Leave the recommendations out; the planner twin is not started then.
    #[arg(long)]
    no_advice: bool,
}

/// Runs the command.
///
/// # Errors
/// Fails when the snapshot cannot be read or the file cannot be written.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let format = args
        .format
        .or_else(|| context.printer.json.then_some(Format::Json))
        .or_else(|| args.out.as_deref().and_then(Format::of_path))
        .unwrap_or(Format::Md);
    let snapshot = context.snapshot(&args.source).await?;
    // Without statements there is nothing to advise on, which the report says where it shows them.
    let advice = if args.no_advice || snapshot.statements.is_empty() {
        None
    } else {
        Some(advise::compute(context, &snapshot, &advise::Limits::with_curve()).await?)
    };
    // The journal is on the server only; a database without one has nothing to tell.
    let journal = match &args.source.snapshot {
        Some(_) => Vec::new(),
        None => apply::journal(&context.target()?).await?,
    };
    let rewrites = if advice.is_some() { rewrite::proved(context, &snapshot).await? } else { Vec::new() };
    let report = build(&snapshot, advice.as_ref(), &rewrites, &journal, args.limit)?;
    let text = render(&report, format)?;
    match &args.out {
        Some(path) => {
            write_text(path, &text)?;
            context.printer.status(&format!("wrote {}", path.display()));
        }
        None => context.printer.out(&text)?,
    }
    Ok(Exit::Done)
}

fn build(
    snapshot: &Snapshot,
    advice: Option<&advice::Advice>,
    rewrites: &[ShownStatement],
    journal: &[apply::JournalEntry],
    limit: usize,
) -> Result<Report, CommandError> {
    let ranked = rank(&snapshot.statements, Sort::Total, limit);
    let mut sections = Vec::new();
    let rows = ranked
        .iter()
        .map(|s| {
            vec![
                s.queryid.to_string(),
                format!("{:.1} %", s.share_of_time * 100.0),
                s.total_ms.to_string(),
                s.calls.to_string(),
                s.mean_ms.to_string(),
                s.max_ms.map_or_else(|| "-".into(), |m| m.to_string()),
                s.cache_hit_ratio.map_or_else(|| "-".into(), |r| format!("{:.1} %", r * 100.0)),
                crate::printer::one_line(&s.query, 160),
            ]
        })
        .collect();
    let statements = Section::new("Statements by time");
    sections.push(if ranked.is_empty() {
        statements.paragraph("None were observed, so nothing can be advised on.")
    } else {
        statements.table(
            &[">queryid", ">share", ">total", ">calls", ">mean", ">max", ">cache hits", "statement"],
            rows,
        )
    });
    if let Some(advice) = advice {
        sections.push(advice_section(advice));
        sections.extend(budget_section(advice));
        if !advice.findings.is_empty() {
            let findings =
                advice.findings.iter().map(|f| format!("{}: {}. {}", f.check, f.summary, f.detail)).collect();
            sections.push(Section::new("Findings").list(findings));
        }
    }
    if !rewrites.is_empty() {
        sections.push(rewrites_section(rewrites));
    }
    if !journal.is_empty() {
        sections.push(journal_section(journal));
    }
    sections.push(tables_section(snapshot));
    if !snapshot.notes.is_empty() {
        sections.push(Section::new("What could not be read").list(snapshot.notes.clone()));
    }
    let data = serde_json::json!({
        "database": snapshot.server.database,
        "server_version": snapshot.server.version,
        "taken_at": snapshot.taken_at,
        "statements": ranked,
        "advice": advice,
        "rewrites": rewrites,
        "journal": journal,
        "notes": snapshot.notes,
    });
    Ok(Report {
        schema: "report",
        title: format!("Database {}", snapshot.server.database),
        generated_at: snapshot.taken_at,
        lead: format!(
            "PostgreSQL {}, {} on disk, {} observed over {:.1} hours.",
            snapshot.server.version,
            snapshot.server.database_bytes,
            count(snapshot.statements.len(), "statement"),
            snapshot.observed_hours()
        ),
        sections,
        data,
    })
}

/// Texts that are proved to give the same rows for less.
fn rewrites_section(rewrites: &[ShownStatement]) -> Section {
    let mut section = Section::new("Rewrites").paragraph(
        "Each of these texts gives the same rows on every database of this schema, and is cheaper by the planner. \
         \"pgwright rewrite --measure\" runs both by turns.",
    );
    for statement in rewrites {
        for shown in &statement.rewrites {
            let rewrite = &shown.rewrite;
            let claims = rewrite.conditions.iter().map(|condition| match &condition.standing {
                sql::Standing::Proved { by } if !by.is_empty() => {
                    format!("{}: {}", condition.claim, by.join(", "))
                }
                _ => condition.claim.clone(),
            });
            section = section
                .subheading(format!("Statement {}: {}", statement.queryid, rewrite.rules.join(", ")))
                .code("sql", format!("{}\n", statement.query.trim()))
                .paragraph(format!("Cost {:.0} → {:.0} with:", rewrite.cost_before, rewrite.cost_after))
                .code("sql", format!("{}\n", rewrite.sql))
                .list(claims.chain(rewrite.application.iter().map(|change| sentence(change))).collect());
        }
    }
    section
}

fn advice_section(advice: &advice::Advice) -> Section {
    let mut section = Section::new("Recommendations");
    if advice.recommendations.is_empty() {
        return section.paragraph("Nothing is recommended.");
    }
    if let Some(text) = advise::bound_text(advice) {
        section = section.paragraph(sentence(&text));
    }
    for recommendation in &advice.recommendations {
        section = section
            .subheading(format!("{}: {}", recommendation.id, recommendation.title))
            .paragraph(recommendation.rationale.clone())
            .code("sql", recommendation.sql.iter().map(|s| format!("{s};\n")).collect::<String>())
            .list(vec![
                sentence(&advise::benefit_text(recommendation)),
                format!(
                    "Price: {}.",
                    advise::price_text(&recommendation.price).unwrap_or_else(|| "none".into())
                ),
                format!("Lock: {}", recommendation.lock_duration),
            ]);
        if !recommendation.undo_sql.is_empty() {
            section = section
                .paragraph("Undo:")
                .code("sql", recommendation.undo_sql.iter().map(|s| format!("{s};\n")).collect::<String>());
        }
        let rows = recommendation
            .statements
            .iter()
            .map(|s| {
                vec![
                    s.queryid.to_string(),
                    s.calls.to_string(),
                    s.mean_ms.to_string(),
                    s.expected_ms.to_string(),
                    crate::printer::one_line(&s.query, 120),
                ]
            })
            .collect();
        section = section.table(&[">queryid", ">calls", ">mean", ">expected", "statement"], rows);
        if let Some(effect) = recommendation.statements.first() {
            for (word, value) in [("Plan before:", &effect.plan_before), ("Plan after:", &effect.plan_after)]
            {
                if let Ok(plan) = Plan::from_json(value) {
                    let tree = plan::render::tree(&plan, &Style { width: 110, color: false });
                    section = section.paragraph(word).code("", tree);
                }
            }
        }
    }
    section
}

/// What the best set within each budget saves, as a table and as a picture.
fn budget_section(advice: &advice::Advice) -> Option<Section> {
    if advice.curve.is_empty() {
        return None;
    }
    let rows = advice
        .curve
        .iter()
        .map(|point| {
            vec![
                point.max_bytes.to_string(),
                point.bytes.to_string(),
                point.indexes.to_string(),
                format!("{:.1} %", 100.0 * point.share_saved),
            ]
        })
        .collect();
    let steps = advice
        .curve
        .iter()
        .map(|point| Step {
            x: point.max_bytes.0 as f64,
            x_text: point.max_bytes.to_string(),
            share: point.share_saved,
            note: match point.indexes {
                1 => "1 index".into(),
                number => format!("{number} indexes"),
            },
        })
        .collect();
    Some(
        Section::new("What a budget buys")
            .paragraph(
                "The share of all execution time that the best set of new indexes within each budget saves.",
            )
            .chart(StepChart {
                description: "Share of execution time saved by the best set of indexes within each budget."
                    .into(),
                x_label: "budget for new indexes".into(),
                y_label: "execution time saved".into(),
                steps,
            })
            .table(&[">budget", ">used", ">indexes", ">saves"], rows),
    )
}

/// A line of text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

fn journal_section(journal: &[apply::JournalEntry]) -> Section {
    let rows = journal
        .iter()
        .map(|entry| {
            let verdict = entry
                .measured
                .as_ref()
                .and_then(|m| serde_json::from_value::<apply::verify::Verification>(m.clone()).ok())
                .map_or_else(String::new, |v| verdict_words(v.verdict).to_owned());
            vec![
                entry.entry_id.to_string(),
                entry.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
                entry.recommendation_id.clone(),
                entry.status.clone(),
                verdict,
                entry.title.clone(),
            ]
        })
        .collect();
    Section::new("What was done")
        .table(&[">entry", "at", "recommendation", "status", "verified", "title"], rows)
}

fn tables_section(snapshot: &Snapshot) -> Section {
    let mut relations: Vec<_> = snapshot.relations.iter().collect();
    relations.sort_by_key(|r| std::cmp::Reverse(r.table_bytes.0 + r.indexes_bytes.0));
    let rows = relations
        .iter()
        .take(20)
        .map(|r| {
            let activity = r.activity.as_ref();
            let count = |pick: fn(&model::snapshot::RelationActivity) -> i64| {
                activity.map_or_else(|| "-".into(), |a| pick(a).to_string())
            };
            vec![
                r.name.to_string(),
                format!("{:.0}", r.rows()),
                r.table_bytes.to_string(),
                r.indexes_bytes.to_string(),
                count(|a| a.seq_scan),
                count(|a| a.idx_scan),
                count(|a| a.n_dead_tup),
            ]
        })
        .collect();
    Section::new("Largest tables")
        .table(&["table", ">rows", ">table", ">indexes", ">seq scans", ">index scans", ">dead tuples"], rows)
}
