//! Values of one column, read from its statistics.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, Utc};
use model::snapshot::{Column, ColumnStatistics, Relation};
use sql::{Operator, Value};

use super::documents::Documents;
use crate::tables;

/// A column's statistics as a source of values.
pub(super) struct ColumnValues<'a> {
    column: &'a Column,
    statistics: Option<&'a ColumnStatistics>,
    rows: f64,
    now: DateTime<Utc>,
}

/// Intervals that people write, with their length in seconds.
const INTERVALS: [(&str, i64); 14] = [
    ("1 minute", 60),
    ("5 minutes", 300),
    ("15 minutes", 900),
    ("1 hour", 3_600),
    ("6 hours", 21_600),
    ("1 day", 86_400),
    ("3 days", 259_200),
    ("7 days", 604_800),
    ("14 days", 1_209_600),
    ("30 days", 2_592_000),
    ("90 days", 7_776_000),
    ("180 days", 15_552_000),
    ("365 days", 31_536_000),
    ("730 days", 63_072_000),
];

impl<'a> ColumnValues<'a> {
    pub(super) fn new(relation: &Relation, column: &'a Column, rows: f64, now: DateTime<Utc>) -> Self {
        Self { column, statistics: tables::statistics(relation, column), rows: rows.max(1.0), now }
    }

    /// The rows of its table.
    pub(super) fn rows(&self) -> f64 {
        self.rows
    }

    /// Whether it holds points in time.
    pub(super) fn is_time(&self) -> bool {
        self.column.type_category == 'D'
    }

    /// A value with a cast to the column's type.
    pub(super) fn typed(&self, text: &str) -> Value {
        Value::Typed { text: text.to_owned(), type_name: self.column.type_name.clone() }
    }

