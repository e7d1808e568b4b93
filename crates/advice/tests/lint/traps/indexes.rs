//! Indexes that are there twice, or seem to be, and predicates that say nothing.

use super::{Trap, trap};

pub const TRAPS: &[Trap] = &[
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
    trap("an array in a B-tree", "create index i1 on t (arr)", "btree-on-array i1"),
    trap(
        "an array in a B-tree, for equality, beside a GIN index",
        "create index i1 on t (arr); create index i2 on t using gin (arr)",
        "",
    ),
    trap(
        "an array in a B-tree beside a GIN index of something else",
        "create index i1 on t (arr); create index i2 on t using gin (j)",
        "btree-on-array i1",
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
        expected: "redundant-index i1",
        since: 15,
    },
    Trap {
        name: "NULLs that count as equal beside a key without them",
        sql: "create unique index i1 on t (a) nulls not distinct; create unique index i2 on t (a, b) nulls not distinct",
        expected: "",
        since: 15,
    },
    trap(
        "a constraint beside the index that a foreign key depends on",
        "create unique index i1 on t (a); alter table t add constraint u unique (a); \
         create table n (a int references t (a)); create index n_a on n (a)",
        "duplicate-index u",
    ),
    trap(
        "a predicate that a CHECK says of every row",
        "create table n (a int, b int not null check (b > 0), c int check (c > 0)); \
         create index i1 on n (a) where b > 0; create index i2 on n (a) where c > 0; create index i3 on n (a) where b > 1",
        "useless-predicate i1",
    ),
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
