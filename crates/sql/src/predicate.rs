//! Does one condition imply another, and do two texts say the same?
//!
//! Source: `predtest.c` (`predicate_implied_by`), by which the planner decides whether a partial index may be used.
//! What is said here is never more than what the planner can prove: AND, OR, comparisons of one key with constants,
//! IN lists, truth values and IS NOT NULL of a key that a strict comparison names. Texts are compared as parse
//! trees, so that what a person wrote equals what `pg_get_expr()` prints.

use std::collections::BTreeMap;

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AExprKind, BoolExprType, BoolTestType, Node, NullTestType};

use crate::lowering::{string, type_name};
use crate::moments;

/// A condition taken apart.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    /// `key operator constant`, the operator one of `=`, `<>`, `<`, `<=`, `>`, `>=`.
    Compare {
        key: String,
        operator: &'static str,
        constant: Constant,
    },
    IsNull(String),
    IsNotNull(String),
    /// A truth value used as it stands, or compared with `true`.
    True(String),
    False(String),
    /// Anything else, by its canonical text, with the keys that must not be NULL for it to be true.
    Other {
        text: String,
        strict: Vec<String>,
    },
    /// `true` or `false` in the text.
    Constant(bool),
}

/// A constant in a comparison.
#[derive(Clone, Debug, PartialEq)]
struct Constant {
    text: String,
    /// The type that it is cast to, types of strings left out.
    cast: Option<String>,
    number: Option<f64>,
}

/// Whether rows that satisfy `condition` satisfy `predicate`; both are SQL without `WHERE`.
///
/// A text that cannot be parsed implies and is implied by nothing but itself.
pub fn implies(condition: &str, predicate: &str) -> bool {
    if condition == predicate {
        return true;
    }
    match (parse(condition), parse(predicate)) {
        (Some(condition), Some(predicate)) => follows(&condition, &predicate),
        _ => false,
    }
}

/// Whether rows that satisfy a CHECK do not violate `predicate`. A CHECK is satisfied when it is not false, so `x > 0` says
/// nothing against a NULL.
///
/// `types` are those of columns, by their quoted names as `format_type()` prints them: what a person
/// wrote as `'2024-01-01'` is then what the catalog prints as `'2024-01-01 00:00:00'::timestamp without time zone`. Texts
/// without an offset are moments of a time zone that is not known, so they compare with each other only, unless `utc`
/// says which it is.
pub fn check_implies(check: &str, predicate: &str, types: &BTreeMap<String, String>, utc: bool) -> bool {
    match (parse(check), parse(predicate)) {
        (Some(mut check), Some(mut predicate)) => {
            give_types(&mut check, types, utc);
            give_types(&mut predicate, types, utc);
            proves(&check, &predicate, Premise::NotFalse)
        }
        _ => false,
    }
}

/// The name that `format_type()` gives a type.
fn full_name(cast: &str) -> &str {
    match cast {
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        other => other,
    }
}

/// Gives the constants of comparisons the type of the column, and one text to equal moments.
fn give_types(condition: &mut Condition, types: &BTreeMap<String, String>, utc: bool) {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => {
            parts.iter_mut().for_each(|part| give_types(part, types, utc));
        }
        Condition::Compare { key, constant, .. } => {
            let Some(of_key) = types.get(key.as_str()) else { return };
            // `timestamp(3) with time zone` rounds, so it is another type.
            let is_moment = of_key == "date" || of_key.starts_with("timestamp ");
            if is_moment && constant.cast.as_deref().is_none_or(|cast| full_name(cast) == of_key) {
                if let Some(text) = moments::canonical(&constant.text, of_key, utc) {
                    constant.text = text;
                }
                constant.cast = Some(of_key.clone());
            } else if matches!(of_key.as_str(), "smallint" | "integer" | "bigint" | "numeric")
                && constant.cast.is_none()
                && constant.number.is_none()
            {
                *constant = number(std::mem::take(&mut constant.text));
            } else if constant.cast.is_none() && constant.number.is_none() && !is_string_type(of_key) {
                constant.cast = Some(of_key.clone());
            }
        }
        _ => {}
    }
}

/// Whether two conditions hold for the same rows, as far as it can be proved.
pub fn equivalent(one: &str, other: &str) -> bool {
    one == other || (implies(one, other) && implies(other, one))
}

