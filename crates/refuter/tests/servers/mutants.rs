//! Is anything proved that is not so? Pairs of all corpora with one thing changed, most of which are wrong then, and
//! the pairs under a schema that lacks one constraint: what is proved of these, the refuter is asked about.
//!
//! A few of them are tried each time; `PGWRIGHT_TEST_MUTANTS=20` tries twenty for each pair and every constraint.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use refuter::{Answer, Options, Refuter, Verdict};
use sql::{Rewriter, Standing};

use crate::corpus::{Pair, ddl, pairs_of};
use crate::proofs::snapshot_of;
use crate::world::{start, start_weakened};

/// The corpora: folder and schema.
const CORPORA: [(&str, &str); 14] = [
    ("", "registry"),
    ("", "shop"),
    ("", "types"),
    ("adversaries/", "clinic"),
    ("adversaries/", "depot"),
    ("adversaries/", "mill"),
    ("engineers/", "ledger"),
    ("engineers/", "rail"),
    ("held_out/", "company"),
    ("held_out/", "shop"),
    ("unseen/", "desk"),
    ("unseen/", "freight"),
    ("unseen/", "vault"),
    ("unseen/", "farm"),
];

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// A piece of a statement's text.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Space(String),
    Word(String),
    Number(String),
    Text(String),
    Symbol(String),
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Space(t) | Self::Word(t) | Self::Number(t) | Self::Text(t) | Self::Symbol(t) => t,
        }
    }

    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(t) if t.eq_ignore_ascii_case(word))
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let from = at;
        let taken = |at: usize| letters[from..at].iter().collect::<String>();
        let run = |mut at: usize, holds: fn(char) -> bool| {
            while at < letters.len() && holds(letters[at]) {
                at += 1;
            }
            at
        };
        let first = letters[at];
        match first {
            c if c.is_whitespace() => {
                at = run(at, char::is_whitespace);
                found.push(Piece::Space(taken(at)));
            }
            '\'' | '"' => {
                at = run(at + 1, if first == '"' { |c| c != '"' } else { |c| c != '\'' }) + 1;
                let at = at.min(letters.len());
                found.push(if first == '"' { Piece::Word(taken(at)) } else { Piece::Text(taken(at)) });
            }
            c if c.is_ascii_digit() => {
                at = run(at, |c| c.is_ascii_digit() || c == '.');
                found.push(Piece::Number(taken(at)));
            }
            c if c.is_alphabetic() || c == '_' => {
                at = run(at, |c| c.is_alphanumeric() || c == '_');
                found.push(Piece::Word(taken(at)));
            }
            '<' | '>' | '=' | '!' | '|' | '-' | '@' | '#' | ':' => {
                at = run(at, |c| "<>=!|-@#:&".contains(c));
                found.push(Piece::Symbol(taken(at)));
            }
            _ => {
                at += 1;
                found.push(Piece::Symbol(taken(at)));
            }
        }
    }
    found
}

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// Words that mean nearly the same, each list one kind.
const KINDS: &[&[&str]] = &[
    &["AND", "OR"],
    &["ASC", "DESC"],
    &["FIRST", "LAST"],
    &["ROWS", "RANGE", "GROUPS"],
    &["UNION", "INTERSECT", "EXCEPT"],
    &["LEFT", "RIGHT", "FULL", "INNER"],
    &["ANY", "ALL", "SOME"],
    &["PRECEDING", "FOLLOWING"],
    &["ROLLUP", "CUBE"],
    &["TRUE", "FALSE", "NULL"],
    &["count", "sum", "avg", "min", "max", "bool_or", "bool_and", "array_agg"],
    &["row_number", "rank", "dense_rank", "percent_rank"],
    &["lag", "lead", "first_value", "last_value"],
    &["coalesce", "nullif", "greatest", "least"],
    &["lower", "upper", "trim", "ltrim", "rtrim"],
    &["floor", "ceil", "round", "trunc"],
    &["date", "timestamp", "timestamptz", "time"],
    &["int", "bigint", "numeric", "text", "smallint", "varchar"],
    &["year", "month", "day", "hour", "week", "quarter"],
    &["EXISTS", "NOT EXISTS"],
    &["IN", "NOT IN"],
    &["LIKE", "ILIKE", "NOT LIKE"],
    &["NULL", "NOT NULL"],
    &["SELECT", "SELECT DISTINCT"],
    &["DISTINCT", ""],
    &["ALL", ""],
    &["NOT", ""],
    &["LEFT", ""],
    &["JOIN", "LEFT JOIN"],
    &["UNION", "UNION ALL"],
    &["LATERAL", ""],
    &["WHERE", "WHERE NOT"],
    &["ON", "ON NOT"],
];

