//! Which protocol runs: by what is revealed, by what the job asks for, and by predicted time.

use std::cmp::Ordering;

use protocols::correlate;
use protocols::cost::Cost;
use protocols::lookup::listed;
use protocols::lookup::table::TableShape;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::{self, circuit, ecdh, many, vole};

use super::keys::Side;
use super::{IntersectPlan, Protocol};
use crate::plan::compile::SOURCES;
use crate::plan::{Plan, PlanCost, PlanFault, Procedure, coefficients, cost};
use crate::spec::{CheckedSpec, Correlations, Intersect, ProtocolChoice, Reveal};

/// The network by which protocols are compared. Agents must choose alike, so it is not measured.
const LINK: &str = "metro";
/// Most keys of one holder in a job, and with VOLEs.
const MOST_KEYS: u64 = 1 << 36;
const MOST_KEYS_VOLE: u64 = 1 << 30;

/// What was chosen, and why.
pub(super) struct Chosen {
    pub(super) protocol: Protocol,
    pub(super) why: String,
}

impl Chosen {
    fn because(protocol: Protocol, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { protocol, why }
    }
}

fn fault(field: &str, what: impl Into<String>, fix: impl Into<String>) -> PlanFault {
    PlanFault {
        place: field.to_owned(),
        what: what.into(),
        fix: fix.into(),
    }
}

