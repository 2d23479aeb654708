//! Models whose steps are solved on shares: what that takes, and how often.

use protocols::arith::compare::Method;
use protocols::correlate::portions::Portion;
use protocols::cost::Cost;
use protocols::price::{Price, Seats};
use protocols::resume;
use protocols::train::pooled::{self, Shape};
use protocols::train::solve::MAX_UNKNOWNS;

use super::{PlanFault, TrainPlan};
use crate::plan::Said;
use crate::plan::words::counted;
use crate::spec::Model;

/// The portions in which correlated random numbers are made while a model is fitted: nobody knows before how many steps it
/// takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portions {
    /// Whether the objective has grown.
    Growth,
    /// A step.
    Step,
    /// Standard errors.
    Errors,
    /// Variance inflation factors.
    Inflations,
}

impl TrainPlan {
    /// Whether steps are solved on shares.
    #[must_use]
    pub fn shares_steps(&self) -> bool {
        !self.opens_steps && !self.model.is_scored_alone()
    }

    /// The model as the protocol takes it.
    #[must_use]
    pub fn pooled(&self, method: Method) -> Shape {
        Shape {
            n_columns: self.n_columns(),
            method,
        }
    }

    /// Most steps that are solved.
    #[must_use]
    pub fn most_steps(&self) -> u32 {
        match self.shares_steps() {
            true => self.max_iterations + 1,
            false => 0,
        }
    }

    /// Whether standard errors are found; penalised coefficients have none.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.l2 == "0"
    }

    /// Whether robust errors are found too.
    #[must_use]
    pub fn is_robust(&self) -> bool {
        self.model == Model::Linear
    }

    /// Prices of the portions, and how often each is made at most.
    fn priced_portions(&self, seats: Seats, method: Method) -> Vec<(Price, u32)> {
        if !self.shares_steps() {
            return Vec::new();
        }
        let shape = self.pooled(method);
        let step = pooled::factored_price(seats, &shape).then(&pooled::step_price(seats, &shape));
        let errors = pooled::errors_price(seats, &shape, self.is_robust());
        let errors = match self.model {
            // Of the expected information, where steps are those of the observed one.
            Model::Gamma => pooled::factored_price(seats, &shape).then(&errors),
            _ => errors,
        };
        let mut portions = vec![
            (
                pooled::is_worse_price(seats, &shape),
                self.last_evaluations(),
            ),
            (step, self.most_steps()),
            (errors, u32::from(self.has_errors())),
        ];
        if self.inflation().is_some() {
            let shape = self.inflated(method);
            let inflations = pooled::inflations_price(seats, &shape);
            let inflations = pooled::factored_price(seats, &shape).then(&inflations);
            portions.push((inflations, self.most_inflations()));
        }
        portions
    }

    /// The portions, in the order of [`Portions`].
    #[must_use]
    pub fn portions(&self, seats: Seats, method: Method) -> Vec<Portion> {
        let portion = |(price, at_most): (Price, u32)| Portion {
            needs: price.needs,
            at_most,
        };
        let priced = self.priced_portions(seats, method).into_iter();
        priced.map(portion).collect()
    }

    /// What a run sends to find where one that broke off is gone on with.
    pub(super) fn cost_of_resuming(&self, seats: Seats) -> Cost {
        match self.checkpoint_every {
            0 => Cost::none(seats.n_seats),
            _ => resume::agree_cost(seats.n_seats, seats.n_computing),
        }
    }

    /// What steps send at most, their openings and correlations aside.
    pub(super) fn cost_of_steps(&self, seats: Seats, method: Method) -> Cost {
        let mut cost = Cost::none(seats.n_seats);
        for (price, at_most) in self.priced_portions(seats, method) {
            for _ in 0..at_most {
                cost = cost.then(&price.cost);
            }
        }
        cost
    }
}

/// A system that is too large for shares.
pub(super) fn faults(of: &TrainPlan) -> Vec<PlanFault> {
    let n_columns = of.n_columns();
    if !of.shares_steps() || n_columns <= MAX_UNKNOWNS {
        return Vec::new();
    }
    vec![PlanFault {
        place: "compute.train.features".to_owned(),
        what: format!(
            "make {n_columns} columns, levels and the constant counted one by one, and steps are solved on shares for {MAX_UNKNOWNS} at most"
        ),
        fix: "leave columns out, merge levels in rows, or write open_steps = true: then all parties see cross-products, gradient and deviance of each step".to_owned(),
    }]
}

