//! What a plan costs: declared by the protocols, and predicted in seconds on four kinds of network.

use std::collections::BTreeMap;

use protocols::correlate;
use protocols::cost::Cost;
use protocols::net::sim::LinkModel;
use protocols::party::Seat;
use protocols::price::Seats;

use super::{Plan, PlanCost, Procedure, coefficients, steps};

/// The greatest number that a plan's text holds; joins of four tables can have more rows by their published sizes.
pub(super) const MAX_WRITTEN: u64 = (1 << 53) - 1;

/// Fills in the costs. `rows` is the bound over all holders.
pub(super) fn complete(mut plan: Plan, rows: u64) -> Plan {
    let source = plan.source();
    plan.cost.rows_at_most = rows.min(MAX_WRITTEN);
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let prepared = match &source {
        Some(source) => {
            let all = std::iter::once(plan.needs()).chain(plan.needs_apart());
            let costs = all.map(|needs| correlate::cost(source, n_computing, &needs));
            costs.fold(Cost::none(n_seats), |sum, one| sum.then(&one))
        }
        None => Cost::none(n_seats),
    };
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let joined = match &plan.procedure {
        Procedure::Join(of) => of.price(seats, &of.foretold(&plan.keys), &plan.keys).cost,
        _ => Cost::none(n_seats),
    };
    let cost = prepared
        .then(&joined)
        .then(&steps::price(&plan.steps, &plan.setting(), seats).cost)
        .then(&plan.price_of_release(seats).cost);
    let bytes_sent: Vec<u64> = Seat::first(n_seats).map(|s| cost.bytes_sent(s)).collect();
    // A holder keeps its own totals, one masked copy for each peer, and what it takes in at once.
    let totals = (plan.shape.cells * (8 * plan.shape.narrow + 16 * plan.shape.wide)) as u64;
    let traffic = Seat::first(plan.seats.len()).map(|s| cost.bytes_received(s));
    plan.cost = PlanCost {
        rounds: u64::from(cost.rounds),
        bytes_sent,
        memory_bytes: totals * plan.seats.len() as u64 + traffic.max().unwrap_or(0),
        rows_at_most: rows.min(MAX_WRITTEN),
        network_us: network_us(&cost),
        work_us: work_us(&plan),
    };
    plan
}

/// Predicted time of the messages on each kind of network, in microseconds.
pub(super) fn network_us(cost: &Cost) -> BTreeMap<String, u64> {
    let links = [
        ("loopback", LinkModel::LOOPBACK),
        ("lan", LinkModel::LAN),
        ("metro", LinkModel::METRO),
        ("wan", LinkModel::WAN),
    ];
    let time = |link| u64::try_from(cost.time_on(link).as_micros()).unwrap_or(u64::MAX);
    let times = links.map(|(name, link)| (name.to_owned(), time(link)));
    times.into()
}

/// The work of the party with the most rows. The others work at the same time, on machines of their own.
fn work_us(plan: &Plan) -> u64 {
    let columns = (plan.keys.len() + plan.measures.len()).max(1) as u64;
    let rows = plan.locals.values().map(|local| local.rows_at_most).max();
    let values = rows.unwrap_or(0).saturating_mul(columns);
    let reading_us = values.saturating_mul(coefficients::READ_NS_A_VALUE) / 1000;
    let source = plan.source();
    let prepared = source.map_or(0, |source| {
        let all = std::iter::once(plan.needs()).chain(plan.needs_apart());
        let each =
            all.map(|needs| coefficients::correlations_us(&source, plan.seats.len(), &needs));
        each.fold(0, u64::saturating_add)
    });
    coefficients::START_US
        .saturating_add(reading_us)
        .saturating_add(prepared)
        .min(MOST_US)
}

/// A year: a plan's numbers stay below 2^53, and such a job is refused by people.
const MOST_US: u64 = 365 * 86_400 * 1_000_000;
