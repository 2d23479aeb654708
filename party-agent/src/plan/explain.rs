//! The plan as a person reads it before saying yes.

use std::fmt::{self, Write};

use super::words::{correlations, counted, listed, range_of};
use super::{
    CellCheck, IntersectPlan, KeyColumn, LookupPlan, Measure, MeasureKind, Plan, Procedure,
    RangeOrigin, ReleaseRule, RingWidth, RoundingPlan, ScorePlan, Slot,
};

/// Groups of a key that are shown by name.
const SHOWN: usize = 12;

impl Plan {
    /// The plan in words: who runs what, what is compared and opened, what each party learns, what it costs.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "job {}: {}", self.job, self.purpose)?;
        writeln!(out, "plan {}", self.digest())?;
        let names = |parties: &[protocols::party::PartyId]| {
            listed(&parties.iter().map(|p| p.as_str()).collect::<Vec<_>>())
        };
        writeln!(out, "receivers: {}", names(&self.receivers))?;
        writeln!(out, "computing parties: {}", names(&self.seats))?;
        if let Some(dealer) = &self.dealer {
            writeln!(out, "dealer: {dealer}")?;
        }
        match &self.procedure {
            Procedure::Totals => {
                self.write_receivers(out)?;
                self.write_release(out)?;
            }
            Procedure::Join(of) => {
                self.write_receivers(out)?;
                self.write_release(out)?;
                for line in of.words(self) {
                    writeln!(out, "   {line}")?;
                }
            }
            Procedure::Intersect(IntersectPlan { words, .. })
            | Procedure::Lookup(LookupPlan { words, .. })
            | Procedure::Score(ScorePlan { words, .. }) => self.write_run(out, words)?,
            Procedure::Train(of) => self.write_run(out, &of.words)?,
            Procedure::Vertical(of) => self.write_run(out, &of.words)?,
        }
        self.write_holders(out)?;
        writeln!(out, "\nwhat each party learns")?;
        for learns in &self.learns {
            writeln!(out, "  {}: {}", learns.party, learns.what)?;
        }
        self.write_cost(out)?;
        if !self.warnings.is_empty() {
            writeln!(out, "\nwarnings")?;
            for warning in &self.warnings {
                writeln!(out, "  ! {warning}")?;
            }
        }
        Ok(())
    }

    /// What runs, where it has words of its own.
    fn write_run(&self, out: &mut String, words: &[String]) -> fmt::Result {
        writeln!(out)?;
        for line in words {
            writeln!(out, "{line}")?;
        }
        for check in &self.shape.checks {
            let set_by = listed(&self.min_cell.set_by);
            writeln!(out, "compared on shares: {}, set by {set_by}", check.rule)?;
        }
        for line in self.rounding.iter().map(RoundingPlan::in_words) {
            writeln!(out, "{line}")?;
        }
        if self.correlations.is_some() {
            writeln!(out, "correlated randomness: {}", correlations(self))?;
        }
        Ok(())
    }

    fn write_receivers(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "\nat the receivers, in the clear, from released totals alone"
        )?;
        if !self.final_sql.is_empty() {
            writeln!(out, "  {}", self.final_sql)?;
        }
        if let Some(statistic) = &self.statistic {
            writeln!(out, "  from its rows: {}", statistic.label)?;
        }
        let columns = self
            .outputs
            .iter()
            .map(|o| format!("{} ({})", o.name, o.kind));
        writeln!(out, "  columns: {}", columns.collect::<Vec<_>>().join(", "))
    }

    fn write_totals(&self, out: &mut String) -> fmt::Result {
        let shape = &self.shape;
        if let Some(hidden) = &shape.hidden {
            let groups = self.seats.iter().zip(&hidden.groups);
            let is_joined = matches!(self.procedure, Procedure::Join(_));
            // Of a join's tables some have no key that nobody lists.
            let groups = groups.filter(|(_, n)| !is_joined || **n > 0);
            let groups: Vec<String> = groups.map(|(s, n)| format!("{n} of {s}")).collect();
            let groups = listed(&groups);
            match is_joined {
                true => writeln!(
                    out,
                    "   groups are not public: at most {groups}, filled up to that, have numbers that their holders give; they are shuffled before it is opened which are released"
                )?,
                false => writeln!(
                    out,
                    "   groups are not public: at most {groups}, filled up to that, meet by hashes of their keys and are merged in order"
                )?,
            }
        }
        let (cells, narrow, wide) = (shape.cells, shape.narrow, shape.wide);
        writeln!(
            out,
            "   {} × {} of 64 bits and {wide} of 128",
            counted(cells as u64, "group"),
            counted(narrow as u64, "column"),
        )?;
        for key in &self.keys {
            writeln!(out, "   key {}: {}", key.name, groups(key))?;
        }
        for measure in &self.measures {
            writeln!(out, "   total {}", total(measure))?;
        }
        for step in &self.steps {
            writeln!(out, "   found {}", step.in_words(&self.measures))?;
        }
        Ok(())
    }

    fn write_release(&self, out: &mut String) -> fmt::Result {
        let shape = &self.shape;
        writeln!(
            out,
            "\n└─ on shares, all computing parties together: add the holders' totals"
        )?;
        self.write_totals(out)?;
        // One rule about dominance can take several comparisons.
        let mut checks: Vec<&CellCheck> = shape.checks.iter().collect();
        checks.dedup_by(|a, b| a.rule == b.rule);
        let rules: Vec<&str> = checks.iter().map(|c| c.rule.as_str()).collect();
        let rule = listed(&rules);
        match shape.rule {
            ReleaseRule::None => writeln!(out, "   no group is held back")?,
            ReleaseRule::Compare => writeln!(
                out,
                "   compared on shares: {rule}; only the answers are opened, to the computing parties"
            )?,
            ReleaseRule::OpenCounts => {
                writeln!(out, "   counts opened to the computing parties: {rule}")?
            }
        }
        for check in checks {
            writeln!(out, "   {}", self.because(check))?;
        }
        if let Some(top) = &shape.top {
            let (n, label) = (counted(top.n, "group"), &top.label);
            let order = if top.greatest_first {
                "greatest"
            } else {
                "least"
            };
            writeln!(
                out,
                "   of these only the first {n} by {label}, {order} first, found by sorting all on shares"
            )?;
        }
        writeln!(
            out,
            "   opened to {}: {} of the groups that pass",
            {
                listed(
                    &self
                        .receivers
                        .iter()
                        .map(|p| p.as_str())
                        .collect::<Vec<_>>(),
                )
            },
            if self.steps.is_empty() {
                "the totals"
            } else {
                "the totals and what was found"
            }
        )?;
        for line in self.rounding.iter().map(RoundingPlan::in_words) {
            writeln!(out, "   {line}")?;
        }
        for line in self
            .noise
            .iter()
            .flat_map(|n| n.in_words(self.locals.len()))
        {
            writeln!(out, "   {line}")?;
        }
        writeln!(out, "   correlated randomness: {}", correlations(self))
    }

    fn because(&self, check: &CellCheck) -> String {
        let of_policy = check.reason.contains("min_cell");
        let who = if of_policy {
            format!(
                "minimum cell of {}, counted in {}",
                listed(&self.min_cell.set_by),
                self.min_cell_counts()
            )
        } else if check.reason == "dominance" {
            "rules about dominance in the holders' policies".to_owned()
        } else {
            "HAVING".to_owned()
        };
        format!("{}: {who}", check.rule)
    }

    fn write_holders(&self, out: &mut String) -> fmt::Result {
        let last = self.locals.len().saturating_sub(1);
        for (i, (holder, local)) in self.locals.iter().enumerate() {
            let (branch, bar) = if i == last {
                ("└─", "  ")
            } else {
                ("├─", "│ ")
            };
            let rows = local.rows_at_most;
            writeln!(
                out,
                "   {branch} {holder}, in its own engine (at most {})",
                counted(rows, "row")
            )?;
            for line in local.sql.lines() {
                writeln!(out, "   {bar}   {line}")?;
            }
        }
        Ok(())
    }

    fn write_cost(&self, out: &mut String) -> fmt::Result {
        let cost = &self.cost;
        writeln!(out, "\ncost")?;
        writeln!(out, "  rows: at most {}", cost.rows_at_most)?;
        writeln!(out, "  rounds: {}", cost.rounds)?;
        let parties = self.seats.iter().chain(&self.dealer);
        for (party, bytes) in parties.zip(&cost.bytes_sent) {
            writeln!(out, "  {party} sends {}", bytes_in_words(*bytes))?;
        }
        writeln!(
            out,
            "  memory beside the engine: {}",
            bytes_in_words(cost.memory_bytes)
        )?;
        let seconds = |us: u64| format!("{}.{:03} s", us / 1_000_000, us / 1000 % 1000);
        let links = ["loopback", "lan", "metro", "wan"].into_iter();
        let times = links.filter_map(|link| {
            let us = cost.network_us.get(link)? + cost.work_us;
            Some(format!("{link} {}", seconds(us)))
        });
        writeln!(
            out,
            "  time, predicted: {}; {} of it is work at the party that has most of it",
            times.collect::<Vec<_>>().join(", "),
            seconds(cost.work_us)
        )
    }
}

