//! Differences of days of two holders: each one's days are numbers, which are subtracted as such.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType as SqlType, Expr, Value};

use super::columns::stripped;
use super::separate::Separate;
use crate::plan::PlanFault;
use crate::plan::sql::outer::cast;

impl Separate<'_> {
    /// Two days, each of one relation, as numbers whose difference is that of the days.
    pub(super) fn days(&self, left: &Expr, right: &Expr) -> Result<Option<[Expr; 2]>, PlanFault> {
        for side in [left, right] {
            let is_day = |at| self.kind(at, side) == Some(DataType::Date32);
            if !self.only(stripped(side))?.is_some_and(is_day) {
                return Ok(None);
            }
        }
        Ok(Some([left, right].map(since_1970)))
    }
}

/// The number of a day.
fn since_1970(day: &Expr) -> Expr {
    let epoch = Value::SingleQuotedString("1970-01-01".to_owned());
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(day.clone()))),
        op: BinaryOperator::Minus,
        right: Box::new(cast(Expr::value(epoch), SqlType::Date)),
    }))
}