/// Whether a condition holds for every row in which these columns are not NULL.
pub fn always_true(condition: &str, not_null: &[&str]) -> bool {
    fn holds(condition: &Condition, not_null: &[&str]) -> bool {
        match condition {
            Condition::And(parts) => parts.iter().all(|p| holds(p, not_null)),
            Condition::Or(parts) => parts.iter().any(|p| holds(p, not_null)),
            Condition::IsNotNull(key) => not_null.iter().any(|c| model::quote_identifier(c) == *key),
            Condition::Constant(value) => *value,
            _ => false,
        }
    }
    parse(condition).is_some_and(|c| holds(&c, not_null))
}

/// Whether two expressions are the same, however they are written.
pub fn same_expression(one: &str, other: &str) -> bool {
    one == other || matches!((canonical_text(one), canonical_text(other)), (Some(a), Some(b)) if a == b)
}

pub(crate) fn parse_node(text: &str) -> Option<Node> {
    // The braces keep a text that closes them from being read as more than an expression.
    let sql = format!("SELECT 1 WHERE ({text}\n)");
    let mut parsed = pg_query::parse(&sql, pg_query::ParserOptions::DEFAULT).ok()?.protobuf;
    if parsed.stmts.len() != 1 {
        return None;
    }
    match parsed.stmts.pop()?.stmt?.node? {
        NodeEnum::SelectStmt(select) => select.where_clause.map(|w| *w),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Condition> {
    condition(&parse_node(text)?)
}

fn canonical_text(text: &str) -> Option<String> {
    canonical(&parse_node(text)?)
}

fn condition(node: &Node) -> Option<Condition> {
    let other = |node: &Node| Some(Condition::Other { text: canonical(node)?, strict: Vec::new() });
    match node.node.as_ref()? {
        NodeEnum::BoolExpr(expression) => {
            let parts: Option<Vec<Condition>> = expression.args.iter().map(condition).collect();
            match BoolExprType::try_from(expression.boolop) {
                Ok(BoolExprType::AndExpr) => Some(Condition::And(parts?)),
                Ok(BoolExprType::OrExpr) => Some(Condition::Or(parts?)),
                _ => match expression.args.first() {
                    Some(inner) => negated(inner),
                    None => None,
                },
            }
        }
        NodeEnum::NullTest(test) => {
            let key = canonical(test.arg.as_deref()?)?;
            Some(match NullTestType::try_from(test.nulltesttype) {
                Ok(NullTestType::IsNotNull) => Condition::IsNotNull(key),
                _ => Condition::IsNull(key),
            })
        }
        NodeEnum::BooleanTest(test) => {
            let key = canonical(test.arg.as_deref()?)?;
            Some(match BoolTestType::try_from(test.booltesttype) {
                Ok(BoolTestType::IsTrue) => Condition::True(key),
                Ok(BoolTestType::IsFalse) => Condition::False(key),
                Ok(BoolTestType::IsUnknown) => Condition::IsNull(key),
                Ok(BoolTestType::IsNotUnknown) => Condition::IsNotNull(key),
                _ => return other(node),
            })
        }
        NodeEnum::AConst(constant) if !constant.isnull => match &constant.val {
            Some(Val::Boolval(value)) => Some(Condition::Constant(value.boolval)),
            _ => other(node),
        },
        NodeEnum::ColumnRef(_) => Some(Condition::True(canonical(node)?)),
        NodeEnum::AExpr(expression) => {
            let kind = AExprKind::try_from(expression.kind).ok()?;
            let name = expression.name.last().and_then(string)?;
            let (left, right) = (expression.lexpr.as_deref(), expression.rexpr.as_deref());
            match kind {
                AExprKind::AexprOp => comparison(node, &name, left?, right?),
                AExprKind::AexprIn | AExprKind::AexprOpAny if name == "=" => {
                    alternatives(node, left?, right?, "=").map(Condition::Or).or_else(|| other(node))
                }
                AExprKind::AexprIn | AExprKind::AexprOpAll if name == "<>" => {
                    alternatives(node, left?, right?, "<>").map(Condition::And).or_else(|| other(node))
                }
                AExprKind::AexprBetween => {
                    let NodeEnum::List(bounds) = right?.node.as_ref()? else { return other(node) };
                    let [low, high] = bounds.items.as_slice() else { return other(node) };
                    let low = comparison(node, ">=", left?, low)?;
                    let high = comparison(node, "<=", left?, high)?;
                    Some(Condition::And(vec![low, high]))
                }
                AExprKind::AexprLike | AExprKind::AexprIlike => {
                    Some(Condition::Other { text: canonical(node)?, strict: vec![canonical(left?)?] })
                }
                _ => other(node),
            }
        }
        _ => other(node),
    }
}

fn negated(inner: &Node) -> Option<Condition> {
    Some(match condition(inner)? {
        Condition::True(key) => Condition::False(key),
        Condition::IsNull(key) => Condition::IsNotNull(key),
        Condition::IsNotNull(key) => Condition::IsNull(key),
        Condition::Constant(value) => Condition::Constant(!value),
        // NOT of a comparison is the opposite one: both are unknown for NULL.
        Condition::Compare { key, operator, constant } => {
            Condition::Compare { key, operator: opposite(operator), constant }
        }
        _ => Condition::Other { text: format!("NOT ({})", canonical(inner)?), strict: Vec::new() },
    })
}

fn opposite(operator: &str) -> &'static str {
    match operator {
        "=" => "<>",
        "<>" => "=",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    }
}

/// The comparison with its sides exchanged.
pub(crate) fn commuted(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "=" => "=",
        "<>" => "<>",
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        _ => return None,
    })
}

