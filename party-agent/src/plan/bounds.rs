//! Which values an expression can have, from declared ranges and types: interval analysis, exact for integers and
//! decimals, widened outwards for floats.

mod interval;

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator};
use datafusion::scalar::ScalarValue;

use super::TableColumn;
use super::trace::{Cell, Scanned, Trace};
use crate::catalogue::{Catalogue, ColumnEntry};

use interval::type_interval;
pub(super) use interval::{Interval, power_of_ten};

/// What is known of an argument's values at one holder.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The values; `None` where nothing bounds them.
    pub(super) interval: Option<Interval>,
    /// Whether only declared ranges and literals were needed, no bare type.
    pub(super) declared: bool,
    /// An integer operation that may wrap around in the holder's engine, as it is written.
    pub(super) wraps: Option<String>,
}

impl Known {
    /// What is known of the same argument at two holders or in two branches.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            interval: match (self.interval, other.interval) {
                (Some(a), Some(b)) => a.hull(&b),
                _ => None,
            },
            declared: self.declared && other.declared,
            wraps: self.wraps.or(other.wraps),
        }
    }

    /// The same values after a conversion to doubles.
    pub(super) fn in_floats(self) -> Self {
        Self {
            interval: self.interval.and_then(|i| i.convert(&DataType::Float64)),
            ..self
        }
    }
}

/// The interval of one output column of a holder's query, over all its alternatives.
pub(super) fn known(trace: &Trace, column: usize, kind: &DataType, catalogue: &Catalogue) -> Known {
    let mut all: Option<Known> = None;
    for row in &trace.rows {
        let here = of_cell(trace, &row[column], kind, catalogue);
        all = Some(match all {
            None => here,
            Some(before) => before.or(here),
        });
    }
    all.unwrap_or(Known {
        interval: type_interval(kind),
        declared: false,
        wraps: None,
    })
}

