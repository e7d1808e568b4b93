//! Dangerous statements, the safe way of each, and the tables that they are tried on.

pub(super) struct Case {
    pub(super) check: &'static str,
    /// With `%` for the schema.
    pub(super) dangerous: &'static str,
    /// Statements that do the same and that the check lets be; run one by one.
    pub(super) safe: &'static [&'static str],
    /// The table whose lock is looked at while the dangerous statement's transaction is open.
    pub(super) locked: Option<&'static str>,
    /// Whether the sequence that the finding proposes is run as well.
    pub(super) proposed: bool,
    pub(super) since: u32,
    /// The first version in which it does no harm.
    pub(super) before: u32,
}

const fn case(check: &'static str, dangerous: &'static str, safe: &'static [&'static str]) -> Case {
    Case { check, dangerous, safe, locked: Some("t"), proposed: true, since: 13, before: u32::MAX }
}

const fn unlocked(case: Case) -> Case {
    Case { locked: None, ..case }
}

const fn unproposed(case: Case) -> Case {
    Case { proposed: false, ..case }
}

pub(super) const CASES: &[Case] = &[
    case(
        "add-check-validating",
        "alter table %.t add constraint c check (a >= 0)",
        &[
            "alter table %.t add constraint c check (a >= 0) not valid",
            "alter table %.t validate constraint c",
        ],
    ),
    case(
        "add-check-validating",
        "alter table %.t add column n int check (n > 0)",
        &[
            "alter table %.t add column n int",
            "alter table %.t add constraint c check (n > 0) not valid",
            "alter table %.t validate constraint c",
        ],
    ),
    // The sequence that is proposed has a gap that a person fills.
    unproposed(unlocked(case(
        "add-column-not-null",
        "alter table %.t add column n int not null",
        &["alter table %.t add column n int not null default 0"],
    ))),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n float default random()",
        &[
            "alter table %.t add column n timestamptz default now()",
            "alter table %.t add column m int default 7",
        ],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n %.positive",
        &["alter table %.t add column n %.word"],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n bigserial",
        &["alter table %.t add column n bigint"],
    )),
    unproposed(case(
        "add-column-rewrite",
        "alter table %.t add column n int generated always as (a + 1) stored",
        &["alter table %.t add column n int"],
    )),
    case(
        "add-foreign-key-validating",
        "alter table %.t add constraint f foreign key (a) references %.p",
        &[
            "alter table %.t add constraint f foreign key (a) references %.p not valid",
            "alter table %.t validate constraint f",
        ],
    ),
    Case {
        locked: Some("p"),
        ..case(
            "add-foreign-key-validating",
            "alter table %.t add constraint f foreign key (a) references %.p (id)",
            &["alter table %.t add column p int references %.p"],
        )
    },
    case(
        "add-key-blocking",
        "alter table %.t add constraint k unique (id)",
        &[
            "create unique index concurrently k on %.t (id)",
            "alter table %.t add constraint k unique using index k",
        ],
    ),
    case(
        "add-key-blocking",
        "alter table %.t add primary key (id)",
        &["create unique index concurrently k on %.t (id)", "alter table %.t add primary key using index k"],
    ),
    Case {
        locked: Some("new"),
        ..case(
            "attach-partition-scan",
            "alter table %.m attach partition %.new for values from (100) to (200)",
            &[
                "alter table %.new add constraint c check (id is not null and id >= 100 and id < 200) not valid",
                "alter table %.new validate constraint c",
                "alter table %.m attach partition %.new for values from (100) to (200)",
            ],
        )
    },
    Case {
        locked: Some("d"),
        ..case(
            "alter-domain-validating",
            "alter domain %.positive add constraint c check (value < 1000)",
            &["alter domain %.positive add constraint c check (value < 1000) not valid"],
        )
    },
    Case {
        locked: Some("d"),
        ..case(
            "alter-domain-validating",
            "alter domain %.positive set not null",
            &["alter domain %.positive set default 1"],
        )
    },
    // From 18 on writes go on meanwhile.
    unproposed(Case {
        locked: Some("e"),
        before: 18,
        ..case(
            "alter-domain-validating",
            "alter domain %.short validate constraint short_length",
            &["alter domain %.short drop constraint short_length"],
        )
    }),
    unproposed(case(
        "change-column-type",
        "alter table %.t alter column a type bigint",
        &["alter table %.t alter column v type varchar(80)", "alter table %.t alter column v type text"],
    )),
    unproposed(case(
        "change-column-type",
        "alter table %.t alter column v type varchar(40) collate \"C\"",
        &["alter table %.t alter column v type varchar(40)"],
    )),
    unproposed(unlocked(case(
        "drop-table",
        "drop database if exists nobody_has_this_one",
        &["drop schema if exists nobody_has_this_one"],
    ))),
    unproposed(case(
        "change-column-type",
        "alter table %.t alter column a type %.positive",
        &["alter table %.t alter column v type %.word", "alter table %.d alter column x type int"],
    )),
    unproposed(unlocked(case(
        "concurrently-in-transaction",
        "begin; create index concurrently i on %.t (a); commit",
        &["create index concurrently i on %.t (a)"],
    ))),
    case("create-index-blocking", "create index i on %.t (a)", &["create index concurrently i on %.t (a)"]),
    unproposed(Case {
        locked: Some("m"),
        ..case(
            "create-partition-of",
            "create table %.m2 partition of %.m for values from (200) to (300)",
            &[
                "create table %.m2 (like %.m including defaults)",
                "alter table %.m attach partition %.m2 for values from (200) to (300)",
            ],
        )
    }),
    Case {
        locked: Some("m"),
        since: 14,
        ..case(
            "detach-partition-blocking",
            "alter table %.m detach partition %.m1",
            &["alter table %.m detach partition %.m1 concurrently"],
        )
    },
    unproposed(case(
        "drop-column",
        "alter table %.t drop column a",
        &["alter table %.t alter column a drop default"],
    )),
    unproposed(Case {
        locked: Some("r"),
        ..case(
            "drop-constraint-cascade",
            "alter table %.q drop constraint q_pkey cascade",
            &[
                "alter table %.q drop constraint q_a_key cascade",
                "alter table %.r drop constraint r_q_fkey cascade",
                "alter table %.q drop constraint q_pkey",
            ],
        )
    }),
    case("drop-index-blocking", "drop index %.t_v", &["drop index concurrently %.t_v"]),
    unproposed(case(
        "drop-table",
        "drop schema % cascade",
        &["drop schema if exists nothing_of_the_kind cascade"],
    )),
    unproposed(case("drop-table", "drop table %.t", &["drop index concurrently %.t_v"])),
    unproposed(case(
        "lock-table",
        "lock table %.t in share row exclusive mode",
        &["begin; lock table %.t in access share mode; commit"],
    )),
    unproposed(case(
        "missing-lock-timeout",
        "alter table %.t alter column a set default 1",
        &[
            "set lock_timeout = '2s'; alter table %.t alter column a set default 1",
            "begin; set local lock_timeout = '1s'; alter table %.t alter column a set default 2; commit",
            "alter table %.t alter column a set statistics 500",
        ],
    )),
    Case {
        locked: Some("view"),
        ..case(
            "refresh-blocking",
            "refresh materialized view %.view",
            &["refresh materialized view concurrently %.view"],
        )
    },
    case("reindex-blocking", "reindex table %.t", &["reindex table concurrently %.t"]),
    case("reindex-blocking", "reindex index %.t_v", &["reindex index concurrently %.t_v"]),
    Case {
        since: 14,
        locked: Some("t_v"),
        ..case(
            "reindex-blocking",
            "alter index %.t_v set tablespace pg_default",
            &["reindex (tablespace pg_default) index concurrently %.t_v"],
        )
    },
    Case {
        since: 14,
        locked: Some("t_v"),
        ..case(
            "reindex-blocking",
            "alter table %.t_v set tablespace pg_default",
            &["alter index %.t_v set (fillfactor = 80)"],
        )
    },
    unlocked(unproposed(case(
        "rewrite-table",
        "alter table all in tablespace pg_default set tablespace pg_default",
        &["alter table %.t set (fillfactor = 90)"],
    ))),
    case("rename", "alter table %.t rename to u", &["alter index %.t_v rename to t_w"]),
    case("rename", "alter table %.t set schema public", &["alter sequence if exists %.s set schema public"]),
    unproposed(case("rename", "alter table %.t rename column a to b", &["alter table %.t add column b int"])),
    unproposed(case(
        "rewrite-table",
        "alter table %.t set unlogged",
        &["alter table %.t set (fillfactor = 90)"],
    )),
    unproposed(case("rewrite-table", "alter table %.t set unlogged", &["alter table %.t set logged"])),
    Case {
        since: 15,
        ..unproposed(case(
            "rewrite-table",
            "alter table %.t set unlogged",
            &["alter table %.t set access method heap"],
        ))
    },
    unproposed(unlocked(case("rewrite-table", "vacuum full %.t", &["vacuum %.t"]))),
    unproposed(case("rewrite-table", "cluster %.t using t_v", &["vacuum %.t"])),
    case(
        "set-not-null",
        "alter table %.t alter column a set not null",
        &[
            "alter table %.t add constraint c check (a is not null) not valid",
            "alter table %.t validate constraint c",
            "alter table %.t alter column a set not null",
            "alter table %.t drop constraint c",
        ],
    ),
    unproposed(case("truncate", "truncate %.t", &["delete from %.t where id < 10"])),
    unproposed(unlocked(case(
        "unbatched-change",
        "update %.big set a = a + 1",
        &["update %.t set a = a + 1", "delete from %.t"],
    ))),
    unproposed(unlocked(case(
        "validate-in-transaction",
        "begin; alter table %.t add constraint c check (a >= 0) not valid; alter table %.t validate constraint c; commit",
        &[
            "begin; alter table %.t add constraint c check (a >= 0) not valid; commit; alter table %.t validate constraint c",
        ],
    ))),
];

pub(super) const BASE: &str = "
    create table %.p (id int primary key);
    create table %.t (id int not null, a int, v varchar(40));
    create index t_v on %.t (v);
    create table %.m (id int not null) partition by range (id);
    create table %.m1 partition of %.m for values from (0) to (100);
    create table %.new (id int not null);
    create table %.big (a int);
    create domain %.word as text;
    create domain %.positive as int check (value > 0);
    create table %.d (x %.positive);
    create domain %.short as %.word;
    create table %.e (x %.short);
    alter domain %.word add constraint short_length check (length(value) < 9) not valid;
    alter domain %.short add constraint short_length check (length(value) < 9) not valid;
    create table %.q (id int primary key, a int unique);
    create table %.r (q int references %.q);
    insert into %.p select generate_series(1, 100);
    insert into %.t select n, mod(n, 100) + 1, n from generate_series(1, 200) n;
    insert into %.new select generate_series(100, 199);
    create materialized view %.view as select id from %.p;
    create unique index on %.view (id);
    analyze %.p; analyze %.t; analyze %.new; analyze %.view;
    -- As if it were large: its size is all that is asked.
    update pg_class set reltuples = 1e6, relpages = 0 where oid = '%.big'::regclass;
";
