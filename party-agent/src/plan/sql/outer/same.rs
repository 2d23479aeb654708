//! When two expressions of the outermost SELECT are the same: but for case, parentheses, and the relation's name
//! where there is only one relation.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectNamePart, Select, VisitMut, VisitorMut};

#[derive(Clone, Copy, Debug)]
pub(super) struct Same {
    one_relation: bool,
}

impl Same {
    pub(super) fn new(select: &Select) -> Self {
        let one_relation = select.from.len() == 1 && select.from[0].joins.is_empty();
        Self { one_relation }
    }

    /// The form in which equal expressions are equal.
    pub(super) fn text(self, expr: &Expr) -> String {
        let mut expr = expr;
        while let Expr::Nested(inner) = expr {
            expr = inner;
        }
        let mut expr = expr.clone();
        let mut normal = Normal(self);
        let _ = VisitMut::visit(&mut expr, &mut normal);
        expr.to_string()
    }
}

struct Normal(Same);

impl VisitorMut for Normal {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Nested(inner) if stands_alone(inner) => *expr = (**inner).clone(),
            Expr::Identifier(name) => *name = folded(name),
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(last) if self.0.one_relation => *expr = Expr::Identifier(folded(last)),
                _ => {
                    for part in parts {
                        *part = folded(part);
                    }
                }
            },
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        *name = folded(name);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether parentheses around an expression cannot change what it means.
fn stands_alone(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::Function(_)
            | Expr::Case { .. }
            | Expr::Cast { .. }
            | Expr::Nested(_)
    )
}

fn folded(name: &Ident) -> Ident {
    Ident::with_quote('"', name.value.to_lowercase())
}
