//! How does a plan in PostgreSQL's text format become what `FORMAT JSON` would have printed?
//!
//! Source: `ExplainNode()` and its callers in explain.c. The root's properties stand two columns to its right;
//! an arrow stands where its parent's properties stand, or two columns further right under a line that
//! names an InitPlan, a SubPlan or a `WITH` query; a node's own properties stand six columns right of its
//! arrow. A constant may hold line breaks: while a quotation mark is open, lines belong to it.

use serde_json::{Map, Value, json};

use super::{Line, names, properties};
use crate::error::PlanError;
use crate::parse::{MAX_DEPTH, MAX_NODES};

/// The plans of a text, each with its lines; none when it holds none.
pub(super) fn split<'a, 'b>(lines: &'b [Line<'a>]) -> Vec<&'b [Line<'a>]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut base = 0;
    let mut quote = None;
    for (at, line) in lines.iter().enumerate() {
        let text = line.text.trim_start();
        let indent = line.text.len() - text.len();
        let open = quote.is_some();
        scan_quotes(text, &mut quote);
        if text.starts_with("->") || (open && !starts.is_empty()) {
            continue;
        }
        let begins = match starts.last() {
            None => is_root(lines, at),
            Some(_) => indent == base && names::has_figures(text) && names::node(text).is_some(),
        };
        if begins {
            base = indent;
            quote = None;
            starts.push(at);
        }
    }
    // What stands before the first plan is part of it when it is auto_explain's text of the statement.
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts.iter().zip(ends).map(|(start, end)| &lines[*start..end]).collect()
}

/// Whether a plan begins at this line: a node with figures, or one without (`COSTS OFF`) that has an arrow
/// or a property below.
fn is_root(lines: &[Line<'_>], at: usize) -> bool {
    let text = lines[at].text.trim();
    if names::has_figures(text) {
        return names::node(text).is_some();
    }
    let below = lines.get(at + 1).map_or("", |l| l.text.as_ref());
    let indented = below.starts_with(' ') && (below.trim_start().starts_with("->") || below.contains(": "));
    let alone = lines[at + 1..].iter().all(|l| l.text.trim().is_empty());
    // A plan whose first line is cut off is still a plan and deserves a better answer than a syntax error.
    let cut = names::is_cut(text) && text.split("  (cost=").next().is_some_and(|n| names::node(n).is_some());
    cut || ((indented || alone) && names::node(text).is_some())
}

/// Follows quotation marks over a line.
fn scan_quotes(text: &str, quote: &mut Option<char>) {
    for c in text.chars() {
        match *quote {
            Some(q) if c == q => *quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => *quote = Some(c),
            None => {}
        }
    }
}

/// Reads one plan that begins at this line of the whole text; auto_explain's `Query Text` may stand before.
pub(super) fn read(text: &str, first_line: usize) -> Result<Value, PlanError> {
    let with_quotes = Reader::new(text, first_line, true).read();
    match with_quotes {
        // A lone quotation mark, in a file name for instance, must not swallow the rest.
        Err(PlanError::OpenQuote) => Reader::new(text, first_line, false).read(),
        other => other,
    }
}

struct Draft {
    object: Map<String, Value>,
    parent: Option<usize>,
    line: usize,
    /// Where its properties stand.
    column: usize,
    depth: usize,
    inputs: usize,
}

/// Which lines are being read.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    Nodes,
    Planning,
    Jit,
}

