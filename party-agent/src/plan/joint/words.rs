//! What a join tells people.

use super::{Job, JoinFactor, JoinPlan, RelationPlan, ShownKeys};
use crate::plan::words::{counted, listed};
use crate::plan::{Learns, Plan, Procedure, Said};
use crate::spec::Correlations;

impl JoinPlan {
    /// The join as it runs on shares, line by line.
    pub(in crate::plan) fn words(&self, plan: &Plan) -> Vec<String> {
        let seat = |at: &usize| plan.seats.get(*at).map_or("", |p| p.as_str());
        let holders = |r: &RelationPlan| {
            let names: Vec<&str> = r.holders.iter().map(|(at, _)| seat(at)).collect();
            listed(&names)
        };
        let mut words = vec![format!(
            "joined on {}, spellings: {}; nobody learns who matches, {}",
            self.label,
            match self.normalise.as_str() {
                "exact" => "as they stand",
                rule => rule,
            },
            match (self.matched, &self.shown) {
                (_, Some(_)) =>
                    "but for receivers with a table, which learn it of their own keys; all receivers learn how many",
                (Some(_), None) => "receivers learn how many",
                (None, None) => "nor how many",
            }
        )];
        for (at, relation) in self.relations.iter().enumerate() {
            let columns = relation.flags.len() + relation.narrow.len() + relation.wide.len();
            words.push(format!(
                "{} of {}: {}, {} for each group of its own{}",
                relation.name,
                holders(relation),
                relation.rows_in_words(),
                counted(columns as u64, "number"),
                if at == 0 && self.n_hubs() == 1 {
                    "; its keys are placed in bins, which the others answer to"
                } else {
                    ""
                }
            ));
        }
        if !self.own.is_empty() {
            words.push(
                "rows without a match: all rows of a table, less those that have one".to_owned(),
            );
        }
        words
    }

    /// Whether rows can meet several rows on the other side.
    fn fans_out(&self) -> bool {
        let many = |r: &&RelationPlan| !r.measures.is_empty();
        self.relations.iter().filter(many).count() > 1
    }
}

/// What a join tells all computing parties.
pub(in crate::plan) fn told(plan: &Plan) -> Vec<String> {
    let Procedure::Join(join) = &plan.procedure else {
        return Vec::new();
    };
    let is_dealt = matches!(plan.correlations, Some(Correlations::Dealer(_)));
    let told = join.told(&plan.keys, is_dealt);
    let groups = told.groups.then(|| {
        let whose = match (is_dealt, join.relations.first()) {
            (true, Some(hub)) => &hub.name,
            _ => "each table",
        };
        format!("in how many groups a key of {whose} stands at most, rounded up to a power of two")
    });
    let sizes = told
        .keys
        .then(|| "how many different keys each other holder has".to_owned());
    sizes.into_iter().chain(groups).collect()
}

/// Adds what a join lets parties learn, and what approvers should think about.
pub(super) fn complete(mut plan: Plan, job: &Job<'_>) -> Plan {
    let Procedure::Join(join) = plan.procedure.clone() else {
        return plan;
    };
    let is_dealt = matches!(plan.correlations, Some(Correlations::Dealer(_)));
    if join.told(&plan.keys, is_dealt).groups {
        plan.notes.push("the cost of the join is foretold for keys that stand in one group each; a key in k groups takes up to k times as much".to_owned());
    }
    let told = told(&plan);
    for learns in &mut plan.learns {
        let computes = plan.seats.iter().any(|s| s.as_str() == learns.party);
        for what in told.iter().filter(|_| computes) {
            add(learns, what);
        }
    }
    if job.n_choices() > 1 {
        plan.notes.push(format!(
            "{} of rows are compared or computed for each key, however many it has; a key in more rows than the job says ends it at its holder",
            counted(job.n_choices() as u64, "pair")
        ));
    }
    if join.matched.is_some() {
        for learns in &mut plan.learns {
            if plan.receivers.iter().any(|r| r.as_str() == learns.party) {
                add(
                    learns,
                    "if any group is released, how many different keys all tables of the join have, not which",
                );
            }
        }
        plan.warnings.push(Said::new(
            "receivers learn exactly how many keys match: with the released groups that can tell the size of one that is held back, and with a table of somebody's choice whether another one has a certain key",
            "接收方得知确切有多少个键匹配:与已放行分组合在一起,可由此得知某个未放行分组的大小;若有一方自行选定一张表,可由此得知另一方是否有某个键",
        ));
    }
    if let Some(shown) = &join.shown {
        tell_keys(&mut plan, shown);
    }
    if join.fans_out() {
        plan.warnings.push(Said::new(
            "a row counts once for every match: where a key occurs in several rows on both sides, every pair of them counts, as in plain SQL; GROUP BY the key in a subquery for one row a key",
            "一行每匹配一次就计一次:一个键在两边都有多行时,每一对都计入,与普通 SQL 相同;若要每个键一行,请在子查询中按该键 GROUP BY",
        ));
    }
    if plan.min_cell.at_least > 1 && job.relations.all.iter().any(|r| r.key.len() > 1) {
        plan.warnings.push(Said::new(
            "the minimum cell counts different keys of the join, which has several columns: a person can have several of them",
            "最小分组计的是不同的连接键,而键由多列组成:一个人可能有多个键",
        ));
    }
    let outer = join.narrow.iter().chain(&join.wide).flatten();
    let has_null_rows = outer
        .flat_map(|t| &t.factors)
        .any(|f| matches!(f, JoinFactor::Matched(_) | JoinFactor::One(_)));
    if has_null_rows {
        plan.notes
            .push("rows without a match are counted as SQL's outer joins do".to_owned());
    }
    plan.notes.push("keys are compared by hashes; two different keys are taken for one with a chance below 2^-40".to_owned());
    plan
}

/// What telling keys lets parties learn, and what approvers should think about.
fn tell_keys(plan: &mut Plan, shown: &ShownKeys) {
    let enough = match shown.at_least {
        0 | 1 => String::new(),
        least => format!(", if these are {least} or more"),
    };
    for learns in &mut plan.learns {
        let Some(seat) = plan.seats.iter().position(|s| s.as_str() == learns.party) else {
            continue;
        };
        if shown.seats.contains(&seat) {
            add(
                learns,
                &format!(
                    "which of its own keys all tables of the join have{enough} (a file beside the result, not in it)"
                ),
            );
        } else if shown.at_least > 1 {
            add(
                learns,
                &format!(
                    "whether {} or more keys of a receiver with a table match",
                    shown.at_least
                ),
            );
        }
    }
    plan.warnings.push(Said::new(
        "receivers with a table learn of each of their own keys whether the other tables have it, as the conditions on these leave them: a condition tells something about each of these persons",
        "在联接中有表的接收方得知自己的每个键是否也在其他表中,且以各表的筛选条件为准:筛选条件会透露其中每个人的信息",
    ));
}

fn add(learns: &mut Learns, what: &str) {
    if learns.what == "nothing but this plan" {
        learns.what = what.to_owned();
    } else {
        learns.what.push_str("; ");
        learns.what.push_str(what);
    }
}