/// The largest magnitude of what an output column of a holder's query divides by, in floating-point numbers; `None` where
/// nothing bounds it.
pub(super) fn divisor(trace: &Trace, column: usize, catalogue: &Catalogue) -> Option<f64> {
    let mut largest = 0f64;
    for row in &trace.rows {
        let expr = row[column].expr.as_ref()?;
        let mut analysis = Analysis {
            scanned: &trace.scanned,
            catalogue,
            schema: trace.schema_of(expr).ok()?,
            declared: true,
            wraps: None,
        };
        let mut divisors = Vec::new();
        let _ = expr.apply(|e| {
            if let Expr::BinaryExpr(binary) = e
                && binary.op == Operator::Divide
            {
                divisors.push(binary.right.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        for divisor in divisors {
            match analysis.of(&divisor)?.magnitude()? {
                Interval::Float { high, .. } => largest = largest.max(high),
                Interval::Exact { .. } => {}
            }
        }
    }
    Some(largest)
}

fn of_cell(trace: &Trace, cell: &Cell, kind: &DataType, catalogue: &Catalogue) -> Known {
    let unknown = Known {
        interval: type_interval(kind),
        declared: false,
        wraps: None,
    };
    let Some(expr) = &cell.expr else {
        return unknown;
    };
    let Ok(schema) = trace.schema_of(expr) else {
        return unknown;
    };
    let mut analysis = Analysis {
        scanned: &trace.scanned,
        catalogue,
        schema,
        declared: true,
        wraps: None,
    };
    let interval = analysis.of(expr);
    // The output's own type can be wider than the expression's, never narrower.
    Known {
        interval,
        declared: analysis.declared,
        wraps: analysis.wraps,
    }
}

/// The catalogue's entry for a column.
pub(super) fn entry<'c>(catalogue: &'c Catalogue, base: &TableColumn) -> Option<&'c ColumnEntry> {
    let table = catalogue.tables.get(&base.table)?;
    table.columns.iter().find(|c| c.name == base.column)
}

struct Analysis<'a> {
    scanned: &'a BTreeMap<(String, String), Scanned>,
    catalogue: &'a Catalogue,
    schema: DFSchema,
    declared: bool,
    wraps: Option<String>,
}

impl Analysis<'_> {
    /// The values of an expression; NULL does not count.
    fn of(&mut self, expr: &Expr) -> Option<Interval> {
        let kind = expr.get_type(&self.schema).ok()?;
        let found = match expr {
            Expr::Alias(alias) => return self.of(&alias.expr),
            Expr::Column(column) => {
                let relation = column.relation.as_ref().map(|r| r.table().to_owned());
                let key = (relation.unwrap_or_default(), column.name.clone());
                return self.column(&key, &kind);
            }
            Expr::Literal(value, _) => return self.literal(value, &kind),
            Expr::Negative(inner) => {
                let inner = self.of(inner)?;
                let negated = inner.negate()?;
                self.check_wrap(&negated, &kind, expr);
                Some(negated)
            }
            Expr::Cast(cast) => self.cast(&cast.expr, &kind),
            Expr::TryCast(cast) => self.cast(&cast.expr, &kind),
            Expr::BinaryExpr(binary) => self.binary(binary, &kind, expr),
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(function) => {
                let args: Vec<&Expr> = function.args.iter().collect();
                self.function(function.func.name(), &args)
            }
            _ => None,
        };
        match found.and_then(|i| i.fit(&kind)) {
            Some(interval) => Some(interval),
            None => {
                self.declared = false;
                type_interval(&kind)
            }
        }
    }

    fn column(&mut self, key: &(String, String), kind: &DataType) -> Option<Interval> {
        let scanned = self.scanned.get(key)?;
        let Some(base) = &scanned.base else {
            let constants = scanned.constants.iter();
            let mut values = constants.filter(|v| !v.is_null());
            let first = Interval::of_scalar(values.next()?)?;
            return values.try_fold(first, |all, v| all.hull(&Interval::of_scalar(v)?));
        };
        let declared = entry(self.catalogue, base)
            .and_then(|e| e.range.as_ref())
            .and_then(|(low, high)| Interval::declared(low, high, kind));
        declared.or_else(|| {
            // A Boolean and a column of type NULL have no numbers; every other type is a bound by itself.
            self.declared = false;
            type_interval(kind)
        })
    }

    fn literal(&mut self, value: &ScalarValue, kind: &DataType) -> Option<Interval> {
        if value.is_null() {
            // NULL is no value: the empty interval, which hulls leave out.
            return Some(Interval::empty(kind));
        }
        Interval::of_scalar(value)
    }

    fn cast(&mut self, inner: &Expr, kind: &DataType) -> Option<Interval> {
        let from = inner.get_type(&self.schema).ok()?;
        if from == DataType::Boolean && kind.is_integer() {
            return Some(Interval::whole(0, 1));
        }
        // A number in a text is bounded by the type it is cast to, whatever else is known.
        self.of(inner)?.convert(kind)
    }

    fn case(&mut self, case: &Case) -> Option<Interval> {
        let mut all: Option<Interval> = None;
        let branches = case.when_then_expr.iter().map(|(when, then)| {
            let is_condition = case.expr.is_none();
            (Some(&**when).filter(|_| is_condition), &**then)
        });
        let otherwise = case.else_expr.as_deref().map(|e| (None, e));
        for (when, then) in branches.chain(otherwise) {
            let here = self.of(then)?;
            let here = match when.and_then(|when| self.between(when, then)) {
                Some((low, high)) => here.cut(&low, &high),
                None => here,
            };
            all = Some(match all {
                None => here,
                Some(before) => before.hull(&here)?,
            });
        }
        all
    }

    /// The ends of `x BETWEEN low AND high`, of whole numbers, where x is this expression.
    fn between(&self, when: &Expr, x: &Expr) -> Option<(Interval, Interval)> {
        let Expr::Between(between) = when else {
            return None;
        };
        let is_x = !between.negated && self.uncast(&between.expr) == self.uncast(x);
        let whole = x.get_type(&self.schema).ok()?.is_integer();
        let end = |expr: &Expr| match self.uncast(expr) {
            Expr::Literal(value, _) if value.data_type().is_integer() => Interval::of_scalar(value),
            _ => None,
        };
        let ends = end(&between.low).zip(end(&between.high));
        ends.filter(|_| is_x && whole)
    }

    /// A whole number without the casts to other types of whole numbers.
    fn uncast<'e>(&self, expr: &'e Expr) -> &'e Expr {
        let is_whole = |e: &Expr| e.get_type(&self.schema).is_ok_and(|t| t.is_integer());
        match expr {
            Expr::Cast(cast) if is_whole(expr) && is_whole(&cast.expr) => self.uncast(&cast.expr),
            other => other,
        }
    }

    fn hull(&mut self, parts: &[&Expr]) -> Option<Interval> {
        let mut all: Option<Interval> = None;
        for part in parts {
            let here = self.of(part)?;
            all = Some(match all {
                None => here,
                Some(before) => before.hull(&here)?,
            });
        }
        all
    }

    fn binary(&mut self, binary: &BinaryExpr, kind: &DataType, whole: &Expr) -> Option<Interval> {
        let left = self.of(&binary.left)?;
        let right = self.of(&binary.right)?;
        let result = match binary.op {
            Operator::Plus => left.add(&right)?,
            Operator::Minus => left.add(&right.negate()?)?,
            Operator::Multiply => left.multiply(&right)?,
            Operator::Divide => {
                let found = left.divide(&right);
                return found.or_else(|| left.over_units(self.decimals(&binary.right)?));
            }
            Operator::Modulo => return left.modulo(&right),
            _ => return None,
        };
        self.check_wrap(&result, kind, whole);
        Some(result)
    }

    /// Of a whole number or decimal that was cast to a float, its digits after the point: other values than 0 are as large
    /// as a unit of the last one.
    fn decimals(&self, expr: &Expr) -> Option<u32> {
        let Expr::Cast(cast) = expr else {
            return None;
        };
        match type_interval(&cast.expr.get_type(&self.schema).ok()?)? {
            Interval::Exact { scale, .. } => u32::try_from(scale).ok(),
            Interval::Float { .. } => None,
        }
    }

    fn function(&mut self, name: &str, args: &[&Expr]) -> Option<Interval> {
        match (name, args) {
            ("coalesce" | "nvl" | "ifnull" | "greatest" | "least", _) => self.hull(args),
            ("nvl2", [_, values @ ..]) => self.hull(values),
            ("nullif", [first, ..]) => self.of(first),
            ("abs", [inner]) => self.of(inner)?.magnitude(),
            ("round" | "trunc" | "floor" | "ceil", [inner, ..]) => self.of(inner)?.rounded(),
            ("sqrt", [inner]) => self.of(inner)?.square_root(),
            _ => None,
        }
    }

    /// The engine's integers wrap around silently, so an operation that can leave its type is remembered.
    fn check_wrap(&mut self, result: &Interval, kind: &DataType, expr: &Expr) {
        if kind.is_integer() && self.wraps.is_none() && result.clone().fit(kind).is_none() {
            self.wraps = Some(written(expr));
        }
    }
}

/// An expression as a person would write it, without the names of scans.
fn written(expr: &Expr) -> String {
    use datafusion::common::Column;
    use datafusion::common::tree_node::Transformed;
    let bare = expr.clone().transform_up(|e| match e {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(
            column.name,
        )))),
        Expr::Cast(cast) => Ok(Transformed::yes(*cast.expr)),
        other => Ok(Transformed::no(other)),
    });
    bare.map_or_else(
        |_| expr.to_string(),
        |bare| bare.data.human_display().to_string(),
    )
}
