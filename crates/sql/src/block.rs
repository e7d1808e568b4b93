//! Which statements stand in a DO block or in the body of a function, and which cannot be seen?
//!
//! PL/pgSQL is taken apart by PostgreSQL's own parser for it, bodies in SQL by the usual one. `EXECUTE` of a text that is
//! written out is followed; one that is put together while it runs is told as unseen, and so is what cannot be
//! parsed.

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AExprKind, DefElem, Node};
use serde_json::Value as Json;

use crate::idea::WrittenName;
use crate::lowering::string;
use crate::script::{Position, Script, ScriptStatement};

/// A body taken apart.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Its statements in the order of the text, whether or not a condition or a loop stands around them.
    pub statements: Vec<ScriptStatement>,
    /// What cannot be seen, with its place.
    pub unseen: Vec<Unseen>,
}

/// A part of a body that is not known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Where it stands.
    pub at: Position,
    /// What it is, in a sentence fragment.
    pub what: String,
}

impl ScriptStatement {
    /// The body of a DO block; `None` for other statements.
    pub fn block(&self) -> Option<Block> {
        let NodeEnum::DoStmt(block) = &self.node else { return None };
        Some(self.taken_apart(&block.args))
    }

    /// The name and body of a function or procedure that the statement makes; `None` for other statements.
    pub fn routine(&self) -> Option<(WrittenName, Block)> {
        let NodeEnum::CreateFunctionStmt(create) = &self.node else { return None };
        let name = routine_name(&create.funcname)?;
        Some((name, self.taken_apart(&create.options)))
    }

    /// The functions that the statement calls, and the procedure.
    pub fn calls(&self) -> Vec<WrittenName> {
        let mut found = Vec::new();
        let Ok(tree) = serde_json::to_value(&self.node) else { return found };
        called(&tree, &mut found);
        found
    }

    /// The procedure of a `CALL`.
    pub fn procedure(&self) -> Option<WrittenName> {
        match &self.node {
            NodeEnum::CallStmt(call) => routine_name(&call.funccall.as_ref()?.funcname),
            _ => None,
        }
    }

    fn taken_apart(&self, options: &[Node]) -> Block {
        let mut block = Block::default();
        let option = |name: &str| {
            options.iter().find_map(|node| match &node.node {
                Some(NodeEnum::DefElem(option)) if option.defname == name => Some(option),
                _ => None,
            })
        };
        let language = option("language").and_then(|o| text_of(o)).unwrap_or_else(|| "plpgsql".to_owned());
        let Some(body) = option("as").and_then(|o| text_of(o)) else { return block };
        let begin = self.text.find(&body).unwrap_or(0);
        match language.to_lowercase().as_str() {
            "plpgsql" => match pg_query::parse_plpgsql(&self.text) {
                Ok(tree) => self.statements_of(&tree, begin, &mut block),
                Err(_) => {
                    block.unseen.push(Unseen { at: self.at, what: "a body that cannot be parsed".into() })
                }
            },
            "sql" => {
                let script = Script::parse(&body);
                for mut statement in script.statements {
                    statement.at = self.place(begin, statement.at.line);
                    statement.end = self.end;
                    block.statements.push(statement);
                }
                if !script.mistakes.is_empty() {
                    block.unseen.push(Unseen { at: self.at, what: "a body that cannot be parsed".into() });
                }
            }
            other => {
                block.unseen.push(Unseen { at: self.at, what: format!("a body in the language {other}") });
            }
        }
        block
    }

    /// Walks the tree of PL/pgSQL's parser.
    fn statements_of(&self, tree: &Json, begin: usize, block: &mut Block) {
        match tree {
            Json::Array(items) => items.iter().for_each(|item| self.statements_of(item, begin, block)),
            Json::Object(members) => {
                for (kind, member) in members {
                    let line =
                        member.get("lineno").and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
                    let at = self.place(begin, line.unwrap_or(1));
                    let text = |part: &str| member.pointer(&format!("/{part}/PLpgSQL_expr/query"))?.as_str();
                    match kind.as_str() {
                        "PLpgSQL_stmt_execsql" => self.add(text("sqlstmt"), at, block),
                        "PLpgSQL_stmt_perform" | "PLpgSQL_stmt_call" => self.add(text("expr"), at, block),
                        "PLpgSQL_stmt_dynexecute" | "PLpgSQL_stmt_dynfors" => match text("query") {
                            Some(query) => match literal(query) {
                                Some(written) => self.add(Some(&written), at, block),
                                None => block.unseen.push(Unseen {
                                    at,
                                    what: format!(
                                        "EXECUTE of a text that is put together while it runs: {query}"
                                    ),
                                }),
                            },
                            None => block.unseen.push(Unseen { at, what: "EXECUTE".into() }),
                        },
                        _ => {}
                    }
                    self.statements_of(member, begin, block);
                }
            }
            _ => {}
        }
    }

    fn add(&self, text: Option<&str>, at: Position, block: &mut Block) {
        let Some(text) = text else { return };
        let script = Script::parse(text);
        if !script.mistakes.is_empty() {
            block.unseen.push(Unseen { at, what: format!("a statement that cannot be parsed: {text}") });
        }
        for mut statement in script.statements {
            (statement.at, statement.end) = (at, self.end);
            block.statements.push(statement);
        }
    }