/// Words at which a part of a statement ends.
const ENDS: &[&str] = &[
    "and",
    "or",
    "where",
    "group",
    "order",
    "limit",
    "offset",
    "having",
    "union",
    "except",
    "intersect",
    "from",
    "fetch",
    "then",
    "when",
    "else",
    "end",
    "window",
    "as",
    "left",
    "join",
    "cross",
    "inner",
];

/// Where the part that begins there ends: at a comma, a closing parenthesis or a word of `ends` on the same level.
fn end_of(pieces: &[Piece], from: usize, ends: &[&str], comma: bool) -> usize {
    let mut depth = 0;
    for (at, piece) in pieces.iter().enumerate().skip(from) {
        match piece.text() {
            "(" | "[" => depth += 1,
            ")" | "]" if depth == 0 => return at,
            ")" | "]" => depth -= 1,
            "," if depth == 0 && comma => return at,
            _ if depth == 0 && at > from && ends.iter().any(|word| piece.is(word)) => return at,
            _ => {}
        }
    }
    pieces.len()
}

/// The text with one thing changed; `None` where the place that was drawn offers nothing.
fn mutant(text: &str, names: &[String], draw: &mut StdRng) -> Option<String> {
    let mut all = pieces(text);
    let at = draw.random_range(0..all.len());
    let piece = all[at].clone();
    let after = all[at + 1..].iter().find(|p| !matches!(p, Piece::Space(_))).cloned();
    let put = |all: &mut Vec<Piece>, new: String| all[at] = Piece::Word(new);
    match &piece {
        Piece::Space(_) => return None,
        Piece::Symbol(symbol) => match symbol.as_str() {
            "," => {
                let end = end_of(&all, at + 1, ENDS, true);
                all.drain(at..end);
            }
            "+" => put(&mut all, "-".into()),
            "-" => put(&mut all, "+".into()),
            "(" if draw.random_bool(0.2) => put(&mut all, "(NOT ".into()),
            c if COMPARISONS.contains(&c) => {
                let new = COMPARISONS.choose(draw)?;
                let new = if draw.random_bool(0.1) { " IS NOT DISTINCT FROM " } else { new };
                put(&mut all, new.into());
            }
            _ => return None,
        },
        Piece::Number(number) => {
            let value: f64 = number.parse().ok()?;
            let new = *[value + 1.0, value - 1.0, 0.0, value * 10.0, value + 0.5].choose(draw)?;
            put(&mut all, new.to_string());
        }
        Piece::Text(text) => {
            let inner = text.trim_matches('\'');
            let new = match draw.random_range(0..6) {
                0 => String::new(),
                1 => format!("{inner}x"),
                2 => format!("{inner} "),
                3 => inner.replace("-01", "-02"),
                4 => inner.replace('%', "_"),
                _ => {
                    let texts: Vec<&Piece> = all.iter().filter(|p| matches!(p, Piece::Text(_))).collect();
                    texts.choose(draw)?.text().trim_matches('\'').to_owned()
                }
            };
            put(&mut all, format!("'{new}'"));
        }
        Piece::Word(word) => {
            let kinds: Vec<&&[&str]> =
                KINDS.iter().filter(|kind| kind.iter().any(|w| w.eq_ignore_ascii_case(word))).collect();
            let clause = ["and", "or", "where", "limit", "offset", "having", "filter", "partition", "order"];
            if clause.iter().any(|w| piece.is(w)) && (kinds.is_empty() || draw.random_bool(0.5)) {
                // The whole part goes.
                let ends: Vec<&str> = ENDS
                    .iter()
                    .copied()
                    .filter(|w| piece.is("and") || piece.is("or") || !["and", "or"].contains(w))
                    .collect();
                let end = end_of(&all, at + 1, &ends, false);
                all.drain(at..end);
            } else if let Some(kind) = kinds.choose(draw) {
                put(&mut all, (*kind.choose(draw)?).to_owned());
            } else if after.as_ref().is_some_and(|p| p.text() == "(") {
                return None;
            } else if names.contains(word) {
                // Another column, table or alias of the pair.
                let name = names.choose(draw)?.clone();
                put(&mut all, name);
            } else {
                return None;
            }
        }
    }
    let new: String = all.iter().map(Piece::text).collect();
    (new != text).then_some(new)
}

