//! What is known of the functions and operators of PostgreSQL: volatility, strictness, and which aggregate.
//!
//! Functions of PostgreSQL are in `builtins`, those of users are read out of the schema's DDL; what is not known is taken
//! as volatile.

use std::collections::BTreeMap;

use pg_query::NodeEnum;

use super::tree::{Call, Expr};
pub(crate) use crate::builtins::Volatility;
use crate::builtins::{Builtin, Kind, builtin};

/// The functions that users made, by name: overloads count as their worst.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserFunctions {
    functions: BTreeMap<String, Volatility>,
    /// Symbols for which users made operators, which may mean anything.
    pub operators: std::collections::BTreeSet<String>,
}

impl UserFunctions {
    /// Reads `CREATE FUNCTION` and `CREATE OPERATOR` out of a schema dump.
    pub fn find(schema_sql: &str) -> Self {
        let mut found = Self::default();
        for start in
            ["CREATE FUNCTION ", "CREATE OR REPLACE FUNCTION ", "CREATE AGGREGATE ", "CREATE OPERATOR "]
        {
            for (at, _) in schema_sql.match_indices(start) {
                if at == 0 || schema_sql[..at].ends_with('\n') {
                    found.read(&schema_sql[at..], start);
                }
            }
        }
        found
    }

    fn read(&mut self, text: &str, start: &str) {
        // A body may hold semicolons; the first end that makes a statement counts.
        let ends = text.match_indices(";\n").map(|(at, _)| at).chain([text.trim_end().len()]);
        let parsed = ends.take(200).find_map(|end| {
            pg_query::parse(text.get(..end)?, pg_query::ParserOptions::DEFAULT).ok().map(|p| p.protobuf)
        });
        let node = parsed.and_then(|p| p.stmts.into_iter().next()).and_then(|s| s.stmt).and_then(|s| s.node);
        match node {
            Some(NodeEnum::CreateFunctionStmt(create)) => {
                let Some(name) = create.funcname.last().and_then(super::reading::string) else { return };
                let mut volatility = Volatility::Volatile;
                for option in &create.options {
                    if let Some(NodeEnum::DefElem(element)) = &option.node
                        && element.defname == "volatility"
                    {
                        volatility = match element.arg.as_deref().and_then(super::reading::string).as_deref()
                        {
                            Some("immutable") => Volatility::Immutable,
                            Some("stable") => Volatility::Stable,
                            _ => Volatility::Volatile,
                        };
                    }
                }
                let known = self.functions.entry(name).or_insert(Volatility::Immutable);
                *known = (*known).max(volatility);
            }
            Some(NodeEnum::DefineStmt(define)) => {
                let Some(name) = define.defnames.last().and_then(super::reading::string) else { return };
                if start.contains("OPERATOR") {
                    self.operators.insert(name);
                } else {
                    self.functions.insert(name, Volatility::Volatile);
                }
            }
            _ => {}
        }
    }

    /// Whether a user made the function that a call may mean.
    pub fn is_of_user(&self, call: &Call) -> bool {
        self.functions.contains_key(&call.name)
    }

    /// The volatility of a call.
    pub fn volatility(&self, call: &Call) -> Volatility {
        let own = || {
            if call.schema.is_some() {
                return Volatility::Volatile;
            }
            match builtin(&call.name) {
                // A set of rows is no value, and how often it is asked for counts.
                None | Some(Builtin { kind: Kind::Set, .. }) => Volatility::Volatile,
                Some(Builtin { kind: Kind::Window, .. }) => Volatility::Stable,
                Some(known) => known.volatility,
            }
        };
        match self.functions.get(&call.name) {
            // Where a user's function has a built-in name, either may be meant.
            Some(user) if call.schema.is_some() || own() == Volatility::Volatile => *user,
            Some(user) => (*user).max(own()),
            None => own(),
        }
    }

    /// The volatility of an expression, queries in it included.
    pub fn of(&self, expr: &Expr) -> Volatility {
        let mut worst = Volatility::Immutable;
        expr.walk(&mut |e| worst = worst.max(self.own(e)));
        worst
    }