    /// An array of values, as `= ANY ($1)` takes it.
    pub(super) fn array(&self, texts: &[&str]) -> Value {
        let quoted: Vec<String> =
            texts.iter().map(|t| format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\""))).collect();
        Value::Typed {
            text: format!("{{{}}}", quoted.join(",")),
            type_name: format!("{}[]", self.column.type_name),
        }
    }

    /// Up to three values for an equality with the share of calls that they stand for: half of the
    /// calls are taken to ask for values as often as the table holds them, half for any value alike.
    pub(super) fn points(&self) -> Vec<(String, f64)> {
        let Some(statistics) = self.statistics else {
            return sample_of_type(&self.column.type_name, self.now).map(|s| (s, 1.0)).into_iter().collect();
        };
        let common = statistics.common_values();
        let histogram = statistics.histogram();
        let distinct = statistics.distinct(self.rows).max(1.0);
        let common_share: f64 = common.iter().map(|(_, f)| f64::from(*f)).sum();
        let mut points: Vec<(String, f64)> = Vec::new();
        if histogram.is_empty() && common.len() <= 3 {
            let all: f64 = common_share.max(f64::MIN_POSITIVE);
            let alike = 1.0 / common.len().max(1) as f64;
            points.extend(common.iter().map(|(v, f)| (v.clone(), 0.5 * f64::from(*f) / all + 0.5 * alike)));
        } else {
            let rare_share = (1.0 - common_share - f64::from(statistics.null_frac)).max(0.0);
            let listed = common.len() as f64;
            let of_common = 0.5 * common_share / (common_share + rare_share).max(1e-9)
                + 0.5 * (listed / distinct).min(1.0);
            let of_common = if histogram.is_empty() { 1.0 } else { of_common };
            if let Some((first, _)) = common.first() {
                points.push((first.clone(), of_common * 0.5));
                if common.len() > 1 {
                    points.push((common[common.len() / 2].0.clone(), of_common * 0.5));
                }
            }
            if !histogram.is_empty() {
                points.push((histogram[histogram.len() / 2].clone(), 1.0 - of_common));
            } else if let Some((last, _)) = common.last().filter(|_| common.len() > 3) {
                points.push((last.clone(), 0.25));
            }
        }
        points.retain(|(_, weight)| *weight > 0.001);
        if points.is_empty() {
            return sample_of_type(&self.column.type_name, self.now).map(|s| (s, 1.0)).into_iter().collect();
        }
        points
    }

    /// The value below which a share of the rows lies.
    pub(super) fn quantile(&self, share: f64) -> Option<String> {
        let share = share.clamp(0.0, 1.0);
        let statistics = self.statistics?;
        let histogram = statistics.histogram();
        if histogram.len() >= 2 {
            let at = share * (histogram.len() - 1) as f64;
            let (low, high) = (at.floor() as usize, at.ceil() as usize);
            let (low_text, high_text) = (&histogram[low], &histogram[high.min(histogram.len() - 1)]);
            return Some(self.between(low_text, high_text, at.fract()).unwrap_or_else(|| low_text.clone()));
        }
        let common = self.in_order();
        let all: f64 = common.iter().map(|(_, share)| share).sum();
        let mut seen = 0.0;
        let reached = common.iter().find(|(_, frequency)| {
            seen += frequency;
            seen >= share * all
        });
        reached.or(common.last()).map(|(value, _)| value.clone())
    }

    /// Few distinct values, all of them known, in their order and with their shares.
    fn in_order(&self) -> Vec<(String, f64)> {
        let mut common: Vec<(String, f64)> = self.statistics.map_or_else(Vec::new, |statistics| {
            statistics.common_values().into_iter().map(|(value, share)| (value, f64::from(share))).collect()
        });
        common.sort_by(|a, b| match (a.0.parse::<f64>(), b.0.parse::<f64>()) {
            (Ok(x), Ok(y)) => x.total_cmp(&y),
            _ => a.0.cmp(&b.0),
        });
        common
    }

    /// A value that a comparison bounds the column by, so that about a share of the rows lies below it. Where the values are
    /// few, one of them may be half of the rows: what lies strictly beyond a bound is then not nothing, because nobody
    /// asks for that.
    pub(super) fn bound(&self, share: f64, operator: &Operator) -> Option<String> {
        let few = self.statistics.is_some_and(|s| s.histogram().len() < 2);
        let mut values = if few { self.in_order() } else { Vec::new() };
        let wanted = match operator {
            Operator::Less => share,
            Operator::Greater => {
                values.reverse();
                1.0 - share
            }
            _ => return self.quantile(share),
        };
        let all: f64 = values.iter().map(|(_, share)| share).sum();
        let mut beyond = 0.0;
        for pair in values.windows(2) {
            beyond += pair[0].1;
            if beyond >= wanted * all - 1e-6 {
                return Some(pair[1].0.clone());
            }
        }
        values.pop().map(|(value, _)| value).or_else(|| self.quantile(share))
    }

    /// A value a part of the way from one to the other; `None` for types without arithmetic.
    fn between(&self, low: &str, high: &str, part: f64) -> Option<String> {
        match self.column.type_category {
            'N' => {
                let (a, b) = (low.parse::<f64>().ok()?, high.parse::<f64>().ok()?);
                let value = a + (b - a) * part;
                let whole = !low.contains('.') && !high.contains('.');
                Some(if whole { format!("{value:.0}") } else { format!("{value}") })
            }
            'D' => {
                let (a, b) = (parse_time(low)?, parse_time(high)?);
                let step = (b - a).num_microseconds()? as f64 * part;
                let value = a + Duration::microseconds(step as i64);
                let name = self.column.type_name.as_str();
                Some(match name {
                    "date" => value.format("%Y-%m-%d").to_string(),
                    _ if name.contains("with time zone") => {
                        value.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
                    }
                    _ => value.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
                })
            }
            _ => None,
        }
    }

    /// The round interval that lies nearest to the distance from a quantile to the snapshot's clock.
    pub(super) fn interval_before_now(&self, share: f64) -> Option<String> {
        let at = self.quantile(share).as_deref().and_then(parse_time);
        let Some(at) = at else { return Some("7 days".into()) };
        let seconds = (self.now.naive_utc() - at).num_seconds().max(1) as f64;
        INTERVALS
            .iter()
            .min_by(|a, b| {
                let distance = |i: &(&str, i64)| (i.1 as f64 / seconds).ln().abs();
                distance(a).total_cmp(&distance(b))
            })
            .map(|(text, _)| (*text).to_owned())
    }

    /// The `n`th of some values, different ones as far as there are any.
    pub(super) fn sample(&self, n: usize) -> Option<String> {
        let values: Vec<String> = self.statistics.map_or_else(Vec::new, |s| {
            let common = s.common_values().into_iter().map(|(v, _)| v);
            let histogram = s.histogram();
            let middle = histogram.len() / 2;
            // From the middle of the histogram outwards, then the most common.
            let (low, high) = histogram.split_at(middle);
            high.iter().cloned().chain(low.iter().rev().cloned()).chain(common).collect()
        });
        if values.is_empty() {
            return sample_of_type(&self.column.type_name, self.now);
        }
        values.get(n % values.len()).cloned()
    }

    /// A sample of the values: the bounds of the histogram.
    pub(super) fn bounds(&self) -> Vec<String> {
        self.statistics.map_or_else(Vec::new, ColumnStatistics::histogram)
    }

    /// The `n`th document that mentions all of these keys.
    pub(super) fn document_with(&self, keys: &[String], n: usize) -> Option<String> {
        let statistics = self.statistics?;
        let all: Vec<String> = statistics
            .histogram()
            .into_iter()
            .chain(statistics.common_values().into_iter().map(|(v, _)| v))
            .collect();
        let quoted: Vec<String> =
            keys.iter().map(|k| serde_json::Value::from(k.as_str()).to_string()).collect();
        let having: Vec<&String> =
            all.iter().filter(|d| quoted.iter().all(|k| d.contains(k.as_str()))).collect();
        (!having.is_empty()).then(|| having[n % having.len()].clone())
    }

    /// Right sides for operators other than comparisons, from what is asked for mostly, with the share of calls that
    /// they stand for. With `element` the values stand within an array.
    pub(super) fn operands(&self, operator: &str, element: bool) -> Vec<(Value, f64)> {
        let json = matches!(self.column.base_type.name.as_str(), "jsonb" | "json");
        let typed = |text: String| Value::Typed { text, type_name: self.column.type_name.clone() };
        let untyped = |text: &str| Value::Untyped(text.to_owned());
        match operator {
            "@>" | "<@" | "?" | "?|" | "?&" | "@?" | "@@" if json => self.of_documents(operator),
            "@>" | "&&" | "<@" if self.column.type_category == 'A' => self
                .elements()
                .into_iter()
                .map(|(text, weight)| match element {
                    true => {
                        let of_array = self.column.type_name.trim_end_matches("[]").to_owned();
                        (Value::Typed { text, type_name: of_array }, weight)
                    }
                    false => {
                        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
                        (typed(format!("{{\"{quoted}\"}}")), weight)
                    }
                })
                .collect(),
            "@@" => self.elements().into_iter().map(|(lexeme, w)| (Value::Untyped(lexeme), w)).collect(),
            "~" | "~*" => self
                .sample(0)
                .map(|text| {
                    (
                        Value::Untyped(
                            text.chars().filter(|c| c.is_alphanumeric()).skip(1).take(6).collect(),
                        ),
                        1.0,
                    )
                })
                .into_iter()
                .collect(),
            "^@" => self
                .sample(0)
                .map(|t| (Value::Untyped(t.chars().take(5).collect()), 1.0))
                .into_iter()
                .collect(),
            "%" | "<%" | "%>" | "<<%" | "%>>" => {
                self.sample(0).map(|t| (untyped(&t), 1.0)).into_iter().collect()
            }
            "@>" if self.column.type_category == 'R' => {
                let element = match self.column.base_type.name.as_str() {
                    "int4range" | "int8range" | "numrange" => Value::Number("1".into()),
                    _ => return Vec::new(),
                };
                vec![(element, 1.0)]
            }
            "<<" | "<<=" | ">>" | ">>=" if self.column.type_category == 'I' => {
                self.sample(0).map(|t| (typed(t), 1.0)).into_iter().collect()
            }
            "&&" if self.column.type_category == 'R' => sample_of_type(&self.column.type_name, self.now)
                .map(|t| (typed(t), 1.0))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Elements of arrays or lexemes of text vectors: a middling, a rare and a common one.
    fn elements(&self) -> Vec<(String, f64)> {
        let Some(statistics) = self.statistics else { return Vec::new() };
        let elements =
            statistics.most_common_elems.as_deref().map(model::snapshot::array_elements).unwrap_or_default();
        let frequencies = statistics.most_common_elem_freqs.as_deref().unwrap_or_default();
        let mut known: Vec<(String, f32)> =
            elements.into_iter().zip(frequencies).filter_map(|(e, f)| Some((e?, *f))).collect();
        known.sort_by(|a, b| b.1.total_cmp(&a.1));
        let at = [(known.len() / 2, 0.4), (known.len().saturating_sub(1), 0.4), (0, 0.2)];
        let mut chosen: Vec<(String, f64)> = Vec::new();
        for (i, weight) in at {
            if let Some((element, _)) = known.get(i)
                && chosen.iter().all(|(c, _)| c != element)
            {
                chosen.push((element.clone(), weight));
            }
        }
        chosen
    }

    fn of_documents(&self, operator: &str) -> Vec<(Value, f64)> {
        let documents = self.statistics.map(Documents::of).unwrap_or_default();
        let typed = |text: String| Value::Typed { text, type_name: self.column.type_name.clone() };
        match operator {
            "@>" | "<@" => {
                let mut parts = documents.parts();
                // Two conditions at once keep fewer.
                if let [serde_json::Value::Object(a), .., serde_json::Value::Object(b)] = parts.as_slice()
                    && a.keys().all(|k| !b.contains_key(k))
                {
                    let both = a.iter().chain(b).map(|(k, v)| (k.clone(), v.clone()));
                    parts.insert(1, serde_json::Value::Object(both.collect()));
                }
                let weights = [0.4, 0.2, 0.2, 0.2];
                parts.into_iter().zip(weights).map(|(p, w)| (typed(p.to_string()), w)).collect()
            }
            "@?" | "@@" => {
                let Some((path, value)) = documents.path_query() else { return Vec::new() };
                let query = if operator == "@?" {
                    format!("{path} ? (@ == {value})")
                } else {
                    format!("{path} == {value}")
                };
                vec![(Value::Typed { text: query, type_name: "jsonpath".into() }, 1.0)]
            }
            _ => {
                // Asked for are keys that not every document has; rarer ones than the sample shows are likely.
                let mut keys: Vec<(String, f64)> = vec![("pgwright unseen".into(), 0.5)];
                keys.extend(documents.keys().into_iter().take(2).map(|(key, _)| (key, 0.25)));
                keys.into_iter()
                    .map(|(key, weight)| {
                        let list =
                            || Value::Typed { text: format!("{{\"{key}\"}}"), type_name: "text[]".into() };
                        (if operator == "?" { Value::Untyped(key.clone()) } else { list() }, weight)
                    })
                    .collect()
            }
        }
    }

    /// A key that documents of this column have.
    pub(super) fn json_key(&self) -> Option<String> {
        Documents::of(self.statistics?).keys().pop().map(|(key, _)| key)
    }
}

/// Reads a date or time as PostgreSQL prints it in ISO style.
pub(super) fn parse_time(text: &str) -> Option<NaiveDateTime> {
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Some(at.naive_utc());
        }
    }
    if let Ok(at) = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f") {
        return Some(at);
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)
}

