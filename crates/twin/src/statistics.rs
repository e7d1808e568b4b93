//! How do column statistics get into the twin's `pg_statistic`?
//!
//! Source: `src/include/catalog/pg_statistic.h` (kinds of slots), `src/backend/commands/analyze.c`
//! and `array_typanalyze.c` (which operator and type a slot carries), `lookup_type_cache()` and
//! `GetDefaultOpClass()` (which operators a type has). The functions that 18 has for this cover
//! neither older versions nor index expressions there, so the catalog is written on every version.

use std::collections::HashMap;

use model::snapshot::ColumnStatistics;
use schema::explain;
use tokio_postgres::types::{Oid, ToSql};
use tokio_postgres::{Client, Statement};

use crate::error::Error;

/// What a slot needs to know of a type.
#[derive(Clone, Copy, Debug, Default)]
struct TypeFacts {
    /// The type below all domains.
    base: Oid,
    /// `=` of the default B-tree operator class, else of the hash one, else zero.
    equal: Oid,
    /// `<` of the default B-tree operator class, else zero.
    less: Oid,
    /// The element's type when this is a true array, else zero.
    element: Oid,
    collation: Oid,
    /// The range type when this is a range or a multirange, else zero.
    range: Oid,
    /// Whether reading a value runs only code of PostgreSQL and of extensions. A domain in a composite type
    /// and a range over a type with its own order run what the snapshot's author wrote, and statistics are
    /// written by the superuser.
    trusted: bool,
}

/// One slot of `pg_statistic`.
#[derive(Clone, Debug, Default)]
struct Slot {
    kind: i16,
    operator: Oid,
    collation: Oid,
    numbers: Option<Vec<f32>>,
    values: Option<String>,
    element: Oid,
}

/// A column, or an expression of an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    pub(crate) relation: Oid,
    pub(crate) number: i16,
    pub(crate) type_oid: Oid,
    pub(crate) collation: Oid,
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) attribute: Attribute,
    pub(crate) inherited: bool,
    pub(crate) statistics: &'a ColumnStatistics,
}

type Slots = [Slot; 5];

/// Rows of one statement: with one each, waiting for answers takes longer than writing.
const BATCH: usize = 500;

/// Writes statistics.
pub(crate) struct Writer<'a> {
    client: &'a Client,
    insert: Statement,
    types: HashMap<Oid, TypeFacts>,
}

const TSVECTOR: Oid = 3614;
const TEXT: Oid = 25;
const TEXT_EQUAL: Oid = 98;
const FLOAT8: Oid = 701;
const FLOAT8_LESS: Oid = 672;
const DEFAULT_COLLATION: Oid = 100;

