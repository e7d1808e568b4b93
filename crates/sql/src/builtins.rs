//! What is known of a function of PostgreSQL or of its contrib modules, by its name? The one list that everything asks:
//! rewrites and proofs, safety, indexes on expressions, defaults of new columns, pruning.
//!
//! Source: `pg_proc.dat` of PostgreSQL 13 to 18 (`provolatile`, `proisstrict`, `prokind`, `proretset`), and of uuid-ossp and
//! pgcrypto. Overloads count as their worst. What is not listed is unknown.

use self::Kind::{Aggregate, Plain, Set, Window};
use self::Volatility::{Immutable, Stable, Volatile};

/// How much a function may give something else for the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// Never.
    Immutable,
    /// With settings, the session or the time of the statement, and not within one statement.
    Stable,
    /// At each call.
    Volatile,
}

/// What a function works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Values, and it gives one.
    Plain,
    /// The rows of a group.
    Aggregate,
    /// The rows of a window.
    Window,
    /// Values, and it gives rows.
    Set,
}

/// A function that is known.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name, without its schema.
    pub name: &'static str,
    /// What it works on.
    pub kind: Kind,
    /// Of its most volatile overload.
    pub volatility: Volatility,
    /// Whether it gives NULL for NULL in any argument, and only then.
    pub null_only_for_null: bool,
    /// Whether a call changes something or makes others wait: a sequence, a setting, a lock.
    pub has_effect: bool,
    /// Whether it is immutable for some types of its arguments though it is not for others.
    pub varies_by_type: bool,
}

impl Builtin {
    const fn total(self) -> Self {
        Self { null_only_for_null: true, ..self }
    }

    const fn by_type(self) -> Self {
        Self { varies_by_type: true, ..self }
    }

    const fn with_effect(self) -> Self {
        Self { has_effect: true, ..self }
    }
}

/// What is known of the function of this name; nothing for one of a user.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.binary_search_by(|b| b.name.cmp(name)).ok().and_then(|at| BUILTINS.get(at))
}

/// Whether a function is certain to give another value at each call.
pub fn is_volatile(name: &str) -> bool {
    builtin(name).is_some_and(|b| b.volatility == Volatile)
}

/// Whether a function tells what time it is.
pub fn tells_the_time(name: &str) -> bool {
    matches!(name, "now" | "transaction_timestamp" | "statement_timestamp" | "clock_timestamp")
}

const fn known(name: &'static str, kind: Kind, volatility: Volatility) -> Builtin {
    Builtin { name, kind, volatility, null_only_for_null: false, has_effect: false, varies_by_type: false }
}

const fn plain(name: &'static str, volatility: Volatility) -> Builtin {
    known(name, Plain, volatility)
}

const fn aggregate(name: &'static str, volatility: Volatility) -> Builtin {
    known(name, Aggregate, volatility)
}

const fn window(name: &'static str, volatility: Volatility) -> Builtin {
    known(name, Window, volatility)
}

const fn set(name: &'static str, volatility: Volatility) -> Builtin {
    known(name, Set, volatility)
}

