//! The page that people sign: what a contract means, in words.
//!
//! It is made from the contract and the plan alone, so that every agent makes the same text, and its digest is in every
//! acceptance. Nobody can say later that the page said something else.

mod learns;
mod words;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use chrono::DateTime;
use coordinator::contract::{Contract, Digest, PartyRole};
use serde::{Deserialize, Serialize};

use crate::plan::{ColumnUse, Plan, ReleaseRule};
use crate::spec::{Basis, Correlations, Settlement};
use words::Words;

/// The languages in which a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// Its code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    fn words(self) -> &'static Words {
        match self {
            Self::En => &words::EN,
            Self::Zh => &words::ZH,
        }
    }
}

/// The page in every language, by its code.
#[must_use]
pub fn pages(contract: &Contract, plan: &Plan) -> BTreeMap<String, String> {
    let pages = Language::ALL
        .into_iter()
        .map(|language| (language.code().to_owned(), page(contract, plan, language)));
    pages.collect()
}

/// What acceptances say of pages.
#[must_use]
pub fn digests(pages: &BTreeMap<String, String>) -> BTreeMap<String, Digest> {
    let digest = |(code, text): (&String, &String)| (code.clone(), Digest::of(text.as_bytes()));
    pages.iter().map(digest).collect()
}

/// The page in one language.
#[must_use]
pub fn page(contract: &Contract, plan: &Plan, language: Language) -> String {
    let page = Page {
        contract,
        plan,
        words: language.words(),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = page.write(&mut text);
    text
}

struct Page<'a> {
    contract: &'a Contract,
    plan: &'a Plan,
    words: &'static Words,
}

