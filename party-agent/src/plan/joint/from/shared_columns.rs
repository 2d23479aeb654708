//! Keys of columns that both sides call the same: USING and NATURAL JOIN.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Join, Spanned};

use super::{Kind, Reading, Relation};
use crate::plan::PlanFault;

impl Reading<'_> {
    /// The columns that NATURAL JOIN compares: those that both sides have.
    pub(super) fn in_common(&self, join: &Join, right: usize) -> Result<Vec<Ident>, PlanFault> {
        let fault = |what: String| {
            let fix = "name the key: ON a.key = b.key, or USING (key)";
            Err(self.site.fault(join, what, fix))
        };
        let columns = |r: &Relation| r.columns.clone();
        let left: Option<Vec<BTreeSet<String>>> = self.all[..right].iter().map(columns).collect();
        let Some((left, right)) = left.zip(columns(&self.all[right])) else {
            return fault(
                "NATURAL JOIN between holders of tables whose columns cannot be told".to_owned(),
            );
        };
        let mut common = Vec::new();
        for name in right {
            let n_left = left
                .iter()
                .filter(|columns| columns.contains(&name))
                .count();
            if n_left > 1 && !self.merged.contains_key(&name) {
                return fault(format!(
                    "NATURAL JOIN: several tables on its left have a column {name}"
                ));
            }
            if n_left > 0 {
                common.push(Ident::with_quote_and_span('"', join.span(), name));
            }
        }
        match common.is_empty() {
            false => Ok(common),
            true => fault("NATURAL JOIN between tables that have no column in common".to_owned()),
        }
    }

    pub(super) fn using(
        &mut self,
        join: &Join,
        kind: Kind,
        names: Vec<Ident>,
        right: usize,
    ) -> Result<(), PlanFault> {
        for name in names {
            let folded = name.value.to_lowercase();
            let has = |r: &Relation| r.columns.as_ref().is_some_and(|c| c.contains(&folded));
            // A column that USING has made one of two before is that one.
            let merged = self.merged.get(&folded).copied();
            let left = merged.or_else(|| (0..right).find(|i| has(&self.all[*i])));
            let Some(left) = left.filter(|_| has(&self.all[right])) else {
                let what = format!("USING ({name}): not both sides have this column");
                return Err(self.site.fault(join, what, "write ON a.key = b.key"));
            };
            let node = |at: usize| {
                let relation = Ident::new(&self.all[at].names[0]);
                (at, Expr::CompoundIdentifier(vec![relation, name.clone()]))
            };
            let pair = (node(left), node(right));
            self.linked(&pair, kind, right, &pair.0.1.clone())?;
            self.equal.push(pair);
            match kind {
                Kind::Inner | Kind::Left => self.merged.insert(folded, left),
                Kind::Right => self.merged.insert(folded, right),
                // It is the one or the other.
                Kind::Full => None,
            };
        }
        Ok(())
    }
}
