//! How well did advice do on this database so far? The error per kind of index, which `verify` keeps in
//! schema pgwright, told beside new advice.

use apply::verify::KindRecord;

use super::Context;
use crate::printer::plain;

/// What was measured on the database that was asked for, when it is a server and not a file. That
/// nothing can be read is no reason not to advise.
pub async fn read(context: &Context, on_server: bool) -> Vec<KindRecord> {
    match context.settings.target() {
        Ok(target) if on_server => apply::track_record(&target).await.unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The record in lines; nothing when there is none.
pub fn text(records: &[KindRecord]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let mut out = String::from("\nmeasured so far on this database\n");
    for record in records {
        let mut line = format!(
            "  {} {}: {:.0} % of the promised gain (n = {}, {} calls)",
            plain(&record.kind),
            if record.indexes == 1 { "index" } else { "indexes" },
            record.share * 100.0,
            record.indexes,
            record.calls
        );
        if let Some(ratio) = record.size_ratio {
            line.push_str(&format!(", {:.0} % of the predicted size", ratio * 100.0));
        }
        if let Some(ratio) = record.build_ratio {
            line.push_str(&format!(", {:.0} % of the predicted time to build", ratio * 100.0));
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_it_rests_on() {
        assert_eq!(text(&[]), "");
        let record = KindRecord {
            kind: "covering btree".into(),
            indexes: 12,
            calls: 3456,
            promised_ms: 100.0,
            saved_ms: 93.0,
            share: 0.93,
            size_ratio: Some(1.04),
            build_ratio: None,
        };
        assert_eq!(
            text(&[record]),
            "\nmeasured so far on this database\n  covering btree indexes: 93 % of the promised gain (n = 12, 3456 calls), \
             104 % of the predicted size\n"
        );
    }
}
