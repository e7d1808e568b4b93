//! Which part of PromQL does pgwright evaluate itself? What conditions on the metrics of one server need; everything else
//! is refused when it is read, so that no condition is silently never true.
//!
//! Source: Prometheus documentation, "Querying basics", "Operators", "Functions". The text is parsed by the crate
//! `promql-parser`; here its tree becomes one of what can be evaluated.

use std::collections::BTreeMap;

use promql_parser::label::Matcher;
use promql_parser::parser::token::{
    T_ADD, T_AVG, T_COUNT, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MAX, T_MIN,
    T_MUL, T_NEQ, T_SUB, T_SUM,
};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    self, BinaryExpr, LabelModifier, Offset, VectorMatchCardinality, VectorSelector,
};

/// An expression that can be evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Number(f64),
    Time,
    Select(Selector),
    /// A function of the samples of a window.
    Window {
        function: WindowFunction,
        selector: Selector,
        range_ms: i64,
    },
    HistogramQuantile {
        quantile: f64,
        of: Box<Expression>,
    },
    Aggregate {
        function: AggregateFunction,
        grouping: Grouping,
        of: Box<Expression>,
    },
    Negate(Box<Expression>),
    Binary {
        operator: Operator,
        left: Box<Expression>,
        right: Box<Expression>,
        matching: Grouping,
    },
}

/// Which series.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// How long ago.
    pub offset_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowFunction {
    Rate,
    Increase,
    Average,
    Least,
    Greatest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateFunction {
    Sum,
    Average,
    Count,
    Least,
    Greatest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Unless,
}

/// Which labels count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grouping {
    Only(Vec<String>),
    Without(Vec<String>),
}

/// How much of a metric's past an expression looks at, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// How far back every sample counts; 0 when only the last one does.
    pub recent_ms: i64,
    /// How far back it looks with an offset; 0 when it does not.
    pub older_ms: i64,
    /// How close samples must be there; 0 when it does not look there.
    pub step_ms: i64,
}

/// How many samples a window that lies in the past has at least. A rate is taken from its first and its last one.
const SAMPLES_OF_A_PAST_WINDOW: i64 = 6;
/// How close to an instant in the past a sample must be.
const PAST_INSTANT_MS: i64 = 150_000;

impl Need {
    fn add(&mut self, other: Self) {
        self.recent_ms = self.recent_ms.max(other.recent_ms);
        self.older_ms = self.older_ms.max(other.older_ms);
        self.step_ms = match (self.step_ms, other.step_ms) {
            (0, step) | (step, 0) => step,
            (one, another) => one.min(another),
        };
    }
}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, or which part of PromQL is not evaluated here, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed =
            parser::parse(text).map_err(|e| format!("It is not PromQL: {}.", e.trim_end_matches('.')))?;
        match parsed.value_type() {
            ValueType::Vector => {}
            ValueType::Matrix => return Err("It is a range of samples, not a condition.".into()),
            other => return Err(format!("It is a {other}, not a condition on series.")),
        }
        lower(&parsed)
    }

    /// What it needs of which metric.
    pub fn needs(&self, into: &mut BTreeMap<String, Need>) {
        match self {
            Self::Number(_) | Self::Time => {}
            Self::Select(selector) => {
                let need = match selector.offset_ms {
                    0 => Need::default(),
                    offset => {
                        Need { older_ms: offset + PAST_INSTANT_MS, step_ms: PAST_INSTANT_MS, recent_ms: 0 }
                    }
                };
                into.entry(selector.metric.clone()).or_default().add(need);
            }
            Self::Window { selector, range_ms, .. } => {
                let need = match selector.offset_ms {
                    0 => Need { recent_ms: *range_ms, ..Need::default() },
                    offset => Need {
                        older_ms: offset + range_ms,
                        step_ms: range_ms / SAMPLES_OF_A_PAST_WINDOW,
                        recent_ms: 0,
                    },
                };
                into.entry(selector.metric.clone()).or_default().add(need);
            }
            Self::HistogramQuantile { of, .. } | Self::Aggregate { of, .. } | Self::Negate(of) => {
                of.needs(into)
            }
            Self::Binary { left, right, .. } => {
                left.needs(into);
                right.needs(into);
            }
        }
    }

    fn is_number(&self) -> bool {
        match self {
            Self::Number(_) | Self::Time => true,
            Self::Negate(of) => of.is_number(),
            Self::Binary { left, right, .. } => left.is_number() && right.is_number(),
            _ => false,
        }
    }
}