fn groups(key: &KeyColumn) -> String {
    if let Some(longest) = key.hidden {
        return format!(
            "values of at most {}, {}; shown for released groups alone",
            counted(longest, "byte"),
            key.source
        );
    }
    let mut shown: Vec<&str> = key
        .domain
        .iter()
        .take(SHOWN)
        .map(|g| g.as_deref().unwrap_or("NULL"))
        .collect();
    let more = key.domain.len().saturating_sub(SHOWN);
    let more_text = format!("and {more} more");
    if more > 0 {
        shown.push(&more_text);
    }
    let other = if key.has_other {
        format!("; anything else is {}", key.other_label)
    } else {
        String::new()
    };
    format!(
        "{} {}: {}{other}",
        counted(key.domain.len() as u64, "group"),
        key.source,
        shown.join(", ")
    )
}

fn total(measure: &Measure) -> String {
    let column = |what: &str, slot: Option<Slot>| {
        slot.map(|s| {
            let ring = match s.ring {
                RingWidth::Narrow => "Z_2^64",
                RingWidth::Wide => "Z_2^128",
            };
            match (s.frac_bits, s.scale) {
                (0, 0) => format!("{what} in {ring}"),
                (bits, 0) => format!("{what} in {ring} with {bits} fractional bits"),
                (bits, scale) => {
                    format!("{what} in {ring} with {bits} fractional bits of 10^-{scale}")
                }
            }
        })
    };
    let mut columns = vec!["count".to_owned()];
    columns.extend(column("sum", measure.sum));
    columns.extend(column("sum of squares", measure.sum_sq));
    let (low, high) = range_of(measure);
    let range = match measure.range.origin {
        RangeOrigin::None => String::new(),
        RangeOrigin::Declared => format!(", declared within {low} to {high}"),
        RangeOrigin::Clamped => format!(", clamped to {low} to {high}"),
        RangeOrigin::Type => format!(", by its type within {low} to {high}"),
        RangeOrigin::Assumed => format!(", assumed within {low} to {high}"),
    };
    let kind = match measure.kind {
        MeasureKind::Distinct => return format!("{} (different values, see below)", measure.label),
        MeasureKind::Counted | MeasureKind::Exact { scale: 0 } => String::new(),
        MeasureKind::Exact { scale } => format!(" ({scale} decimals)"),
        MeasureKind::Float => " (floating point)".to_owned(),
        MeasureKind::Day => " (days)".to_owned(),
    };
    format!("{}{kind}: {}{range}", measure.label, columns.join(", "))
}

fn bytes_in_words(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

impl fmt::Display for super::ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("BOOLEAN"),
            Self::Int => f.write_str("BIGINT"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Float => f.write_str("DOUBLE"),
            Self::Text => f.write_str("TEXT"),
            Self::Date => f.write_str("DATE"),
        }
    }
}