/// Chooses.
///
/// # Errors
/// What the job asks for cannot be had, or lacks a source of correlations.
pub(super) fn choose(
    spec: &CheckedSpec,
    job: &Intersect,
    sides: &[Side<'_>],
) -> Result<Chosen, PlanFault> {
    let sizes: Vec<u64> = sides.iter().map(|side| side.rows_at_most).collect();
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if largest > MOST_KEYS {
        let what = format!("a table has up to {largest} rows");
        let fix = format!("compare at most {MOST_KEYS} keys at a time");
        return Err(fault("compute.intersect.keys", what, fix));
    }
    let chosen = match &job.reveal {
        Reveal::Rows => rows(spec, job, sides)?,
        Reveal::Count | Reveal::Sum(_) => totals(spec, job, sides)?,
    };
    let is_vole = !matches!(chosen.protocol, Protocol::Ecdh | Protocol::Oprf);
    if is_vole && largest > MOST_KEYS_VOLE {
        let what = format!(
            "vole compares at most {MOST_KEYS_VOLE} keys a side, and a table has up to {largest} rows"
        );
        let fix = "protocol = \"ecdh\" for rows or a count of two holders";
        return Err(fault("compute.intersect.protocol", what, fix));
    }
    Ok(chosen)
}

/// For rows.
fn rows(spec: &CheckedSpec, job: &Intersect, sides: &[Side<'_>]) -> Result<Chosen, PlanFault> {
    let asked = "the job asks for it";
    let sizes: Vec<u64> = sides.iter().map(|side| side.rows_at_most).collect();
    let too_many = sizes.iter().any(|n| *n > MOST_KEYS_VOLE);
    Ok(match (sides.len().cmp(&2), job.protocol) {
        (Ordering::Greater, ProtocolChoice::Ecdh | ProtocolChoice::Oprf) => return Err(of_two()),
        (Ordering::Greater, _) => Chosen::because(
            Protocol::Many,
            "of three or more holders, only what all have in common is learnt",
        ),
        (_, ProtocolChoice::Vole) => Chosen::because(Protocol::Vole, asked),
        (_, ProtocolChoice::Ecdh) => Chosen::because(Protocol::Ecdh, asked),
        (_, ProtocolChoice::Oprf) if spec.receivers.len() > 1 => {
            let what = "with oprf one holder asks for its keys in the table of the other, and alone learns which are common";
            let fix = "name one receiver, or protocol = \"vole\" or \"ecdh\"";
            return Err(fault("compute.intersect.protocol", what, fix));
        }
        (_, ProtocolChoice::Oprf) => Chosen::because(Protocol::Oprf, asked),
        (_, ProtocolChoice::Auto) => match unbalanced(spec, sides) {
            Some(chosen) => chosen,
            None if too_many => {
                let why = format!("vole compares at most {MOST_KEYS_VOLE} keys a side");
                Chosen::because(Protocol::Ecdh, why)
            }
            None => faster(&sizes),
        },
    })
}

/// How many times longer the other table is than that of the only receiver, for it to be prepared.
const MUCH_LONGER: u64 = 256;
/// The longest table that is prepared without being asked for: a minute of work, once for each state of its data.
const MOST_KEYS_PREPARED: u64 = 1 << 22;

/// For one receiver with far fewer keys than the other has.
fn unbalanced(spec: &CheckedSpec, sides: &[Side<'_>]) -> Option<Chosen> {
    let [receiver] = &spec.receivers[..] else {
        return None;
    };
    let few = sides.iter().find(|s| s.holder == *receiver)?.rows_at_most;
    let many = sides.iter().find(|s| s.holder != *receiver)?.rows_at_most;
    let fits = many >= few.max(1).saturating_mul(MUCH_LONGER) && many <= MOST_KEYS_PREPARED;
    fits.then(|| {
        let why = format!(
            "the other table has up to {} times as many keys as {receiver}'s: it is prepared once for each state of its data, in about {}, and then a job costs as much as {receiver}'s keys",
            many / few.max(1),
            seconds(many * coefficients::OPRF_KEY_NS / 1000)
        );
        Chosen::because(Protocol::Oprf, why)
    })
}

fn seconds(us: u64) -> String {
    format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100)
}

fn of_two() -> PlanFault {
    let what = "ecdh and oprf find what two holders have in common";
    fault(
        "compute.intersect.protocol",
        what,
        "protocol = \"vole\" or \"auto\"",
    )
}

/// For a count or a sum.
fn totals(spec: &CheckedSpec, job: &Intersect, sides: &[Side<'_>]) -> Result<Chosen, PlanFault> {
    let is_count_of_two = sides.len() == 2 && job.reveal == Reveal::Count;
    match (job.protocol, &spec.correlations) {
        (ProtocolChoice::Oprf, _) => {
            let what = "oprf tells which keys are common, not how many alone";
            let fix = "reveal = \"rows\", or protocol = \"vole\", \"ecdh\" or \"auto\"";
            return Err(fault("compute.intersect.protocol", what, fix));
        }
        (ProtocolChoice::Ecdh, _) if !is_count_of_two => return Err(of_two()),
        (ProtocolChoice::Ecdh, _) => {
            return Ok(Chosen::because(Protocol::Ecdh, "the job asks for it"));
        }
        (ProtocolChoice::Auto, None) if is_count_of_two => {
            let why = "without privacy.correlations nothing can be counted in shares, and plain vole would tell the receiver which keys are common";
            return Ok(Chosen::because(Protocol::Ecdh, why));
        }
        (_, None) => {
            let what =
                "is missing: matches are counted in shares, which takes correlated random numbers";
            return Err(fault("privacy.correlations", what, SOURCES));
        }
        (_, Some(Correlations::Dealer(dealer))) if sides.iter().any(|s| s.holder == *dealer) => {
            let what =
                format!("the dealer {dealer} holds one of the keys, and would learn the others'");
            let fix = "name a party without keys in this job, or write correlations = \"ot\"";
            return Err(fault("privacy.correlations", what, fix));
        }
        (_, Some(_)) => {}
    }
    let why = match job.protocol {
        ProtocolChoice::Vole => {
            "the job asks for it; nobody sees which keys match, and the minimum is compared on shares"
        }
        _ => {
            "privacy.correlations has a source, so nobody sees which keys match, and the minimum is compared on shares"
        }
    };
    Ok(Chosen::because(Protocol::Circuit, why))
}

/// For rows of two holders: the protocol with the shorter predicted time, to one receiver.
fn faster(sizes: &[u64]) -> Chosen {
    let time = |protocol| {
        let (sent, work_us) = of_two_holders(protocol, sizes, Seat(0), ecdh::Learns::Members);
        let network = cost::network_us(&sent).get(LINK).copied().unwrap_or(0);
        network.saturating_add(work_us)
    };
    let (vole, ecdh) = (time(Protocol::Vole), time(Protocol::Ecdh));
    let protocol = match vole <= ecdh {
        true => Protocol::Vole,
        false => Protocol::Ecdh,
    };
    let why = format!(
        "predicted for the published sizes on a {LINK} network: vole {}, ecdh {}",
        seconds(vole),
        seconds(ecdh)
    );
    Chosen::because(protocol, why)
}

/// Messages and work of one run between two holders.
fn of_two_holders(
    protocol: Protocol,
    sizes: &[u64],
    receiver: Seat,
    learns: ecdh::Learns,
) -> (Cost, u64) {
    let sender = match receiver {
        Seat(0) => Seat(1),
        _ => Seat(0),
    };
    let size = |seat: Seat| usize::try_from(sizes[seat.index()]).unwrap_or(usize::MAX);
    let both = sizes.iter().sum::<u64>();
    match protocol {
        Protocol::Ecdh => {
            let shape = ecdh::Shape {
                receiver,
                sender,
                n_receiver: size(receiver),
                n_sender: size(sender),
                learns,
            };
            (
                ecdh::cost(2, &shape),
                both * coefficients::CURVE_KEY_NS / 1000,
            )
        }
        Protocol::Oprf => {
            let table = TableShape {
                n_records: size(sender),
                value_bytes: 0,
                version: 0,
            };
            let (tables, asked) = ([(sender, table, true)], sizes[receiver.index()]);
            let work_ns = sizes[sender.index()] * coefficients::OPRF_KEY_NS
                + asked * coefficients::OPRF_QUESTION_NS;
            (
                listed::cost(2, receiver, &tables, size(receiver)),
                work_ns / 1000,
            )
        }
        Protocol::Vole | Protocol::Many | Protocol::Circuit => {
            let sent = vole::cost(2, (sender, size(sender)), (receiver, size(receiver)));
            let work_us = coefficients::VOLE_START_US + both * coefficients::VOLE_KEY_NS / 1000;
            (sent, work_us)
        }
    }
}

/// Fills in the costs at the published sizes.
pub(super) fn priced(mut plan: Plan) -> Plan {
    let Procedure::Intersect(of) = &plan.procedure else {
        return plan;
    };
    let (n_seats, n_holders) = (plan.parties().count(), plan.seats.len());
    let sizes: Vec<u64> = of.keys.iter().map(|key| key.at_most).collect();
    let (rows, largest) = (
        sizes.iter().sum::<u64>(),
        sizes.iter().copied().max().unwrap_or(0),
    );
    let mut total = Cost::none(n_seats);
    // Where one asks the other, the number of questions stands before them.
    let announced = pairs(n_holders).filter(|_| of.protocol != Protocol::Oprf);
    for (a, b) in announced {
        total = total.then(&psi::announce_cost(n_seats, a, b));
    }
    let receivers = plan.receiver_seats();
    let (sent, work_us) = match of.protocol {
        Protocol::Vole | Protocol::Ecdh | Protocol::Oprf => {
            let learns = match of.reveal {
                Reveal::Rows => ecdh::Learns::Members,
                Reveal::Count | Reveal::Sum(_) => ecdh::Learns::Count,
            };
            let runs = receivers
                .iter()
                .map(|r| of_two_holders(of.protocol, &sizes, *r, learns));
            runs.fold((Cost::none(n_seats), 0), |(sent, us), run| {
                (sent.then(&run.0), us + run.1)
            })
        }
        Protocol::Many => (
            many::cost(n_seats, &of.many(of.bounds(), &receivers)),
            coefficients::VOLE_START_US + rows * coefficients::VOLE_KEY_NS / 1000,
        ),
        Protocol::Circuit => in_shares(&plan, of),
    };
    total = total.then(&sent);
    let bytes_sent = Seat::first(n_seats).map(|s| total.bytes_sent(s)).collect();
    plan.cost = PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent,
        // Items at home, and what a run keeps of each key.
        memory_bytes: rows * 96,
        rows_at_most: rows,
        network_us: cost::network_us(&total),
        work_us: coefficients::START_US + largest * coefficients::READ_KEY_NS / 1000 + work_us,
    };
    plan
}

/// Messages and work of a join in shares, its correlations and its release.
fn in_shares(plan: &Plan, of: &IntersectPlan) -> (Cost, u64) {
    let (n_seats, n_computing) = (plan.parties().count(), plan.seats.len());
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let joined: Price = circuit::totals_price(seats, &of.circuit(&of.bounds()));
    let released = plan.release().price(seats).cost;
    let mut sent = joined.cost.then(&released);
    let keys: u64 = of.keys.iter().map(|key| key.at_most).sum();
    let mut work_us = coefficients::VOLE_START_US + 3 * keys * coefficients::VOLE_KEY_NS / 1000;
    if let Some(source) = plan.source() {
        let needs = plan.needs();
        sent = correlate::cost(&source, n_computing, &needs).then(&sent);
        work_us += coefficients::correlations_us(&source, n_computing, &needs);
    }
    (sent, work_us)
}

/// Every two holders.
fn pairs(n_holders: usize) -> impl Iterator<Item = (Seat, Seat)> {
    let seats = move || Seat::first(n_holders);
    seats().flat_map(move |a| seats().filter(move |b| a < *b).map(move |b| (a, b)))
}