/// To what a continued line belongs.
#[derive(Clone)]
enum Last {
    Nothing,
    Property { node: usize, worker: Option<usize>, key: String, value: String },
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    first_line: usize,
    quotes: bool,
    quote: Option<char>,
    base: usize,
    nodes: Vec<Draft>,
    /// Nodes that can still get properties and children, the deepest last.
    open: Vec<usize>,
    label: Option<(usize, String)>,
    worker: Option<usize>,
    last: Last,
    section: Section,
    top: Map<String, Value>,
    last_line: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, first_line: usize, quotes: bool) -> Self {
        Self {
            lines: text.lines().collect(),
            first_line,
            quotes,
            quote: None,
            base: 0,
            nodes: Vec::new(),
            open: Vec::new(),
            label: None,
            worker: None,
            last: Last::Nothing,
            section: Section::Nodes,
            top: Map::new(),
            last_line: first_line,
        }
    }

    fn read(mut self) -> Result<Value, PlanError> {
        let lines = std::mem::take(&mut self.lines);
        let root = self.find_root(&lines)?;
        for (offset, line) in lines.iter().enumerate().skip(root) {
            let text = line.trim_start();
            let number = self.first_line + offset;
            if text.is_empty() && self.quote.is_none() {
                continue;
            }
            self.last_line = number;
            self.take_line(line, text.trim_end(), line.len() - text.len(), number)?;
        }
        if self.quote.is_some() {
            return Err(PlanError::OpenQuote);
        }
        self.flush();
        self.finish()
    }

    /// The root's line; what is before it is the statement's text.
    fn find_root(&mut self, lines: &[&str]) -> Result<usize, PlanError> {
        let with_text = lines.first().is_some_and(|l| l.trim_start().starts_with("Query Text:"));
        if !with_text {
            return Ok(0);
        }
        let root = lines
            .iter()
            .position(|l| !l.starts_with(' ') && names::has_figures(l) && names::node(l.trim()).is_some());
        let Some(root) = root else {
            let line = self.first_line + lines.len().saturating_sub(1);
            return Err(PlanError::CutOff {
                line,
                what: "There is no node behind the statement's text.".into(),
            });
        };
        let mut text = lines[..root].join("\n");
        if let Some((query, parameters)) = text.clone().split_once("\nQuery Parameters: ") {
            self.top.insert("Query Parameters".into(), parameters.into());
            text = query.to_owned();
        }
        let text = text.trim_start().strip_prefix("Query Text:").unwrap_or(&text).trim();
        self.top.insert("Query Text".into(), text.into());
        Ok(root)
    }

    fn take_line(&mut self, line: &str, text: &str, indent: usize, number: usize) -> Result<(), PlanError> {
        if self.quotes && self.quote.is_some() {
            self.continue_property(line);
            return Ok(());
        }
        if self.nodes.is_empty() {
            let Some(object) = names::node(text) else {
                return Err(if names::is_cut(text) { cut(number, text) } else { self.strange(number, text) });
            };
            self.base = indent;
            return self.push_node(object, None, indent + 2, number);
        }
        if let Some(node) = text.strip_prefix("->") {
            let column = indent + 6;
            if let Some(object) = names::node(node.trim_start()).filter(|_| self.fits(indent)) {
                self.flush();
                self.section = Section::Nodes;
                let parent = self.parent_of(indent);
                return self.push_node(object, parent, column, number);
            }
            if names::is_cut(node) {
                return Err(cut(number, text));
            }
        }
        if indent == self.base {
            self.flush();
            return self.top_level(text, number);
        }
        if self.section != Section::Nodes {
            self.section_line(text);
            return Ok(());
        }
        if let Some(name) =
            subplan_label(text).filter(|_| self.open.iter().any(|n| self.nodes[*n].column == indent))
        {
            self.flush();
            self.label = Some((indent, name.to_owned()));
            self.close_below(indent);
            return Ok(());
        }
        let nested = self.worker.is_some() || is_nested_key(text);
        let owner = self.node_at(indent).or_else(|| if nested { self.open.last().copied() } else { None });
        match (owner, text.split_once(':')) {
            (Some(node), Some((key, value))) if is_key(key) => {
                if self.nodes[node].column == indent {
                    self.worker = None;
                }
                self.flush();
                self.property(node, key, value.trim_start());
            }
            // `Update on events_2` lists the tables of a partitioned target.
            (Some(node), _) if is_target(text) => {
                self.flush();
                let target = text.split_once(" on ").map_or(text, |(_, t)| t);
                if let Value::Array(all) =
                    self.nodes[node].object.entry("Target Tables").or_insert_with(|| json!([]))
                {
                    all.push(target.into());
                }
            }
            _ => self.continue_property(line),
        }
        Ok(())
    }

    /// Whether an arrow can stand at this column.
    fn fits(&self, indent: usize) -> bool {
        let label = self.label.as_ref().is_some_and(|(at, _)| at + 2 == indent);
        label || self.open.iter().any(|n| self.nodes[*n].column == indent)
    }

    fn parent_of(&mut self, indent: usize) -> Option<usize> {
        match &self.label {
            Some((at, _)) if at + 2 == indent => self.close_below(*at),
            _ => {
                self.label = None;
                self.close_below(indent);
            }
        }
        self.open.last().copied()
    }

    /// Closes the nodes whose properties stand right of a column.
    fn close_below(&mut self, column: usize) {
        while self.open.last().is_some_and(|n| self.nodes[*n].column > column) {
            self.open.pop();
        }
    }

    fn node_at(&self, indent: usize) -> Option<usize> {
        self.open.last().copied().filter(|n| self.nodes[*n].column == indent)
    }

    fn push_node(
        &mut self,
        mut object: Map<String, Value>,
        parent: Option<usize>,
        column: usize,
        line: usize,
    ) -> Result<(), PlanError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(PlanError::TooLarge { what: "nodes", limit: MAX_NODES });
        }
        let depth = parent.map_or(0, |p| self.nodes[p].depth + 1);
        if depth > MAX_DEPTH {
            return Err(PlanError::TooLarge { what: "levels", limit: MAX_DEPTH });
        }
        if let Some(parent) = parent {
            let label = self.label.take();
            let relationship = match label {
                Some((_, name)) => {
                    let kind = if name.starts_with("SubPlan ") { "SubPlan" } else { "InitPlan" };
                    object.insert("Subplan Name".into(), name.into());
                    kind
                }
                None => {
                    let above = &mut self.nodes[parent];
                    above.inputs += 1;
                    match (above.object.get("Node Type").and_then(Value::as_str), above.inputs) {
                        (Some("Append" | "Merge Append" | "BitmapAnd" | "BitmapOr"), _) => "Member",
                        (Some("Subquery Scan"), _) => "Subquery",
                        (_, 2) => "Inner",
                        (_, 1) => "Outer",
                        _ => "Member",
                    }
                }
            };
            object.insert("Parent Relationship".into(), relationship.into());
        }
        self.open.push(self.nodes.len());
        self.worker = None;
        self.nodes.push(Draft { object, parent, line, column, depth, inputs: 0 });
        Ok(())
    }

    fn property(&mut self, node: usize, key: &str, value: &str) {
        if let Some(number) = key.strip_prefix("Worker ").and_then(|n| n.parse::<u64>().ok()) {
            let workers = self.nodes[node].object.entry("Workers").or_insert_with(|| json!([]));
            let Value::Array(workers) = workers else { return };
            let known = workers.iter().position(|w| w.get("Worker Number") == Some(&json!(number)));
            let at = known.unwrap_or_else(|| {
                workers.push(json!({ "Worker Number": number }));
                workers.len() - 1
            });
            self.worker = Some(at);
            let Some(Value::Object(worker)) = workers.get_mut(at) else { return };
            if value.strip_prefix("actual ").is_some_and(|a| names::read_actual(a, worker).is_some()) {
                return;
            }
            if let Some((key, value)) = value.split_once(": ") {
                properties::add(worker, key, value);
            }
            return;
        }
        if self.quotes && holds_expressions(key) {
            scan_quotes(value, &mut self.quote);
        }
        self.last =
            Last::Property { node, worker: self.worker, key: key.to_owned(), value: value.to_owned() };
    }

    /// A line that belongs to the value before it.
    fn continue_property(&mut self, line: &str) {
        if self.quotes && self.quote.is_some() {
            scan_quotes(line, &mut self.quote);
        }
        if let Last::Property { value, .. } = &mut self.last {
            value.push('\n');
            value.push_str(line);
        }
    }

    /// Gives the last property to its node.
    fn flush(&mut self) {
        let Last::Property { node, worker, key, value } = std::mem::replace(&mut self.last, Last::Nothing)
        else {
            return;
        };
        let object = &mut self.nodes[node].object;
        let Some(worker) = worker else {
            properties::add(object, &key, &value);
            return;
        };
        if let Some(Value::Object(worker)) = object.get_mut("Workers").and_then(|w| w.get_mut(worker)) {
            properties::add(worker, &key, &value);
        }
    }

    /// A line at the root's column: what concerns the whole plan.
    fn top_level(&mut self, text: &str, number: usize) -> Result<(), PlanError> {
        self.section = Section::Nodes;
        if let Some(trigger) = text.strip_prefix("Trigger ") {
            if let (Some(trigger), Value::Array(all)) =
                (read_trigger(trigger), self.top.entry("Triggers").or_insert_with(|| json!([])))
            {
                all.push(trigger);
            }
            return Ok(());
        }
        let Some((key, value)) = text.split_once(':') else { return Err(self.strange(number, text)) };
        let value = value.trim();
        match key {
            "Planning Time" | "Execution Time" | "Total runtime" => {
                let name = if key == "Total runtime" { "Execution Time" } else { key };
                if let Some(ms) = names::number(value.trim_end_matches(" ms")) {
                    self.top.insert(name.into(), ms);
                }
            }
            "Planning" => {
                self.section = Section::Planning;
                self.top.insert("Planning".into(), json!({}));
            }
            "JIT" => {
                self.section = Section::Jit;
                self.top.insert("JIT".into(), json!({}));
            }
            "Settings" => {
                let settings = read_settings(value);
                self.top.insert("Settings".into(), settings);
            }
            "Query Identifier" => {
                if let Some(id) = names::number(value) {
                    self.top.insert(key.into(), id);
                }
            }
            "Serialization" => drop(self.top.insert(key.into(), value.into())),
            _ if is_key(key) => drop(self.top.insert(key.into(), value.into())),
            _ => return Err(self.strange(number, text)),
        }
        Ok(())
    }

    fn section_line(&mut self, text: &str) {
        let Some((key, value)) = text.split_once(": ") else { return };
        let name = if self.section == Section::Planning { "Planning" } else { "JIT" };
        let Some(Value::Object(object)) = self.top.get_mut(name) else { return };
        match (self.section, key) {
            (Section::Planning, "Buffers") => properties::add_usage(object, value, " Blocks"),
            (Section::Planning, "I/O Timings") => properties::add_io_timings(object, value),
            (Section::Jit, "Functions") => {
                if let Some(number) = names::number(value) {
                    object.insert(key.into(), number);
                }
            }
            (Section::Jit, "Timing") => {
                let mut timing = Map::new();
                for part in value.split(", ") {
                    let mut words = part.split(' ');
                    if let (Some(name), Some(ms)) = (words.next(), words.next().and_then(names::number)) {
                        timing.insert(name.into(), ms);
                    }
                }
                object.insert("Timing".into(), timing.into());
            }
            _ => drop(object.insert(key.into(), value.into())),
        }
    }

    fn strange(&self, line: usize, text: &str) -> PlanError {
        let shown: String = text.chars().take(60).collect();
        PlanError::Text { line, text: shown }
    }

    /// Puts the nodes together from the leaves up.
    fn finish(mut self) -> Result<Value, PlanError> {
        if let Some(short) = self.nodes.iter().find(|n| n.inputs < required_inputs(&n.object)) {
            let kind = short.object.get("Node Type").and_then(Value::as_str).unwrap_or("node");
            let (has, needs) = (short.inputs, required_inputs(&short.object));
            let what = format!("The {kind} of line {} has {has} of its {needs} inputs.", short.line);
            return Err(PlanError::CutOff { line: self.last_line, what });
        }
        let mut children: Vec<Vec<Value>> = self.nodes.iter().map(|_| Vec::new()).collect();
        for id in (0..self.nodes.len()).rev() {
            let mut object = std::mem::take(&mut self.nodes[id].object);
            let mut plans = std::mem::take(&mut children[id]);
            if !plans.is_empty() {
                plans.reverse();
                object.insert("Plans".into(), Value::Array(plans));
            }
            match self.nodes[id].parent {
                Some(parent) => children[parent].push(Value::Object(object)),
                None => drop(self.top.insert("Plan".into(), Value::Object(object))),
            }
        }
        if self.top.contains_key("Plan") {
            Ok(Value::Object(self.top))
        } else {
            Err(PlanError::CutOff { line: self.last_line, what: String::new() })
        }
    }
}