const TYPES: &str = "
WITH /* pgwright:twin_types */ RECURSIVE below (oid, base) AS (
    SELECT t.oid, t.oid FROM pg_catalog.pg_type AS t WHERE t.oid = ANY ($1)
    UNION ALL
    SELECT b.oid, t.typbasetype
    FROM below AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.base
    WHERE t.typtype = 'd'
),
classes AS (
    SELECT t.oid AS type, am.amname, oc.opcfamily, oc.opcintype,
        pg_catalog.row_number() OVER (
            PARTITION BY t.oid, am.amname
            ORDER BY oc.opcintype = t.oid DESC, i.typispreferred DESC, oc.oid
        ) AS rank
    FROM (SELECT DISTINCT b.base FROM below AS b) AS b
    JOIN pg_catalog.pg_type AS t ON t.oid = b.base
    CROSS JOIN pg_catalog.pg_opclass AS oc
    JOIN pg_catalog.pg_am AS am ON am.oid = oc.opcmethod
    JOIN pg_catalog.pg_type AS i ON i.oid = oc.opcintype
    WHERE oc.opcdefault AND am.amname IN ('btree', 'hash')
        AND (
            oc.opcintype = t.oid
            OR EXISTS (
                SELECT FROM pg_catalog.pg_cast AS c
                WHERE c.castsource = t.oid AND c.casttarget = oc.opcintype
                    AND c.castmethod = 'b' AND c.castcontext = 'i'
            )
            OR (i.typname = 'anyarray' AND t.typcategory = 'A' AND t.typlen = -1 AND t.typelem <> 0)
            OR (i.typname = 'anyenum' AND t.typtype = 'e')
            OR (i.typname = 'anyrange' AND t.typtype = 'r')
            OR (i.typname = 'anymultirange' AND t.typtype = 'm')
            OR (i.typname = 'record' AND t.typtype = 'c')
        )
)
SELECT b.oid, b.base,
    coalesce(equal.amopopr, hash_equal.amopopr, 0::pg_catalog.oid) AS equal,
    coalesce(less.amopopr, 0::pg_catalog.oid) AS less,
    CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN t.typelem ELSE 0::pg_catalog.oid END AS element,
    t.typcollation AS collation,
    CASE t.typtype
        WHEN 'r' THEN t.oid
        -- 13 has neither multiranges nor this column.
        WHEN 'm' THEN (
            SELECT r.rngtypid FROM pg_catalog.pg_range AS r
            WHERE (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
        )
        ELSE 0::pg_catalog.oid
    END AS range,
    t.oid < 16384 OR t.typtype IN ('b', 'e')
        OR (
            t.typtype = 'r'
            AND EXISTS (
                SELECT FROM pg_catalog.pg_range AS r JOIN pg_catalog.pg_type AS st ON st.oid = r.rngsubtype
                WHERE r.rngtypid = t.oid AND r.rngsubopc < 16384 AND r.rngcanonical::pg_catalog.oid < 16384
                    AND st.typtype = 'b' AND st.typelem = 0
            )
        ) AS trusted
FROM below AS b
JOIN pg_catalog.pg_type AS t ON t.oid = b.base AND t.typtype <> 'd'
LEFT JOIN classes AS c ON c.type = b.base AND c.amname = 'btree' AND c.rank = 1
LEFT JOIN pg_catalog.pg_amop AS equal ON equal.amopfamily = c.opcfamily AND equal.amopstrategy = 3
    AND equal.amoplefttype = c.opcintype AND equal.amoprighttype = c.opcintype
LEFT JOIN pg_catalog.pg_amop AS less ON less.amopfamily = c.opcfamily AND less.amopstrategy = 1
    AND less.amoplefttype = c.opcintype AND less.amoprighttype = c.opcintype
LEFT JOIN classes AS h ON h.type = b.base AND h.amname = 'hash' AND h.rank = 1
LEFT JOIN pg_catalog.pg_amop AS hash_equal ON hash_equal.amopfamily = h.opcfamily AND hash_equal.amopstrategy = 1
    AND hash_equal.amoplefttype = h.opcintype AND hash_equal.amoprighttype = h.opcintype";

/// `array_in` is the only way to make an `anyarray` from text; it is strict, so NULL stays NULL. Arrays of
/// arrays must be even, so the numbers of a slot come as text too.
const INSERT: &str = "
INSERT /* pgwright:twin_statistics */ INTO pg_catalog.pg_statistic (
    starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct,
    stakind1, stakind2, stakind3, stakind4, stakind5,
    staop1, staop2, staop3, staop4, staop5,
    stacoll1, stacoll2, stacoll3, stacoll4, stacoll5,
    stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5,
    stavalues1, stavalues2, stavalues3, stavalues4, stavalues5
)
SELECT s.relation, s.number, s.inherited, s.null_frac, s.width, s.n_distinct,
    s.k1, s.k2, s.k3, s.k4, s.k5, s.o1, s.o2, s.o3, s.o4, s.o5, s.c1, s.c2, s.c3, s.c4, s.c5,
    s.n1::pg_catalog.float4[], s.n2::pg_catalog.float4[], s.n3::pg_catalog.float4[],
    s.n4::pg_catalog.float4[], s.n5::pg_catalog.float4[],
    pg_catalog.array_in(s.v1::pg_catalog.cstring, s.e1, -1), pg_catalog.array_in(s.v2::pg_catalog.cstring, s.e2, -1),
    pg_catalog.array_in(s.v3::pg_catalog.cstring, s.e3, -1), pg_catalog.array_in(s.v4::pg_catalog.cstring, s.e4, -1),
    pg_catalog.array_in(s.v5::pg_catalog.cstring, s.e5, -1)
FROM ROWS FROM (
    pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int2[]),
    pg_catalog.unnest($3::pg_catalog.bool[]), pg_catalog.unnest($4::pg_catalog.float4[]),
    pg_catalog.unnest($5::pg_catalog.int4[]), pg_catalog.unnest($6::pg_catalog.float4[]),
    pg_catalog.unnest($7::pg_catalog.int2[]), pg_catalog.unnest($8::pg_catalog.int2[]),
    pg_catalog.unnest($9::pg_catalog.int2[]), pg_catalog.unnest($10::pg_catalog.int2[]),
    pg_catalog.unnest($11::pg_catalog.int2[]),
    pg_catalog.unnest($12::pg_catalog.oid[]), pg_catalog.unnest($13::pg_catalog.oid[]),
    pg_catalog.unnest($14::pg_catalog.oid[]), pg_catalog.unnest($15::pg_catalog.oid[]),
    pg_catalog.unnest($16::pg_catalog.oid[]),
    pg_catalog.unnest($17::pg_catalog.oid[]), pg_catalog.unnest($18::pg_catalog.oid[]),
    pg_catalog.unnest($19::pg_catalog.oid[]), pg_catalog.unnest($20::pg_catalog.oid[]),
    pg_catalog.unnest($21::pg_catalog.oid[]),
    pg_catalog.unnest($22::pg_catalog.text[]), pg_catalog.unnest($23::pg_catalog.text[]),
    pg_catalog.unnest($24::pg_catalog.text[]), pg_catalog.unnest($25::pg_catalog.text[]),
    pg_catalog.unnest($26::pg_catalog.text[]),
    pg_catalog.unnest($27::pg_catalog.text[]), pg_catalog.unnest($28::pg_catalog.text[]),
    pg_catalog.unnest($29::pg_catalog.text[]), pg_catalog.unnest($30::pg_catalog.text[]),
    pg_catalog.unnest($31::pg_catalog.text[]),
    pg_catalog.unnest($32::pg_catalog.oid[]), pg_catalog.unnest($33::pg_catalog.oid[]),
    pg_catalog.unnest($34::pg_catalog.oid[]), pg_catalog.unnest($35::pg_catalog.oid[]),
    pg_catalog.unnest($36::pg_catalog.oid[])
) AS s (
    relation, number, inherited, null_frac, width, n_distinct, k1, k2, k3, k4, k5, o1, o2, o3, o4, o5,
    c1, c2, c3, c4, c5, n1, n2, n3, n4, n5, v1, v2, v3, v4, v5, e1, e2, e3, e4, e5
)";

