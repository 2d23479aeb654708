//! Division by a column of another holder: `x / y` is `x` times `1 / y`, which the holder of `y` computes in the clear.
//!
//! That is a product like any other, so a key may have many rows at both sides. In SQL a quotient of whole numbers is a
//! whole number, which does not follow from a reciprocal; others are floating-point numbers here.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, ExactNumberInfo, Expr, Function, UnaryOperator, Value,
};

use super::columns::stripped;
use super::from::Relation;
use super::separate::{Factor, Separate, Separated, times};
use crate::plan::PlanFault;
use crate::plan::sql::functions::{name_of, plain_args};
use crate::plan::sql::outer::cast;

impl Separate<'_> {
    /// A quotient of which the two sides do not belong to one relation.
    pub(super) fn quotient(
        &self,
        expr: &Expr,
        left: &Expr,
        right: &Expr,
    ) -> Result<Separated, PlanFault> {
        let refused =
            |what: &str, fix: &str| Err(self.site.fault(expr, format!("{expr}: {what}"), fix));
        let Some(at) = self.divisor_of(right)? else {
            return refused(
                "this divides by an expression over columns of several holders",
                "divide by a column of one holder, or SUM both and divide the totals",
            );
        };
        let is_number = self.kind(at, right).is_none_or(|kind| kind.is_numeric());
        if !is_number {
            return refused(
                "this divides by something that is no number",
                "CAST it AS DOUBLE",
            );
        }
        if self.is_whole(left)? && self.is_whole(right)? {
            return refused(
                "this divides by a column of another holder",
                "multiply by the reciprocal, or write CAST(… AS DOUBLE) around one of the two: SQL rounds a quotient of whole numbers",
            );
        }
        let dividend = self.value(left)?;
        let double = |e: Expr| cast(e, SqlType::Double(ExactNumberInfo::None));
        let reciprocal = Expr::BinaryOp {
            left: Box::new(double(Expr::value(Value::Number("1".into(), false)))),
            op: BinaryOperator::Divide,
            right: Box::new(double(right.clone())),
        };
        let factor = Factor {
            value: Some(reciprocal),
            divides: true,
            ..Factor::default()
        };
        let value = times(&dividend.value, &self.leaf(at, factor));
        let known = times(&dividend.known, &self.known_leaf(at, right));
        Ok(Separated {
            value: self.limited(expr, value)?,
            known: self.limited(expr, known)?,
        })
    }

    /// The relation that divides; of a number that is written out one whose rows are all kept.
    fn divisor_of(&self, right: &Expr) -> Result<Option<usize>, PlanFault> {
        let is_kept = |r: &Relation| !r.optional && r.member.is_none();
        match self.scope.relations(right)?.is_empty() {
            true => Ok(self.relations.iter().position(is_kept)),
            false => self.only(right),
        }
    }

    /// The type of an expression of one relation; `None` if the engine cannot tell.
    pub(super) fn kind(&self, at: usize, expr: &Expr) -> Option<DataType> {
        let from = &self.relations.get(at)?.from;
        let plan = self
            .schemas
            .read(&format!("SELECT {expr} AS c FROM {from}"));
        let plan = plan.and_then(|plan| self.schemas.analyse(plan)).ok()?;
        Some(plan.schema().fields().first()?.data_type().clone())
    }

    /// Whether an expression could be a whole number in SQL.
    fn is_whole(&self, expr: &Expr) -> Result<bool, PlanFault> {
        let expr = stripped(expr);
        if let Some(at) = self.only(expr)? {
            let kind = self.kind(at, expr);
            return Ok(kind.is_none_or(|kind| kind.is_integer() || kind == DataType::Null));
        }
        match expr {
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => self.is_whole(inner),
            // Division of others is refused where it is taken apart.
            Expr::BinaryOp {
                op: BinaryOperator::Divide,
                ..
            } => Ok(false),
            Expr::BinaryOp { left, right, .. } => Ok(self.is_whole(left)? && self.is_whole(right)?),
            Expr::Case {
                conditions,
                else_result,
                ..
            } => {
                let results = conditions.iter().map(|when| &when.result);
                self.are_whole(results.chain(else_result.as_deref()))
            }
            Expr::Function(function) => self.are_whole(values_of(function).into_iter()),
            _ => Ok(true),
        }
    }

    fn are_whole<'e>(&self, mut all: impl Iterator<Item = &'e Expr>) -> Result<bool, PlanFault> {
        all.try_fold(true, |whole, expr| Ok(whole && self.is_whole(expr)?))
    }
}

/// The arguments among which a function chooses.
fn values_of(function: &Function) -> Vec<&Expr> {
    let args = plain_args(function).unwrap_or_default();
    match name_of(function).as_str() {
        "nvl2" => args.into_iter().skip(1).collect(),
        _ => args,
    }
}
