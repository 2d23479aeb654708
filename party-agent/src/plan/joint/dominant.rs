//! Sums over a join that are held against rules about dominance. A contributor is a key of the join: what its rows add to a cell,
//! over all holders, is a number in its bin, and the largest of these are found on shares.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::Expr as EngineExpr;
use protocols::aggregate::LocalTotals;
use protocols::join::{self, bins, largest};
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::draft::Take;
use super::relation::{Compiled, One};
use super::terms::{Term, Terms};
use super::{Job, JoinPlan, JoinSizes};
use crate::catalogue::Dominance;
use crate::plan::dominance::{self, Contributed, Rules};
use crate::plan::part::Part;
use crate::plan::words::counted;
use crate::plan::{
    ColumnUse, DominancePlan, KeyColumn, LocalPlan, Measure, PlanFault, RingWidth, Shape,
    TableColumn, Usage,
};
use protocols::party::PartyId;

/// Most numbers among which the largest are looked for.
const MAX_COMPARED: u64 = 1 << 24;

/// Of one sum this seat's shares of the total of all magnitudes, and of each of the largest, by combination of groups.
pub type Contributions<'a> = (&'a [u64], Vec<&'a [u64]>);

/// Where the largest contributions to sums are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DominantPlan {
    /// The join whose totals, one for each sum that is compared, are not added up over its bins.
    pub join: Box<JoinPlan>,
    /// How many of the largest are found.
    pub n_largest: usize,
    /// None is 2 to this power or more, in magnitude.
    pub bound_bits: u32,
    /// Whether one can be negative.
    pub signed: bool,
}

impl DominantPlan {
    /// What is found, as the protocol takes it.
    #[must_use]
    pub fn shape(
        &self,
        sizes: &JoinSizes,
        keys: &[KeyColumn],
        is_dealt: bool,
    ) -> largest::LargestShape {
        let groups = self.join.groups(keys);
        largest::LargestShape {
            join: join::Shape {
                bounds: None,
                ..self.join.star(0, sizes, &groups, is_dealt)
            },
            n_largest: self.n_largest,
            bound_bits: self.bound_bits,
            signed: self.signed,
            method: super::star::method(is_dealt),
        }
    }

    /// What it takes and sends.
    pub(super) fn price(
        &self,
        sizes: &JoinSizes,
        (keys, is_dealt): (&[KeyColumn], bool),
        seats: Seats,
    ) -> Price {
        largest::price(seats, &self.shape(sizes, keys, is_dealt))
    }

