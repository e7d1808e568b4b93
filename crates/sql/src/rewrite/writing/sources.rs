//! How are the items of `FROM` and the keys of `GROUP BY` written?

use super::super::tree::{Expr, From, Function, GroupingSet, JoinKind, SetsOf};
use super::Writer;

impl Writer {
    pub(super) fn grouping_set(&mut self, set: &GroupingSet) {
        match set {
            GroupingSet::Keys(keys) => {
                self.push("(");
                self.list(keys, ", ", |w, key| w.group_key(key));
                self.push(")");
            }
            GroupingSet::Of(kind, sets) => {
                self.push(match kind {
                    SetsOf::Rollup => "ROLLUP (",
                    SetsOf::Cube => "CUBE (",
                    SetsOf::Sets => "GROUPING SETS (",
                });
                self.list(sets, ", ", Self::grouping_set);
                self.push(")");
            }
        }
    }

    fn function(&mut self, function: &Function) {
        self.name(&function.name);
        self.push("(");
        self.exprs(&function.args);
        self.push(if function.ordinality { ") WITH ORDINALITY AS " } else { ") AS " });
        self.name(&function.alias);
        if function.renamed {
            self.push(" (");
            self.list(&function.columns, ", ", |w, name| w.name(name));
            self.push(")");
        }
    }

    /// A constant key would be read as a position.
    pub(super) fn group_key(&mut self, key: &Expr) {
        if matches!(key, Expr::Constant(_)) {
            self.push("(");
            self.expr(key);
            self.push(" )::text");
        } else {
            self.expr(key);
        }
    }

    pub(super) fn from(&mut self, from: &From) {
        match from {
            From::Table(table) => {
                self.push(if table.only { "ONLY " } else { "" });
                if table.schema_written {
                    self.name(&table.table.schema);
                    self.push(".");
                }
                self.name(&table.table.name);
                self.alias(&table.alias, &table.table.name);
            }
            From::Cte { name, alias, columns: _ } => {
                self.name(name);
                self.alias(alias, name);
            }
            From::Derived(derived) => {
                if let Some(view) = &derived.view
                    && view.definition == derived.query
                {
                    if view.schema_written {
                        self.name(&view.name.schema);
                        self.push(".");
                    }
                    self.name(&view.name.name);
                    self.alias(&derived.alias, &view.name.name);
                    return;
                }
                self.push(if derived.lateral { "LATERAL (" } else { "(" });
                self.query(&derived.query);
                self.push(") AS ");
                self.name(&derived.alias);
                if derived.columns != derived.query.output_names() {
                    self.push(" (");
                    self.list(&derived.columns, ", ", |w, name| w.name(name));
                    self.push(")");
                }
            }
            From::Function(function) => self.function(function),
            From::Join(join) => {
                self.from(&join.left);
                let crossed = join.kind == JoinKind::Inner && join.on.is_empty();
                self.push(match join.kind {
                    JoinKind::Inner if crossed => " CROSS JOIN ",
                    JoinKind::Inner => " JOIN ",
                    JoinKind::Left => " LEFT JOIN ",
                    JoinKind::Full => " FULL JOIN ",
                });
                let nested = matches!(join.right, From::Join(_));
                self.push(if nested { "(" } else { "" });
                self.from(&join.right);
                self.push(if nested { ")" } else { "" });
                if !crossed {
                    self.push(" ON ");
                    if join.on.is_empty() {
                        self.push("true");
                    }
                    self.list(&join.on, " AND ", |w, e| w.part(e));
                }
            }
        }
    }

    fn alias(&mut self, alias: &str, name: &str) {
        if alias != name {
            self.push(" AS ");
            self.name(alias);
        }
    }
}