/// Names that both texts of a pair use.
fn names(pair: &Pair) -> Vec<String> {
    let mut found: Vec<String> = pieces(&format!("{} {}", pair.before, pair.after))
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Word(word) if word.chars().next().is_some_and(char::is_lowercase) => Some(word),
            _ => None,
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The rows without case, sorted.
fn caseless(answer: &Answer) -> Vec<String> {
    let mut rows: Vec<String> = answer.rows.iter().map(|row| format!("{row:?}").to_lowercase()).collect();
    rows.sort();
    rows
}

/// A refuter that tries so many databases of a schema of the corpus, and the snapshot for proofs.
async fn opened(schema: &str, databases: u32) -> (Refuter, model::Snapshot) {
    let mut refuter = start(&ddl(schema)).await;
    let snapshot = snapshot_of(&refuter, schema).await;
    let options = Options { databases, time_limit: Duration::from_secs(20), ..Options::default() };
    refuter.set_options(options).await.unwrap();
    (refuter, snapshot)
}

/// What is wrong with a proof, if anything is.
async fn objection(refuter: &mut Refuter, one: &str, other: &str) -> Option<String> {
    match refuter.compare(one, other).await {
        Ok(Verdict::Tested { .. } | Verdict::NotComparable { .. }) => None,
        // A proof is about statements that PostgreSQL accepts.
        Err(refuter::Error::Statement { .. }) => None,
        // Errors are no answers: where arithmetic would overflow, another text may give rows.
        Ok(Verdict::Refuted(witness)) if witness.before.error.is_some() && witness.after.error.is_none() => {
            None
        }
        // Which of the texts that a collation takes for the same is kept, nobody says.
        Ok(Verdict::Refuted(witness)) if caseless(&witness.before) == caseless(&witness.after) => None,
        other => Some(format!("{other:#?}")),
    }
}

#[tokio::test]
async fn no_proved_mutant_is_refuted() {
    let each = number("PGWRIGHT_TEST_MUTANTS");
    let seed = number("PGWRIGHT_SEED").unwrap_or(1) as u64;
    let (each, every, databases) = each.map_or((1, 8, 60), |each| (each, 1, 200));
    let mut wrong = Vec::new();
    let (mut tried, mut proved) = (0, 0);
    for (folder, schema) in CORPORA {
        let (mut refuter, snapshot) = opened(schema, databases).await;
        let rewriter = Rewriter::new(&snapshot);
        let all = ["valid", "wrong"].into_iter().flat_map(|kind| pairs_of(folder, schema, kind));
        for (n, pair) in all.enumerate().filter(|(n, _)| n % every == 0) {
            let mut draw = StdRng::seed_from_u64(seed.wrapping_mul(7919).wrapping_add(n as u64));
            let names = names(&pair);
            let sides = [
                (&pair.before, &pair.after),
                (&pair.after, &pair.before),
                (&pair.before, &pair.before),
                (&pair.after, &pair.after),
            ];
            for (one, other) in sides {
                let mut found = 0;
                for _ in 0..each * 8 {
                    let Some(text) = mutant(other, &names, &mut draw) else { continue };
                    found += 1;
                    if found > each {
                        break;
                    }
                    tried += 1;
                    if !matches!(rewriter.prove(one, &text), Ok(Some(_))) {
                        continue;
                    }
                    proved += 1;
                    if let Some(why) = objection(&mut refuter, one, &text).await {
                        let line = format!("{schema} {}\n{one}\n{text}\n{why}", pair.name);
                        println!("{line}");
                        wrong.push(line);
                    }
                }
            }
        }
        println!("{folder}{schema}: {tried} tried so far, {proved} proved, {} refuted", wrong.len());
    }
    assert!(wrong.is_empty(), "{} of {proved}\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 500, "{tried}");
}

/// What the rules make of changed statements: a rule may rest on something that was always so in the corpus.
#[tokio::test]
async fn no_proved_rewrite_of_a_mutant_is_refuted() {
    let seed = number("PGWRIGHT_SEED").unwrap_or(1) as u64;
    let (each, every, databases) = number("PGWRIGHT_TEST_MUTANTS").map_or((1, 2, 60), |each| (each, 1, 200));
    let mut wrong = Vec::new();
    let (mut tried, mut offered) = (0, 0);
    for (folder, schema) in CORPORA {
        let (mut refuter, snapshot) = opened(schema, databases).await;
        let rewriter = Rewriter::new(&snapshot);
        let all = ["valid", "wrong"].into_iter().flat_map(|kind| pairs_of(folder, schema, kind));
        for (n, pair) in all.enumerate().filter(|(n, _)| n % every == 0) {
            let mut draw = StdRng::seed_from_u64(seed.wrapping_mul(104_729).wrapping_add(n as u64));
            let names = names(&pair);
            for text in [&pair.before, &pair.after] {
                let mutants =
                    (0..each * 8).filter_map(|_| mutant(text, &names, &mut draw)).collect::<Vec<_>>();
                for changed in mutants.into_iter().take(each) {
                    tried += 1;
                    for rewrite in rewriter.rewrites(&changed).unwrap_or_default() {
                        let open =
                            rewrite.conditions.iter().any(|c| !matches!(c.standing, Standing::Proved { .. }));
                        let Some(new) = rewrite.sql.filter(|_| !open && rewrite.application.is_empty())
                        else {
                            continue;
                        };
                        offered += 1;
                        if let Some(why) = objection(&mut refuter, &changed, &new).await {
                            let line =
                                format!("{schema} {}, {}\n{changed}\n{new}\n{why}", pair.name, rewrite.rule);
                            println!("{line}");
                            wrong.push(line);
                        }
                    }
                }
            }
        }
        println!("{folder}{schema}: {tried} tried so far, {offered} rewrites, {} refuted", wrong.len());
    }
    assert!(wrong.is_empty(), "{} of {offered}\n{}", wrong.len(), wrong.join("\n"));
    assert!(offered > 10, "{offered}");
}

/// The schema without one constraint, and the name of the table that had it.
fn weakened(ddl: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let table_at = |at: usize| {
        let head = ddl[..at].to_lowercase();
        let from = ["create table ", "alter table ", " on "]
            .iter()
            .filter_map(|w| head.rfind(w).map(|i| i + w.len()))
            .max()?;
        let name: String = ddl[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        Some(name)
    };
    let lower = ddl.to_lowercase();
    for (from, to) in [
        (" not null", ""),
        (" primary key", " not null"),
        (" unique", ""),
        ("create unique index", "create index"),
    ] {
        for (at, _) in lower.match_indices(from) {
            let place = if from.starts_with("create") { at + from.len() } else { at };
            let name = match from.starts_with("create") {
                true => lower[place..].find(" on ").map(|i| {
                    ddl[place + i + 4..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
                }),
                false => table_at(at),
            };
            let Some(name) = name else { continue };
            found.push((format!("{}{to}{}", &ddl[..at], &ddl[at + from.len()..]), name));
        }
    }
    for from in [" check (", " references "] {
        for (at, _) in lower.match_indices(from) {
            let Some(name) = table_at(at) else { continue };
            let Some(open) = ddl[at..].find('(').map(|i| i + at) else { continue };
            let mut depth = 0;
            let Some(close) = ddl[open..].char_indices().find_map(|(i, c)| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                (depth == 0).then_some(open + i + 1)
            }) else {
                continue;
            };
            found.push((format!("{}{}", &ddl[..at], &ddl[close..]), name));
        }
    }
    found
}

#[tokio::test]
async fn no_proof_outlives_the_constraint_that_it_rests_on() {
    let every = if number("PGWRIGHT_TEST_MUTANTS").is_some() { 1 } else { 60 };
    let mut wrong = Vec::new();
    let (mut schemas, mut proved, mut lost) = (0, 0, 0);
    for (folder, schema) in CORPORA {
        let whole = ddl(schema);
        let refuter = start(&whole).await;
        let snapshot = snapshot_of(&refuter, schema).await;
        let rewriter = Rewriter::new(&snapshot);
        let mut valid = pairs_of(folder, schema, "valid");
        valid.retain(|p| matches!(rewriter.prove(&p.before, &p.after), Ok(Some(_))));
        drop(refuter);
        for (less, table) in weakened(&whole).into_iter().step_by(every) {
            // Something else needs the constraint.
            let Some(mut refuter) = start_weakened(&less).await else { continue };
            schemas += 1;
            let options =
                Options { databases: 100, time_limit: Duration::from_secs(20), ..Options::default() };
            refuter.set_options(options).await.unwrap();
            let snapshot = crate::proofs::snapshot_of_ddl(&refuter, &less).await;
            let rewriter = Rewriter::new(&snapshot);
            for pair in valid.iter().filter(|p| format!("{} {}", p.before, p.after).contains(&table)) {
                if !matches!(rewriter.prove(&pair.before, &pair.after), Ok(Some(_))) {
                    lost += 1;
                    continue;
                }
                proved += 1;
                if let Some(why) = objection(&mut refuter, &pair.before, &pair.after).await {
                    let line = format!(
                        "{schema} {} without a constraint of {table}\n{}\n{}\n{why}",
                        pair.name, pair.before, pair.after
                    );
                    println!("{line}");
                    wrong.push(line);
                }
            }
        }
        println!(
            "{folder}{schema}: {schemas} schemas so far, {proved} proved, {lost} no longer, {} refuted",
            wrong.len()
        );
    }
    assert!(wrong.is_empty(), "{} of {proved}\n{}", wrong.len(), wrong.join("\n"));
    assert!(lost > 0);
}
