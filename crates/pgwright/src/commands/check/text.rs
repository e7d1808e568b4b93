//! How is the outcome of a check told?

use advice::regression::{Outcome, Verdict};

use crate::printer::plain;

/// The outcome in lines: what is bad with everything known about it, the rest as a count.
pub(super) fn answer(against: &str, outcomes: &[Outcome]) -> String {
    let mut out = format!("against {}\n", plain(against));
    let told = [
        (Verdict::Fails, "fails"),
        (Verdict::Worse, "worse"),
        (Verdict::Changed, "changed"),
        (Verdict::Better, "better"),
    ];
    for (verdict, word) in told {
        for outcome in outcomes.iter().filter(|o| o.verdict == verdict) {
            out.push_str(&format!("{word:<8} {}\n", plain(&outcome.name)));
            for line in lines(outcome) {
                out.push_str(&format!("         {line}\n"));
            }
        }
    }
    let count = |verdict| outcomes.iter().filter(|o| o.verdict == verdict).count();
    out.push_str(&format!(
        "{} worse, {} failing, {} changed, {} better, {} the same\n",
        count(Verdict::Worse),
        count(Verdict::Fails),
        count(Verdict::Changed),
        count(Verdict::Better),
        count(Verdict::Same)
    ));
    out
}

/// What is known of one statement: reasons, causes with what undoes them, what changed in the plan.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome.reasons.iter().map(|r| plain(r)).collect();
    for cause in &outcome.causes {
        lines.push(format!("cause: {}", plain(&cause.text)));
        lines.push(format!("undo:  {}", plain(&cause.undo)));
    }
    lines.extend(outcome.remarks.iter().map(|r| plain(r)));
    if matches!(outcome.verdict, Verdict::Worse) {
        // The most telling one is a reason already.
        let told = |d: &&String| !outcome.reasons.iter().any(|r| r.ends_with(d.as_str()));
        lines.extend(outcome.differences.iter().filter(told).map(|d| format!("plan:  {}", plain(d))));
    }
    lines
}
