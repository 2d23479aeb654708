//! What a plan costs: declared by the protocols, predicted on three kinds of network.

use std::collections::BTreeMap;

use protocols::aggregate;
use protocols::net::sim::LinkModel;
use protocols::party::Seat;

use super::{Plan, PlanCost};

/// Fills in the costs. `rows` is the bound over all holders.
pub(super) fn complete(mut plan: Plan, rows: u64) -> Plan {
    let shape = plan.release_shape();
    let source = plan.source();
    let cost = aggregate::cost(&shape, plan.seats.len(), source.as_ref());
    let n_seats = plan.seats.len() + usize::from(plan.dealer.is_some());
    let links = [
        ("lan", LinkModel::LAN),
        ("metro", LinkModel::METRO),
        ("wan", LinkModel::WAN),
    ];
    let time = |link| u64::try_from(cost.time_on(link).as_micros()).unwrap_or(u64::MAX);
    let network_us: BTreeMap<String, u64> = links
        .into_iter()
        .map(|(name, link)| (name.to_owned(), time(link)))
        .collect();
    let bytes_sent: Vec<u64> = Seat::first(n_seats).map(|s| cost.bytes_sent(s)).collect();
    // A holder keeps its own totals, one masked copy for each peer, and what it takes in at once.
    let totals = (plan.shape.cells * (8 * plan.shape.narrow + 16 * plan.shape.wide)) as u64;
    let traffic = Seat::first(plan.seats.len()).map(|s| cost.bytes_received(s));
    plan.cost = PlanCost {
        rounds: u64::from(cost.rounds),
        bytes_sent,
        memory_bytes: totals * plan.seats.len() as u64 + traffic.max().unwrap_or(0),
        rows_at_most: rows,
        network_us,
    };
    plan
}