    /// Writes this seat's shares of the numbers that are compared to their columns, from totals and largest contributions by sum
    /// and by combination of the relations' groups. One seat moves them up.
    pub fn put(
        &self,
        rules: &DominancePlan,
        totals: &mut LocalTotals,
        (found, moves_up): (&[Contributions<'_>], bool),
    ) {
        let comparisons = rules.comparisons_of_keys();
        for (sum, (total, largest)) in rules.sums.iter().zip(found) {
            for (at, comparison) in comparisons.iter().enumerate() {
                let of_cell = |combined: &Option<usize>| {
                    let share = combined.map_or(0, |c| {
                        comparison.of_shares(total[c], largest.iter().map(|rank| rank[c]))
                    });
                    let up = if moves_up { sum.offset } else { 0 };
                    share.wrapping_add(up)
                };
                let column = self.join.cells.iter().map(of_cell);
                totals.narrow[sum.column + at] = column.collect();
            }
        }
    }
}

/// The rules of a holder's tables, by table.
type OfTables = BTreeMap<String, Dominance>;

impl Job<'_> {
    /// The rules about dominance of all tables whose columns the query adds up, with the measures that keep to them.
    pub(super) fn rules(
        &self,
        compiled: &Compiled,
        terms: &Terms,
    ) -> Result<Option<Rules>, PlanFault> {
        let mut found: Option<Rules> = None;
        for (at, one) in compiled.all.iter().enumerate() {
            for part in &one.raw {
                let of_tables = self.rules_of(part);
                for arg in 0..one.outer.args.len() {
                    let added = part.added_up(one.outer.keys.len() + arg);
                    let rules = added
                        .iter()
                        .filter_map(|base| of_tables.get_key_value(&base.table));
                    let rules: Vec<(&String, &Dominance)> = rules.collect();
                    let measures = terms.measures_of((at, arg));
                    if rules.is_empty() || measures.is_empty() && !terms.adds_up((at, arg)) {
                        continue;
                    }
                    self.can_be_compared((at, one), part, arg, terms)?;
                    for (table, rule) in rules {
                        self.tells_contributors_apart((at, one), part, (table, rule))?;
                        for measure in &measures {
                            found = Some(dominance::stricter(found, rule, *measure)?);
                        }
                    }
                }
            }
        }
        if let Some(rules) = &found {
            let with_rules = |part: &&Part| !self.rules_of(part).is_empty();
            let parts = compiled.all.iter().flat_map(|one| &one.raw);
            let parts: Vec<&Part> = parts.filter(with_rules).collect();
            dominance::possible(self.spec, self.outer, &parts, rules)?;
        }
        Ok(found)
    }

    fn rules_of(&self, part: &Part) -> OfTables {
        let of_table = |table: &String| {
            let entry = self.catalogues.get(&part.holder)?.tables.get(table)?;
            Some((table.clone(), entry.dominance.clone()?))
        };
        part.tables.iter().filter_map(of_table).collect()
    }

    /// A sum with rules is one of a single column, times the rows of others that it meets.
    fn can_be_compared(
        &self,
        (at, one): (usize, &One),
        part: &Part,
        arg: usize,
        terms: &Terms,
    ) -> Result<(), PlanFault> {
        let column = one.outer.keys.len() + arg;
        let is_plain = part.has_form(column, dominance::is_multiple);
        if is_plain && terms.is_alone((at, arg)) {
            return Ok(());
        }
        let of_relation = &one.outer.args[arg];
        let what = format!(
            "{} has rules about dominance, which over a join are about SUM, AVG and VAR of a single column of it and not of expressions such as {}, or of what is computed with another holder\'s",
            part.holder, of_relation.label
        );
        let fix = "sum single columns, put conditions into WHERE or GROUP BY, and calculate with the sums";
        Err(self.site.fault(&of_relation.expr, what, fix))
    }

    /// The key of the join is what tells the table's contributors apart.
    fn tells_contributors_apart(
        &self,
        (at, one): (usize, &One),
        part: &Part,
        (table, rule): (&String, &Dominance),
    ) -> Result<(), PlanFault> {
        let place = one.outer.keys.len() + one.outer.args.len();
        let contributor = TableColumn {
            table: table.clone(),
            column: rule.contributor.clone(),
        };
        let key = &self.relations.all[at].key;
        let mut rows = part.trace.rows.iter();
        let is_it =
            |bases: &BTreeSet<TableColumn>| bases.len() == 1 && bases.contains(&contributor);
        let is_key = key.len() == 1
            && rows.all(|row| row.get(place).is_some_and(|cell| is_it(&cell.bases)))
            && part.has_form(place, is_column);
        if !is_key {
            let what = format!(
                "{} tells contributors of {}.{table} apart by {}, and the tables are joined by something else",
                part.holder, part.holder, rule.contributor
            );
            let fix = "join by that column alone, or ask for counts";
            return Err(self.site.fault(self.select, what, fix));
        }
        match self.relations.all.iter().any(|r| r.optional) {
            false => Ok(()),
            true => {
                let what = format!(
                    "{} has rules about dominance for {}.{table}, which over a join are there for rows that have a match in every table",
                    part.holder, part.holder
                );
                let fix = "write JOIN, or ask for counts";
                Err(self.site.fault(self.select, what, fix))
            }
        }
    }

    /// Columns for the comparisons, and the terms of each sum that is compared.
    pub(super) fn held_against(
        &self,
        rules: Option<Rules>,
        (terms, compiled): (&mut Terms, &Compiled),
        shape: &mut Shape,
    ) -> Result<Option<DominancePlan>, PlanFault> {
        let Some(rules) = rules else {
            return Ok(None);
        };
        let (plan, contributed) = rules.over_join(shape, &terms.measures, compiled.rows)?;
        let of_sum = |sum: &dominance::ComparedSum| {
            let measure = &terms.measures[sum.measure];
            let slot = if sum.squares {
                measure.sum_sq
            } else {
                measure.sum
            };
            slot.map(|slot| terms.narrow[slot.index].clone())
        };
        let sums: Vec<Vec<Term>> = plan.sums.iter().filter_map(of_sum).collect();
        self.can_be_searched(compiled, (sums.len(), shape.cells))?;
        terms.dominant = Some(Dominant {
            sums,
            n_largest: plan.n_largest(),
            contributed,
        });
        Ok(Some(plan))
    }

    /// Refuses to look for the largest among more numbers than can be compared.
    fn can_be_searched(
        &self,
        compiled: &Compiled,
        (n_sums, cells): (usize, usize),
    ) -> Result<(), PlanFault> {
        let single = compiled.all.iter().filter(|one| one.raw.len() == 1);
        let keys = single.map(|one| one.keys_at_most(self, &one.raw[0]));
        // The hub is one of these; which one is chosen later.
        let n_keys = usize::try_from(keys.max().unwrap_or(0).max(1)).unwrap_or(usize::MAX);
        let n = (bins::n_bins_of(n_keys) as u64).saturating_mul((cells * n_sums) as u64);
        if n <= MAX_COMPARED {
            return Ok(());
        }
        let what = format!(
            "rules about dominance compare what each of up to {} adds to each of {}, {n} numbers in all, and {MAX_COMPARED} can be",
            counted(n_keys as u64, "key"),
            counted(cells as u64, "group"),
        );
        let fix = "group by fewer keys, sum fewer columns, or write max_rows";
        Err(self.site.fault(self.select, what, fix))
    }

    /// The contributors\' columns are used to tell persons apart.
    pub(super) fn told_apart(
        &self,
        mut locals: BTreeMap<PartyId, LocalPlan>,
        rules: Option<&DominancePlan>,
        compiled: &Compiled,
    ) -> BTreeMap<PartyId, LocalPlan> {
        let Some(rules) = rules else {
            return locals;
        };
        for part in compiled.all.iter().flat_map(|one| &one.raw) {
            let of_tables = self.rules_of(part);
            let Some(local) = locals.get_mut(&part.holder) else {
                continue;
            };
            let adds_up = |table: &str| {
                let mut used = local.uses.iter();
                used.any(|used| used.table == table && used.usage.adds_up())
            };
            let tables = of_tables.keys().filter(|table| adds_up(table));
            let persons: Vec<ColumnUse> = tables
                .map(|table| ColumnUse {
                    table: table.clone(),
                    column: rules.contributor.clone(),
                    usage: Usage::Person,
                })
                .collect();
            local.uses.extend(persons);
            local.uses.sort();
            local.uses.dedup();
        }
        locals
    }
}

/// Sums whose largest contributions are found, while the query is taken apart.
pub(super) struct Dominant {
    pub(super) sums: Vec<Vec<Term>>,
    pub(super) n_largest: usize,
    pub(super) contributed: Contributed,
}

/// An argument of a relation: which relation, and its number there.
type Of = (usize, usize);

fn adds(term: &Term, (at, arg): Of) -> bool {
    matches!(term.takes[at], Take::Sum(a) | Take::Squares(a) if a == arg)
}

impl Terms {
    /// The measures of whose totals it is a part.
    fn measures_of(&self, of: Of) -> Vec<usize> {
        let is_part = |measure: &&Measure| {
            let slots = [measure.sum, measure.sum_sq].into_iter().flatten();
            slots.into_iter().any(|slot| {
                let terms = match slot.ring {
                    RingWidth::Narrow => &self.narrow[slot.index],
                    RingWidth::Wide => &self.wide[slot.index],
                };
                terms.iter().any(|term| adds(term, of))
            })
        };
        let measures = self.measures.iter().filter(is_part);
        measures.map(|measure| measure.arg).collect()
    }

