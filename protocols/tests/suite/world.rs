//! All seats of a session in one process, from one seed that every test prints.

use engine::prg::{Prg, Seed};
use engine::ring::Ring;
use protocols::aggregate::{self, CellRule, Check, LocalTotals, ReleaseShape, Released};
use protocols::compute::Compute;
use protocols::correlate::{self, Needs, Source, Stock, dealer};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::net::Network;
use protocols::net::memory;
use protocols::net::record::{Log, Recorder, Transcript};
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::session::{Session, SessionConfig, Traffic, insecure_configs};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// No test waits longer than this: a hang becomes a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The seats that a test runs.
pub(crate) struct World {
    pub(crate) has_dealer: bool,
    pub(crate) compute: Compute,
    pub(crate) seed: u64,
    networks: Vec<Arc<dyn Network>>,
    logs: Vec<Log>,
}

/// What one seat ended with.
pub(crate) struct Ended<T> {
    pub(crate) outcome: Result<T, ProtocolError>,
    pub(crate) traffic: Traffic,
}

impl World {
    /// Computing seats alone, on a memory network.
    pub(crate) fn new(n_computing: usize, seed: u64) -> Self {
        println!("{n_computing} seats, seed {seed}");
        Self {
            has_dealer: false,
            compute: Compute::Inline,
            seed,
            networks: as_dyn(memory::network(n_computing)),
            logs: Vec::new(),
        }
    }

    /// Computing seats and a dealer, if `has_dealer` says so.
    pub(crate) fn with_dealer(n_computing: usize, has_dealer: bool, seed: u64) -> Self {
        let n_seats = n_computing + usize::from(has_dealer);
        let mut world = Self::new(n_computing, seed);
        world.has_dealer = has_dealer;
        world.networks = as_dyn(memory::network(n_seats));
        world
    }

    /// On other networks, one for each seat.
    pub(crate) fn on(mut self, networks: Vec<impl Network + 'static>) -> Self {
        self.networks = as_dyn(networks);
        self
    }

    /// With one seat's network wrapped in another.
    pub(crate) fn wrap(
        mut self,
        seat: Seat,
        wrap: impl FnOnce(Arc<dyn Network>) -> Arc<dyn Network>,
    ) -> Self {
        let inner = self.networks.remove(seat.index());
        self.networks.insert(seat.index(), wrap(inner));
        self
    }

    /// Keeps a transcript of every seat.
    pub(crate) fn recorded(mut self) -> Self {
        let recorders = self.networks.drain(..).map(Recorder::new);
        let (networks, logs): (Vec<_>, Vec<_>) = recorders.unzip();
        self.networks = as_dyn(networks);
        self.logs = logs;
        self
    }

    /// Runs kernels on the pool.
    pub(crate) fn pooled(mut self) -> Self {
        self.compute = Compute::Pool;
        self
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        self.logs.clone()
    }

    pub(crate) fn n_seats(&self) -> usize {
        self.networks.len()
    }

    /// The configurations of all seats, for tests that run them in a way of their own.
    pub(crate) fn configs(self) -> Vec<SessionConfig> {
        insecure_configs(
            &seed_of(self.seed),
            self.networks,
            self.has_dealer,
            self.compute,
        )
    }

    /// Runs a protocol at every seat, all on this thread, and waits for all of them. A seat that
    /// has ended leaves the network, as a process does.
    pub(crate) fn run<T>(
        self,
        protocol: impl AsyncFn(&mut Session) -> Result<T, ProtocolError>,
    ) -> Vec<Ended<T>> {
        run_configs(self.configs(), protocol)
    }
}

/// Runs a protocol at every seat of these configurations.
pub(crate) fn run_configs<T>(
    configs: Vec<SessionConfig>,
    protocol: impl AsyncFn(&mut Session) -> Result<T, ProtocolError>,
) -> Vec<Ended<T>> {
    let at_seat = async |config| {
        let mut session = Session::new(config);
        let outcome = protocol(&mut session).await;
        Ended {
            outcome,
            traffic: session.traffic(),
        }
    };
    block_on(all(configs.into_iter().map(at_seat).collect()))
}

/// Runs all futures on one task and returns what each returned.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|f| Some(Box::pin(f))).collect();
    let mut ended: Vec<_> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (slot, result) in running.iter_mut().zip(&mut ended) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                *result = Some(value);
                *slot = None;
            }
        }
        if running.iter().any(Option::is_some) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    ended.into_iter().flatten().collect()
}

fn as_dyn(networks: Vec<impl Network + 'static>) -> Vec<Arc<dyn Network>> {
    networks
        .into_iter()
        .map(|n| Arc::new(n) as Arc<dyn Network>)
        .collect()
}

/// Polls a future once and drops it. True if it was waiting for something.
pub(crate) async fn is_pending<T>(future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Runs a test's future on this thread. A hang is a failure.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await });
    ended.expect("nothing hangs")
}