fn comparison(whole: &Node, operator: &str, left: &Node, right: &Node) -> Option<Condition> {
    let known = commuted(operator).and_then(commuted);
    let found = match (known, constant(left), constant(right)) {
        (Some(operator), None, Some(constant)) => Some((canonical(left)?, operator, constant)),
        (Some(_), Some(constant), None) => Some((canonical(right)?, commuted(operator)?, constant)),
        _ => None,
    };
    let Some((key, operator, constant)) = found else {
        // The comparison operators are strict; of others nothing is known.
        let strict = match known {
            Some(_) => vec![canonical(left)?, canonical(right)?],
            None => Vec::new(),
        };
        return Some(Condition::Other { text: canonical(whole)?, strict });
    };
    Some(match (operator, constant.text.as_str(), constant.cast.as_deref()) {
        ("=", "true", Some("boolean")) | ("<>", "false", Some("boolean")) => Condition::True(key),
        ("=", "false", Some("boolean")) | ("<>", "true", Some("boolean")) => Condition::False(key),
        _ => Condition::Compare { key, operator, constant },
    })
}

/// `key = a OR key = b` of `key IN (a, b)` and `key = ANY (ARRAY[a, b])`.
fn alternatives(whole: &Node, left: &Node, right: &Node, operator: &str) -> Option<Vec<Condition>> {
    let mut list = right.node.as_ref()?;
    // `ANY ((ARRAY['a'::varchar])::text[])`
    while let NodeEnum::TypeCast(cast) = list {
        list = cast.arg.as_ref()?.node.as_ref()?;
    }
    let elements = match list {
        NodeEnum::List(list) => &list.items,
        NodeEnum::AArrayExpr(array) => &array.elements,
        _ => return None,
    };
    elements.iter().map(|element| comparison(whole, operator, left, element)).collect()
}

fn constant(node: &Node) -> Option<Constant> {
    match node.node.as_ref()? {
        NodeEnum::AConst(value) if !value.isnull => Some(match &value.val {
            Some(Val::Ival(i)) => number(i.ival.to_string()),
            Some(Val::Fval(f)) => number(f.fval.clone()),
            Some(Val::Boolval(b)) => {
                Constant { text: b.boolval.to_string(), cast: Some("boolean".into()), number: None }
            }
            Some(Val::Sval(s)) => Constant { text: s.sval.clone(), cast: None, number: None },
            Some(Val::Bsval(_)) => return None,
            // Zero is protobuf's default and is not sent.
            None => number("0".into()),
        }),
        NodeEnum::TypeCast(cast) => {
            let inner = constant(cast.arg.as_deref()?)?;
            let to = type_name(cast.type_name.as_ref()?);
            if is_string_type(&to) {
                return Some(inner);
            }
            let numeric = ["smallint", "integer", "bigint", "numeric", "real", "double precision"];
            if numeric.contains(&to.as_str()) {
                return Some(number(inner.text));
            }
            Some(Constant { text: inner.text, cast: Some(to), number: None })
        }
        NodeEnum::AExpr(expression) if expression.lexpr.is_none() => {
            let name = expression.name.last().and_then(string)?;
            let inner = constant(expression.rexpr.as_deref()?)?;
            (name == "-" && inner.number.is_some()).then(|| number(format!("-{}", inner.text)))
        }
        _ => None,
    }
}

