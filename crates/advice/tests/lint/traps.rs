//! Indexes and foreign keys that are easily misjudged, and what is true of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{findings, place, snapshot};

struct Trap {
    /// What is easily got wrong.
    name: &'static str,
    sql: &'static str,
    /// `check object`, separated by commas; empty when nothing is wrong.
    expected: &'static str,
    /// The first version that has what the trap is made of.
    since: u32,
}

const fn trap(name: &'static str, sql: &'static str, expected: &'static str) -> Trap {
    Trap { name, sql, expected, since: 13 }
}

const CHECKS: &[&str] = &[
    "duplicate-foreign-key",
    "duplicate-index",
    "foreign-key-type-mismatch",
    "invalid-index",
    "redundant-index",
    "unindexed-foreign-key",
    "unvalidated-constraint",
    "useless-predicate",
];

const TRAPS: &[Trap] = &[
    // The same index twice.
    trap("two of the same", "create index i1 on t (a); create index i2 on t (a)", "duplicate-index i2"),
    trap(
        "two that are called like their columns",
        "create index t_a on t (a); create index t_b on t (b)",
        "",
    ),
    trap(
        "a prefix of a name is not a prefix of an index",
        "create index t_a on t (a); create index t_a_b on t (b, a)",
        "",
    ),
    trap(
        "names in two schemas",
        "create table u (a int primary key); create index u_a on u (b) where false",
        "",
    ),
    trap("the same columns in another order", "create index i1 on t (a, b); create index i2 on t (b, a)", ""),
    trap("a wider one", "create index i1 on t (a); create index i2 on t (a, b)", "redundant-index i1"),
    trap(
        "of three only the widest stays",
        "create index i1 on t (a); create index i2 on t (a, b); create index i3 on t (a, b, c)",
        "redundant-index i1, redundant-index i2",
    ),
    trap("the second column of a wider one", "create index i1 on t (b); create index i2 on t (a, b)", ""),
    trap("unique beside a wider one", "create unique index i1 on t (a); create index i2 on t (a, b)", ""),
    trap(
        "a plain one beside a unique one",
        "create unique index i1 on t (a); create index i2 on t (a)",
        "redundant-index i2",
    ),
    trap(
        "a wider one beside a unique one",
        "create unique index i1 on t (a); create unique index i2 on t (a, b)",
        "",
    ),
    trap("one beside the primary key", "create index i1 on t (id)", "redundant-index i1"),
    trap("a unique one beside the primary key", "create unique index i1 on t (id)", "duplicate-index i1"),
    trap(
        "two unique constraints",
        "alter table t add constraint u1 unique (a, b), add constraint u2 unique (a, b)",
        "duplicate-index u2",
    ),
    trap(
        "a deferrable constraint is another promise",
        "alter table t add constraint u1 unique (a, b), add constraint u2 unique (a, b) deferrable",
        "",
    ),
    trap(
        "descending is read backwards",
        "create index i1 on t (a); create index i2 on t (a desc)",
        "duplicate-index i2",
    ),
    trap("one of two descending", "create index i1 on t (a, b); create index i2 on t (a, b desc)", ""),
    trap(
        "both descending",
        "create index i1 on t (a, b); create index i2 on t (a desc, b desc)",
        "duplicate-index i2",
    ),
    trap("NULLs at the other end", "create index i1 on t (a); create index i2 on t (a nulls first)", ""),
    trap(
        "NULLs at the other end of the other direction",
        "create index i1 on t (a); create index i2 on t (a desc nulls last)",
        "",
    ),
    trap("another collation", "create index i1 on t (s); create index i2 on t (s collate \"C\")", ""),
    trap("another operator class", "create index i1 on t (s); create index i2 on t (s text_pattern_ops)", ""),
    trap("hash beside B-tree", "create index i1 on t (a); create index i2 on t using hash (a)", ""),
    trap(
        "two hash indexes",
        "create index i1 on t using hash (a); create index i2 on t using hash (a)",
        "duplicate-index i2",
    ),
    trap("BRIN beside B-tree", "create index i1 on t (a); create index i2 on t using brin (a)", ""),
    trap(
        "BRIN with coarser ranges",
        "create index i1 on t using brin (a) with (pages_per_range = 16); create index i2 on t using brin (a)",
        "redundant-index i2",
    ),
    trap(
        "GIN answers for any of its columns",
        "create index i1 on t using gin (j); create index i2 on t using gin (arr, j)",
        "redundant-index i1",
    ),
    trap(
        "two classes of GIN",
        "create index i1 on t using gin (j); create index i2 on t using gin (j jsonb_path_ops)",
        "",
    ),
    trap(
        "the second column of a GiST index",
        "create index i1 on t using gist (p); create index i2 on t using gist (r, p)",
        "",
    ),
    trap(
        "parameters of an operator class",
        "create index i1 on t using gist (v tsvector_ops (siglen = 64)); \
         create index i2 on t using gist (v tsvector_ops (siglen = 256))",
        "",
    ),
    trap("partial beside full", "create index i1 on t (a); create index i2 on t (a) where b > 0", ""),
    trap(
        "the same predicate in other words",
        "create index i1 on t (a) where b > 0 and c = 1; create index i2 on t (a) where c = 1 and 0 < b",
        "duplicate-index i2",
    ),
    trap("two predicates", "create index i1 on t (a) where b > 0; create index i2 on t (a) where b > 1", ""),
    trap(
        "OR and AND do not lose their parentheses",
        "create index i1 on t (a) where b = 1 and (c = 2 or c = 3); \
         create index i2 on t (a) where (b = 1 and c = 2) or c = 3",
        "",
    ),
    trap(
        "a list in two orders",
        "create index i1 on t (a) where s in ('x', 'y'); create index i2 on t (a) where s = 'y' or s = 'x'",
        "duplicate-index i2",
    ),
    trap("two expressions", "create index i1 on t (lower(s)); create index i2 on t (upper(s))", ""),
    trap(
        "the same expression",
        "create index i1 on t (lower(s)); create index i2 on t (lower(s), a)",
        "redundant-index i1",
    ),
    trap("a column and a function of it", "create index i1 on t (s); create index i2 on t (lower(s))", ""),
    trap("two casts", "create index i1 on t ((s::int)); create index i2 on t ((s::bigint))", ""),
    trap(
        "what INCLUDE adds",
        "create index i1 on t (a) include (b); create index i2 on t (a)",
        "redundant-index i2",
    ),
    trap(
        "what INCLUDE lacks",
        "create index i1 on t (a) include (b); create index i2 on t (a) include (c)",
        "",
    ),
    trap(
        "INCLUDE is not a key",
        "create index i1 on t (a) include (b); create index i2 on t (a, b)",
        "redundant-index i1",
    ),
    trap("keys are not INCLUDE", "create index i1 on t (a, b); create index i2 on t (a) include (b, c)", ""),
    trap(
        "an index that is the replica identity",
        "alter table t alter a set not null; create unique index i1 on t (a); create unique index i2 on t (a); \
         alter table t replica identity using index i2",
        "duplicate-index i1",
    ),
    trap(
        "an exclusion constraint",
        "create index i1 on t using gist (r); alter table t add constraint e exclude using gist (r with &&)",
        "duplicate-index i1",
    ),
    Trap {
        name: "how NULLs count",
        sql: "create unique index i1 on t (a); create unique index i2 on t (a) nulls not distinct",
        expected: "",
        since: 15,
    },
    trap(
        "names that need quotes",
        "create table \"T x\" (\"a\"\"b.c\" int, \"A\" int, a int); create index \"i\"\"1\" on \"T x\" (\"A\"); \
         create index i2 on \"T x\" (a); create index i3 on \"T x\" (\"a\"\"b.c\")",
        "",
    ),
    trap(
        "case in a predicate",
        "create table q (\"S\" int, s int, a int); create index i1 on q (a) where \"S\" = 1; create index i2 on q (a) where s = 1",
        "",
    ),
    trap(
        "CLUSTER goes by one of two",
        "create index i1 on t (a); create index i2 on t (a); cluster t using i2",
        "duplicate-index i1",
    ),
    trap(
        "CLUSTER goes by the narrower one",
        "create index i1 on t (a); create index i2 on t (a, b); cluster t using i1",
        "",
    ),
    trap(
        "a foreign key depends on one of two",
        "create unique index i1 on t (b, a); create unique index i2 on t (b, a); \
         create table q (x int, y int, foreign key (x, y) references t (b, a)); create index on q (x, y); \
         create unique index i0 on t (b, a)",
        "duplicate-index i0, duplicate-index i2",
    ),
    trap(
        "a foreign key depends on the unique index and not on the primary key",
        "create table k (x int not null); create unique index i1 on k (x); \
         create table q (x int references k (x)); create index on q (x); alter table k add primary key (x)",
        "",
    ),
    trap(
        "a unique index beside a deferrable constraint",
        "alter table t add constraint u1 unique (a) deferrable; create unique index i1 on t (a)",
        "",
    ),
    trap(
        "a plain index beside a deferrable constraint",
        "alter table t add constraint u1 unique (a) deferrable; create index i1 on t (a)",
        "redundant-index i1",
    ),
    trap(
        "a unique index beside an exclusion constraint",
        "alter table t add constraint e exclude using btree (a with =); create unique index i1 on t (a)",
        "",
    ),
    trap(
        "an exclusion constraint is also an index",
        "alter table t add constraint e exclude using btree (a with =); create index i1 on t (a)",
        "duplicate-index i1",
    ),
    trap(
        "the second column of a primary key",
        "create index i1 on p2 (y); create index i2 on p2 (y, x)",
        "redundant-index i1",
    ),
    trap("the first column of a primary key", "create index i1 on p2 (x)", "redundant-index i1"),
    trap("the primary key beside a wider index", "create index i1 on t (id, a)", ""),
    trap(
        "the beginning of a unique constraint",
        "alter table t add constraint u1 unique (a, b); create index i1 on t (a)",
        "redundant-index i1",
    ),
    trap(
        "unique in another order is unique all the same, and another index",
        "create unique index i1 on t (a, b); create unique index i2 on t (b, a)",
        "",
    ),
    trap(
        "unique, with more to read",
        "create unique index i1 on t (a); create unique index i2 on t (a) include (b)",
        "redundant-index i1",
    ),
    trap(
        "unique among some, and among all",
        "create unique index i1 on t (a); create unique index i2 on t (a) where b > 0",
        "",
    ),
    trap(
        "a fill factor is no other index",
        "create index i1 on t (a) with (fillfactor = 50); create index i2 on t (a)",
        "duplicate-index i2",
    ),
    trap(
        "the collation that the column has anyway",
        "create index i1 on t (s); create index i2 on t (s collate \"default\")",
        "duplicate-index i2",
    ),
    trap(
        "the class of varchar is that of text",
        "create table w (s varchar(10)); create index i1 on w (s); create index i2 on w (s varchar_ops); \
         create index i3 on w (s text_pattern_ops); create index i4 on w (s varchar_pattern_ops)",
        "duplicate-index i2, duplicate-index i4",
    ),
    trap(
        "where a NULL would stand matters to ORDER BY without any",
        "create index i1 on t (id nulls first)",
        "",
    ),
    trap(
        "the constant of an expression",
        "create index i1 on t ((a + 1)); create index i2 on t ((a + 2))",
        "",
    ),
    trap(
        "two keys of a document",
        "create index i1 on t ((j ->> 'a')); create index i2 on t ((j ->> 'b'))",
        "",
    ),
    trap(
        "a value and a document",
        "create index i1 on t ((j ->> 'a')); create index i2 on t ((j -> 'a'))",
        "",
    ),
    trap(
        "GiST beside SP-GiST",
        "create index i1 on t using gist (p); create index i2 on t using spgist (p)",
        "",
    ),
    trap(
        "two classes of SP-GiST",
        "create index i1 on t using spgist (p); create index i2 on t using spgist (p kd_point_ops)",
        "",
    ),
    Trap {
        name: "two classes of BRIN",
        sql: "create index i1 on t using brin (a); create index i2 on t using brin (a int4_bloom_ops)",
        expected: "",
        since: 14,
    },
    trap(
        "any column of BRIN",
        "create index i1 on t using brin (b); create index i2 on t using brin (a, b)",
        "redundant-index i1",
    ),
    trap(
        "a partitioned table has one index, not one for each partition",
        "create table m (id int, a int) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create table m2 partition of m for values from (10) to (20); \
         create index i1 on m (a); create index i2 on m (a)",
        "duplicate-index i2",
    ),
    trap(
        "a partition's own index beside its part of the table's",
        "create table m (id int, a int) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); create index i1 on m1 (a); \
         create index i2 on m (a, id)",
        "redundant-index i1",
    ),
    trap(
        "a wider index of a partition does not make the table's superfluous",
        "create table m (id int, a int) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create index i1 on m (a); create unique index i2 on m1 (a, id)",
        "",
    ),
    trap(
        "an index of the partitioned table only",
        "create table m (id int, a int) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create index i1 on only m (a); create index i2 on m1 (a)",
        "invalid-index i1",
    ),
    trap(
        "a materialized view needs its unique index to be refreshed",
        "create materialized view w as select distinct a, b from t; create unique index i1 on w (a); \
         create index i2 on w (a, b)",
        "",
    ),
    trap(
        "a child has its own indexes",
        "create table c () inherits (t); create index i1 on t (a); create index i2 on c (a)",
        "",
    ),
    // Foreign keys.
    trap(
        "no index",
        "alter table t add constraint f foreign key (a) references p",
        "unindexed-foreign-key f",
    ),
    trap(
        "an index",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a)",
        "",
    ),
    trap(
        "an index that begins with it",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a, b)",
        "",
    ),
    trap(
        "an index that ends with it",
        "alter table t add constraint f foreign key (a) references p; create index i on t (b, a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "(b, a) for (a, b)",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (b, a)",
        "",
    ),
    trap(
        "(a) for (a, b)",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "(a) INCLUDE (b) for (a, b)",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (a) include (b)",
        "unindexed-foreign-key f",
    ),
    trap(
        "one between the two columns",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (a, c, b)",
        "unindexed-foreign-key f",
    ),
    trap(
        "two indexes for two columns",
        "alter table t add constraint f foreign key (a, b) references p2; create index i1 on t (a); create index i2 on t (b)",
        "unindexed-foreign-key f",
    ),
    trap(
        "descending",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a desc)",
        "",
    ),
    trap(
        "hash",
        "alter table t add constraint f foreign key (a) references p; create index i on t using hash (a)",
        "",
    ),
    trap(
        "BRIN",
        "alter table t add constraint f foreign key (a) references p; create index i on t using brin (a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "partial",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where c = 1",
        "unindexed-foreign-key f",
    ),
    trap(
        "partial without NULLs",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where a is not null",
        "",
    ),
    trap(
        "partial without another column's NULLs",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where b is not null",
        "unindexed-foreign-key f",
    ),
    trap(
        "an expression",
        "alter table t add constraint f foreign key (a) references p; create index i on t ((a + 0))",
        "unindexed-foreign-key f",
    ),
    trap(
        "another collation for a key",
        "create table ps (s text primary key); alter table t add constraint f foreign key (s) references ps; \
         create index i on t (s collate \"C\")",
        "unindexed-foreign-key f",
    ),
    trap(
        "text_pattern_ops knows equality",
        "create table ps (s text primary key); alter table t add constraint f foreign key (s) references ps; \
         create index i on t (s text_pattern_ops)",
        "",
    ),
    trap(
        "an invalid index",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a); \
         update pg_index set indisvalid = false where indexrelid = 'i'::regclass",
        "invalid-index i, unindexed-foreign-key f",
    ),
    trap(
        "two of which one is invalid",
        "create index i1 on t (a); create index i2 on t (a); \
         update pg_index set indisvalid = false where indexrelid = 'i1'::regclass",
        "invalid-index i1",
    ),
    trap("the primary key supports it", "alter table t add constraint f foreign key (id) references p", ""),
    trap(
        "the table references itself",
        "alter table t add constraint f foreign key (a) references t (id)",
        "unindexed-foreign-key f",
    ),
    trap(
        "an index of the partitioned table",
        "create table m (id int, a int references p) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); create index on m (a)",
        "",
    ),
    trap(
        "an index of every partition",
        "create table m (id int, a int constraint f references p) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create table m2 partition of m for values from (10) to (20); create index on m1 (a); create index on m2 (a)",
        "",
    ),
    trap(
        "an index of one partition",
        "create table m (id int, a int constraint f references p) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create table m2 partition of m for values from (10) to (20); create index on m1 (a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "two keys that say the same",
        "create index i on t (a, b); alter table t add constraint f1 foreign key (a, b) references p2 (x, y); \
         alter table t add constraint f2 foreign key (b, a) references p2 (y, x)",
        "duplicate-foreign-key f2",
    ),
    trap(
        "two keys that pair the columns otherwise",
        "create index i on t (a, b); alter table t add constraint f1 foreign key (a, b) references p2 (x, y); \
         alter table p2 add unique (y, x); \
         alter table t add constraint f2 foreign key (a, b) references p2 (y, x)",
        "",
    ),
    trap(
        "a key that is not valid",
        "create index i on t (a); alter table t add constraint f foreign key (a) references p not valid",
        "unvalidated-constraint f",
    ),
    trap(
        "a narrower type",
        "create table pb (id bigint primary key); insert into pb select generate_series(0, 99); create index i on t (a); \
         alter table t add constraint f foreign key (a) references pb",
        "foreign-key-type-mismatch f",
    ),
    trap(
        "varchar and text are the same",
        "create table ps (s varchar(20) primary key); create index i on t (s); \
         alter table t add constraint f foreign key (s) references ps",
        "",
    ),
    trap(
        "a domain is its base type",
        "create domain key as int; create table pd (id key primary key); insert into pd select generate_series(0, 99); create index i on t (a); \
         alter table t add constraint f foreign key (a) references pd",
        "",
    ),
    trap(
        "partial on a value",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where a > 0",
        "unindexed-foreign-key f",
    ),
    trap(
        "partial without the NULLs of one of two columns",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (b, a) where a is not null",
        "",
    ),
    trap(
        "partial without NULLs, or in some other case",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where a is not null or c = 1",
        "",
    ),
    trap(
        "partial by what is true of every row, which the planner does not know",
        "alter table t add constraint f foreign key (a) references p; create index i on t (a) where id is not null",
        "unindexed-foreign-key f, useless-predicate i",
    ),
    trap(
        "a longer index in another order",
        "alter table t add constraint f foreign key (a, b) references p2; create index i on t (b, a, c)",
        "",
    ),
    trap(
        "a unique constraint",
        "alter table t add constraint f foreign key (a) references p, add constraint u unique (a, b)",
        "",
    ),
    trap(
        "an exclusion constraint of B-tree",
        "alter table t add constraint f foreign key (a) references p, add constraint e exclude using btree (a with =)",
        "",
    ),
    trap(
        "an expression in front",
        "alter table t add constraint f foreign key (a) references p; create index i on t (lower(s), a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "INCLUDE is not searched",
        "alter table t add constraint f foreign key (a) references p; create index i on t (b) include (a)",
        "unindexed-foreign-key f",
    ),
    trap(
        "GIN of a document is not one of its column",
        "create table pj (j jsonb primary key); alter table t add constraint f foreign key (j) references pj; \
         create index i on t using gin (j)",
        "unindexed-foreign-key f",
    ),
    trap(
        "SP-GiST knows equality of texts",
        "create table ps (s text primary key); alter table t add constraint f foreign key (s) references ps; \
         create index i on t using spgist (s)",
        "",
    ),
    trap(
        "GiST knows equality of ranges",
        "create table pr (r int4range primary key); alter table t add constraint f foreign key (r) references pr; \
         create index i on t using gist (r)",
        "",
    ),
    trap(
        "a key of one partition",
        "create table m (id int, a int) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); \
         create table m2 partition of m for values from (10) to (20); \
         alter table m1 add constraint f foreign key (a) references p; create index on m (a)",
        "",
    ),
    trap(
        "an index of the partitioned table that is not valid",
        "create table m (id int, a int constraint f references p) partition by range (id); \
         create table m1 partition of m for values from (0) to (10); create index i on only m (a)",
        "invalid-index i, unindexed-foreign-key f",
    ),
    trap(
        "an index of every partition of a partition",
        "create table m (id int, a int constraint f references p) partition by range (id); \
         create table m1 partition of m for values from (0) to (10) partition by range (a); \
         create table m11 partition of m1 for values from (0) to (50); \
         create table m12 partition of m1 for values from (50) to (100); \
         create table m2 partition of m for values from (10) to (20); \
         create index on m11 (a); create index on m12 (a, id); create index on m2 using hash (a)",
        "",
    ),
    trap(
        "a key to a partitioned table is one key",
        "create table m (id int primary key) partition by range (id); \
         create table m1 partition of m for values from (0) to (50); \
         create table m2 partition of m for values from (50) to (100); insert into m select generate_series(0, 99); \
         alter table t add constraint f foreign key (a) references m",
        "unindexed-foreign-key f",
    ),
    trap(
        "two columns that reference one key",
        "create index i1 on t (a); create index i2 on t (b); \
         alter table t add constraint f1 foreign key (a) references p, add constraint f2 foreign key (b) references p",
        "",
    ),
    trap(
        "of two keys that say the same the valid one stays",
        "create index i on t (a); alter table t add constraint f1 foreign key (a) references p not valid; \
         alter table t add constraint f2 foreign key (a) references p",
        "duplicate-foreign-key f1, unvalidated-constraint f1",
    ),
    trap(
        "an index on the referenced side does not help",
        "create table q (x int constraint f references t (id)); insert into q select generate_series(0, 99); \
         create index i on t (id, a)",
        "unindexed-foreign-key f",
    ),
    // Predicates.
    trap(
        "a predicate that always holds",
        "create index i on t (a) where id is not null",
        "useless-predicate i",
    ),
    trap("a predicate on a column that may be NULL", "create index i on t (a) where b is not null", ""),
    trap(
        "unique among nearly all rows",
        "insert into t (id, a, b) select n, n, n from generate_series(100, 20000) n; \
         create unique index i1 on t (a) where b > 0; create index i2 on t (c) where b > 0",
        "useless-predicate i2",
    ),
];