fn lower(expr: &parser::Expr) -> Result<Expression, String> {
    use parser::Expr as P;
    Ok(match expr {
        P::NumberLiteral(number) => Expression::Number(number.val),
        P::Paren(inner) => lower(&inner.expr)?,
        P::Unary(negated) => Expression::Negate(Box::new(lower(&negated.expr)?)),
        P::VectorSelector(selector) => Expression::Select(selector_of(selector)?),
        P::Call(call) => called(call)?,
        P::Aggregate(aggregate) => {
            let function = match aggregate.op.id() {
                T_SUM => AggregateFunction::Sum,
                T_AVG => AggregateFunction::Average,
                T_COUNT => AggregateFunction::Count,
                T_MIN => AggregateFunction::Least,
                T_MAX => AggregateFunction::Greatest,
                _ => return Err(format!("The aggregation {} is not evaluated.", aggregate.op)),
            };
            let grouping = match &aggregate.modifier {
                None => Grouping::Only(Vec::new()),
                Some(LabelModifier::Include(names)) => Grouping::Only(names.labels.clone()),
                Some(LabelModifier::Exclude(names)) => Grouping::Without(names.labels.clone()),
            };
            Expression::Aggregate { function, grouping, of: Box::new(lower(&aggregate.expr)?) }
        }
        P::Binary(binary) => binary_of(binary)?,
        P::Subquery(_) => return Err("Subqueries are not evaluated.".into()),
        P::StringLiteral(_) => return Err("Texts are not evaluated.".into()),
        P::MatrixSelector(_) => return Err("A range stands only within a function such as rate().".into()),
        P::Extension(_) => return Err("Extensions are not evaluated.".into()),
    })
}

fn selector_of(selector: &VectorSelector) -> Result<Selector, String> {
    let metric = selector.name.clone().ok_or("A selector without the name of a metric is not evaluated.")?;
    if selector.at.is_some() {
        return Err("The modifier @ is not evaluated.".into());
    }
    if !selector.matchers.or_matchers.is_empty() {
        return Err("Alternatives within braces are not evaluated.".into());
    }
    let offset_ms = match &selector.offset {
        None => 0,
        Some(Offset::Pos(offset)) => milliseconds(*offset)?,
        Some(Offset::Neg(_)) => return Err("An offset into the future is not evaluated.".into()),
    };
    Ok(Selector { metric, matchers: selector.matchers.matchers.clone(), offset_ms })
}

/// The longest look back, in milliseconds: a week. What is kept is bounded by it.
const LONGEST_MS: i64 = 7 * 86_400_000;

fn milliseconds(duration: std::time::Duration) -> Result<i64, String> {
    i64::try_from(duration.as_millis())
        .ok()
        .filter(|ms| *ms <= LONGEST_MS)
        .ok_or_else(|| "It looks back further than a week.".into())
}

fn called(call: &parser::Call) -> Result<Expression, String> {
    let function = match call.func.name {
        "time" => return Ok(Expression::Time),
        "histogram_quantile" => {
            let [quantile, of] = call.args.args.as_slice() else {
                return Err("histogram_quantile() has two arguments.".into());
            };
            let Expression::Number(quantile) = lower(quantile)? else {
                return Err("The first argument of histogram_quantile() is a number.".into());
            };
            return Ok(Expression::HistogramQuantile { quantile, of: Box::new(lower(of)?) });
        }
        "rate" => WindowFunction::Rate,
        "increase" => WindowFunction::Increase,
        "avg_over_time" => WindowFunction::Average,
        "min_over_time" => WindowFunction::Least,
        "max_over_time" => WindowFunction::Greatest,
        other => return Err(format!("The function {other}() is not evaluated.")),
    };
    let [argument] = call.args.args.as_slice() else {
        return Err(format!("{}() has one argument.", call.func.name));
    };
    let parser::Expr::MatrixSelector(matrix) = argument.as_ref() else {
        return Err(format!("{}() is evaluated of a range of a metric only.", call.func.name));
    };
    let range_ms = milliseconds(matrix.range)?;
    Ok(Expression::Window { function, selector: selector_of(&matrix.vs)?, range_ms })
}