impl Page<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let Self {
            contract, words, ..
        } = self;
        writeln!(out, "{}: {}\n", words.title, contract.job)?;
        self.who(out)?;
        self.section(out, words.why, std::slice::from_ref(&contract.purpose))?;
        self.section(out, words.columns, &self.columns())?;
        self.section(out, words.leaves, &self.leaves())?;
        let receivers: Vec<String> = contract.receivers.iter().map(ToString::to_string).collect();
        self.section(out, words.to_whom, &receivers)?;
        if let Some(rule) = &self.plan.settlement {
            self.section(out, words.costs, &self.costs(rule))?;
        }
        let until = format!("{} {}", words.until_before, time(contract.not_after));
        let earlier = contract.supersedes.iter();
        let earlier = earlier.map(|id| words.supersedes.replace("{id}", &id.to_string()));
        let resumed = contract.resumes.iter();
        let resumed = resumed.map(|id| words.resumes.replace("{id}", &id.to_string()));
        let lines: Vec<String> = [words.once.to_owned(), until]
            .into_iter()
            .chain(earlier)
            .chain(resumed)
            .collect();
        self.section(out, words.how_often, &lines)?;
        self.section(out, words.protected, &self.protected())?;
        self.section(out, words.learns, &self.learns())?;
        let warnings = self.plan.warnings.iter();
        let warnings = warnings.map(|warning| match words.is_chinese {
            true => warning.zh().to_owned(),
            false => warning.to_string(),
        });
        let risks = words.risks_always.iter().map(|risk| (*risk).to_owned());
        let risks: Vec<String> = risks.chain(warnings).collect();
        self.section(out, words.risks, &risks)?;
        let id = contract.job_id.to_string();
        let stop = words.stop_how.iter().map(|how| how.replace("{id}", &id));
        self.section(out, words.stop, &stop.collect::<Vec<_>>())?;
        writeln!(out, "{} {id}", words.job)?;
        writeln!(out, "{} {}", words.contract, contract.digest())?;
        writeln!(out, "{} {}", words.plan, contract.plan)
    }

    /// What each party learns, a line for each.
    fn learns(&self) -> Vec<String> {
        if self.words.is_chinese {
            return learns::in_chinese(self.plan);
        }
        let lines = self.plan.learns.iter();
        lines.map(|l| format!("{}: {}", l.party, l.what)).collect()
    }

    fn section(&self, out: &mut String, title: &str, lines: &[String]) -> fmt::Result {
        writeln!(out, "{title}")?;
        for line in lines {
            writeln!(out, "  - {}", line.replace('\n', " "))?;
        }
        writeln!(out)
    }

    fn who(&self, out: &mut String) -> fmt::Result {
        let words = self.words;
        let parties = self.contract.parties.iter().map(|party| {
            let role = match party.role {
                PartyRole::Holder => words.holder,
                PartyRole::Receiver => words.receiver,
                PartyRole::Dealer => words.dealer,
            };
            let asks = match party.name == self.contract.proposer {
                true => words.proposes,
                false => "",
            };
            format!("{}: {role}{asks} ({})", party.name, party.fingerprint)
        });
        self.section(out, words.who, &parties.collect::<Vec<_>>())
    }

    /// Every column that is read, with all that is done with it.
    fn columns(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (holder, local) in &self.plan.locals {
            let mut columns: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
            for ColumnUse {
                table,
                column,
                usage,
            } in &local.uses
            {
                let uses = columns.entry((table, column)).or_default();
                let word = self.words.usage(*usage);
                if !uses.contains(&word) {
                    uses.push(word);
                }
            }
            for ((table, column), uses) in columns {
                let uses = uses.join(self.words.comma);
                lines.push(format!("{holder}.{table}.{column}: {uses}"));
            }
            let rows = self.words.rows;
            lines.push(
                rows.replace("{holder}", holder.as_str())
                    .replace("{n}", &local.rows_at_most.to_string()),
            );
        }
        lines
    }

    /// Every value that is opened, and to whom.
    fn leaves(&self) -> Vec<String> {
        let (plan, words) = (self.plan, self.words);
        let names = |parties: &[protocols::party::PartyId]| {
            let names: Vec<&str> = parties.iter().map(|p| p.as_str()).collect();
            names.join(words.comma)
        };
        let receivers = names(&plan.receivers);
        let outputs = plan.outputs.iter();
        let mut lines: Vec<String> = outputs
            .map(|column| format!("{} ({}) → {receivers}", column.name, column.kind))
            .collect();
        let seats = names(&plan.seats);
        for check in &plan.shape.checks {
            match plan.shape.rule {
                ReleaseRule::None => {}
                ReleaseRule::Compare => {
                    lines.push(format!("{}: {} → {seats}", words.answers, check.rule));
                }
                ReleaseRule::OpenCounts => {
                    lines.push(format!("{}: {} → {seats}", words.counts, check.rule));
                }
            }
        }
        lines
    }

    /// What a run costs, and who gets it.
    fn costs(&self, rule: &Settlement) -> Vec<String> {
        let words = self.words;
        let amount = words
            .amount
            .replace("{n}", &rule.per_run_minor.to_string())
            .replace("{currency}", &rule.currency);
        let parts = rule.split.iter().map(|part| {
            let to = match &part.to {
                Basis::Fixed(party) => party.to_string(),
                Basis::Shapley => words.by_contribution.to_owned(),
            };
            format!("{} ppm → {to}", part.ppm)
        });
        std::iter::once(amount).chain(parts).collect()
    }

    fn protected(&self) -> Vec<String> {
        let (plan, words) = (self.plan, self.words);
        let mut lines = vec![words.model.to_owned()];
        lines.push(match &plan.correlations {
            None => words.no_randomness.to_owned(),
            Some(Correlations::Ot | Correlations::FerretOt) => words.own_randomness.to_owned(),
            Some(Correlations::Dealer(dealer)) => words.dealt.replace("{dealer}", dealer.as_str()),
        });
        let asked = plan.min_cell.set_by.iter().map(|who| match who.as_str() {
            "the job" => words.the_job,
            who => who,
        });
        let asked = asked.collect::<Vec<_>>().join(words.comma);
        lines.push(match plan.min_cell.at_least {
            0 | 1 => words.no_minimum.to_owned(),
            n => words
                .minimum
                .replace("{n}", &n.to_string())
                .replace("{who}", &asked),
        });
        lines.extend(plan.rounding.iter().map(|to| {
            let asked = to.set_by.iter().map(|who| match who.as_str() {
                "the job" => words.the_job,
                who => who,
            });
            let asked = asked.collect::<Vec<_>>().join(words.comma);
            let rounded = words.rounded.replace("{n}", &to.multiple.to_string());
            rounded.replace("{who}", &asked)
        }));
        lines.extend(plan.noise.iter().map(|noise| {
            let delta = noise.promise.delta_log2.to_string();
            words
                .noise
                .replace("{eps}", &noise.promise.eps())
                .replace("{delta}", &delta)
        }));
        lines
    }
}

fn time(unix_s: u64) -> String {
    let time = i64::try_from(unix_s).ok();
    let time = time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map(|time| time.format("%Y-%m-%d %H:%M UTC").to_string())
        .unwrap_or_else(|| unix_s.to_string())
}