impl<'a> Writer<'a> {
    /// Learns the types, and the types of their elements, that will be written.
    pub(crate) async fn new(client: &'a Client, type_oids: &[Oid]) -> Result<Self, Error> {
        let what = "reading the twin's types";
        let mut types = HashMap::new();
        let mut wanted = type_oids.to_vec();
        while !wanted.is_empty() {
            let rows = client.query(TYPES, &[&wanted]).await.map_err(Error::sql(what))?;
            for row in rows {
                let oid: Oid = row.try_get("oid").map_err(Error::sql(what))?;
                let facts = TypeFacts {
                    base: row.try_get("base").map_err(Error::sql(what))?,
                    equal: row.try_get("equal").map_err(Error::sql(what))?,
                    less: row.try_get("less").map_err(Error::sql(what))?,
                    element: row.try_get("element").map_err(Error::sql(what))?,
                    collation: row.try_get("collation").map_err(Error::sql(what))?,
                    range: row.try_get("range").map_err(Error::sql(what))?,
                    trusted: row.try_get("trusted").map_err(Error::sql(what))?,
                };
                types.insert(oid, facts);
            }
            wanted =
                types.values().map(|t| t.element).filter(|e| *e != 0 && !types.contains_key(e)).collect();
            wanted.sort_unstable();
            wanted.dedup();
        }
        let insert = client.prepare(INSERT).await.map_err(Error::sql("preparing to write statistics"))?;
        Ok(Self { client, insert, types })
    }