fn cut(line: usize, text: &str) -> PlanError {
    let shown: String = text.chars().take(60).collect();
    PlanError::CutOff { line, what: format!("The figures of \"{shown}\" are not whole.") }
}

/// `InitPlan 1 (returns $0)`, `SubPlan 2`, `CTE name`.
fn subplan_label(text: &str) -> Option<&str> {
    let known = ["InitPlan ", "SubPlan ", "CTE "].iter().any(|prefix| text.starts_with(prefix));
    (known && !text.contains(": ") && !names::has_figures(text)).then_some(text)
}

/// Whether it can be a key of EXPLAIN: words that begin with a capital letter.
fn is_key(key: &str) -> bool {
    key.len() < 60
        && key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || " -/_".contains(c))
}

/// Keys that stand deeper than a node's own, below a sort of grouping sets.
fn is_nested_key(text: &str) -> bool {
    ["Group Key:", "Hash Key:", "Sort Key:"].iter().any(|k| text.starts_with(k))
}

fn is_target(text: &str) -> bool {
    [
        "Insert on ",
        "Update on ",
        "Delete on ",
        "Merge on ",
        "Foreign Insert on ",
        "Foreign Update on ",
        "Foreign Delete on ",
    ]
    .iter()
    .any(|prefix| text.starts_with(prefix))
}

