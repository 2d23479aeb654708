//! What a plan of a model tells people.

use protocols::party::PartyId;

use super::{ColumnRole, Kinds, TrainPlan, further, mlp, of_train, stepwise, trees};
use crate::plan::compile::Parties;
use crate::plan::sql::holders::Catalogues;
use crate::plan::words::{counted, listed, without_data};
use crate::plan::{Learns, MinCell};
use crate::spec::{self, CheckedSpec, Compute, Model};

pub(super) fn learns(
    of: &TrainPlan,
    parties: &Parties,
    receivers: &[PartyId],
    dealer: Option<&PartyId>,
) -> Vec<Learns> {
    let mut learns = Vec::new();
    for seat in &parties.seats {
        let result = match receivers.contains(seat) {
            true => "; of the fitted model everything that the result shows",
            false if of.model.is_scored_alone() => "",
            false => "; from them the coefficients and standard errors follow",
        };
        learns.push(Learns {
            party: seat.to_string(),
            what: format!("{}{result}", opened(of)),
        });
    }
    learns.extend(without_data(dealer));
    learns
}

/// All that is opened to the computing parties.
fn opened(of: &TrainPlan) -> String {
    let checked = match of.checks.is_empty() {
        true => String::new(),
        false => "which of the counts below are large enough, and if they are: ".to_owned(),
    };
    let binned = match &of.scorecard {
        None => String::new(),
        Some(scorecard) => format!(
            "the values between which {} bins of every number lie whose cuts the job does not list (two neighbouring values of the pooled rows for each cut), and how many bads and goods each bin has{}; ",
            scorecard.n_parts(),
            match scorecard.merge {
                Some(_) => ", before any are merged",
                None => "",
            }
        ),
    };
    let scored = match &of.test {
        None => String::new(),
        Some(test) => {
            format!(
                "; of the rows kept for a test how many are bad and how many good, the area under the curve and the Kolmogorov–Smirnov distance{}, if there are at least {} of both",
                further(&test.scores, test.at_least),
                test.at_least
            ) + &of_train(test.of_train.as_deref(), test.at_least)
        }
    };
    if let Some(trees) = &of.trees {
        return format!("{checked}{}{scored}", trees::opened(of, &trees.grown));
    }
    if let Some(network) = &of.mlp {
        return format!("{checked}{}{scored}", mlp::opened(network));
    }
    format!(
        "{checked}{binned}sums over all holders, never those of one: the number of rows used and dropped, mean and standard deviation of the label and of each column of the design, and at each of at most {} evaluations {} numbers: the cross-products of the design weighted by the model, the gradient and the deviance{scored}",
        of.most_evaluations(),
        Kinds::Step.n_sums(of) - 1,
    )
}

pub(super) fn warnings(
    spec: &CheckedSpec,
    parties: &Parties,
    catalogues: &Catalogues,
    min_cell: &MinCell,
) -> Vec<String> {
    let compares = |t: &spec::Train| {
        t.scorecard.is_some() || t.trees.is_some() || t.report.iter().any(|r| r.is_of_scores())
    };
    let compares = matches!(&spec.compute, Compute::Train(t) if compares(t));
    let trees = matches!(&spec.compute, Compute::Train(t) if t.trees.is_some());
    let mlp = matches!(&spec.compute, Compute::Train(t) if t.mlp.is_some());
    let mut warnings = vec![match trees {
        _ if mlp => mlp::WARNING,
        true => "the trees are opened to all computing parties, split by split and leaf by leaf: each takes part with the gradients of its own rows, which follow from them",
        false => "every step's cross-products are opened to all computing parties: sums over all rows, from which coefficients and standard errors follow at each of them",
    }.to_owned()];
    if let ([first, second], false) = (parties.holders.as_slice(), trees) {
        warnings.push(format!(
            "{first} and {second} learn each other's sums of every step by subtracting their own"
        ));
    }
    if min_cell.at_least <= 1 {
        warnings.push(
            "there is no minimum cell: a coefficient, or a leaf, may rest on a single row"
                .to_owned(),
        );
    }
    let rehearsing = parties.holders.iter();
    let rehearsing = rehearsing.filter(|h| catalogues.get(h).is_some_and(|c| c.rehearsal));
    let rehearsing: Vec<&str> = rehearsing.map(PartyId::as_str).collect();
    if !rehearsing.is_empty() {
        warnings.push(format!(
            "{} has no policy file: this rehearsal allows whatever the job asks for",
            listed(&rehearsing)
        ));
    }
    if min_cell.at_least <= 1 && spec.correlations.is_some() && !compares {
        warnings
            .push("privacy.correlations has no effect: nothing is compared on shares".to_owned());
    }
    if spec.join.is_some() {
        warnings.push("privacy.join has no effect: rows are those of different people".to_owned());
    }
    warnings
}

/// How neighbouring bins were merged, if they were.
pub(in crate::plan) fn merged(card: &spec::Scorecard) -> Option<String> {
    let merge = card.merge.as_ref()?;
    Some(format!(
        "ChiMerge: of the neighbouring bins of a number those with the least χ² of their 2×2 table become one, the lower pair of equal ones first, until there are at most {} bins and every χ² is above {}; levels, listed cuts and bins of missing values stay",
        card.bins, merge.chi2_least
    ))
}