    /// Writes statistics. Values that the twin does not understand are left out: of those the position in
    /// `rows` and the message is given back.
    pub(crate) async fn write(&self, rows: &[Row<'_>]) -> Result<Vec<(usize, String)>, Error> {
        let mut refused = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let base = self.types.get(&row.attribute.type_oid).map_or(0, |t| t.base);
            if row.statistics.most_common_vals.is_some() && !self.trusts(base) {
                refused.push((at, "reading values of its type may run functions of the schema".to_owned()));
            }
        }
        let slots: Vec<Slots> = rows.iter().map(|row| self.slots(row.attribute, row.statistics)).collect();
        let mut start = 0;
        while start < rows.len() {
            let end = rows.len().min(start + BATCH);
            if self.insert(&rows[start..end], &slots[start..end]).await.is_err() {
                for at in start..end {
                    if let Some(message) = self.write_one(&rows[at], &slots[at]).await? {
                        refused.push((at, message));
                    }
                }
            }
            start = end;
        }
        Ok(refused)
    }

    async fn write_one(&self, row: &Row<'_>, slots: &Slots) -> Result<Option<String>, Error> {
        let row = std::slice::from_ref(row);
        let Err(error) = self.insert(row, std::slice::from_ref(slots)).await else { return Ok(None) };
        if self.client.is_closed() {
            return Err(Error::sql("writing statistics")(error));
        }
        let (message, _) = explain(&error);
        let plain = five(slots.iter().filter(|s| s.values.is_none()).cloned().collect());
        self.insert(row, &[plain]).await.map_err(Error::sql("writing statistics"))?;
        Ok(Some(message))
    }

    /// Whether reading values of this type runs nothing that the snapshot's author wrote.
    fn trusts(&self, type_oid: Oid) -> bool {
        let Some(facts) = self.types.get(&type_oid) else { return false };
        match self.types.get(&facts.element) {
            // Within an array a domain is checked; on its own it is read as the type below.
            Some(element) => facts.trusted && element.base == facts.element && self.trusts(facts.element),
            None => facts.trusted,
        }
    }

    fn slots(&self, attribute: Attribute, statistics: &ColumnStatistics) -> Slots {
        let own = self.types.get(&attribute.type_oid).copied().unwrap_or_default();
        let trusted = self.trusts(own.base);
        let values = Slot { collation: attribute.collation, element: own.base, ..Slot::default() };
        let mut slots = Vec::new();
        if let (true, Some(common), Some(freqs)) =
            (trusted, &statistics.most_common_vals, &statistics.most_common_freqs)
        {
            slots.push(Slot {
                kind: 1,
                operator: own.equal,
                numbers: Some(freqs.clone()),
                values: Some(common.clone()),
                ..values.clone()
            });
        }
        if let (true, Some(bounds)) = (trusted, &statistics.histogram_bounds) {
            slots.push(Slot { kind: 2, operator: own.less, values: Some(bounds.clone()), ..values.clone() });
        }
        if let Some(correlation) = statistics.correlation {
            slots.push(Slot {
                kind: 3,
                operator: own.less,
                numbers: Some(vec![correlation]),
                ..values.clone()
            });
        }
        let (equal, element, collation, element_trusted) = if own.base == TSVECTOR {
            (TEXT_EQUAL, TEXT, DEFAULT_COLLATION, true)
        } else {
            let of = self.types.get(&own.element).copied().unwrap_or_default();
            (of.equal, of.base, of.collation, self.trusts(of.base))
        };
        if let (true, Some(elements), Some(freqs)) =
            (element_trusted, &statistics.most_common_elems, &statistics.most_common_elem_freqs)
        {
            slots.push(Slot {
                kind: 4,
                operator: equal,
                collation,
                numbers: Some(freqs.clone()),
                values: Some(elements.clone()),
                element,
            });
        }
        if let Some(counts) = &statistics.elem_count_histogram {
            slots.push(Slot {
                kind: 5,
                operator: equal,
                collation,
                numbers: Some(counts.clone()),
                ..Slot::default()
            });
        }
        if let (true, Some(ranges)) = (trusted && own.range != 0, &statistics.ranges) {
            if let Some(bounds) = &ranges.bounds_histogram {
                slots.push(Slot {
                    kind: 7,
                    values: Some(bounds.clone()),
                    element: own.range,
                    ..Slot::default()
                });
            }
            if let Some(lengths) = &ranges.length_histogram {
                slots.push(Slot {
                    kind: 6,
                    operator: FLOAT8_LESS,
                    numbers: Some(vec![ranges.empty_frac.unwrap_or(0.0)]),
                    values: Some(lengths.clone()),
                    element: FLOAT8,
                    ..Slot::default()
                });
            }
        }
        five(slots)
    }

