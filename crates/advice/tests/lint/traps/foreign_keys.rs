//! Foreign keys that an index serves, or seems to.

use super::{Trap, trap};

pub const TRAPS: &[Trap] = &[
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
        "GIN of btree_gin knows equality",
        "create extension if not exists btree_gin schema public; alter table t add constraint f foreign key (a) references p; create index i on t using gin (a)",
        "",
    ),
    trap(
        "GIN answers for a column that is not its first",
        "create extension if not exists btree_gin schema public; alter table t add constraint f foreign key (a) references p; \
         create index i on t using gin (j, a)",
        "",
    ),
    trap(
        "GIN knows equality of arrays",
        "create table pa (arr int[] primary key); alter table t add constraint f foreign key (arr) references pa; \
         create index i on t using gin (arr)",
        "",
    ),
    trap(
        "GIN of one of two columns",
        "create extension if not exists btree_gin schema public; alter table t add constraint f foreign key (a, b) references p2; \
         create index i on t using gin (a, j)",
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
];