    /// Whether it is added up anywhere else.
    fn adds_up(&self, of: Of) -> bool {
        let computed = self.computed.iter().flat_map(|c| &c.value);
        let totals = self.narrow.iter().chain(&self.wide).flatten();
        totals.chain(computed).any(|term| adds(term, of))
    }

    /// Whether wherever it is added up nothing else is, and no other number is multiplied with it but rows.
    fn is_alone(&self, of: Of) -> bool {
        let computed = self.computed.iter().flat_map(|c| &c.value);
        if computed.into_iter().any(|term| adds(term, of)) {
            return false;
        }
        let counts =
            |take: &Take| matches!(take, Take::Rows | Take::Count(_) | Take::Member { .. });
        let is_alone = |term: &Term| {
            let mut others = term.takes.iter().enumerate();
            adds(term, of) && others.all(|(at, take)| at == of.0 || counts(take))
        };
        // Numbers of both signs would even out.
        let has_one_sign = |terms: &Vec<Term>| {
            let first = terms.first().map(|term| term.coefficient.signum());
            let mut signs = terms.iter().map(|term| term.coefficient.signum());
            signs.all(|sign| Some(sign) == first)
        };
        let columns = self.narrow.iter().chain(&self.wide);
        let mut own = columns.filter(|terms| terms.iter().any(|term| adds(term, of)));
        own.all(|terms| has_one_sign(terms) && terms.iter().all(is_alone))
    }
}

/// Whether an expression is a column as it stands, or in another type.
fn is_column(expr: &EngineExpr) -> bool {
    match expr {
        EngineExpr::Column(_) => true,
        EngineExpr::Alias(alias) => is_column(&alias.expr),
        _ => false,
    }
}