const BASE: &str = "
    create table p (id int primary key);
    create table p2 (x int, y int, primary key (x, y));
    create table t (id int primary key, a int, b int, c int, s text, j jsonb, arr int[], p point, r int4range, v tsvector);
    insert into p select generate_series(0, 99);
    insert into p2 select n, n % 10 from generate_series(0, 99) n union select n % 10, n from generate_series(0, 99) n;
    insert into t (id, a, b) select n, n, n % 10 from generate_series(0, 99) n;
";

#[tokio::test(flavor = "multi_thread")]
async fn every_trap_is_judged_right() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        let traps: Vec<&Trap> = TRAPS.iter().filter(|t| t.since <= server.binaries().major).collect();
        for (number, trap) in traps.iter().enumerate() {
            let sql = match trap.name {
                // Its own names are the point.
                "names in two schemas" => format!(
                    "create schema other_{number}; create table other_{number}.u (b int); \
                     create index u_a on other_{number}.u (b); \
                     create table trap_{number}.u (b int); create index u_a on trap_{number}.u (b)"
                ),
                _ => trap.sql.to_owned(),
            };
            client
                .batch_execute(&format!(
                    "create schema trap_{number}; set search_path = trap_{number}; {BASE}; {sql};"
                ))
                .await
                .unwrap_or_else(|e| panic!("{}: {e:?}", trap.name));
        }
        client.batch_execute("analyze").await.unwrap();
        let snapshot = snapshot(&database.url).await;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for finding in findings(&snapshot, CHECKS) {
            let (schema, name) = place(&finding.finding.object);
            found.entry(schema).or_default().insert(format!("{} {name}", finding.finding.check));
        }
        let mut wrong = Vec::new();
        for (number, trap) in traps.iter().enumerate() {
            let expected: BTreeSet<String> =
                trap.expected.split(", ").filter(|e| !e.is_empty()).map(str::to_owned).collect();
            let found = found.remove(&format!("trap_{number}")).unwrap_or_default();
            if found != expected {
                wrong.push(format!("{}: found {found:?}, expected {expected:?}", trap.name));
            }
        }
        assert!(wrong.is_empty(), "on {}:\n{}", server.binaries().major, wrong.join("\n"));
    }
}
