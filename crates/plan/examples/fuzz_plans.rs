//! Does any input make reading, checking or showing a plan panic, or take long? A million and more inputs, by chance
//! that a seed decides: the plans of the fixtures with places changed, and trees that are grown from their words.
//!
//! `cargo xtask fuzz-plans --inputs 1000000 --seed 1`. An input that panics is written to a file, and the
//! exit code is 1.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plan::{Thresholds, checks, input, render};
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/plans");

/// An input that takes longer than this is reported: reading is meant to be linear in its length.
const SLOW: Duration = Duration::from_secs(1);

/// SplitMix64: a few lines, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[derive(Default)]
struct Counters {
    plans: AtomicU64,
    refused: AtomicU64,
    statements: AtomicU64,
    findings: AtomicU64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(Some(default), |v| v.parse().ok())
    };
    let (Some(inputs), Some(seed)) = (option("--inputs", 1_000_000), option("--seed", 1)) else {
        eprintln!("error: --inputs and --seed take numbers");
        return ExitCode::from(2);
    };
    let corpus = match corpus(Path::new(FIXTURES)) {
        Ok(corpus) => corpus,
        Err(error) => {
            eprintln!("error: could not read {FIXTURES}: {error}");
            return ExitCode::from(2);
        }
    };
    // A panic is counted and its input kept; the default hook would print thousands of lines.
    std::panic::set_hook(Box::new(|_| {}));
    let words = Words::of(&corpus);
    let counters = Counters::default();
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (corpus, words, counters) = (&corpus, &words, &counters);
                scope.spawn(move || {
                    // Every input has a seed of its own, so that the number of threads changes nothing.
                    (thread..inputs)
                        .step_by(threads as usize)
                        .filter_map(|number| try_one(corpus, words, seed, number, counters))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("inputs           {inputs} (seed {seed}, {} texts to begin with)", corpus.len());
    println!("read as plans    {}", counters.plans.load(Ordering::Relaxed));
    println!("refused          {}", counters.refused.load(Ordering::Relaxed));
    println!("without a plan   {}", counters.statements.load(Ordering::Relaxed));
    println!("findings         {}", counters.findings.load(Ordering::Relaxed));
    println!("seconds          {seconds:.1} ({:.0} inputs per second)", inputs as f64 / seconds);
    println!("panics or slow   {}", failures.len());
    for failure in &failures {
        println!("  {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Every fixture, in JSON and in text.
fn corpus(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for major in std::fs::read_dir(folder)? {
        let major = major?.path();
        if major.is_dir() && !major.ends_with("queries") {
            files.extend(
                std::fs::read_dir(major)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|f| f.path()),
            );
        }
    }
    files.sort();
    files.into_iter().map(std::fs::read_to_string).collect()
}

/// The keys and texts of all plans in JSON.
struct Words {
    keys: Vec<String>,
    texts: Vec<String>,
}

impl Words {
    fn of(corpus: &[String]) -> Self {
        let (mut keys, mut texts) = (BTreeSet::new(), BTreeSet::new());
        let mut left: Vec<Value> = corpus.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        while let Some(value) = left.pop() {
            match value {
                Value::Array(items) => left.extend(items),
                Value::Object(map) => {
                    for (key, inner) in map {
                        keys.insert(key);
                        left.push(inner);
                    }
                }
                Value::String(text) => drop(texts.insert(text)),
                _ => {}
            }
        }
        texts.extend(HOSTILE.map(str::to_owned));
        Self { keys: keys.into_iter().collect(), texts: texts.into_iter().collect() }
    }

    /// A value of any kind.
    fn scalar(&self, chance: &mut Chance) -> Value {
        match chance.below(9) {
            0 => Value::Null,
            1 => (chance.below(2) == 0).into(),
            2 => (chance.next() as i64).into(),
            3 => f64::from_bits(chance.next()).into(),
            4 | 5 => chance.below(1_000).into(),
            _ => chance.pick(&self.texts).as_str().into(),
        }
    }

    /// A tree of nodes with keys that plans have and values of any kind.
    fn grow(&self, chance: &mut Chance, depth: usize) -> Value {
        let mut node = serde_json::Map::new();
        for _ in 0..chance.below(14) {
            let value = match chance.below(8) {
                0 if depth > 0 => self.grow(chance, depth - 1),
                1 => (0..chance.below(4)).map(|_| self.scalar(chance)).collect(),
                _ => self.scalar(chance),
            };
            node.insert(chance.pick(&self.keys).clone(), value);
        }
        // What most nodes have, so that trees are read and not refused.
        node.insert("Node Type".into(), chance.word(&KINDS).into());
        for key in ["Total Cost", "Plan Rows", "Actual Rows", "Actual Loops", "Actual Total Time"] {
            if chance.below(3) > 0 {
                node.insert(key.into(), (chance.below(100_000) as f64 / 8.0).into());
            }
        }
        if depth > 0 {
            let below = (0..chance.below(4)).map(|_| self.grow(chance, depth - 1)).collect();
            node.insert("Plans".into(), below);
        }
        Value::Object(node)
    }

    fn plan(&self, chance: &mut Chance) -> String {
        let depth = chance.below(5);
        let mut whole = serde_json::Map::new();
        whole.insert("Plan".into(), self.grow(chance, depth));
        for _ in 0..chance.below(5) {
            let value = if chance.below(2) == 0 { self.grow(chance, 1) } else { self.scalar(chance) };
            whole.insert(chance.pick(&self.keys).clone(), value);
        }
        serde_json::json!([whole]).to_string()
    }
}

fn try_one(corpus: &[String], words: &Words, seed: u64, number: u64, counters: &Counters) -> Option<String> {
    let mut chance = Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(number));
    chance.next();
    let text = make(corpus, words, &mut chance);
    let try_it = || {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| use_it(&text, counters)));
        (outcome.is_ok(), began.elapsed())
    };
    let (mut ok, mut took) = try_it();
    // On a busy machine a thread may have to wait; what is slow is slow again.
    for _ in 0..3 {
        if ok && took > SLOW {
            let (again, shorter) = try_it();
            (ok, took) = (again, took.min(shorter));
        }
    }
    let what = match (ok, took > SLOW) {
        (false, _) => "panicked",
        (true, true) => "was slow",
        (true, false) => return None,
    };
    let path = format!("target/fuzz-{seed}-{number}.txt");
    let kept = std::fs::write(&path, &text).map_or_else(|e| format!("not kept: {e}"), |()| path);
    Some(format!("input {number} {what} after {} ms: {kept}", took.as_millis()))
}