/// Keys whose values are deparsed expressions, in which quotation marks come in pairs.
fn holds_expressions(key: &str) -> bool {
    key.ends_with("Cond")
        || key.ends_with("Filter")
        || key.ends_with("Key")
        || matches!(
            key,
            "Output"
                | "Order By"
                | "Function Call"
                | "Table Function Call"
                | "Remote SQL"
                | "Sampling"
                | "Window"
        )
}

/// Without so many inputs a node cannot work: the plan was cut off.
fn required_inputs(object: &Map<String, Value>) -> usize {
    match object.get("Node Type").and_then(Value::as_str) {
        Some("Nested Loop" | "Hash Join" | "Merge Join" | "Recursive Union") => 2,
        Some(
            "Aggregate" | "Gather" | "Gather Merge" | "Group" | "Hash" | "Incremental Sort" | "Limit"
            | "LockRows" | "Materialize" | "Memoize" | "ModifyTable" | "ProjectSet" | "SetOp" | "Sort"
            | "Subquery Scan" | "Unique" | "WindowAgg" | "Bitmap Heap Scan",
        ) => 1,
        _ => 0,
    }
}

/// `name for constraint c on t: time=0.1 calls=3`; a part that is not known is left out.
fn read_trigger(text: &str) -> Option<Value> {
    let (name, figures) = text.rsplit_once(": ")?;
    let mut trigger = Map::new();
    let (name, relation) = match name.rsplit_once(" on ") {
        Some((name, relation)) => (name, Some(relation)),
        None => (name, None),
    };
    let (name, constraint) = match name.strip_prefix("for constraint ") {
        Some(constraint) => ("", Some(constraint)),
        None => name.split_once(" for constraint ").map_or((name, None), |(n, c)| (n, Some(c))),
    };
    for (key, value) in [
        ("Trigger Name", Some(name).filter(|n| !n.is_empty())),
        ("Constraint Name", constraint),
        ("Relation", relation),
    ] {
        if let Some(value) = value {
            trigger.insert(key.into(), value.into());
        }
    }
    for (key, value) in figures.split(' ').filter_map(|p| p.split_once('=')) {
        let key = if key == "time" { "Time" } else { "Calls" };
        trigger.insert(key.into(), names::number(value)?);
    }
    Some(trigger.into())
}

/// `work_mem = '1MB', jit = 'off'`.
fn read_settings(text: &str) -> Value {
    let mut settings = Map::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once(" = '") {
        let mut value = String::new();
        let mut chars = after.char_indices().peekable();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if matches!(chars.peek(), Some((_, '\''))) => {
                    chars.next();
                    value.push('\'');
                }
                '\'' => {
                    end = at + 1;
                    break;
                }
                c => value.push(c),
            }
        }
        settings.insert(name.trim().trim_start_matches(", ").to_owned(), value.into());
        rest = after[end..].trim_start_matches([',', ' ']);
    }
    settings.into()
}