/// What belongs beside the result.
pub(super) fn notes(of: &TrainPlan, job: &spec::Train) -> Vec<String> {
    let mut notes = vec![match of.model {
        Model::Linear => "least squares; standard errors from RSS/(n − p), t distribution with n − p degrees of freedom; se_hc1 in `fit` are robust ones (HC1)",
        Model::Logistic => "logistic regression: labels 0 and 1, logit link, maximum likelihood by Newton's method; Wald tests",
        Model::Poisson => "Poisson regression: log link, dispersion 1, maximum likelihood by Newton's method; Wald tests",
        Model::Gamma => "gamma regression: log link, dispersion = Pearson X²/(n − p), standard errors from the expected information; Wald tests",
        Model::Mlp => mlp::NOTE,
        Model::Gbdt => "boosted trees: XGBoost's gain and leaves, over bins (a, b] between type-7 quantiles of the pooled rows, equal ones once; levels stand in the order in which the job lists them",
        Model::Scorecard => "scorecard: logistic regression of weights of evidence ln((bads in bin/bads)/(goods in bin/goods)); bad is label 1; Wald tests",
    }.to_owned()];
    if let Some(card) = &of.scorecard {
        notes.push(format!("bins (a, b] between type-7 quantiles at i/{}, equal ones once; a count of 0 stands as {} in its bin's weight alone; features with an information value below {} are left out", card.n_parts(), card.zero_count, card.iv_least));
        notes.extend(merged(card));
        notes.push(format!("points: {} at odds of {} goods to a bad, {} more double the odds; more is better; not rounded", card.base_score, card.base_odds, card.pdo));
    }
    let chosen = job.stepwise.as_ref();
    notes.extend(chosen.and_then(|s| stepwise::words(of, s)));
    for column in &of.columns {
        match &column.role {
            ColumnRole::Levels(_) if of.n_parts().is_some() => {}
            ColumnRole::Levels(levels) if of.mlp.is_some() => {
                let first = levels.first().map_or("", String::as_str);
                notes.push(format!(
                    "{}: a column of 0 and 1 for each level but {first}",
                    column.name
                ));
            }
            ColumnRole::Levels(levels) => {
                let first = levels.first().map_or("", String::as_str);
                notes.push(format!("{}: levels are compared with {first}", column.name));
            }
            ColumnRole::Offset => {
                notes.push(format!("{} is added to the linear predictor", column.name));
            }
            ColumnRole::Exposure => {
                notes.push(format!(
                    "ln {} is added to the linear predictor",
                    column.name
                ));
            }
            _ => {}
        }
    }
    if of.standardise {
        notes.push("coefficients are those of columns with mean 0 and standard deviation 1 over the rows that are used (divisor n); levels stay 0 and 1".to_owned());
    }
    if of.l2 != "0" {
        notes.push(format!(
            "penalised: {}/2 times the sum of squared coefficients, the intercept free, is added to the negative log-likelihood{}; penalised coefficients have no standard errors",
            of.l2,
            match of.model {
                Model::Linear => " (half the residual sum of squares)",
                _ => "",
            }
        ));
    }
    if of.test.is_some() {
        notes.push("scores that agree to 2^-12 of a logit are ties, and count one half".to_owned());
    }
    notes.push("rows in which a value is missing are left out".to_owned());
    notes
}

/// What runs, in words: for approvers.
pub(super) fn of_run(of: &TrainPlan) -> Vec<String> {
    let label = of.columns.first().map_or("", |c| c.name.as_str());
    let terms: Vec<&str> = of.terms.iter().map(|t| t.name.as_str()).collect();
    let sums = match (&of.trees, &of.mlp) {
        (Some(trees), _) => trees::of_run(of, &trees.grown),
        (_, Some(network)) => mlp::of_run(of, network),
        _ => format!(
            "each holder adds up its own rows in doubles and rounds once to a fixed point of 128 bits; sums are added on shares and opened to all computing parties: at most {} by {} numbers",
            counted(u64::from(of.most_evaluations()), "evaluation"),
            Kinds::Step.n_sums(of)
        ),
    };
    let mut words = vec![
        format!("{} model of {label} by {}", of.model.as_str(), listed(&terms)),
        sums,
        "protocol: additive shares, committed and then opened; semi-honest, all parties but one may collude".to_owned(),
    ];
    for check in &of.checks {
        let what = match check.count {
            super::TrainCount::Dropped => "told whether",
            _ => "required",
        };
        words.push(format!(
            "counted on shares, {what}: {} >= {}",
            check.label, check.at_least
        ));
    }
    if of.checks.is_empty() {
        words.push(format!("refused with fewer than {} rows", of.least_rows));
    }
    if let Some(test) = &of.test {
        words.push(format!(
            "rows of the sample {} are scored by their holders and sorted by score on shares; nobody sees another's scores",
            test.value
        ));
    }
    words
}
