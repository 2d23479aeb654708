//! What is compared of a scorecard's bins: how samples are spread over them, and which features go together.

use protocols::arith::compare::Method;
use protocols::price::{Price, Seats};
use protocols::train::correlated;
use protocols::train::evaluate::characteristics;
use protocols::train::pooled;

use super::TrainPlan;
use crate::plan::PlanFault;
use crate::spec::{Inflation, Report, Screen};

impl TrainPlan {
    /// How samples that are not fitted are compared with the one that is, bin by bin, if the job asks for that.
    #[must_use]
    pub fn spreads(&self, method: Method) -> Option<characteristics::Shape> {
        let test = self.test.as_ref()?;
        let is_asked = self.scorecard.is_some() && test.scores.contains(&Report::Csi);
        is_asked.then(|| characteristics::Shape {
            bins: self.terms.iter().map(|term| self.bins_of(term)).collect(),
            n_samples: 1 + usize::from(!test.oot.is_empty()),
            at_least: test.at_least.max(1),
            min_cell: test.at_least,
            method,
        })
    }

    /// What else than information values a scorecard's features are left out by.
    #[must_use]
    pub fn screen(&self) -> Option<&Screen> {
        self.scorecard.as_ref()?.screen.as_ref()
    }

    /// The greatest size of a correlation of features, if any may have a greater one: there are two, and it is below 1.
    #[must_use]
    pub fn correlation_max(&self) -> Option<&str> {
        let most = self.screen()?.correlation_max.as_deref()?;
        let is_asked = self.terms.len() > 1 && most.parse::<f64>().is_ok_and(|most| most < 1.0);
        is_asked.then_some(most)
    }

    /// How features are compared with each other, if some are left out that go together with others.
    #[must_use]
    pub fn correlated(&self, method: Method) -> Option<correlated::Shape> {
        self.correlation_max()?;
        let n_terms = self.terms.len();
        Some(correlated::Shape {
            n_pairs: n_terms * n_terms.saturating_sub(1) / 2,
            log_rows: self.bound_bits.max(1),
            method,
        })
    }

    /// How far features' weights may go together, if any are left out for that: there are two.
    #[must_use]
    pub fn inflation(&self) -> Option<&Inflation> {
        let inflation = self.screen()?.inflation.as_ref()?;
        (self.terms.len() > 1).then_some(inflation)
    }

    /// How often inflation factors are found at most: each time but the last a feature is left out, and of one there are none.
    #[must_use]
    pub fn most_inflations(&self) -> u32 {
        let n = self.inflation().map_or(0, |_| self.terms.len() - 1);
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// The matrix of correlations, of as many features as there are.
    #[must_use]
    pub fn inflated(&self, method: Method) -> pooled::Shape {
        pooled::Shape {
            n_columns: self.terms.len(),
            method,
        }
    }

    /// What comparisons of bins take.
    pub(super) fn bins_price(&self, seats: Seats, method: Method) -> impl Iterator<Item = Price> {
        let correlated = self.correlated(method);
        let correlated = correlated.map(|shape| correlated::price(seats, &shape));
        let spreads = self.spreads(method);
        let spreads = spreads.map(|shape| characteristics::price(seats, &shape));
        correlated.into_iter().chain(spreads)
    }
}

/// Sums over all rows have to fit the ring, together with the limit that they are compared with.
pub(super) fn faults(of: &TrainPlan) -> Vec<PlanFault> {
    let most = correlated::MAX_LOG_ROWS;
    if of.correlation_max().is_none() || of.bound_bits <= most {
        return Vec::new();
    }
    vec![PlanFault {
        place: "compute.train.screen.correlation_max".to_owned(),
        what: format!(
            "compares sums over the rows of all tables, which together have up to 2^{} of them, by their published sizes; 2^{most} is the most",
            of.bound_bits
        ),
        fix: "tables with fewer rows, or no correlation_max".to_owned(),
    }]
}

/// What is opened of pairs of features, and of how they go together.
pub(super) fn opened(of: &TrainPlan) -> String {
    let pairs = match of.correlation_max() {
        Some(most) => format!(
            "of which pairs of features the weights of evidence have a correlation of more than {most} in size over all fitted rows, and not how great it is; "
        ),
        None => String::new(),
    };
    match of.inflation() {
        Some(_) => format!(
            "{pairs}the variance inflation factors of the weights of all features that are left, and again each time one is left out for them, {} times at most, or which feature's weights follow from those of others; not the correlations that they rest on; ",
            of.most_inflations()
        ),
        None => pairs,
    }
}

/// The same in Chinese.
pub(super) fn opened_in_chinese(of: &TrainPlan) -> String {
    let pairs = match of.correlation_max() {
        Some(most) => format!(
            "哪些特征两两之间证据权重在全部被拟合的行上的相关系数绝对值超过 {most},而不公开其数值;"
        ),
        None => String::new(),
    };
    match of.inflation() {
        Some(_) => format!(
            "{pairs}留下的各特征证据权重的方差膨胀因子,每因此剔除一个特征便再公开一次,至多 {} 次;或哪个特征的权重可由其他特征得出;而不公开其所依据的相关系数;",
            of.most_inflations()
        ),
        None => pairs,
    }
}

/// Which features are left out, in words.
pub(super) fn note(of: &TrainPlan) -> Option<String> {
    let (card, screen) = (of.scorecard.as_ref()?, of.screen()?);
    let missing = screen.missing_max.as_ref().map(|most| {
        format!(", if the value is missing in a share of more than {most} of the fitted rows")
    });
    let correlated = of.correlation_max().map(|most| {
        format!(
            ", and, by falling information value, if the weights' correlation with those of a feature that is kept is more than {most} in size"
        )
    });
    let inflated = of.inflation().map(|rule| {
        let convention = match rule.intercept {
            true => "with a constant, about the mean",
            false => "without a constant, about 0",
        };
        format!(
            "; of those that are left then the one with the greatest variance inflation factor 1/(1 − R²), R² {convention}, one after the other, until none has more than {}",
            rule.vif_max
        )
    });
    Some(format!(
        "features are left out with an information value of less than {}{}{}{}; fit.screened says which, and why",
        card.iv_least,
        missing.unwrap_or_default(),
        correlated.unwrap_or_default(),
        inflated.unwrap_or_default()
    ))
}