fn binary_of(binary: &BinaryExpr) -> Result<Expression, String> {
    let operator = match binary.op.id() {
        T_ADD => Operator::Add,
        T_SUB => Operator::Subtract,
        T_MUL => Operator::Multiply,
        T_DIV => Operator::Divide,
        T_EQLC => Operator::Equal,
        T_NEQ => Operator::NotEqual,
        T_LSS => Operator::Less,
        T_LTE => Operator::LessOrEqual,
        T_GTR => Operator::Greater,
        T_GTE => Operator::GreaterOrEqual,
        T_LAND => Operator::And,
        T_LOR => Operator::Or,
        T_LUNLESS => Operator::Unless,
        _ => return Err(format!("The operator {} is not evaluated.", binary.op)),
    };
    let mut matching = Grouping::Without(Vec::new());
    if let Some(modifier) = &binary.modifier {
        if modifier.return_bool {
            return Err("The modifier bool is not evaluated.".into());
        }
        if matches!(
            modifier.card,
            VectorMatchCardinality::ManyToOne(_) | VectorMatchCardinality::OneToMany(_)
        ) {
            return Err("group_left and group_right are not evaluated.".into());
        }
        if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
            return Err("The modifier fill is not evaluated.".into());
        }
        match &modifier.matching {
            None => {}
            Some(LabelModifier::Include(names)) => matching = Grouping::Only(names.labels.clone()),
            Some(LabelModifier::Exclude(names)) => matching = Grouping::Without(names.labels.clone()),
        }
    }
    let (left, right) = (lower(&binary.lhs)?, lower(&binary.rhs)?);
    if operator.compares() && left.is_number() && right.is_number() {
        return Err("Two numbers are compared, which is always the same.".into());
    }
    Ok(Expression::Binary { operator, left: Box::new(left), right: Box::new(right), matching })
}

impl Operator {
    /// Whether it keeps or drops series.
    pub fn compares(self) -> bool {
        use Operator as O;
        matches!(self, O::Equal | O::NotEqual | O::Less | O::LessOrEqual | O::Greater | O::GreaterOrEqual)
    }

    /// Whether it joins sets of series.
    pub fn joins(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_evaluated_is_named() {
        for (text, expected) in [
            ("up ==", "It is not PromQL"),
            ("1 + 1", "It is a scalar"),
            ("absent(up)", "The function absent()"),
            ("topk(3, up)", "The aggregation topk"),
            ("rate(up[5m:1m])", "of a range of a metric only"),
            ("up == bool 1", "bool"),
            ("a * on (x) group_left (y) b", "group_left"),
            ("up offset -5m", "future"),
            ("up @ 100", "@"),
            ("{job=\"x\"}", "without the name"),
            ("rate(up[30d])", "further than a week"),
            ("a % b", "The operator %"),
            ("up[5m]", "range of samples"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(expected) && error.ends_with('.'), "{text}: {error}");
        }
    }

    #[test]
    fn needs_are_the_union_over_all_selectors() {
        let mut needs = BTreeMap::new();
        let texts = [
            "rate(a[5m]) > 2 * rate(a[30m] offset 1d) and b > 1",
            "increase(a[1h]) > 0 or b offset 10m > 0 or time() - c > 3",
        ];
        for text in texts {
            Expression::parse(text).unwrap().needs(&mut needs);
        }
        let minute = 60_000;
        let expected = [
            ("a", Need { recent_ms: 60 * minute, older_ms: 1470 * minute, step_ms: 5 * minute }),
            ("b", Need { recent_ms: 0, older_ms: 10 * minute + 150_000, step_ms: 150_000 }),
            ("c", Need::default()),
        ];
        assert_eq!(needs, expected.map(|(name, need)| (name.to_owned(), need)).into());
    }
}