/// Some value of a type of which no statistics are known.
pub(super) fn sample_of_type(type_name: &str, now: DateTime<Utc>) -> Option<String> {
    let base = type_name.split('(').next().unwrap_or(type_name).trim();
    if base.ends_with("[]") {
        return Some("{}".into());
    }
    Some(match base {
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "money" | "oid" => {
            "1".into()
        }
        "boolean" => "t".into(),
        "text" | "character varying" | "character" | "name" | "citext" | "\"char\"" => "a".into(),
        "uuid" => "00000000-0000-4000-8000-000000000000".into(),
        "json" | "jsonb" => "{}".into(),
        "interval" => "7 days".into(),
        "inet" | "cidr" => "10.0.0.1".into(),
        "bytea" => "\\x00".into(),
        "point" => "(1,1)".into(),
        "box" => "(2,2),(1,1)".into(),
        "circle" => "<(1,1),1>".into(),
        "polygon" => "((1,1),(1,2),(2,1))".into(),
        "path" => "[(1,1),(2,2)]".into(),
        "int4range" | "int8range" | "numrange" => "[1,10)".into(),
        "daterange" => format!("[{0},{0}]", now.format("%Y-%m-%d")),
        "tsrange" | "tstzrange" => format!("[{0},{0}]", super::clock(now)),
        "tsquery" | "tsvector" => "word".into(),
        "jsonpath" => "$.id".into(),
        "date" => now.format("%Y-%m-%d").to_string(),
        b if b.starts_with("timestamp") => super::clock(now),
        b if b.starts_with("time") => "12:00:00".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_postgresql_prints_them() {
        let utc = |t: &str| parse_time(t).map(|t| t.to_string());
        assert_eq!(utc("2025-11-20 15:00:00+00").as_deref(), Some("2025-11-20 15:00:00"));
        assert_eq!(utc("2025-11-20 15:00:00.25+02").as_deref(), Some("2025-11-20 13:00:00.250"));
        assert_eq!(utc("2025-11-20 15:00:00-05:30").as_deref(), Some("2025-11-20 20:30:00"));
        assert_eq!(utc("2025-11-20").as_deref(), Some("2025-11-20 00:00:00"));
        assert_eq!(utc("infinity"), None);
    }
}
