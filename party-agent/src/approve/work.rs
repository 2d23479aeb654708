//! What a plan does, in the words of a policy's rules.

use std::collections::BTreeSet;

use crate::manifest::Manifest;
use crate::plan::{LocalPlan, Plan, Procedure, Usage};
use crate::policy::Work;
use crate::policy::constraint::Action;

/// On shares, in the code list of TC609-6-2025-14.
const ON_SHARES: &str = "03";
/// Sums over each holder's rows are added and opened.
const FEDERATED: &str = "04";

pub(super) fn of(plan: &Plan, local: &LocalPlan) -> Work {
    let action = match plan.procedure {
        Procedure::Totals | Procedure::Join(_) | Procedure::Intersect(_) | Procedure::Score(_) => {
            Action::Compute
        }
        Procedure::Lookup(_) => Action::Access,
        Procedure::Train(_) | Procedure::Vertical(_) => Action::JointDevelop,
    };
    let tells_of_rows = plan
        .locals
        .values()
        .flat_map(|part| &part.uses)
        .any(|used| matches!(used.usage, Usage::RowLevel | Usage::JoinKeys));
    let mut actions = BTreeSet::from([action]);
    if tells_of_rows {
        actions.insert(Action::Distribute);
    }
    Work {
        actions,
        execution_env: match plan.procedure {
            Procedure::Train(_) => FEDERATED,
            _ => ON_SHARES,
        },
        output_class: match (tells_of_rows, action) {
            (true, _) => "row_level",
            (false, Action::JointDevelop) => "model",
            (false, _) => "aggregate",
        },
        rows_at_most: local.rows_at_most,
        algorithm: Manifest::of(&plan.procedure).name(),
    }
}