/// What is opened of a fit to the computing parties.
pub(super) fn opened(of: &TrainPlan) -> String {
    let n_columns = of.n_columns();
    let loss = match of.tells_loss {
        true => ", the deviance at each of them",
        false => "",
    };
    let errors = match of.has_errors() {
        true => ", the standard errors",
        false => "",
    };
    format!(
        "sums over all holders, never those of one: the number of rows used and dropped, mean and standard deviation of the label and of each column of the design; the coefficients of each of at most {} ({} each){loss}, and of at most {} evaluations whether the step before went too far; at the end{errors}, the deviance, that without features, and Pearson's sum; gradients and cross-products of the design stay on shares",
        counted(u64::from(of.most_steps()), "step"),
        counted(n_columns as u64, "number"),
        of.last_evaluations(),
    )
}

pub(super) fn opened_in_chinese(of: &TrainPlan) -> String {
    let loss = match of.tells_loss {
        true => "及其偏差",
        false => "",
    };
    let errors = match of.has_errors() {
        true => "标准误、",
        false => "",
    };
    format!(
        "全体持有方之和,从不是单个持有方的:所用与所弃的行数,标签与设计矩阵各列的均值与标准差;至多 {} 步中每一步的系数(每步 {} 个数){loss},以及至多 {} 次求值中上一步是否走得过远;最后是{errors}偏差、不含特征时的偏差与皮尔逊和;梯度与设计矩阵的交叉乘积始终为份额",
        of.most_steps(),
        of.n_columns(),
        of.last_evaluations(),
    )
}

/// What runs, in words: for approvers.
pub(super) fn of_run(of: &TrainPlan) -> String {
    format!(
        "each holder adds up its own rows in doubles at the coefficients that all know, and rounds once to a fixed point of 128 bits; these sums are shares of the joint ones, of which each step's system is solved; at most {} over at most {}, and the coefficients after each step are opened to all computing parties",
        counted(u64::from(of.most_steps()), "step"),
        counted(u64::from(of.last_evaluations()), "evaluation"),
    )
}

pub(super) fn warning() -> Said {
    Said::new(
        "the coefficients of every step are opened to all computing parties, receivers or not: each evaluates its own rows at them; so are the standard errors at the end",
        "每一步的系数向所有计算方公开,不论其是否为接收方:各方须以此对自己的各行求值;最后的标准误亦然",
    )
}

/// Where a fit stands is kept on every party's disk.
pub(super) fn kept(of: &TrainPlan) -> Option<Said> {
    let every = of.checkpoint_every;
    let (step, what, what_in_chinese) = match (&of.trees, &of.mlp) {
        (Some(_), _) => ("tree", "the trees so far", "棵树"),
        (_, Some(_)) => ("round", "the averaged weights", "轮"),
        _ => ("step", "the coefficients as they stand", "步"),
    };
    let chinese = format!("每 {every} {what_in_chinese}各计算方将当时的模型");
    (every > 0).then(|| kept_on_disk((every, step), what, &chinese))
}

/// That something is kept on every party's disk after so many steps.
pub(in crate::plan) fn kept_on_disk(
    (every, step): (u32, &str),
    what: &str,
    what_in_chinese: &str,
) -> Said {
    let steps = counted(u64::from(every), step);
    Said::new(
        format!(
            "every {steps} each computing party keeps {what} in its own state, until the job has ended well, is called off or can no longer start: a job that breaks off can be gone on with from there, as a new contract that all approve"
        ),
        format!(
            "{what_in_chinese}存于本方状态目录,直至任务顺利结束、被撤销或已过可开始的期限:中断的任务可由此继续,但须以各方均同意的新合约进行"
        ),
    )
}

pub(super) fn of_two(first: &str, second: &str) -> Said {
    Said::new(
        format!(
            "{first} and {second} learn each other's number of rows, means and standard deviations by subtracting their own"
        ),
        format!("{first} 与 {second} 减去自己的数字,即得知对方的行数、均值与标准差"),
    )
}
