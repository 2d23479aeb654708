//! An intersection whose sets go through files: both parties in this process, in bounded memory.
//!
//! `cargo bench --bench disk -- 10000000` runs it for sets of that size, half of which is common, and
//! prints the time and the peak memory of both parties together. Without a number: 10^5. It fails
//! if the memory is over [`BOUND_BYTES`], whatever the size.

use engine::block::Block;
use engine::curve::montgomery::Montgomery;
use engine::hash::BlockPrf;
use engine::prg::Seed;
use party_agent::execute::tag_store::FileStore;
use protocols::compute::Compute;
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::psi::Item;
use protocols::psi::ecdh::{self, Common, ItemSource, Learns, Shape, Spilled, Stores};
use protocols::psi::tags::StoreError;
use protocols::session::{Session, insecure_configs};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const SEED: [u8; 32] = *b"entente benches: disk, the seed ";

/// Peak memory of both parties.
const BOUND_BYTES: u64 = 256 << 20;

/// Items from this number on, made as they are asked for.
struct Counted(u64);

fn item(prf: &BlockPrf, number: u64) -> Item {
    let mut item = [Block::ZERO];
    prf.add_to(&mut item, &[Block(u128::from(number))]);
    item[0].to_bytes()
}

fn prf() -> BlockPrf {
    BlockPrf::new("entente/v1/bench/items", &Seed::from_bytes(SEED))
}

impl ItemSource for Counted {
    fn read(&mut self, n: usize) -> Result<Vec<Item>, StoreError> {
        let prf = prf();
        let items = (self.0..self.0 + n as u64).map(|i| item(&prf, i));
        self.0 += n as u64;
        Ok(items.collect())
    }
}

async fn run(
    mut session: Session,
    shape: &Shape,
    dir: &Path,
) -> Result<Option<Common>, ProtocolError> {
    let failed = ProtocolError::Storage { what: "tags" };
    let store = || {
        FileStore::create(dir)
            .map(Box::new)
            .map_err(|_| failed.clone())
    };
    if session.seat() == shape.receiver {
        let stores = Stores {
            own: store()?,
            peer: store()?,
        };
        let common = ecdh::receive::<Montgomery>(&mut session, shape, Counted(0), stores);
        return common.await.map(Some);
    }
    let (n, prf) = (shape.n_sender as u64, prf());
    let items = (n / 2..n / 2 + n).map(|i| item(&prf, i));
    let order = session.own_seed("order of items");
    let items = Spilled::new(items, &order, store()?).map_err(|_| failed.clone())?;
    ecdh::send::<Montgomery>(&mut session, shape, items, store()?).await?;
    Ok(None)
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let n: usize = numbers.next_back().unwrap_or(100_000);
    let shape = Shape {
        receiver: Seat(0),
        sender: Seat(1),
        n_receiver: n,
        n_sender: n,
        learns: Learns::Count,
    };
    let dir = tempfile::tempdir()?;
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, memory::network(2), false, Compute::Pool);
    let mut sessions = configs.into_iter().map(Session::new);
    let (receiver, sender) = (sessions.next(), sessions.next());
    let (Some(receiver), Some(sender)) = (receiver, sender) else {
        return Err("two seats".into());
    };
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let both = async {
        tokio::join!(
            run(receiver, &shape, dir.path()),
            run(sender, &shape, dir.path())
        )
    };
    let (found, sent) = runtime.block_on(both);
    sent?;
    let (found, took) = (found?, begin.elapsed().as_secs_f64());
    if found != Some(Common::Count((n - n / 2) as u64)) {
        return Err(format!("{found:?} of {n} is wrong").into());
    }
    let peak = status("VmHWM").ok_or("no peak memory in /proc/self/status")?;
    let rate = n as f64 / took;
    println!(
        "psi/disk/{n}: {took:.1} s, {rate:.0} items/s, peak {} MB",
        peak / 1_000_000
    );
    if peak > BOUND_BYTES {
        return Err(format!("{peak} bytes of memory are over {BOUND_BYTES}").into());
    }
    Ok(())
}