const BUILTINS: &[Builtin] = &[
    plain("abs", Immutable).total(),
    plain("acos", Immutable),
    plain("age", Stable),
    aggregate("any_value", Immutable),
    aggregate("array_agg", Immutable),
    plain("array_append", Immutable),
    plain("array_cat", Immutable),
    plain("array_dims", Immutable),
    plain("array_length", Immutable),
    plain("array_lower", Immutable),
    plain("array_ndims", Immutable),
    plain("array_position", Immutable),
    plain("array_positions", Immutable),
    plain("array_prepend", Immutable),
    plain("array_remove", Immutable),
    plain("array_replace", Immutable),
    plain("array_to_string", Stable),
    plain("array_upper", Immutable),
    plain("ascii", Immutable),
    plain("asin", Immutable),
    plain("atan", Immutable),
    plain("atan2", Immutable),
    aggregate("avg", Immutable),
    aggregate("bit_and", Immutable),
    plain("bit_length", Immutable),
    aggregate("bit_or", Immutable),
    aggregate("bit_xor", Immutable),
    aggregate("bool_and", Immutable),
    aggregate("bool_or", Immutable),
    plain("btrim", Immutable).total(),
    plain("cardinality", Immutable),
    plain("cbrt", Immutable),
    plain("ceil", Immutable).total(),
    plain("ceiling", Immutable).total(),
    plain("char_length", Immutable).total(),
    plain("character_length", Immutable).total(),
    plain("chr", Immutable),
    plain("clock_timestamp", Volatile),
    plain("coalesce", Immutable),
    plain("concat", Stable),
    plain("concat_ws", Stable),
    aggregate("corr", Immutable),
    plain("cos", Immutable),
    plain("cosh", Immutable),
    aggregate("count", Immutable),
    aggregate("covar_pop", Immutable),
    aggregate("covar_samp", Immutable),
    window("cume_dist", Immutable),
    plain("current_database", Stable),
    plain("current_schema", Stable),
    plain("current_setting", Stable),
    plain("currval", Volatile),
    plain("date", Stable).total().by_type(),
    plain("date_bin", Immutable),
    plain("date_part", Stable).by_type(),
    plain("date_trunc", Stable).total().by_type(),
    plain("decode", Immutable),
    plain("degrees", Immutable),
    window("dense_rank", Immutable),
    plain("div", Immutable),
    plain("encode", Immutable),
    aggregate("every", Immutable),
    plain("exp", Immutable).total(),
    plain("extract", Stable).by_type(),
    plain("factorial", Immutable),
    window("first_value", Immutable),
    plain("floor", Immutable).total(),
    plain("format", Stable),
    plain("gcd", Immutable),
    plain("gen_random_bytes", Volatile),
    plain("gen_random_uuid", Volatile),
    plain("gen_salt", Volatile),
    set("generate_series", Immutable),
    set("generate_subscripts", Immutable),
    plain("greatest", Immutable),
    plain("initcap", Immutable).total(),
    plain("isempty", Immutable),
    aggregate("json_agg", Immutable),
    set("json_array_elements", Immutable),
    set("json_array_elements_text", Immutable),
    plain("json_array_length", Immutable),
    plain("json_build_array", Stable),
    plain("json_build_object", Stable),
    set("json_each", Immutable),
    set("json_each_text", Immutable),
    plain("json_extract_path", Immutable),
    plain("json_extract_path_text", Immutable),
    aggregate("json_object_agg", Immutable),
    set("json_object_keys", Immutable),
    plain("json_typeof", Immutable),
    aggregate("jsonb_agg", Immutable),
    set("jsonb_array_elements", Immutable),
    set("jsonb_array_elements_text", Immutable),
    plain("jsonb_array_length", Immutable),
    plain("jsonb_build_array", Stable),
    plain("jsonb_build_object", Stable),
    set("jsonb_each", Immutable),
    set("jsonb_each_text", Immutable),
    plain("jsonb_extract_path", Immutable),
    plain("jsonb_extract_path_text", Immutable),
    plain("jsonb_insert", Immutable),
    aggregate("jsonb_object_agg", Immutable),
    set("jsonb_object_keys", Immutable),
    plain("jsonb_path_exists", Immutable),
    plain("jsonb_path_match", Immutable),
    set("jsonb_path_query", Immutable),
    plain("jsonb_path_query_first", Immutable),
    plain("jsonb_set", Immutable),
    plain("jsonb_strip_nulls", Immutable),
    plain("jsonb_typeof", Immutable),
    plain("justify_days", Immutable),
    plain("justify_hours", Immutable),
    plain("justify_interval", Immutable),
    window("lag", Immutable),
    window("last_value", Immutable),
    plain("lastval", Volatile),
    plain("lcm", Immutable),
    window("lead", Immutable),
    plain("least", Immutable),
    plain("left", Immutable).total(),
    plain("length", Immutable).total(),
    plain("like_escape", Immutable).total(),
    plain("ln", Immutable),
    plain("lo_create", Volatile).with_effect(),
    plain("lo_unlink", Volatile).with_effect(),
    plain("log", Immutable),
    plain("lower", Immutable).total(),
    plain("lower_inc", Immutable),
    plain("lower_inf", Immutable),
    plain("lpad", Immutable).total(),
    plain("ltrim", Immutable).total(),
    plain("make_date", Immutable),
    plain("make_interval", Immutable),
    plain("make_time", Immutable),
    plain("make_timestamp", Immutable),
    plain("make_timestamptz", Stable),
    aggregate("max", Immutable),
    plain("md5", Immutable).total(),
    aggregate("min", Immutable),
    plain("min_scale", Immutable),
    plain("mod", Immutable).total(),
    aggregate("mode", Immutable),
    plain("nextval", Volatile).with_effect(),
    plain("now", Stable),
    window("nth_value", Immutable),
    window("ntile", Immutable),
    plain("nullif", Immutable),
    plain("num_nonnulls", Immutable),
    plain("num_nulls", Immutable),
    plain("octet_length", Immutable).total(),
    plain("overlaps", Immutable),
    plain("overlay", Immutable),
    window("percent_rank", Immutable),
    aggregate("percentile_cont", Immutable),
    aggregate("percentile_disc", Immutable),
    plain("pg_advisory_lock", Volatile).with_effect(),
    plain("pg_advisory_unlock", Volatile).with_effect(),
    plain("pg_advisory_xact_lock", Volatile).with_effect(),
    plain("pg_cancel_backend", Volatile).with_effect(),
    plain("pg_current_xact_id", Volatile).with_effect(),
    plain("pg_database_size", Volatile),
    plain("pg_indexes_size", Volatile),
    plain("pg_notify", Volatile).with_effect(),
    plain("pg_relation_size", Volatile),
    plain("pg_reload_conf", Volatile).with_effect(),
    plain("pg_size_pretty", Immutable),
    plain("pg_sleep", Volatile).with_effect(),
    plain("pg_table_size", Volatile),
    plain("pg_terminate_backend", Volatile).with_effect(),
    plain("pg_total_relation_size", Volatile),
    plain("pg_try_advisory_lock", Volatile).with_effect(),
    plain("pg_try_advisory_xact_lock", Volatile).with_effect(),
    plain("pg_typeof", Stable),
    plain("phraseto_tsquery", Stable).by_type(),
    plain("plainto_tsquery", Stable).by_type(),
    plain("position", Immutable),
    plain("power", Immutable).total(),
    plain("quote_ident", Immutable),
    plain("quote_literal", Immutable),
    plain("radians", Immutable),
    plain("random", Volatile),
    plain("random_normal", Volatile),
    aggregate("range_agg", Immutable),
    aggregate("range_intersect_agg", Immutable),
    window("rank", Immutable),
    plain("regexp_count", Immutable),
    plain("regexp_instr", Immutable),
    plain("regexp_like", Immutable),
    plain("regexp_match", Immutable),
    set("regexp_matches", Immutable),
    plain("regexp_replace", Immutable),
    plain("regexp_split_to_array", Immutable),
    set("regexp_split_to_table", Immutable),
    plain("regexp_substr", Immutable),
    aggregate("regr_avgx", Immutable),
    aggregate("regr_avgy", Immutable),
    aggregate("regr_count", Immutable),
    aggregate("regr_intercept", Immutable),
    aggregate("regr_r2", Immutable),
    aggregate("regr_slope", Immutable),
    aggregate("regr_sxx", Immutable),
    aggregate("regr_sxy", Immutable),
    aggregate("regr_syy", Immutable),
    plain("repeat", Immutable).total(),
    plain("replace", Immutable).total(),
    plain("reverse", Immutable).total(),
    plain("right", Immutable).total(),
    plain("round", Immutable).total(),
    window("row_number", Immutable),
    plain("row_to_json", Stable),
    plain("rpad", Immutable).total(),
    plain("rtrim", Immutable).total(),
    plain("scale", Immutable),
    plain("set_config", Volatile).with_effect(),
    plain("setseed", Volatile).with_effect(),
    plain("setval", Volatile).with_effect(),
    plain("sha224", Immutable),
    plain("sha256", Immutable),
    plain("sha384", Immutable),
    plain("sha512", Immutable),
    plain("sign", Immutable).total(),
    plain("similar_to_escape", Immutable),
    plain("sin", Immutable),
    plain("sinh", Immutable),
    plain("split_part", Immutable),
    plain("sqrt", Immutable).total(),
    plain("starts_with", Immutable).total(),
    plain("statement_timestamp", Stable),
    aggregate("stddev", Immutable),
    aggregate("stddev_pop", Immutable),
    aggregate("stddev_samp", Immutable),
    aggregate("string_agg", Immutable),
    plain("string_to_array", Immutable),
    set("string_to_table", Immutable),
    plain("strpos", Immutable).total(),
    plain("substr", Immutable).total(),
    plain("substring", Immutable),
    aggregate("sum", Immutable),
    plain("tan", Immutable),
    plain("tanh", Immutable),
    plain("timeofday", Volatile),
    plain("timezone", Stable).total().by_type(),
    plain("to_char", Stable),
    plain("to_date", Stable),
    plain("to_hex", Immutable),
    plain("to_json", Stable),
    plain("to_jsonb", Stable),
    plain("to_number", Stable),
    plain("to_timestamp", Stable).by_type(),
    plain("to_tsquery", Stable).by_type(),
    plain("to_tsvector", Stable).by_type(),
    plain("transaction_timestamp", Stable),
    plain("translate", Immutable).total(),
    plain("trim_array", Immutable),
    plain("trim_scale", Immutable),
    plain("trunc", Immutable).total(),
    plain("ts_headline", Stable),
    plain("ts_rank", Immutable),
    plain("txid_current", Volatile).with_effect(),
    set("unnest", Immutable),
    plain("upper", Immutable).total(),
    plain("upper_inc", Immutable),
    plain("upper_inf", Immutable),
    plain("uuid_generate_v1", Volatile),
    plain("uuid_generate_v1mc", Volatile),
    plain("uuid_generate_v4", Volatile),
    plain("uuidv4", Volatile),
    plain("uuidv7", Volatile),
    aggregate("var_pop", Immutable),
    aggregate("var_samp", Immutable),
    aggregate("variance", Immutable),
    plain("version", Stable),
    plain("websearch_to_tsquery", Stable).by_type(),
    plain("width_bucket", Immutable),
    aggregate("xmlagg", Immutable),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_binary_search_and_unique() {
        assert!(BUILTINS.is_sorted_by(|a, b| a.name < b.name));
        assert!(BUILTINS.iter().all(|b| builtin(b.name).is_some_and(|found| found.name == b.name)));
        assert!(builtin("nobody_knows").is_none());
    }

    #[test]
    fn what_has_an_effect_is_volatile() {
        assert!(BUILTINS.iter().filter(|b| b.has_effect).all(|b| b.volatility == Volatile));
    }
}