    /// The first word of a line of the body, which begins so many bytes behind the statement's beginning.
    fn place(&self, begin: usize, line_of_body: usize) -> Position {
        let before = self.text.get(..begin).unwrap_or_default().matches('\n').count();
        let number = before + line_of_body.saturating_sub(1);
        let line = self.text.lines().nth(number).unwrap_or_default();
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let column = if number == 0 { self.at.column } else { indent + 1 };
        Position { offset: self.at.offset, line: self.at.line + number, column }
    }
}

/// `schema.name` of a routine.
fn routine_name(names: &[Node]) -> Option<WrittenName> {
    let parts: Vec<String> = names.iter().filter_map(string).collect();
    match parts.as_slice() {
        [name] => Some(WrittenName { schema: None, name: name.clone() }),
        [.., schema, name] => Some(WrittenName { schema: Some(schema.clone()), name: name.clone() }),
        [] => None,
    }
}

fn text_of(option: &DefElem) -> Option<String> {
    match option.arg.as_ref()?.node.as_ref()? {
        NodeEnum::String(text) => Some(text.sval.clone()),
        // Of a function, `AS 'body'` is a list.
        NodeEnum::List(list) => list.items.first().and_then(string),
        _ => None,
    }
}

/// The text that an expression of constants is.
fn literal(expression: &str) -> Option<String> {
    fn of(node: &Node) -> Option<String> {
        match node.node.as_ref()? {
            NodeEnum::AConst(constant) => match constant.val.as_ref()? {
                Val::Sval(text) => Some(text.sval.clone()),
                _ => None,
            },
            NodeEnum::TypeCast(cast) => of(cast.arg.as_deref()?),
            NodeEnum::AExpr(both)
                if both.kind == AExprKind::AexprOp as i32
                    && both.name.last().and_then(string).as_deref() == Some("||") =>
            {
                Some(of(both.lexpr.as_deref()?)? + &of(both.rexpr.as_deref()?)?)
            }
            _ => None,
        }
    }
    of(&crate::predicate::parse_node(expression)?)
}

fn called(tree: &Json, found: &mut Vec<WrittenName>) {
    match tree {
        Json::Array(items) => items.iter().for_each(|item| called(item, found)),
        Json::Object(members) => {
            for (kind, member) in members {
                if matches!(kind.as_str(), "FuncCall" | "funccall")
                    && let Some(names) = member.get("funcname").and_then(Json::as_array)
                {
                    let parts: Vec<&str> =
                        names.iter().filter_map(|n| n.pointer("/node/String/sval")?.as_str()).collect();
                    if let [schema @ .., name] = parts.as_slice() {
                        found.push(WrittenName {
                            schema: schema.last().map(|s| (*s).to_owned()),
                            name: (*name).to_owned(),
                        });
                    }
                }
                called(member, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> ScriptStatement {
        let mut script = Script::parse(text);
        assert!(script.mistakes.is_empty(), "{:?}", script.mistakes);
        script.statements.pop().unwrap()
    }

    fn shown(block: &Block) -> String {
        let statements = block.statements.iter().map(|s| format!("{}:{} {}", s.at.line, s.at.column, s.text));
        let unseen = block.unseen.iter().map(|u| format!("{}:{} ? {}", u.at.line, u.at.column, u.what));
        statements.chain(unseen).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn statements_of_a_do_block_are_found_with_their_places() {
        let text = "\n-- first\nDO $$\nDECLARE r record;\nBEGIN\n  IF true THEN\n    ALTER TABLE t ADD COLUMN a int;\n  END IF;\n  \
                    FOR r IN SELECT 1 LOOP\n    EXECUTE 'drop table ' || 'x';\n    EXECUTE format('drop table %I', r);\n  \
                    END LOOP;\n  PERFORM f(1);\nEXCEPTION WHEN others THEN\n  UPDATE t SET a = 1;\nEND $$";
        assert_eq!(
            shown(&only(text).block().unwrap()),
            "7:5 ALTER TABLE t ADD COLUMN a int\n10:5 drop table x\n13:3 SELECT f(1)\n15:3 UPDATE t SET a = 1\n\
             11:5 ? EXECUTE of a text that is put together while it runs: format('drop table %I', r)"
        );
        assert_eq!(
            shown(&only("do language plpython3u 'pass'").block().unwrap()),
            "1:1 ? a body in the language plpython3u"
        );
        assert_eq!(
            shown(&only("do $$ begin oops end $$").block().unwrap()),
            "1:1 ? a body that cannot be parsed"
        );
        assert!(only("select 1").block().is_none());
    }

    #[test]
    fn routines_and_their_calls_are_found() {
        let made =
            only("create function s.f() returns void language sql as $$\n  drop table a;\n  drop table b $$");
        let (name, block) = made.routine().unwrap();
        assert_eq!((name.schema.as_deref(), name.name.as_str()), (Some("s"), "f"));
        assert_eq!(shown(&block), "2:3 drop table a\n3:3 drop table b");
        let made = only("create procedure p(x int) language plpgsql as 'begin truncate t; commit; end'");
        assert_eq!(shown(&made.routine().unwrap().1), "1:1 truncate t");
        let names = |text: &str| {
            only(text).calls().into_iter().map(|n| n.name).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names("select s.f(), count(*) from g(1)"), ["count", "f", "g"].map(str::to_owned).into());
        assert_eq!(names("call p(h(1))"), ["h", "p"].map(str::to_owned).into());
        assert_eq!(only("call s.p(1)").procedure().unwrap().name, "p");
    }
}
