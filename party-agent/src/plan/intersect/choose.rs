//! Which protocol runs: by what is revealed, by what the job asks for, and by predicted time.

use protocols::cost::Cost;
use protocols::party::{PartyId, Seat};
use protocols::psi::{self, ecdh, vole};

use super::Protocol;
use super::keys::Side;
use crate::plan::{PlanCost, PlanFault, coefficients, cost};
use crate::spec::{Intersect, ProtocolChoice, Reveal};

/// The network by which protocols are compared. Agents must choose alike, so it is not measured.
const LINK: &str = "metro";
/// Most keys of one holder in a job, and in VOLE-PSI.
const MOST_KEYS: u64 = 1 << 36;
const MOST_KEYS_VOLE: u64 = 1 << 30;

/// What was chosen.
pub(super) struct Chosen {
    pub(super) protocol: Protocol,
    pub(super) why: String,
    pub(super) cost: PlanCost,
}

/// Chooses for two holders.
pub(super) fn choose(
    job: &Intersect,
    sides: &[Side<'_>],
    seats: &[PartyId],
    receivers: &[PartyId],
) -> Result<Chosen, PlanFault> {
    let sizes: Vec<u64> = sides.iter().map(|side| side.rows_at_most).collect();
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if largest > MOST_KEYS {
        return Err(PlanFault {
            place: "compute.intersect.keys".to_owned(),
            what: format!("a table has up to {largest} rows"),
            fix: format!("compare at most {MOST_KEYS} keys at a time"),
        });
    }
    let receivers: Vec<Seat> = (0..seats.len())
        .filter(|i| receivers.contains(&seats[*i]))
        .map(Seat::from_index)
        .collect();
    let learns = match job.reveal {
        Reveal::Count => ecdh::Learns::Count,
        Reveal::Rows => ecdh::Learns::Members,
    };
    let priced = |protocol| price(protocol, &sizes, &receivers, learns);
    let only_members = job.reveal == Reveal::Count;
    let (protocol, why) = match job.protocol {
        ProtocolChoice::Ecdh => (Protocol::Ecdh, "the job asks for it".to_owned()),
        ProtocolChoice::Vole if only_members => return Err(members_only()),
        ProtocolChoice::Vole if largest > MOST_KEYS_VOLE => return Err(too_many(largest)),
        ProtocolChoice::Vole => (Protocol::Vole, "the job asks for it".to_owned()),
        ProtocolChoice::Auto if only_members => {
            let why = "only the number is revealed, and vole would tell the receiver which keys are common";
            (Protocol::Ecdh, why.to_owned())
        }
        ProtocolChoice::Auto if largest > MOST_KEYS_VOLE => {
            let why = format!("vole compares at most {MOST_KEYS_VOLE} keys a side");
            (Protocol::Ecdh, why)
        }
        ProtocolChoice::Auto => faster(&priced(Protocol::Vole), &priced(Protocol::Ecdh)),
    };
    Ok(Chosen {
        protocol,
        why,
        cost: priced(protocol),
    })
}

fn members_only() -> PlanFault {
    PlanFault {
        place: "compute.intersect.protocol".to_owned(),
        what:
            "vole tells the receiver which keys are common, and only their number is to be revealed"
                .to_owned(),
        fix: "protocol = \"ecdh\" or \"auto\", or reveal = \"rows\" where every policy allows it"
            .to_owned(),
    }
}

fn too_many(n_keys: u64) -> PlanFault {
    PlanFault {
        place: "compute.intersect.protocol".to_owned(),
        what: format!(
            "vole compares at most {MOST_KEYS_VOLE} keys a side, and a table has up to {n_keys} rows"
        ),
        fix: "protocol = \"ecdh\" or \"auto\"".to_owned(),
    }
}

fn faster(vole: &PlanCost, ecdh: &PlanCost) -> (Protocol, String) {
    let time = |cost: &PlanCost| {
        let network = cost.network_us.get(LINK).copied().unwrap_or(0);
        network.saturating_add(cost.work_us)
    };
    let seconds = |us: u64| format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100);
    let protocol = match time(vole) <= time(ecdh) {
        true => Protocol::Vole,
        false => Protocol::Ecdh,
    };
    let why = format!(
        "predicted for the published sizes on a {LINK} network: vole {}, ecdh {}",
        seconds(time(vole)),
        seconds(time(ecdh))
    );
    (protocol, why)
}

/// What a protocol costs at the published sizes: once for each receiver.
fn price(protocol: Protocol, sizes: &[u64], receivers: &[Seat], learns: ecdh::Learns) -> PlanCost {
    let (a, b) = (Seat(0), Seat(1));
    let size = |seat: Seat| usize::try_from(sizes[seat.index()]).unwrap_or(usize::MAX);
    let mut total = psi::announce_cost(2, a, b);
    for receiver in receivers {
        let sender = if *receiver == a { b } else { a };
        let one = match protocol {
            Protocol::Vole => vole::cost(2, (sender, size(sender)), (*receiver, size(*receiver))),
            Protocol::Ecdh => ecdh::cost(
                2,
                &ecdh::Shape {
                    receiver: *receiver,
                    sender,
                    n_receiver: size(*receiver),
                    n_sender: size(sender),
                    learns,
                },
            ),
        };
        total = total.then(&one);
    }
    let n_runs = receivers.len() as u64;
    let (both, largest) = (
        sizes.iter().sum::<u64>(),
        sizes.iter().copied().max().unwrap_or(0),
    );
    let reading_us = largest * coefficients::READ_KEY_NS / 1000;
    let run_us = match protocol {
        Protocol::Vole => coefficients::VOLE_START_US + both * coefficients::VOLE_KEY_NS / 1000,
        Protocol::Ecdh => both * coefficients::CURVE_KEY_NS / 1000,
    };
    // Items at home, and what a run keeps of each key of both sides.
    let kept = match protocol {
        Protocol::Vole => 96,
        Protocol::Ecdh => 80,
    };
    plan_cost(&total, both, both * kept, reading_us + n_runs * run_us)
}

fn plan_cost(total: &Cost, rows: u64, memory_bytes: u64, work_us: u64) -> PlanCost {
    PlanCost {
        rounds: u64::from(total.rounds),
        bytes_sent: Seat::first(2).map(|s| total.bytes_sent(s)).collect(),
        memory_bytes,
        rows_at_most: rows,
        network_us: cost::network_us(total),
        work_us: work_us + coefficients::START_US,
    }
}
