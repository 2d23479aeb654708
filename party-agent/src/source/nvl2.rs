//! `nvl2(test, value, otherwise)`, whose test may have any type.
//!
//! The query engine's own makes the types of all three arguments one, so that a boolean test refuses a number, and a
//! float makes an exact decimal a float. The test says nothing but whether it is NULL: only the other two have to agree.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::plan_err;
use datafusion::common::utils::take_function_args;
use datafusion::error::Result;
use datafusion::functions::core;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The function, which takes the place of the query engine's.
pub(super) fn nvl2() -> ScalarUDF {
    ScalarUDF::new_from_impl(Nvl2(core::nvl2()))
}

/// The query engine's, but for the types that it asks for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Nvl2(Arc<ScalarUDF>);

impl ScalarUDFImpl for Nvl2 {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [test, value, otherwise] = take_function_args(self.name(), types)?;
        match type_union_coercion(value, otherwise) {
            Some(both) => Ok(vec![test.clone(), both.clone(), both]),
            None => plan_err!("nvl2 gives a {value} or a {otherwise}, which are no one type"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(args, context)
    }

    fn short_circuits(&self) -> bool {
        self.0.short_circuits()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.0.invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use crate::source::{EngineConfig, make_context};
    use datafusion::arrow::util::pretty::pretty_format_batches;

    async fn found(sql: &str) -> String {
        let context = make_context(EngineConfig::default());
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test]
    async fn the_test_has_any_type_and_changes_none() {
        let sql = "SELECT nvl2(b, 3, NULL) AS v, arrow_typeof(nvl2(b, 3, NULL)) AS t, \
                   arrow_typeof(nvl2(1e0, d, NULL)) AS exact, nvl2(s, d, NULL) AS w \
                   FROM (SELECT b, s, CAST(d AS DECIMAL(4, 2)) AS d FROM \
                   (VALUES (true, 'x', '1.10'), (NULL, NULL, '2.20')) AS t (b, s, d)) t";
        let found = found(sql).await;
        let rows: Vec<Vec<&str>> = found
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let first = ["3", "Int64", "Decimal128(4, 2)", "1.10"];
        assert_eq!(rows[1][1..5], first, "{found}");
        assert_eq!([rows[2][1], rows[2][4]], ["", ""], "{found}");
    }
}
