//! Statements over the tables of the tests, by chance that a seed decides.

/// `SplitMix64`: a few lines, the same on every machine.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }
}

const TABLES: &[(&str, &[&str])] = &[
    ("customers", &["id", "name", "email", "active", "referrer_id", "joined", "settings"]),
    ("orders", &["id", "customer_id", "note", "total", "placed_at", "shipped_at", "weight"]),
    ("products", &["sku", "title", "price"]),
    ("items", &["id", "order_id", "sku", "price", "quantity"]),
    ("reviews", &["id", "order_id", "customer_id", "stars", "body"]),
    ("codes", &["code", "factor", "token"]),
    ("active_customers", &["id", "name"]),
];

const ALIASES: &[&str] =
    &["a", "b", "c", "o", "\"A b\"", "\"a\"\"b.c\"", "\"select\"", "ä", "\"\u{1f600}\"", "x_1"];

const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2147483648",
    "42.0",
    "1e400",
    ".5",
    "''",
    "'a'",
    "'2024-01-15'",
    "'NaN'",
    "NULL",
    "true",
    "'it''s'",
    "E'\\x41'",
    "U&'\\0041'",
    "B'101'",
    "X'1f'",
    "$1",
    "$2",
    "'{1,NULL}'::int[]",
    "date '2024-02-29'",
    "interval '1' month",
    "interval '1 day'",
    "timestamp '2024-01-15 10:00'",
    "current_date",
    "now()",
    "'x'::text",
    "'%x%'",
    "array[1,2]",
    "row(1,'a')",
    "1::numeric(10,2)",
    "'a' collate \"C\"",
];

/// Makes one statement.
pub(super) struct Grammar<'c> {
    chance: &'c mut Chance,
    corpus: &'c [String],
    /// Aliases in sight with their tables, level by level.
    levels: Vec<Vec<(String, usize)>>,
    /// Names of common table expressions in sight.
    ctes: Vec<String>,
    /// What may still be made.
    budget: usize,
}

impl<'c> Grammar<'c> {
    pub(super) fn new(chance: &'c mut Chance, corpus: &'c [String]) -> Self {
        let budget = 5 + chance.below(60);
        Self { chance, corpus, levels: Vec::new(), ctes: Vec::new(), budget }
    }

    /// Any statement.
    pub(super) fn statement(&mut self) -> String {
        match self.chance.below(20) {
            0..=6 => self.moved_about(),
            7..=16 => self.query(),
            17 => {
                let query = self.query();
                let (table, columns) = self.table();
                format!("insert into {table} ({}) {query} on conflict do nothing returning *", columns[0])
            }
            18 => self.writing(),
            _ => format!(
                "merge into orders o using ({}) s on o.id = s.id when matched then update set note = {} \
                 when not matched then do nothing",
                self.query(),
                self.constant()
            ),
        }
    }

    fn writing(&mut self) -> String {
        self.levels.push(vec![("orders".into(), 1), ("c".into(), 0)]);
        let condition = self.condition();
        self.levels.pop();
        match self.chance.below(2) {
            0 => format!(
                "update orders set note = {} from customers c where {condition} returning orders.*",
                self.constant()
            ),
            _ => format!(
                "with gone as (delete from orders using customers c where {condition} returning *) select * from gone"
            ),
        }
    }

    /// A statement of the corpus with some of its words left out, doubled, exchanged, or wrapped in another one.
    fn moved_about(&mut self) -> String {
        let Some(text) = self.corpus.get(self.chance.below(self.corpus.len())) else {
            return "select 1".into();
        };
        let text = text.trim().trim_end_matches(';').to_owned();
        match self.chance.below(6) {
            0 => format!("select * from ({text}) w where exists ({text})"),
            1 => format!(
                "with w as ({text}) select * from w {} {text}",
                self.chance.of(&["union", "except all", "intersect"])
            ),
            2 => text,
            _ => {
                let mut words: Vec<String> =
                    text.split_inclusive([' ', '\n', '(', ')', ',', '.', '=']).map(str::to_owned).collect();
                for _ in 0..=self.chance.below(3) {
                    let (at, other) = (self.chance.below(words.len()), self.chance.below(words.len()));
                    match self.chance.below(5) {
                        0 => drop(words.remove(at)),
                        1 => words.insert(at, words[other].clone()),
                        2 => words.swap(at, other),
                        3 => words[at] = format!("{} ", self.constant()),
                        _ => words[at] = format!("{} ", self.chance.of(ALIASES)),
                    }
                    if words.is_empty() {
                        return "select".into();
                    }
                }
                words.concat()
            }
        }
    }

    fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0 && self.levels.len() < 12
    }

    fn table(&mut self) -> (&'static str, &'static [&'static str]) {
        TABLES[self.chance.below(TABLES.len())]
    }

    fn constant(&mut self) -> &'static str {
        self.chance.of(CONSTANTS)
    }

    fn query(&mut self) -> String {
        let known = self.ctes.len();
        let with = if self.chance.one_in(5) && self.spend() { self.with() } else { String::new() };
        let body = match self.chance.below(10) {
            0 if self.spend() => {
                let word = self.chance.of(&[
                    "union",
                    "union all",
                    "intersect",
                    "intersect all",
                    "except",
                    "except all",
                ]);
                format!("({}) {word} ({})", self.level(), self.level())
            }
            1 => format!(
                "values ({}, {}), ({}, {})",
                self.constant(),
                self.constant(),
                self.constant(),
                self.constant()
            ),
            _ => self.level(),
        };
        self.ctes.truncate(known);
        format!("{with}{body}")
    }

    fn with(&mut self) -> String {
        let name = self.chance.of(&["w", "orders", "\"W 1\"", "r"]);
        if self.chance.one_in(3) {
            let step = self.condition();
            self.ctes.push(name.to_owned());
            let all = self.chance.of(&["", "all "]);
            return format!(
                "with recursive {name} (id, n) as (select id, 1 from customers union {all}select c.id, n + 1 from customers c join {name} on {name}.id = c.referrer_id where n < 5 and {step}) "
            );
        }
        let query = self.query();
        self.ctes.push(name.to_owned());
        format!("with {name} as {}({query}) ", self.chance.of(&["", "materialized ", "not materialized "]))
    }

    fn level(&mut self) -> String {
        self.levels.push(Vec::new());
        let from = self.from();
        let outputs = self.outputs();
        let distinct = match self.chance.below(8) {
            0 => "distinct ".to_owned(),
            1 => format!("distinct on ({}) ", self.column()),
            _ => String::new(),
        };
        let filter =
            if self.chance.one_in(4) { String::new() } else { format!(" where {}", self.condition()) };
        let group = match self.chance.below(8) {
            0 => format!(" group by {}", self.column()),
            1 => format!(
                " group by 1 having count(*) {} {}",
                self.chance.of(&[">", "=", "<>"]),
                self.constant()
            ),
            2 => {
                let (a, b) = (self.column(), self.column());
                let sets = self.chance.of(&["rollup", "cube", "grouping sets"]);
                format!(" group by {sets} ({a}, {b})")
            }
            _ => String::new(),
        };
        let window = if self.chance.one_in(12) {
            format!(" window win as (order by {})", self.column())
        } else {
            String::new()
        };
        let order = match self.chance.below(4) {
            0 => format!(
                " order by {} {}",
                self.column(),
                self.chance.of(&["", "desc", "desc nulls last", "nulls first", "using <"])
            ),
            1 => " order by 1, 2 desc".to_owned(),
            _ => String::new(),
        };
        let cut = match self.chance.below(6) {
            0 => format!(" limit {}", self.chance.of(&["10", "0", "$3", "null", "all", "(select 1)"])),
            1 => " limit 20 offset 10000".to_owned(),
            2 => " fetch first 3 rows with ties".to_owned(),
            _ => String::new(),
        };
        let lock = if self.chance.one_in(30) { " for update skip locked" } else { "" };
        self.levels.pop();
        format!("select {distinct}{outputs}{from}{filter}{group}{window}{order}{cut}{lock}")
    }

    fn from(&mut self) -> String {
        if self.chance.one_in(15) {
            return String::new();
        }
        let mut out = format!(" from {}", self.source());
        while self.chance.one_in(2) && self.spend() {
            let source = self.source();
            out += &match self.chance.below(6) {
                0 => format!(", {source}"),
                1 => format!(" cross join {source}"),
                2 => format!(" natural join {source}"),
                3 => format!(" join {source} using (id)"),
                _ => {
                    let kind = self.chance.of(&["join", "left join", "right join", "full join"]);
                    format!(" {kind} {source} on {}", self.condition())
                }
            };
        }
        out
    }

    fn source(&mut self) -> String {
        let alias = match self.chance.below(3) {
            0 => self.chance.of(ALIASES).to_owned(),
            _ => format!("t{}", self.chance.below(100)),
        };
        match self.chance.below(12) {
            0 if self.spend() => {
                let lateral = self.chance.of(&["", "lateral "]);
                let hidden = if lateral.is_empty() { Some(std::mem::take(&mut self.levels)) } else { None };
                let query = self.query();
                self.levels = hidden.unwrap_or_else(|| std::mem::take(&mut self.levels));
                format!("{lateral}({query}) as {alias}{}", self.chance.of(&["", " (id, x)"]))
            }
            1 => {
                let call = self.chance.of(&[
                    "generate_series(1, 3)",
                    "unnest(array[1,2])",
                    "jsonb_each('{}')",
                    "now()",
                    "lower('X')",
                    "tenant()",
                ]);
                format!(
                    "{}{call} {}as {alias}{}",
                    self.chance.of(&["", "lateral "]),
                    self.chance.of(&["", "with ordinality "]),
                    self.chance.of(&["", " (id)", " (id, name)"])
                )
            }
            2 => format!("orders as {alias} tablesample system (10)"),
            3 if !self.ctes.is_empty() => {
                let name = self.ctes[self.chance.below(self.ctes.len())].clone();
                format!("{name} as {alias}")
            }
            _ => {
                let at = self.chance.below(TABLES.len());
                let prefix = self.chance.of(&["", "", "", "public.", "only "]);
                if let Some(level) = self.levels.last_mut() {
                    level.push((alias.clone(), at));
                }
                format!("{prefix}{} as {alias}", TABLES[at].0)
            }
        }
    }

    fn column(&mut self) -> String {
        let levels: Vec<&Vec<(String, usize)>> = self.levels.iter().filter(|l| !l.is_empty()).collect();
        // Mostly of the own level, now and then of one around it.
        let level = match levels.len() {
            0 => return self.constant().to_owned(),
            1 => levels[0],
            n if self.chance.one_in(4) => levels[self.chance.below(n)],
            n => levels[n - 1],
        };
        let (alias, table) = level[self.chance.below(level.len())].clone();
        let columns = TABLES[table].1;
        let column = self.chance.of(columns);
        match self.chance.below(12) {
            0 => column.to_owned(),
            1 if self.chance.one_in(8) => alias,
            _ => format!("{alias}.{column}"),
        }
    }

    fn outputs(&mut self) -> String {
        let mut parts = Vec::new();
        for _ in 0..=self.chance.below(3) {
            parts.push(match self.chance.below(14) {
                0 => "*".to_owned(),
                1 => format!("{} as {}", self.value(), self.chance.of(ALIASES)),
                2 => format!(
                    "{}({})",
                    self.chance.of(&["min", "max", "sum", "count", "avg", "bool_or", "array_agg"]),
                    self.column()
                ),
                3 => format!("count(distinct {}) filter (where {})", self.column(), self.condition()),
                4 => format!(
                    "{} over ({} order by {} {})",
                    self.chance.of(&["row_number()", "lag(1)", "sum(1)", "count(*)"]),
                    self.chance.of(&["", "partition by 1"]),
                    self.column(),
                    self.chance.of(&[
                        "",
                        "rows between 1 preceding and current row",
                        "range between unbounded preceding and unbounded following exclude ties"
                    ])
                ),
                5 if self.spend() => format!("({})", self.query()),
                6 => "count(*)".to_owned(),
                _ => self.column(),
            });
        }
        parts.join(", ")
    }

    fn value(&mut self) -> String {
        if !self.spend() {
            return self.constant().to_owned();
        }
        match self.chance.below(16) {
            0..=5 => self.column(),
            6..=8 => self.constant().to_owned(),
            9 => format!(
                "{} {} {}",
                self.value(),
                self.chance.of(&["+", "-", "*", "/", "%", "||", "->>", "@>", "operator(pg_catalog.+)"]),
                self.value()
            ),
            10 => format!(
                "{}({})",
                self.chance.of(&[
                    "lower",
                    "date",
                    "abs",
                    "length",
                    "tenant",
                    "date_trunc",
                    "coalesce",
                    "greatest",
                    "nullif"
                ]),
                self.value()
            ),
            11 => format!(
                "({})::{}",
                self.value(),
                self.chance.of(&[
                    "text",
                    "date",
                    "int",
                    "numeric(10,2)",
                    "timestamptz",
                    "int[]",
                    "varchar(3)",
                    "interval(2)",
                    "\"my type\""
                ])
            ),
            12 => format!("case when {} then {} else {} end", self.condition(), self.value(), self.value()),
            13 => format!("({})", self.query()),
            14 => format!("extract({} from {})", self.chance.of(&["year", "month", "epoch"]), self.column()),
            _ => format!("({})[1]", self.value()),
        }
    }

    fn condition(&mut self) -> String {
        if !self.spend() {
            return self.chance.of(&["true", "false", "null", "1 = 1"]).to_owned();
        }
        match self.chance.below(20) {
            0..=4 => format!(
                "{} {} {}",
                self.value(),
                self.chance.of(&["=", "<>", "<", ">=", "~", "="]),
                self.value()
            ),
            5 => format!("({} and {})", self.condition(), self.condition()),
            6 => format!("({} or {})", self.condition(), self.condition()),
            7 => format!("not ({})", self.condition()),
            8 => format!("{} is {}null", self.value(), self.chance.of(&["", "not "])),
            9 => format!(
                "{} {}in ({}, {})",
                self.column(),
                self.chance.of(&["", "not "]),
                self.constant(),
                self.constant()
            ),
            10 => format!("{}exists ({})", self.chance.of(&["", "not "]), self.query()),
            11 => format!("{} {}in ({})", self.column(), self.chance.of(&["", "not "]), self.query()),
            12 => format!(
                "{} {}between {} and {}",
                self.value(),
                self.chance.of(&["", "not ", "symmetric "]).replace("symmetric ", ""),
                self.constant(),
                self.constant()
            ),
            13 => format!(
                "{} {} {}",
                self.column(),
                self.chance.of(&["like", "not ilike", "similar to"]),
                self.constant()
            ),
            14 => format!(
                "{} {} {} (array[{}])",
                self.column(),
                self.chance.of(&["=", "<>", "<"]),
                self.chance.of(&["any", "all"]),
                self.constant()
            ),
            15 => format!(
                "{} {} {} ({})",
                self.column(),
                self.chance.of(&["=", "<"]),
                self.chance.of(&["any", "all"]),
                self.query()
            ),
            16 => format!(
                "({}, {}) {} ({}, {})",
                self.column(),
                self.column(),
                self.chance.of(&["=", "<"]),
                self.constant(),
                self.constant()
            ),
            17 => format!(
                "({}) is {}",
                self.condition(),
                self.chance.of(&["true", "not true", "unknown", "not false"])
            ),
            18 => format!("coalesce({}, {}) = {}", self.column(), self.constant(), self.constant()),
            _ => format!("{} is distinct from {}", self.value(), self.value()),
        }
    }
}