/// What `pgwright explain` does with a file.
fn use_it(text: &str, counters: &Counters) {
    let found = match input::find(&mut text.as_bytes()) {
        Ok(found) => found,
        Err(error) => {
            let _ = (error.to_string(), error.detail(), error.hint());
            counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    if found.plans.is_empty() {
        counters.statements.fetch_add(1, Ordering::Relaxed);
    }
    let mut previous = None;
    for found in found.plans.iter().take(8) {
        let Ok(plan) = found.plan() else {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let findings = checks::run(&plan, &Thresholds { min_share: 0.0, ..Thresholds::default() });
        counters.plans.fetch_add(1, Ordering::Relaxed);
        counters.findings.fetch_add(findings.len() as u64, Ordering::Relaxed);
        let tree = render::tree_with(&plan, &findings, &render::Style { width: 100, color: false });
        assert!(tree.chars().all(|c| c == '\n' || !c.is_control()), "a control character is shown");
        render::shape_hash(&plan);
        let remedies = plan::remedy::remedies(&plan, &findings, None);
        let page = render::page(
            &plan,
            &render::Page { findings: &findings, remedies: &remedies, ..Default::default() },
        );
        assert!(!page.contains("<script"), "a script is on the page");
        let other = previous.get_or_insert_with(|| plan.clone());
        assert!(plan::diff::diff(&plan, &plan).changes.is_empty(), "a plan differs from itself");
        plan::diff::diff(other, &plan).lines();
        for node in &plan.nodes {
            assert!(node.own.ms.is_none_or(|ms| ms >= 0.0) && node.own.cost >= 0.0, "less than nothing");
        }
    }
}

fn make(corpus: &[String], words: &Words, chance: &mut Chance) -> String {
    let mut text = chance.pick(corpus).clone();
    if chance.below(5) == 0 {
        text = words.plan(chance);
    } else if chance.below(4) > 0 && text.starts_with('[') {
        if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
            for _ in 0..=chance.below(6) {
                mutate_value(&mut value, chance);
            }
            text = if chance.below(2) == 0 { value.to_string() } else { format!("{value:#}") };
        }
    } else {
        for _ in 0..=chance.below(4) {
            mutate_lines(&mut text, corpus, chance);
        }
    }
    // Damaged JSON is refused before anything is read: most inputs keep their grammar.
    if chance.below(4) == 0 {
        for _ in 0..=chance.below(3) {
            mutate_bytes(&mut text, chance);
        }
    }
    match chance.below(8) {
        0 => format!(
            "2026-01-01 LOG:  duration: {}.5 ms  plan:\n\t{}\n",
            chance.below(9_999),
            text.replace('\n', "\n\t")
        ),
        1 => format!("a,\"duration: 1.000 ms  plan:\n{}\",,\n", text.replace('"', "\"\"")),
        2 => {
            let rows: String = text
                .lines()
                .map(|l| format!(" {l}{}\n", if chance.below(3) == 0 { "+" } else { "" }))
                .collect();
            format!("  QUERY PLAN\n-----------\n{rows}(3 rows)\n")
        }
        _ => text,
    }
}

/// Changes one place of a value, wherever it is.
fn mutate_value(value: &mut Value, chance: &mut Chance) {
    let mut current = value;
    for _ in 0..chance.below(24) {
        // Deeper while there is something deeper; the last one reached is changed.
        let inside = match current {
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => false,
        };
        if !inside {
            break;
        }
        current = match current {
            Value::Array(items) => {
                let at = chance.below(items.len());
                &mut items[at]
            }
            Value::Object(map) => {
                let at = chance.below(map.len());
                if chance.below(20) == 0 {
                    if let Some(key) = map.keys().nth(at).cloned() {
                        map.remove(&key);
                    }
                    return;
                }
                match map.values_mut().nth(at) {
                    Some(inner) => inner,
                    None => return,
                }
            }
            _ => return,
        };
    }
    *current = match chance.below(12) {
        0 => Value::Null,
        1 => (chance.next() as i64).into(),
        2 => f64::from_bits(chance.next()).into(),
        3 => Value::Array(vec![current.take(); chance.below(3)]),
        4 => chance.word(&HOSTILE).into(),
        5 => serde_json::json!({ "Node Type": chance.word(&KINDS), "Plans": [current.take()] }),
        6 => serde_json::json!(-1e308),
        7 => serde_json::json!(u64::MAX),
        8 => chance.word(&KINDS).into(),
        9 => {
            serde_json::json!([{ "Parent Relationship": "InitPlan", "Subplan Name": "CTE x", "Actual Loops": 3 }])
        }
        10 => true.into(),
        _ => serde_json::json!({}),
    };
}

const KINDS: [&str; 12] = [
    "Hash Join",
    "Nested Loop",
    "CTE Scan",
    "Append",
    "Gather",
    "Memoize",
    "Sort",
    "Limit",
    "ModifyTable",
    "Bitmap Heap Scan",
    "Aggregate",
    "Materialize",
];

const HOSTILE: [&str; 15] = [
    "",
    "((((",
    "'",
    "\"",
    "\u{1b}[2J",
    "(NOT (SubPlan 1))",
    "((a)::date = 'x",
    "CTE x",
    "\u{202e}",
    "é(",
    "a::b::c)",
    "(returns $0,$1",
    "<script>alert(1)</script>",
    "\0",
    "((x)::numeric = '1'::numeric) AND ",
];

fn mutate_lines(text: &mut String, corpus: &[String], chance: &mut Chance) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    let at = chance.below(lines.len());
    match chance.below(7) {
        0 => drop(lines.remove(at)),
        1 => {
            let line = lines[at].clone();
            lines.insert(at, line);
        }
        2 => {
            let other = chance.below(lines.len());
            lines.swap(at, other);
        }
        3 => lines[at] = format!("{}{}", " ".repeat(chance.below(12)), lines[at].trim_start()),
        4 => lines.truncate(at),
        5 => {
            let other = chance.pick(corpus);
            let count = other.lines().count();
            let from = chance.below(count);
            lines.extend(other.lines().skip(from).map(str::to_owned));
        }
        _ => lines[at].push_str(chance.word(&HOSTILE)),
    }
    *text = lines.join("\n");
}

fn mutate_bytes(text: &mut String, chance: &mut Chance) {
    let mut at = chance.below(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match chance.below(3) {
        0 => text.truncate(at),
        1 => text.insert_str(at, chance.word(&HOSTILE)),
        _ => {
            if at < text.len() {
                text.remove(at);
            }
        }
    }
}
