//! What holders contribute to a model over a join: where it is found, and words.

use engine::shapley::MAX_PLAYERS;
use protocols::arith::compare::Method;
use protocols::train::glm::Family;
use protocols::train::shapley::MAX_PRODUCTS;

use super::VerticalPlan;
use crate::plan::PlanFault;
use crate::plan::meter::{fault, not_there_yet};
use crate::spec::CheckedSpec;

/// Whether a job's settlement depends on contributions to this model.
pub(super) fn is_metered(spec: &CheckedSpec, of: &VerticalPlan) -> Result<bool, PlanFault> {
    if !spec.settlement.as_ref().is_some_and(|s| s.is_metered()) {
        return Ok(false);
    }
    if spec.settlement.as_ref().is_some_and(|s| s.leave_one_out) {
        return Err(PlanFault {
            place: "settlement.leave_one_out".to_owned(),
            what: "what is missing without each holder is told of groups over a UNION ALL, and not of models".to_owned(),
            fix: "leave it out; the same job without a holder's features tells what R² is without them".to_owned(),
        });
    }
    let is_plain = of.family() == Family::Linear && of.descent.is_none();
    if !is_plain || of.shape(&of.bounds(), Method::Masked).l2 > 0 {
        return Err(not_there_yet());
    }
    let metered = VerticalPlan {
        is_metered: true,
        ..of.clone()
    };
    let shape = metered.shape(&metered.bounds(), Method::Masked);
    let n_features = shape.features.len();
    let (n_players, n_products) = (shape.players().len(), shape.n_metered_products());
    if n_players > MAX_PLAYERS || n_features > 126 || n_products > MAX_PRODUCTS {
        let what = "contributions to a model are found for 8 holders and 126 features at most, and 2^22 products of all coalitions";
        return Err(fault(what, "write fixed parts, or leave features out"));
    }
    Ok(true)
}

/// What all computing parties learn of it.
pub(super) fn in_words(of: &VerticalPlan) -> &'static str {
    match of.is_metered {
        true => {
            "; how much each holder's features contribute: its Shapley value of the model's R², if there is a model, and so R² itself"
        }
        false => "",
    }
}

/// The same in Chinese.
pub(super) fn in_chinese(of: &VerticalPlan) -> &'static str {
    match of.is_metered {
        true => ";若有模型:每个持有方的特征的贡献,即其对模型 R² 的 Shapley 值,由此也得知 R²",
        false => "",
    }
}
