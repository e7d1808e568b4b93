//! What does a scrape of several servers get? Each family once, and in each of its samples which server it is of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use crate::board::Chunk;
use crate::exposition::{self, Kind, label};
use crate::{Exporter, Format};

/// The label that says of which server a sample is.
pub const SERVER: &str = "server";
/// What a label of that name is called that a server's own query gives, as Prometheus does.
const EXPORTED: &str = "exported_server";

/// What of pgwright itself is the same whichever server it watches.
fn is_of_the_process(family: &str) -> bool {
    family.starts_with("pgwright_process_") || family == "pgwright_build_info"
}

/// Everything that is known of several servers, with `own` beside it.
pub fn scrape<'a>(
    members: impl Iterator<Item = (&'a str, &'a Exporter)>,
    format: Format,
    own: &[Chunk],
) -> String {
    let mut families: BTreeMap<String, (Kind, String, String)> = BTreeMap::new();
    for chunk in own.iter().filter(|chunk| !chunk.text.is_empty()) {
        families.insert(chunk.name.clone(), (chunk.kind, chunk.help.clone(), chunk.text.clone()));
    }
    for (number, (name, exporter)) in members.enumerate() {
        let began = Instant::now();
        let mut of_server = String::new();
        label(SERVER, name, &mut of_server);
        exporter.families(|family, kind, help, text| {
            if !families.contains_key(family) {
                families.insert(family.to_owned(), (kind, help.to_owned(), String::new()));
            }
            let Some((known, _, out)) = families.get_mut(family) else { return };
            // Two servers' own queries may call different things the same.
            if *known != kind {
                return;
            }
            if !is_of_the_process(family) {
                with_label(text, &of_server, out);
            } else if number == 0 {
                out.push_str(text);
            }
        });
        exporter.health.scraped(began.elapsed());
    }
    let mut text = String::with_capacity(families.values().map(|f| f.2.len() + 300).sum());
    for (name, (kind, help, samples)) in &families {
        if !samples.is_empty() {
            exposition::head(format, name, *kind, help, &mut text);
            text.push_str(samples);
        }
    }
    exposition::end(format, &mut text);
    text
}

/// Writes samples with one label more, which stands first.
fn with_label(samples: &str, label: &str, out: &mut String) {
    // Within a value quotes are escaped, so this can only be the beginning of a label.
    let (first, other) = (format!("{{{SERVER}=\""), format!(",{SERVER}=\""));
    let taken = samples.contains(&first) || samples.contains(&other);
    for line in samples.lines() {
        let renamed = taken.then(|| {
            let line = line.replacen(&first, &format!("{{{EXPORTED}=\""), 1);
            line.replacen(&other, &format!(",{EXPORTED}=\""), 1)
        });
        let line = renamed.as_deref().unwrap_or(line);
        // A name has neither braces nor spaces, so whichever comes first ends it.
        let written = match line.find(['{', ' ']) {
            Some(at) if line[at..].starts_with('{') => {
                writeln!(out, "{}{{{label},{}", &line[..at], &line[at + 1..])
            }
            Some(at) => writeln!(out, "{}{{{label}}}{}", &line[..at], &line[at..]),
            None => Ok(()),
        };
        // Writing to a string cannot fail.
        debug_assert!(written.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_says_of_which_server_it_is() {
        let mut out = String::new();
        let samples = "up 1\nrows{table=\"a{ b\"} 2\nqueries{server=\"x\",q=\"1\"} 3\nqueries{q=\",server=\\\"\",server=\"y\"} 4\n";
        with_label(samples, "server=\"one\"", &mut out);
        assert_eq!(
            out,
            "up{server=\"one\"} 1\nrows{server=\"one\",table=\"a{ b\"} 2\n\
             queries{server=\"one\",exported_server=\"x\",q=\"1\"} 3\n\
             queries{server=\"one\",q=\",server=\\\"\",exported_server=\"y\"} 4\n"
        );
    }
}
