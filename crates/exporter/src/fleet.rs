//! What does a scrape of several servers get? Each family once, and in each of its samples which server it is of.

use std::fmt::Write as _;
use std::time::Instant;

use crate::board::{Chunk, NativeHistogram};
use crate::exposition::label;
use crate::families::Families;
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
) -> Vec<u8> {
    let mut families = Families::default();
    for chunk in own {
        families.add(chunk);
    }
    for (number, (name, exporter)) in members.enumerate() {
        let began = Instant::now();
        let mut of_server = String::new();
        label(SERVER, name, &mut of_server);
        exporter.families(|name, kind, help, text, native| {
            // Two servers' own queries may call different things the same.
            let Some(family) = families.of_kind(name, kind, help) else { return };
            if !is_of_the_process(name) {
                with_label(text, &of_server, &mut family.text);
                family.native.extend(native.iter().map(|fine| NativeHistogram {
                    labels: format!("{of_server},{}", fine.labels),
                    ..fine.clone()
                }));
            } else if number == 0 {
                family.text.push_str(text);
            }
        });
        exporter.health.scraped(began.elapsed());
    }
    families.write(format)
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