    /// The volatility of the outermost part of an expression.
    pub fn own(&self, expr: &Expr) -> Volatility {
        match expr {
            Expr::Call(call) => self.volatility(call),
            Expr::Value(_) => Volatility::Stable,
            Expr::Operator { name, .. }
            | Expr::AnyOf { operator: name, .. }
            | Expr::Quantified { operator: name, .. }
                if self.operators.contains(name) =>
            {
                Volatility::Volatile
            }
            // Input of dates and times depends on settings; casts between types mostly do not, but those of
            // timestamps do.
            Expr::Cast { .. } => Volatility::Stable,
            _ => Volatility::Immutable,
        }
    }
}

/// Whether a call is an aggregate of PostgreSQL, or written as one.
pub(crate) fn is_aggregate(call: &Call) -> bool {
    call.star
        || call.distinct
        || call.within_group
        || call.filter.is_some()
        || (call.schema.is_none() && builtin(&call.name).is_some_and(|b| b.kind == Kind::Aggregate))
}

/// Whether a function of PostgreSQL gives NULL for NULL in any argument, and only then.
pub(crate) fn null_only_for_null(call: &Call) -> bool {
    call.schema.is_none() && call.over.is_none() && builtin(&call.name).is_some_and(|b| b.null_only_for_null)
}

/// Whether a function of PostgreSQL gives NULL for NULL in any argument.
pub(crate) fn is_strict(call: &Call) -> bool {
    // The hour of infinity is NULL, so these are strict and may give NULL otherwise.
    null_only_for_null(call)
        || (call.schema.is_none()
            && call.over.is_none()
            && matches!(call.name.as_str(), "date_part" | "extract"))
}

/// Operators of the types of PostgreSQL that give NULL for NULL in any operand, and only then. `||` is not
/// among them: an array takes NULL as an element.
pub(crate) fn operator_null_only_for_null(name: &str) -> bool {
    matches!(
        name,
        "=" | "<>" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%" | "~" | "!~" | "~*" | "!~*" | "^"
    )
}

/// Operators of the types of PostgreSQL that give NULL for NULL in any operand.
pub(crate) fn operator_is_strict(name: &str) -> bool {
    operator_null_only_for_null(name)
        || matches!(
            name,
            "->" | "->>"
                | "#>"
                | "#>>"
                | "@>"
                | "<@"
                | "?"
                | "?|"
                | "?&"
                | "&&"
                | "@@"
                | "<->"
                | "~~"
                | "~~*"
        )
}

/// The aggregates whose result does not change when rows occur more than once.
pub(crate) fn ignores_duplicates(call: &Call) -> bool {
    call.distinct
        || (call.schema.is_none()
            && matches!(
                call.name.as_str(),
                "min" | "max" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or"
            ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_users_are_what_their_definition_says() {
        let users = UserFunctions::find(
            "CREATE FUNCTION public.tax(n numeric) RETURNS numeric\n    LANGUAGE sql IMMUTABLE\n    AS $$ select 1;\n select n * 2 $$;\n\
             CREATE FUNCTION public.who() RETURNS text\n    LANGUAGE sql STABLE\n    AS $$ select 'a' $$;\n\
             CREATE FUNCTION public.draw() RETURNS int\n    LANGUAGE plpgsql\n    AS $$ begin return 1;\n end $$;\n\
             CREATE OPERATOR public.=== (FUNCTION = public.f, LEFTARG = int, RIGHTARG = int);\n",
        );
        for (name, expected) in [
            ("tax", Volatility::Immutable),
            ("who", Volatility::Stable),
            ("draw", Volatility::Volatile),
            ("lower", Volatility::Immutable),
            ("now", Volatility::Stable),
            ("random", Volatility::Volatile),
            ("nobody_knows", Volatility::Volatile),
        ] {
            assert_eq!(users.volatility(&Call::new(name, vec![])), expected, "{name}");
        }
        assert!(users.operators.contains("==="));
    }
}