pub(crate) fn seed_of(seed: u64) -> Seed {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Seed::from_bytes(bytes)
}

/// Random numbers of a test, independent of the session's.
pub(crate) fn prg(seed: u64) -> Prg {
    Prg::new(&seed_of(seed), u64::MAX)
}

pub(crate) fn random_vec<R: Ring>(prg: &mut Prg, n_items: usize) -> Vec<R> {
    let mut values = vec![R::ZERO; n_items];
    prg.fill_ring(&mut values);
    values
}

/// The outcomes of seats that must all have ended well.
pub(crate) fn all_ok<T>(ended: Vec<Ended<T>>) -> Vec<T> {
    ended
        .into_iter()
        .map(|e| e.outcome.expect("every seat ends well"))
        .collect()
}

/// A release of random totals, as the tests run it.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) n_computing: usize,
    pub(crate) shape: ReleaseShape,
    pub(crate) seed: u64,
}

impl Job {
    /// A job with so many checks on as many count columns.
    pub(crate) fn new(
        n_computing: usize,
        cells: usize,
        n_checks: usize,
        mode: CellRule,
        seed: u64,
    ) -> Self {
        let check = |column| Check {
            column,
            at_least: 11,
            bound_bits: 6 + column as u32,
        };
        let shape = ReleaseShape {
            cells,
            narrow: n_checks + 1,
            compared: 0,
            wide: 1,
            checks: (0..n_checks).map(check).collect(),
            receivers: vec![Seat(0)],
            mode,
        };
        Self {
            n_computing,
            shape,
            seed,
        }
    }

    /// The job needs a dealer.
    pub(crate) fn has_dealer(&self) -> bool {
        matches!(self.shape.mode, CellRule::Compare | CellRule::Margins(_))
    }

    pub(crate) fn source(&self) -> Option<Source> {
        let seat = Seat::from_index(self.n_computing);
        self.has_dealer().then_some(Source::Dealer { seat })
    }

    pub(crate) fn world(&self) -> World {
        World::with_dealer(self.n_computing, self.has_dealer(), self.seed)
    }

    pub(crate) fn needs(&self) -> Needs {
        let seats = Seats {
            n_seats: self.n_computing + usize::from(self.has_dealer()),
            n_computing: self.n_computing,
        };
        aggregate::needs(&self.shape, seats)
    }

    /// Every holder's totals: counts around the threshold where there are checks, else anything.
    pub(crate) fn inputs(&self) -> Vec<LocalTotals> {
        self.inputs_from(self.seed ^ 0x0123_4567)
    }

    pub(crate) fn inputs_from(&self, seed: u64) -> Vec<LocalTotals> {
        let mut prg = prg(seed);
        let shape = &self.shape;
        let mut totals = |_| LocalTotals {
            narrow: (0..shape.narrow)
                .map(
                    |column| match shape.checks.iter().any(|c| c.column == column) {
                        true => (0..shape.cells)
                            .map(|_| prg.next_bounded(22 / self.n_computing as u64 + 1))
                            .collect(),
                        false => random_vec(&mut prg, shape.cells),
                    },
                )
                .collect(),
            wide: (0..shape.wide)
                .map(|_| random_vec(&mut prg, shape.cells))
                .collect(),
        };
        (0..self.n_computing).map(&mut totals).collect()
    }

    /// Runs the job over these inputs and returns how each seat ended.
    pub(crate) fn run(
        &self,
        world: World,
        inputs: Vec<LocalTotals>,
    ) -> Vec<Ended<Option<Released>>> {
        let inputs = Mutex::new(inputs.into_iter().map(Some).collect::<Vec<_>>());
        world.run(async |session| {
            let seat = session.seat().index();
            let input = inputs
                .lock()
                .expect("no panic")
                .get_mut(seat)
                .and_then(Option::take);
            self.at_seat(session, input).await
        })
    }

    /// What one seat does: preparation and release, or dealing.
    pub(crate) async fn at_seat(
        &self,
        session: &mut Session,
        input: Option<LocalTotals>,
    ) -> Result<Option<Released>, ProtocolError> {
        let needs = self.needs();
        let Some(input) = input else {
            return dealer::serve(session, &needs).await.map(|()| None);
        };
        let stock = match self.source() {
            Some(source) => correlate::preprocess(session, &source, &needs).await?,
            None => Stock::empty(),
        };
        aggregate::release(session, input, &self.shape, stock, self.disclosure()).await
    }

    pub(crate) fn disclosure(&self) -> Disclosure {
        Disclosure::approved(self.shape.terms())
    }
}

pub(crate) fn transcripts(logs: &[Log]) -> Vec<Transcript> {
    logs.iter().map(Log::transcript).collect()
}
