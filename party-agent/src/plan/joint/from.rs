//! The tables of FROM: who holds them, and on which key they are joined.
//!
//! A relation is what stands between two joins that span holders: a table, a subquery, tables that one holder joins
//! itself, or a UNION ALL of several holders. All relations of a query have one key in common.

mod shared_columns;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Select,
    TableFactor, TableWithJoins,
};

use super::columns::{Scope, qualify, same, stripped};
use super::member::Member;
use crate::plan::PlanFault;
use crate::plan::sql::Site;
use crate::plan::sql::align::names_of_from;
use crate::plan::sql::having::conjuncts;
use crate::plan::sql::holders::{Catalogues, holder_and_table, holders_of};
use crate::plan::sql::outer::case_when;

/// One table of the joint query, as its holders have it.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// What expressions call it, in small letters: several names where one holder joins tables itself.
    pub(super) names: Vec<String>,
    /// Its columns in small letters, if they can be told.
    pub(super) columns: Option<BTreeSet<String>>,
    pub(super) from: TableWithJoins,
    pub(super) holders: BTreeSet<String>,
    /// What decides which of its rows take part.
    pub(super) filter: Vec<Expr>,
    /// The columns of its key.
    pub(super) key: Vec<Expr>,
    /// Whether rows of others stay that have no match here.
    pub(super) optional: bool,
    /// Set of a subquery of IN or EXISTS, of which only membership counts.
    pub(super) member: Option<Member>,
}

/// The relations, and what is left of WHERE.
pub(super) struct Relations {
    pub(super) all: Vec<Relation>,
    /// Conditions that no relation can decide on its own, or not before the join.
    pub(super) conditions: Vec<Expr>,
    /// Columns that USING makes one of two, in small letters, and whose value that is.
    pub(super) merged: BTreeMap<String, usize>,
}

/// Reads FROM and WHERE.
pub(super) fn read(
    select: &Select,
    members: &[Member],
    catalogues: &Catalogues,
    site: Site,
) -> Result<Relations, PlanFault> {
    let mut reading = Reading {
        catalogues,
        members,
        site,
        all: Vec::new(),
        full: false,
        equal: Vec::new(),
        conditions: Vec::new(),
        guards: Vec::new(),
        merged: BTreeMap::new(),
    };
    for item in &select.from {
        reading.item(item)?;
    }
    let selection = select.selection.iter().flat_map(|w| conjuncts(w));
    for condition in selection {
        if !reading.equates(condition, None)? {
            reading.conditions.push(condition.clone());
        }
    }
    reading.keys()?;
    let none = BTreeSet::new();
    let mut conditions = std::mem::take(&mut reading.conditions);
    qualify(&mut conditions, reading.scope(), &none)?;
    Ok(Relations {
        all: reading.all,
        conditions,
        merged: reading.merged,
    })
}

/// An expression over one relation.
type Node = (usize, Expr);

struct Reading<'a> {
    catalogues: &'a Catalogues,
    members: &'a [Member],
    site: Site,
    all: Vec<Relation>,
    full: bool,
    /// Expressions of two relations that are equal.
    equal: Vec<(Node, Node)>,
    conditions: Vec<Expr>,
    /// Conditions in ON on tables whose rows stay where they are not true: such a row has no key.
    guards: Vec<(usize, Expr)>,
    merged: BTreeMap<String, usize>,
}

