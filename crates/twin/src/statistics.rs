//! How do column statistics get into the twin's `pg_statistic`?
//!
//! Source: `src/include/catalog/pg_statistic.h` (kinds of slots), `src/backend/commands/analyze.c`
//! and `array_typanalyze.c` (which operator and type a slot carries), `lookup_type_cache()` and
//! `GetDefaultOpClass()` (which operators a type has). The functions that 18 has for this cover
//! neither older versions nor index expressions there, so the catalog is written on every version.

use std::collections::HashMap;

use model::snapshot::ColumnStatistics;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Statement};

use crate::error::{Error, explain};

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

/// Writes statistics.
pub(crate) struct Writer<'a> {
    client: &'a Client,
    insert: Statement,
    types: HashMap<Oid, TypeFacts>,
}

const TSVECTOR: Oid = 3614;
const TEXT: Oid = 25;
const TEXT_EQUAL: Oid = 98;
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
    t.typcollation AS collation
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

/// `array_in` is the only way to make an `anyarray` from text; it is strict, so NULL stays NULL.
const INSERT: &str = "
INSERT /* pgwright:twin_statistic */ INTO pg_catalog.pg_statistic (
    starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct,
    stakind1, stakind2, stakind3, stakind4, stakind5,
    staop1, staop2, staop3, staop4, staop5,
    stacoll1, stacoll2, stacoll3, stacoll4, stacoll5,
    stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5,
    stavalues1, stavalues2, stavalues3, stavalues4, stavalues5
) VALUES (
    $1, $2, $3, $4, $5, $6,
    $7, $8, $9, $10, $11,
    $12, $13, $14, $15, $16,
    $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26,
    pg_catalog.array_in($27::pg_catalog.text::pg_catalog.cstring, $32, -1),
    pg_catalog.array_in($28::pg_catalog.text::pg_catalog.cstring, $33, -1),
    pg_catalog.array_in($29::pg_catalog.text::pg_catalog.cstring, $34, -1),
    pg_catalog.array_in($30::pg_catalog.text::pg_catalog.cstring, $35, -1),
    pg_catalog.array_in($31::pg_catalog.text::pg_catalog.cstring, $36, -1)
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

    /// Writes the statistics of one attribute. Values that the twin does not understand are left
    /// out, and the message given back.
    pub(crate) async fn write(
        &self,
        attribute: Attribute,
        inherited: bool,
        statistics: &ColumnStatistics,
    ) -> Result<Option<String>, Error> {
        let slots = self.slots(attribute, statistics);
        let Err(error) = self.insert(attribute, inherited, statistics, &slots).await else { return Ok(None) };
        if self.client.is_closed() {
            return Err(Error::sql("writing statistics")(error));
        }
        let (message, _) = explain(&error);
        let plain: Vec<Slot> = slots.into_iter().filter(|s| s.values.is_none()).collect();
        match self.insert(attribute, inherited, statistics, &plain).await {
            Ok(()) => Ok(Some(message)),
            Err(error) => Err(Error::sql("writing statistics")(error)),
        }
    }

    fn slots(&self, attribute: Attribute, statistics: &ColumnStatistics) -> Vec<Slot> {
        let own = self.types.get(&attribute.type_oid).copied().unwrap_or_default();
        let values = Slot { collation: attribute.collation, element: own.base, ..Slot::default() };
        let mut slots = Vec::new();
        if let (Some(common), Some(freqs)) = (&statistics.most_common_vals, &statistics.most_common_freqs) {
            slots.push(Slot {
                kind: 1,
                operator: own.equal,
                numbers: Some(freqs.clone()),
                values: Some(common.clone()),
                ..values.clone()
            });
        }
        if let Some(bounds) = &statistics.histogram_bounds {
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
        let (equal, element, collation) = if own.base == TSVECTOR {
            (TEXT_EQUAL, TEXT, DEFAULT_COLLATION)
        } else {
            let of = self.types.get(&own.element).copied().unwrap_or_default();
            (of.equal, of.base, of.collation)
        };
        if let (Some(elements), Some(freqs)) =
            (&statistics.most_common_elems, &statistics.most_common_elem_freqs)
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
        slots
    }

    async fn insert(
        &self,
        attribute: Attribute,
        inherited: bool,
        statistics: &ColumnStatistics,
        slots: &[Slot],
    ) -> Result<(), tokio_postgres::Error> {
        let mut five = slots.to_vec();
        five.resize_with(5, Slot::default);
        let [a, b, c, d, e] = &five[..] else { unreachable!("resized to five") };
        self.client
            .execute(
                &self.insert,
                &[
                    &attribute.relation,
                    &attribute.number,
                    &inherited,
                    &statistics.null_frac,
                    &statistics.avg_width,
                    &statistics.n_distinct,
                    &a.kind,
                    &b.kind,
                    &c.kind,
                    &d.kind,
                    &e.kind,
                    &a.operator,
                    &b.operator,
                    &c.operator,
                    &d.operator,
                    &e.operator,
                    &a.collation,
                    &b.collation,
                    &c.collation,
                    &d.collation,
                    &e.collation,
                    &a.numbers,
                    &b.numbers,
                    &c.numbers,
                    &d.numbers,
                    &e.numbers,
                    &a.values,
                    &b.values,
                    &c.values,
                    &d.values,
                    &e.values,
                    &a.element,
                    &b.element,
                    &c.element,
                    &d.element,
                    &e.element,
                ],
            )
            .await
            .map(drop)
    }
}
