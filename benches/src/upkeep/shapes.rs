//! Which indexes are measured? One of every kind that costs something of its own: by where new entries go,
//! by type, by columns, by access method.

/// An index on the measured table.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What is special about it.
    pub name: &'static str,
    /// What stands after `CREATE [UNIQUE] INDEX … ON table`.
    pub sql: &'static str,
    /// Whether it enforces uniqueness.
    pub unique: bool,
    /// Whether new entries wait in a list that is flushed later, which is part of the price.
    pub pending_list: bool,
}

const fn plain(name: &'static str, sql: &'static str) -> Shape {
    Shape { name, sql, unique: false, pending_list: false }
}

const fn gin(name: &'static str, sql: &'static str) -> Shape {
    Shape { name, sql, unique: false, pending_list: true }
}

/// All of them.
pub const SHAPES: &[Shape] = &[
    plain("bigint, growing", "(sequence)"),
    plain("timestamptz, growing", "(created_at)"),
    plain("NULL in new rows", "(version_id)"),
    plain("text, 3 values", "(status)"),
    plain("text, 300 values", "(experiment)"),
    plain("text, 300 values, ICU collation", "(city)"),
    plain("integer, 200,000 values", "(customer_id)"),
    plain("uuid, random", "(run_id)"),
    Shape { unique: true, ..plain("uuid, random, unique", "(run_id)") },
    plain("double precision, random", "(score)"),
    plain("numeric, random", "(amount)"),
    plain("text of 32 letters, random", "(note)"),
    plain("text, growing time", "(experiment, created_at)"),
    plain("text, random, growing time", "(experiment, score, created_at)"),
    plain("growing time, text", "(created_at, experiment)"),
    plain("integer, text, growing time", "(customer_id, status, created_at)"),
    plain("uuid, 4 columns included", "(run_id) INCLUDE (experiment, model, status, created_at)"),
    plain("growing time, 2 columns included", "(created_at) INCLUDE (experiment, status)"),
    plain("hash of uuid", "USING hash (run_id)"),
    plain("BRIN of growing time", "USING brin (created_at)"),
    plain("partial, no new row", "(experiment, created_at) WHERE status = 'succeeded'"),
    plain("partial, every new row", "(experiment, created_at) WHERE status = 'running'"),
    plain("lower(text), 300 values", "(lower(model))"),
    plain("jsonb ->> key, 4 values", "((details ->> 'optimizer'))"),
    gin("GIN jsonb_path_ops, 4 keys", "USING gin (details jsonb_path_ops)"),
    gin("GIN jsonb_ops, 4 keys", "USING gin (details)"),
    gin("GIN text[], 3 elements", "USING gin (tags)"),
    gin("GIN tsvector, 6 words", "USING gin (to_tsvector('english', words))"),
    gin("GIN trigrams, 6 words", "USING gin (words gin_trgm_ops)"),
    plain("GiST range", "USING gist (validity)"),
    plain("GiST point", "USING gist (place)"),
    plain("SP-GiST point", "USING spgist (place)"),
];