fn number(text: String) -> Constant {
    let number = text.parse().ok();
    Constant { text, cast: None, number }
}

fn is_string_type(name: &str) -> bool {
    matches!(name, "text" | "character varying" | "varchar" | "name")
}

/// A text that is the same for the same expression.
fn canonical(node: &Node) -> Option<String> {
    if let Some(constant) = constant(node) {
        let cast = constant.cast.filter(|c| c != "boolean").map_or(String::new(), |c| format!("::{c}"));
        let text = match constant.number {
            Some(_) => constant.text,
            None => model::quote_literal(&constant.text),
        };
        return Some(format!("{text}{cast}"));
    }
    match node.node.as_ref()? {
        NodeEnum::ColumnRef(column) => {
            column.fields.last().and_then(string).map(|c| model::quote_identifier(&c))
        }
        NodeEnum::TypeCast(cast) => {
            let inner = canonical(cast.arg.as_deref()?)?;
            let to = type_name(cast.type_name.as_ref()?);
            // pg_get_expr() shows every varchar as text.
            Some(if is_string_type(&to) { inner } else { format!("({inner})::{to}") })
        }
        NodeEnum::FuncCall(call) => {
            let parts: Vec<String> = call.funcname.iter().filter_map(string).collect();
            let parts: Vec<&String> = parts.iter().filter(|p| *p != "pg_catalog").collect();
            let plain = call.agg_order.is_empty() && call.agg_filter.is_none() && call.over.is_none();
            if !plain || call.agg_star || call.agg_distinct {
                return deparsed(node);
            }
            let args: Option<Vec<String>> = call.args.iter().map(canonical).collect();
            let name: Vec<String> = parts.iter().map(|p| model::quote_identifier(p)).collect();
            Some(format!("{}({})", name.join("."), args?.join(", ")))
        }
        NodeEnum::CoalesceExpr(coalesce) => {
            let args: Option<Vec<String>> = coalesce.args.iter().map(canonical).collect();
            Some(format!("coalesce({})", args?.join(", ")))
        }
        NodeEnum::AExpr(expression)
            if matches!(
                AExprKind::try_from(expression.kind),
                Ok(AExprKind::AexprOp | AExprKind::AexprLike | AExprKind::AexprIlike)
            ) =>
        {
            let name = expression.name.last().and_then(string)?;
            let left = match expression.lexpr.as_deref() {
                Some(left) => canonical(left)? + " ",
                None => String::new(),
            };
            Some(format!("({left}{name} {})", canonical(expression.rexpr.as_deref()?)?))
        }
        NodeEnum::BoolExpr(expression) => {
            let args: Option<Vec<String>> = expression.args.iter().map(canonical).collect();
            let mut args = args?;
            args.sort();
            Some(match BoolExprType::try_from(expression.boolop) {
                Ok(BoolExprType::AndExpr) => format!("({})", args.join(" AND ")),
                Ok(BoolExprType::OrExpr) => format!("({})", args.join(" OR ")),
                _ => format!("(NOT {})", args.join("")),
            })
        }
        _ => deparsed(node),
    }
}

fn deparsed(node: &Node) -> Option<String> {
    crate::idea::expression(node.clone()).ok()
}

/// What is known of a premise.
#[derive(Clone, Copy, PartialEq)]
enum Premise {
    True,
    /// True or NULL; the conclusion is wanted not to be false.
    NotFalse,
}

/// Whether `premise`, being true, proves that `conclusion` is.
fn follows(premise: &Condition, conclusion: &Condition) -> bool {
    proves(premise, conclusion, Premise::True)
}