impl Reading<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope::new(&self.all, &self.merged, self.site)
    }

    fn item(&mut self, item: &TableWithJoins) -> Result<(), PlanFault> {
        if self.crossed_at_home(&item.relation)?.is_none() {
            self.relation(&item.relation)?;
        }
        for join in &item.joins {
            self.join(join)?;
        }
        Ok(())
    }

    /// A table or a subquery; a join in parentheses is read in its place.
    fn relation(&mut self, factor: &TableFactor) -> Result<(), PlanFault> {
        let holders = holders_of(factor);
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
            && holders.len() > 1
        {
            if !self.all.is_empty() {
                let what = "a join in parentheses on the right-hand side spans holders";
                let fix = "write the joins one after the other, without parentheses";
                return Err(self.site.fault(factor, what, fix));
            }
            return self.item(table_with_joins);
        }
        if holders.is_empty() {
            let what = "a table of constants is joined with tables of several holders";
            let fix = "join it inside the subquery of one holder";
            return Err(self.site.fault(factor, what, fix));
        }
        let from = TableWithJoins {
            relation: factor.clone(),
            joins: Vec::new(),
        };
        let names = self.own_names(factor)?;
        let here = std::slice::from_ref(&from);
        let columns = names_of_from(here, self.catalogues);
        let member = self.members.iter().find(|m| names.contains(&m.name));
        self.all.push(Relation {
            member: member.cloned(),
            names,
            columns,
            from,
            holders,
            filter: Vec::new(),
            key: Vec::new(),
            optional: false,
        });
        Ok(())
    }

    fn join(&mut self, join: &Join) -> Result<(), PlanFault> {
        use JoinOperator::{
            CrossJoin, FullOuter, Inner, Join as Plain, Left, LeftOuter, Right, RightOuter,
        };
        let (kind, constraint) = match &join.join_operator {
            Plain(c) | Inner(c) | CrossJoin(c) => (Kind::Inner, c),
            Left(c) | LeftOuter(c) => (Kind::Left, c),
            Right(c) | RightOuter(c) => (Kind::Right, c),
            FullOuter(c) => (Kind::Full, c),
            _ => {
                let what = "this kind of join cannot span holders";
                let fix = "use JOIN, LEFT JOIN, RIGHT JOIN or FULL JOIN … ON a.key = b.key";
                return Err(self.site.fault(join, what, fix));
            }
        };
        if self.joins_at_home(join, kind, constraint)? {
            return Ok(());
        }
        let is_using = matches!(
            constraint,
            JoinConstraint::Using(_) | JoinConstraint::Natural
        );
        if kind == Kind::Inner
            && !is_using
            && let Some(place) = self.crossed_at_home(&join.relation)?
        {
            return self.constraint(join, kind, constraint, place);
        }
        self.relation(&join.relation)?;
        let right = self.all.len() - 1;
        if kind != Kind::Inner && right != 1 && kind != Kind::Left || self.full {
            let what = "RIGHT and FULL JOIN between holders take two tables, and no more";
            let fix = "write the table whose rows are all kept first, and LEFT JOIN the others";
            return Err(self.site.fault(join, what, fix));
        }
        self.constraint(join, kind, constraint, right)?;
        match kind {
            Kind::Inner => {}
            Kind::Left => self.all[right].optional = true,
            Kind::Right => self.all[0].optional = true,
            Kind::Full => {
                self.all[0].optional = true;
                self.all[right].optional = true;
                self.full = true;
            }
        }
        Ok(())
    }

    /// Whether a join is one that the holder of the left-hand table makes itself, inside its own part.
    fn joins_at_home(
        &mut self,
        join: &Join,
        kind: Kind,
        constraint: &JoinConstraint,
    ) -> Result<bool, PlanFault> {
        let holders = holders_of(&join.relation);
        if holders.len() > 1 || !matches!(kind, Kind::Inner | Kind::Left) {
            return Ok(false);
        }
        let names = names_of(&join.relation);
        let here = [TableWithJoins {
            relation: join.relation.clone(),
            joins: Vec::new(),
        }];
        let JoinConstraint::On(on) = constraint else {
            return Ok(false);
        };
        let at_home =
            |r: &Relation| r.holders.len() == 1 && (r.holders == holders || holders.is_empty());
        let Some(place) = (0..self.all.len()).find(|i| at_home(&self.all[*i])) else {
            return Ok(false);
        };
        // ON may name this relation and the new table alone.
        let mut merged = self.all.clone();
        merged[place].names.extend(names.iter().cloned());
        let columns = names_of_from(&here, self.catalogues);
        merged[place].columns = merged[place].columns.take().zip(columns).map(|(mut a, b)| {
            a.extend(b);
            a
        });
        let reached = Scope::new(&merged, &self.merged, self.site).relations(on)?;
        if reached.iter().any(|r| *r != place) || merged[place].optional {
            return Ok(false);
        }
        merged[place].from.joins.push(join.clone());
        self.all = merged;
        Ok(true)
    }

    /// A further table of a holder whose rows are all there is a part of that holder's own relation: all pairs of
    /// rows, of which conditions leave some.
    fn crossed_at_home(&mut self, factor: &TableFactor) -> Result<Option<usize>, PlanFault> {
        let holders = holders_of(factor);
        let at_home = |r: &Relation| {
            r.holders.len() == 1 && r.holders == holders && !r.optional && r.member.is_none()
        };
        let names = names_of(factor);
        let is_member = self.members.iter().any(|m| names.contains(&m.name));
        let place = self.all.iter().position(at_home).filter(|_| !is_member);
        let Some(place) = place else {
            return Ok(None);
        };
        let names = self.own_names(factor)?;
        let here = [TableWithJoins {
            relation: factor.clone(),
            joins: Vec::new(),
        }];
        let columns = names_of_from(&here, self.catalogues);
        let relation = &mut self.all[place];
        relation.names.extend(names);
        relation.columns = relation.columns.take().zip(columns).map(|(mut a, b)| {
            a.extend(b);
            a
        });
        relation.from.joins.push(Join {
            relation: factor.clone(),
            global: false,
            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
        });
        Ok(Some(place))
    }

    /// The names of a factor of FROM, which no other one has.
    fn own_names(&self, factor: &TableFactor) -> Result<Vec<String>, PlanFault> {
        let names = names_of(factor);
        if names.is_empty() {
            let what = "a subquery in FROM has no name";
            return Err(self.site.fault(factor, what, "name it: (SELECT …) t"));
        }
        let taken = |name: &&String| self.all.iter().any(|r| r.names.contains(name));
        match names.iter().find(taken) {
            Some(name) => Err(self.same_name(factor, name)),
            None => Ok(names),
        }
    }

    fn same_name(&self, factor: &TableFactor, name: &str) -> PlanFault {
        let what = format!("two tables of the query are called {name}");
        let fix = "give each a name of its own: party.table t";
        self.site.fault(factor, what, fix)
    }

    fn constraint(
        &mut self,
        join: &Join,
        kind: Kind,
        constraint: &JoinConstraint,
        right: usize,
    ) -> Result<(), PlanFault> {
        match constraint {
            JoinConstraint::On(on) => {
                let mut found = false;
                for condition in conjuncts(on) {
                    if self.equates(condition, Some((kind, right)))? {
                        found = true;
                    } else {
                        self.beside(condition, kind, right)?;
                    }
                }
                if !found && kind != Kind::Inner {
                    return Err(self.without_key(join));
                }
                Ok(())
            }
            JoinConstraint::Using(columns) => {
                let name = |column: &ObjectName| match column.0.as_slice() {
                    [ObjectNamePart::Identifier(name)] => Ok(name.clone()),
                    _ => Err(self.without_key(join)),
                };
                let names = columns.iter().map(name).collect::<Result<Vec<_>, _>>()?;
                self.using(join, kind, names, right)
            }
            JoinConstraint::None => Ok(()),
            JoinConstraint::Natural => {
                let names = self.in_common(join, right)?;
                self.using(join, kind, names, right)
            }
        }
    }

    fn without_key(&self, join: &Join) -> PlanFault {
        let what = "this join between holders has no key";
        let fix = "write ON a.key = b.key, with AND between several columns";
        self.site.fault(join, what, fix)
    }

    /// Whether a condition equates expressions of two relations; such a pair is noted.
    fn equates(&mut self, condition: &Expr, at: Option<(Kind, usize)>) -> Result<bool, PlanFault> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = stripped(condition)
        else {
            return Ok(false);
        };
        let scope = self.scope();
        let one = |expr: &Expr| -> Result<Option<Node>, PlanFault> {
            let relations = scope.relations(expr)?;
            let mut relations = relations.into_iter();
            Ok(match (relations.next(), relations.next()) {
                (Some(relation), None) => {
                    let mut expr = stripped(expr).clone();
                    qualify(&mut expr, scope, &BTreeSet::new())?;
                    Some((relation, expr))
                }
                _ => None,
            })
        };
        let (Some(a), Some(b)) = (one(left)?, one(right)?) else {
            return Ok(false);
        };
        if a.0 == b.0 {
            return Ok(false);
        }
        let pair = (a, b);
        match at {
            Some((kind, right)) => self.linked(&pair, kind, right, condition)?,
            // Equality is never true of NULL, so no row without a match stays.
            None => {
                for (relation, _) in [&pair.0, &pair.1] {
                    self.all[*relation].optional = false;
                }
                self.full = false;
            }
        }
        self.equal.push(pair);
        Ok(true)
    }

    /// Checks that an ON equates the new relation with one that is there for every row.
    fn linked(
        &mut self,
        (a, b): &(Node, Node),
        kind: Kind,
        right: usize,
        part: &Expr,
    ) -> Result<(), PlanFault> {
        let other = if a.0 == right { b.0 } else { a.0 };
        if self.all[other].optional && other != right {
            if kind == Kind::Inner {
                self.all[other].optional = false;
                return Ok(());
            }
            let what = "this join hangs on a table that may have no match itself";
            let fix = "join on the key of the table whose rows are all kept";
            return Err(self.site.fault(part, what, fix));
        }
        Ok(())
    }

    /// A condition in ON that is no equality between relations.
    fn beside(&mut self, condition: &Expr, kind: Kind, right: usize) -> Result<(), PlanFault> {
        if kind == Kind::Inner {
            self.conditions.push(condition.clone());
            return Ok(());
        }
        let reached = self.scope().relations(condition)?;
        let filtered = match kind {
            Kind::Left => Some(right),
            Kind::Right => Some(0),
            Kind::Inner | Kind::Full => None,
        };
        let mut relations = reached.into_iter();
        match (relations.next(), relations.next(), filtered) {
            (None, _, Some(at)) => self.all[at].filter.push(condition.clone()),
            (Some(one), None, Some(at)) if one == at => {
                self.all[at].filter.push(condition.clone());
            }
            (Some(one), None, _) if right == 1 => self.guards.push((one, condition.clone())),
            _ => {
                let what =
                    "a condition in ON of an outer join that is no equality with the joined table";
                let fix = "write the conditions of one table alone in a subquery of its own: (SELECT … WHERE …) t";
                return Err(self.site.fault(condition, what, fix));
            }
        }
        Ok(())
    }

    /// Gives every relation its key: the classes of equal expressions, each with one of every relation.
    fn keys(&mut self) -> Result<(), PlanFault> {
        let mut classes: Vec<BTreeMap<usize, Expr>> = Vec::new();
        let mut twice: Vec<(Node, Expr)> = Vec::new();
        for (a, b) in &self.equal {
            let holds = |class: &BTreeMap<usize, Expr>, node: &Node| {
                class.get(&node.0).is_some_and(|e| same(e, &node.1))
            };
            let with: Vec<usize> = (0..classes.len())
                .filter(|i| holds(&classes[*i], a) || holds(&classes[*i], b))
                .collect();
            let mut class: BTreeMap<usize, Expr> = BTreeMap::new();
            for place in with.iter().rev() {
                for node in classes.remove(*place) {
                    twice.extend(join_class(&mut class, node));
                }
            }
            for node in [a, b] {
                twice.extend(join_class(&mut class, node.clone()));
            }
            let place = with.first().copied().unwrap_or(classes.len());
            classes.insert(place.min(classes.len()), class);
        }
        self.equal_at_home(twice)?;
        let n = self.all.len();
        if let Some(class) = classes.iter().find(|c| c.len() < n) {
            let part = class.values().next().cloned();
            return Err(self.other_key(part.as_ref()));
        }
        if classes.is_empty() {
            return Err(self.other_key(None));
        }
        for (at, relation) in self.all.iter_mut().enumerate() {
            relation.key = classes.iter().map(|class| class[&at].clone()).collect();
        }
        self.guarded()
    }

    /// Two columns of one relation that are equated with one key are equal, where all joins are inner ones.
    fn equal_at_home(&mut self, twice: Vec<(Node, Expr)>) -> Result<(), PlanFault> {
        let inner = self.all.iter().all(|r| !r.optional);
        for ((at, expr), other) in twice {
            if !inner {
                return Err(self.twice(&(at, expr)));
            }
            self.all[at].filter.push(Expr::BinaryOp {
                left: Box::new(expr),
                op: BinaryOperator::Eq,
                right: Box::new(other),
            });
        }
        Ok(())
    }

    /// A row for which a condition in ON is not true has no match, as if it had no key.
    fn guarded(&mut self) -> Result<(), PlanFault> {
        for (at, condition) in std::mem::take(&mut self.guards) {
            if self.all.len() > 2 {
                let what = "a condition in ON of an outer join on the table whose rows are all kept, of three tables";
                let fix = "join two tables, or compute a key that is NULL where the condition does not hold in a subquery";
                return Err(self.site.fault(&condition, what, fix));
            }
            let mut condition = condition;
            qualify(&mut condition, self.scope(), &BTreeSet::new())?;
            for key in &mut self.all[at].key {
                *key = case_when(&condition, key.clone());
            }
        }
        Ok(())
    }

    fn twice(&self, (_, expr): &Node) -> PlanFault {
        let what = format!("{expr} and another column of its table are equated with one key");
        let fix = "compare the two columns in a subquery at their holder";
        self.site.fault(expr, what, fix)
    }

    fn other_key(&self, part: Option<&Expr>) -> PlanFault {
        let what = "not all tables of different holders are joined on one key";
        let fix = "join all of them on the same key columns: a.key = b.key AND a.key = c.key; a join on a second key needs a job of its own in this version";
        match part {
            Some(part) => self.site.fault(part, what, fix),
            None => PlanFault {
                place: "compute.sql".to_owned(),
                what: what.to_owned(),
                fix: fix.to_owned(),
            },
        }
    }
}

/// Adds an expression to a class; where its relation has another one there, gives both back.
fn join_class(class: &mut BTreeMap<usize, Expr>, node: Node) -> Option<(Node, Expr)> {
    match class.get(&node.0) {
        Some(there) if same(there, &node.1) => None,
        Some(there) => Some((node, there.clone())),
        None => {
            class.insert(node.0, node.1);
            None
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

/// What expressions can call a part of FROM, in small letters.
pub(in crate::plan) fn names_of(factor: &TableFactor) -> Vec<String> {
    let alias = match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref(),
        _ => None,
    };
    if let Some(alias) = alias {
        return vec![alias.name.value.to_lowercase()];
    }
    match factor {
        TableFactor::Table { name, .. } => {
            let table = holder_and_table(name).map(|(_, table)| table.to_lowercase());
            table.into_iter().collect()
        }
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => {
            let joined = table_with_joins.joins.iter().map(|j| &j.relation);
            let factors = std::iter::once(&table_with_joins.relation).chain(joined);
            factors.flat_map(names_of).collect()
        }
        _ => Vec::new(),
    }
}
