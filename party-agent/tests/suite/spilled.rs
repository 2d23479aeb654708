//! An intersection whose items and tags go through files of the agent.

use engine::curve::montgomery::Montgomery;
use engine::prg::Seed;
use party_agent::execute::tag_store::FileStore;
use protocols::compute::Compute;
use protocols::error::ProtocolError;
use protocols::net::memory;
use protocols::party::Seat;
use protocols::psi::Item;
use protocols::psi::ecdh::{self, Common, InOrder, Learns, Shape, Spilled, Stores};
use protocols::session::{Session, insecure_configs};

fn items(from: u64, n: u64) -> Vec<Item> {
    let item = |i: u64| {
        let digest = engine::hash::digest("entente/v1/test/item", &[&i.to_le_bytes()]);
        *digest.first_chunk().expect("32 bytes have a first 16")
    };
    (from..from + n).map(item).collect()
}

/// 10^5 items on each side, in a hundred runs each, which are merged: for members in the receiver's
/// order, for a count in no order. `cargo bench --bench disk -- 10000000` does the same at full size.
#[tokio::test]
async fn sets_go_through_files_in_many_runs() {
    const N: u64 = 100_000;
    println!("seed [9; 32]");
    let dir = tempfile::tempdir().expect("a directory");
    let store = || {
        let store = FileStore::with_runs_of(dir.path(), 1000);
        Box::new(store.expect("a file in a fresh directory"))
    };
    let shape = Shape {
        receiver: Seat(0),
        sender: Seat(1),
        n_receiver: N as usize,
        n_sender: N as usize,
        learns: Learns::Members,
    };
    let seed = Seed::from_bytes([9; 32]);
    let configs = insecure_configs(&seed, memory::network(2), false, Compute::Pool);
    let mut sessions = configs.into_iter().map(Session::new);
    let mut next = || sessions.next().expect("two seats");
    let (mut receiver, mut sender) = (next(), next());
    let receive = async {
        let stores = Stores {
            own: store(),
            peer: store(),
        };
        let items = InOrder::new(items(0, N));
        ecdh::receive::<Montgomery>(&mut receiver, &shape, items, stores).await
    };
    let send = async {
        let order = sender.own_seed("order of items");
        let items = Spilled::new(items(N / 2, N).into_iter(), &order, store());
        let items = items.map_err(|_| ProtocolError::Storage { what: "items" })?;
        ecdh::send::<Montgomery>(&mut sender, &shape, items, store()).await
    };
    let (found, sent) = tokio::join!(receive, send);
    sent.expect("the sender ends well");
    let expected = Common::Members((N / 2..N).collect());
    assert!(found.expect("the receiver ends well") == expected);
    let left = std::fs::read_dir(dir.path())
        .expect("the directory")
        .count();
    assert_eq!(left, 0, "nothing is left on the disk");
}