fn proves(premise: &Condition, conclusion: &Condition, known: Premise) -> bool {
    if premise == conclusion
        || *conclusion == Condition::Constant(true)
        || *premise == Condition::Constant(false)
    {
        return true;
    }
    if let Condition::And(parts) = conclusion {
        return parts.iter().all(|part| proves(premise, part, known));
    }
    if let Condition::Or(arms) = premise {
        return !arms.is_empty() && arms.iter().all(|arm| proves(arm, conclusion, known));
    }
    if let Condition::Or(arms) = conclusion
        && arms.iter().any(|arm| proves(premise, arm, known))
    {
        return true;
    }
    if let Condition::And(parts) = premise {
        return parts.iter().any(|part| proves(part, conclusion, known));
    }
    match (premise, conclusion) {
        (
            Condition::Compare { key, operator, constant },
            Condition::Compare { key: wanted_key, operator: wanted, constant: bound },
        ) => key == wanted_key && compared(operator, constant, wanted, bound),
        (
            Condition::Compare { key, .. } | Condition::True(key) | Condition::False(key),
            Condition::IsNotNull(wanted),
        ) => known == Premise::True && key == wanted,
        (Condition::Other { strict, .. }, Condition::IsNotNull(wanted)) => {
            known == Premise::True && strict.contains(wanted)
        }
        _ => false,
    }
}

/// Whether `x operator constant` proves `x wanted bound`.
fn compared(operator: &str, constant: &Constant, wanted: &str, bound: &Constant) -> bool {
    let same = constant.cast == bound.cast
        && match (constant.number, bound.number) {
            (Some(a), Some(b)) => a == b,
            _ => constant.text == bound.text,
        };
    if same {
        return operator == wanted
            || matches!((operator, wanted), ("=", "<=" | ">=") | ("<", "<=" | "<>") | (">", ">=" | "<>"));
    }
    let Some(order) = ordered(constant, bound) else {
        return false;
    };
    match (operator, wanted) {
        ("=", "<>") => true,
        ("=" | "<" | "<=", "<" | "<=" | "<>") => order.is_lt(),
        ("=" | ">" | ">=", ">" | ">=" | "<>") => order.is_gt(),
        _ => false,
    }
}