    async fn insert(&self, rows: &[Row<'_>], slots: &[Slots]) -> Result<(), tokio_postgres::Error> {
        let of_rows = |f: fn(&Row<'_>) -> Oid| rows.iter().map(f).collect::<Vec<_>>();
        let relations = of_rows(|r| r.attribute.relation);
        let numbers: Vec<i16> = rows.iter().map(|r| r.attribute.number).collect();
        let inherited: Vec<bool> = rows.iter().map(|r| r.inherited).collect();
        let null_fracs: Vec<f32> = rows.iter().map(|r| r.statistics.null_frac).collect();
        let widths: Vec<i32> = rows.iter().map(|r| r.statistics.avg_width).collect();
        let distinct: Vec<f32> = rows.iter().map(|r| r.statistics.n_distinct).collect();
        let kinds = by_slot(slots, |s| s.kind);
        let operators = by_slot(slots, |s| s.operator);
        let collations = by_slot(slots, |s| s.collation);
        let slot_numbers = by_slot(slots, |s| s.numbers.as_deref().map(array_text));
        let values = by_slot(slots, |s| s.values.clone());
        let elements = by_slot(slots, |s| s.element);
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&relations, &numbers, &inherited, &null_fracs, &widths, &distinct];
        parameters.extend(kinds.iter().map(|k| k as &(dyn ToSql + Sync)));
        parameters.extend(operators.iter().map(|o| o as &(dyn ToSql + Sync)));
        parameters.extend(collations.iter().map(|c| c as &(dyn ToSql + Sync)));
        parameters.extend(slot_numbers.iter().map(|n| n as &(dyn ToSql + Sync)));
        parameters.extend(values.iter().map(|v| v as &(dyn ToSql + Sync)));
        parameters.extend(elements.iter().map(|e| e as &(dyn ToSql + Sync)));
        self.client.execute(&self.insert, &parameters).await.map(drop)
    }
}

/// As many slots as `pg_statistic` has.
fn five(mut slots: Vec<Slot>) -> Slots {
    slots.resize_with(5, Slot::default);
    slots.try_into().unwrap_or_default()
}

/// One member of every row's first slots, of their second ones, and so on.
fn by_slot<T>(rows: &[Slots], member: impl Fn(&Slot) -> T) -> [Vec<T>; 5] {
    std::array::from_fn(|at| rows.iter().map(|slots| member(&slots[at])).collect())
}

/// Numbers as the text of an array, none lost: Rust prints the shortest text that reads back the same.
fn array_text(numbers: &[f32]) -> String {
    let texts: Vec<String> = numbers.iter().map(f32::to_string).collect();
    format!("{{{}}}", texts.join(","))
}