/// Which of two constants is less, where that does not depend on a collation or a time zone.
fn ordered(one: &Constant, other: &Constant) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (one.number, other.number) {
        return a.partial_cmp(&b);
    }
    let moment = |c: &Constant| {
        let cast = c.cast.as_deref()?;
        (cast == "date" || cast.starts_with("timestamp")).then(|| cast.to_owned())
    };
    if moment(one)? != moment(other)? {
        return None;
    }
    // ISO dates of one length order as texts, unless what follows the seconds differs.
    let shape =
        |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let offset = |text: &str| text.get(19..).unwrap_or("").to_owned();
    let iso = |text: &str| text.len() >= 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let alike = iso(&one.text)
        && iso(&other.text)
        && shape(&one.text) == shape(&other.text)
        && offset(&one.text) == offset(&other.text);
    alike.then(|| one.text.cmp(&other.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_implies_what() {
        for (condition, predicate, expected) in [
            ("x > 10", "x > 5", true),
            ("x > 5", "x > 10", false),
            ("x >= 5", "x > 5", false),
            ("x > 5", "x >= 5", true),
            ("x = 7", "x between 5 and 10", true),
            ("x between 5 and 10", "x <= 10", true),
            ("x between 5 and 10", "x between 1 and 10", true),
            ("5 < x", "(x > 5)", true),
            ("x = 1", "x in (1, 2)", true),
            ("x in (1, 2)", "x in (1, 2, 3)", true),
            ("x in (1, 4)", "x in (1, 2, 3)", false),
            ("x = 'a'", "((x)::text = ANY (ARRAY['a'::text, 'b'::text]))", true),
            (
                "x = 'c'",
                "((x)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
                false,
            ),
            ("x = 1 and y = 2", "y = 2", true),
            ("x = 1 or y = 2", "y = 2", false),
            ("x = 1 or x = 2", "x < 3", true),
            // AND and OR do not lose their parentheses.
            ("a = 1 and (b = 2 or c = 3)", "(a = 1 and b = 2) or c = 3", false),
            ("a = 1 and (b = 2 or c = 3)", "a = 1", true),
            ("x = 1", "x is not null", true),
            ("x like 'a%'", "x is not null", true),
            ("x = y", "y is not null", true),
            ("x is distinct from 1", "x is not null", false),
            ("x = 1", "y is not null", false),
            ("lower(x) = 'a'", "lower((x)::text) = 'a'::text", true),
            ("active", "active = true", true),
            ("active is true", "active", true),
            ("not active", "active = false", true),
            ("active", "not active", false),
            ("\"Status\" = 1", "status = 1", false),
            ("x <> 'it''s'", "x <> 'it''s'::text", true),
            ("x = 'A'", "x = 'a'", false),
            ("not (x > 3)", "x <= 3", true),
            ("x = -1", "x < 0", true),
            ("d >= '2024-06-01'::date", "d > '2024-01-01'::date", true),
            // Two offsets: which is the earlier is not to be seen from the texts.
            ("d > '2024-06-01 00:00:00+02'::timestamptz", "d > '2024-01-01 00:00:00+01'::timestamptz", false),
            // Texts order by their collation.
            ("x > 'b'", "x > 'a'", false),
            ("deleted_at is null", "deleted_at is null", true),
            ("x::date = '2024-01-01'", "x = '2024-01-01'", false),
            ("this is not sql (", "this is not sql (", true),
            ("this is not sql (", "x = 1", false),
            ("x = 1) or (true", "x = 1", false),
        ] {
            assert_eq!(implies(condition, predicate), expected, "{condition} implies {predicate}");
        }
    }

    #[test]
    fn types_make_constants_of_people_and_of_the_catalog_one() {
        let types: BTreeMap<String, String> = [
            ("at", "timestamp with time zone"),
            ("plain", "timestamp without time zone"),
            ("day", "date"),
            ("n", "bigint"),
            ("u", "uuid"),
            ("s", "text"),
        ]
        .map(|(name, of)| (name.to_owned(), of.to_owned()))
        .into();
        for (condition, predicate, utc, expected) in [
            ("day >= '2024-01-01'", "day >= '2024-01-01'::date", false, true),
            ("day >= '2024-02-01'::date", "day >= '2024-01-15'", false, true),
            (
                "plain >= '2024-01-01 00:00:00'::timestamp without time zone",
                "plain >= '2024-01-01'",
                false,
                true,
            ),
            ("at >= '2024-01-01'", "at >= '2024-01-01'", false, true),
            ("at >= '2024-01-01 00:00:00+00'::timestamp with time zone", "at >= '2024-01-01'", true, true),
            // Which moment the text means depends on a time zone that is not known.
            ("at >= '2024-01-01 00:00:00+00'::timestamp with time zone", "at >= '2024-01-01'", false, false),
            ("at >= '2024-01-01 01:00:00+01'", "at >= '2024-01-01 00:00:00+00'::timestamptz", false, true),
            // A NULL satisfies the check.
            ("n >= 5", "n is not null", false, false),
            ("n >= 5 and n is not null", "n is not null and n > 4", false, true),
            ("n >= 5", "n >= '5'::bigint", false, true),
            ("n >= '7'", "n >= 5", false, true),
            (
                "u = '11111111-1111-1111-1111-111111111111'::uuid",
                "u = '11111111-1111-1111-1111-111111111111'",
                false,
                true,
            ),
            ("s = 'a'::text", "s = 'a'", false, true),
            ("at >= '2024-01-01'::date", "at >= '2024-01-01'", false, false),
        ] {
            assert_eq!(
                check_implies(condition, predicate, &types, utc),
                expected,
                "{condition} implies {predicate}"
            );
        }
    }

    #[test]
    fn expressions_are_the_same_however_they_are_written() {
        for (one, other, expected) in [
            ("lower(x)", "lower((x)::text)", true),
            ("pg_catalog.lower(t.x)", "lower(x)", true),
            ("lower(x)", "upper(x)", false),
            ("(x)::date", "(x)::integer", false),
            ("coalesce(a, 0)", "COALESCE(a, 0)", true),
            ("((a || ' '::text) || b)", "a || ' ' || b", true),
            ("doc ->> 'k'", "(doc ->> 'k'::text)", true),
            ("doc ->> 'k'", "doc -> 'k'", false),
        ] {
            assert_eq!(same_expression(one, other), expected, "{one} and {other}");
        }
    }

    #[test]
    fn a_condition_that_says_nothing() {
        assert!(always_true("id IS NOT NULL", &["id"]));
        assert!(always_true("(\"Id x\" IS NOT NULL) AND true", &["Id x"]));
        assert!(!always_true("id IS NOT NULL", &["other"]));
        assert!(!always_true("id > 0", &["id"]));
    }
}
