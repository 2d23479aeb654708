//! A scorecard over a join against the same counts and steps in floats over the rows in common.

use super::going::Kept;
use super::{inverse, people};
use crate::arith::Shared;
use crate::chi_square;
use crate::demands::{self, Case};
use crate::world::prg;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::{Keep, Rows};
use protocols::session::Session;
use protocols::train::binned::{self, Binned, Counts, Model, Shape, Short};
use protocols::train::evaluate::{Asks, Figures};
use protocols::train::glm::Family;
use protocols::train::vertical;
use protocols::wire::Kind;
use std::cell::RefCell;

/// What a seat ends with.
#[derive(Debug)]
struct Ended {
    seat: Seat,
    counts: Result<Counts, Short>,
    model: Option<Model>,
}

/// Tables of people numbered from 0, whose features are bins; each leaves one in five out.
#[derive(Debug)]
struct Cards {
    shape: Shape,
    n_people: usize,
    /// What each feature tells, and whether it is chosen.
    chosen: [bool; 3],
    kept: Kept,
    ended: RefCell<Vec<Ended>>,
}

fn cards(n_computing: usize, n_people: usize) -> Cards {
    let tables = people::tables(n_computing, n_people);
    Cards {
        shape: Shape {
            of: vertical::Shape {
                features: vec![1, 0, tables.len() - 1],
                tables,
                keep: Keep::All,
                label: 1,
                family: Family::Logistic,
                n_steps: 6,
                n_done: 0,
                descent: None,
                log_rows: 10,
                evaluates: true,
                asks: Asks {
                    lift: true,
                    ..Asks::default()
                },
                of_train: Some(Asks::default()),
                has_oot: true,
                min_cell: 0,
                at_least: 3,
                l2: 0,
                is_metered: false,
                method: Method::Masked,
            },
            bins: vec![3, 2, 4],
            min_count: 2,
            quantiled: vec![],
            n_parts: 1,
            compares: true,
            tells_edges: true,
            tells_spreads: true,
        },
        n_people,
        chosen: [true, true, true],
        kept: Kept::default(),
        ended: RefCell::new(Vec::new()),
    }
}

struct Person {
    bins: [usize; 3],
    is_bad: bool,
    is_fitted: bool,
    /// Whether it is out of time, where it is not fitted.
    is_late: bool,
}

impl Person {
    fn is_kept(&self, late: bool) -> bool {
        !self.is_fitted && self.is_late == late
    }
}

impl Cards {
    fn people(&self, secrets: u64) -> Vec<Person> {
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(64);
        let person = |number: usize| {
            // The last bin of the last feature stays empty.
            let bins = [3.0, 2.0, 3.0].map(|n| (n * unit()) as usize);
            let risk = 0.15 + 0.2 * bins[0] as f64 + 0.15 * bins[1] as f64;
            Person {
                bins,
                is_bad: unit() < risk - 0.05 * bins[2] as f64,
                is_fitted: unit() < 0.6,
                is_late: number.is_multiple_of(3),
            }
        };
        (0..self.n_people).map(person).collect()
    }

    fn place(&self, seat: Seat) -> Option<usize> {
        people::place_of(&self.shape.of.tables, seat)
    }

    fn features_of(&self, place: usize) -> Vec<usize> {
        let features = &self.shape.of.features;
        (0..features.len())
            .filter(|f| features[*f] == place)
            .collect()
    }

    fn own(&self, secrets: u64, seat: Seat) -> Option<Binned> {
        let place = self.place(seat)?;
        let all = self.people(secrets);
        let mine = people::of(place, self.n_people);
        let column = |value: &dyn Fn(&Person) -> bool| -> Vec<u64> {
            mine.iter().map(|p| u64::from(value(&all[*p]))).collect()
        };
        let mut narrow = Vec::new();
        for feature in self.features_of(place) {
            let bins = 0..self.shape.bins[feature];
            narrow.extend(bins.map(|bin| column(&|p| p.bins[feature] == bin)));
        }
        let has_rows = narrow.iter().map(|bin| bin.contains(&1)).collect();
        if place == self.shape.of.label {
            let labels = column(&|p| p.is_fitted && p.is_bad).into_iter();
            narrow.push(column(&|p| p.is_fitted));
            narrow.push(labels.map(|y| y << Family::Logistic.label_bits()).collect());
            narrow.push(column(&|p| p.is_kept(false) && p.is_bad));
            narrow.push(column(&|p| p.is_kept(false) && !p.is_bad));
            narrow.push(column(&|p| p.is_fitted && p.is_bad));
            narrow.push(column(&|p| p.is_kept(true) && p.is_bad));
            narrow.push(column(&|p| p.is_kept(true) && !p.is_bad));
        }
        if place == 0 {
            narrow.push(column(&|_| true));
        }
        let rows = Rows {
            keys: people::keys(&mine),
            narrow,
            wide: vec![],
        };
        Some(Binned { rows, has_rows })
    }

    fn common(&self, secrets: u64) -> (Vec<Person>, Vec<Person>) {
        let places = 0..self.shape.of.tables.len();
        let people = self.people(secrets).into_iter().enumerate();
        let common = people.filter(|(p, _)| places.clone().all(|place| people::has(place, *p)));
        common.map(|(_, person)| person).partition(|p| p.is_fitted)
    }

    /// Bad and good rows of each bin of a feature.
    fn counts(&self, feature: usize, train: &[Person]) -> Vec<[u64; 2]> {
        let mut counts = vec![[0; 2]; self.shape.bins[feature]];
        for person in train {
            counts[person.bins[feature]][usize::from(!person.is_bad)] += 1;
        }
        counts
    }

    /// Some weight of each bin, in [-1, 1].
    fn weights(&self, feature: usize, counts: &[[u64; 2]]) -> Vec<f64> {
        let rate = |[bad, good]: &[u64; 2]| *bad as f64 / (bad + good).max(1) as f64;
        let centre = feature as f64 * 0.1;
        counts.iter().map(|c| rate(c) - centre).collect()
    }

    /// Coefficients and AUC of a model of some features.
    fn fitted(&self, secrets: u64, has_part: impl Fn(usize) -> bool) -> (Vec<f64>, f64) {
        let (train, kept) = self.common(secrets);
        let test = kept.iter().filter(|p| !p.is_late);
        let weights = [0, 1, 2].map(|f| self.weights(f, &self.counts(f, &train)));
        let parts: Vec<usize> = (0..3).filter(|f| has_part(*f)).collect();
        let d = 1 + parts.len();
        let row = |p: &Person| -> Vec<f64> {
            let values = parts.iter().map(|f| weights[*f][p.bins[*f]]);
            [1.0].into_iter().chain(values).collect()
        };
        let mut beta = vec![0.0; d];
        let eta = |x: &[f64], beta: &[f64]| -> f64 { x.iter().zip(beta).map(|(x, b)| x * b).sum() };
        for _ in 0..12 {
            let (mut g, mut h) = (vec![0.0; d], vec![0.0; d * d]);
            for p in &train {
                let x = row(p);
                let mu = 1.0 / (1.0 + (-eta(&x, &beta)).exp());
                for i in 0..d {
                    g[i] += x[i] * (f64::from(u8::from(p.is_bad)) - mu);
                    (0..d).for_each(|j| h[i * d + j] += mu * (1.0 - mu) * x[i] * x[j]);
                }
            }
            let inverse = inverse(&h, d);
            for i in 0..d {
                beta[i] += (0..d).map(|j| inverse[i * d + j] * g[j]).sum::<f64>();
            }
        }
        let (bad, good): (Vec<&Person>, Vec<&Person>) = test.partition(|p| p.is_bad);
        let score = |p: &Person| eta(&row(p), &beta);
        let mut wins = 0.0;
        for b in &bad {
            for g in &good {
                let difference = score(b) - score(g);
                wins += if difference.abs() < 1e-9 {
                    0.5
                } else {
                    f64::from(u8::from(difference > 0.0))
                };
            }
        }
        let mut all = vec![0.0; 4];
        all[0] = beta[0];
        for (f, b) in parts.iter().zip(&beta[1..]) {
            all[1 + f] = *b;
        }
        (all, wins / (bad.len() * good.len()) as f64)
    }

    fn check(&self, secrets: u64) {
        let (train, kept) = self.common(secrets);
        let ended = self.ended.take();
        for end in &ended {
            let counts = end.counts.as_ref().expect("bins are large enough");
            for feature in 0..3 {
                let of = Some(self.shape.of.features[feature]);
                let learns = end.seat == Seat(1) || self.place(end.seat) == of;
                let expected = learns.then(|| self.counts(feature, &train));
                assert_eq!(counts.bins[feature], expected, "{:?} {feature}", end.seat);
            }
        }
        let (beta, _) = self.fitted(secrets, |f| self.chosen[f]);
        let models = || {
            ended
                .iter()
                .filter_map(|end| Some((end.seat, end.model.as_ref()?)))
        };
        for (seat, model) in models() {
            let own = self.place(seat).map(|place| self.features_of(place));
            assert_eq!(model.own.as_ref().map(Vec::len), own.as_ref().map(Vec::len));
            for (found, f) in model.own.iter().flatten().zip(own.iter().flatten()) {
                assert!((found - beta[1 + f]).abs() < 3e-4, "{found} of {f}");
            }
        }
        let mut released = models().filter_map(|(_, model)| model.released.as_ref());
        let found = released.next().expect("a receiver");
        assert!(released.next().is_none(), "the receiver alone");
        assert!(found.is_enough && found.n_sound == [4, 4], "{found:?}");
        for (found, expected) in found.coefficients.iter().zip(&beta) {
            assert!((found - expected).abs() < 3e-4, "{found} and {expected}");
        }
        let mut rest = &found.figures[..];
        for model in 0..=self.shape.of.tables.len() * usize::from(self.shape.compares) {
            let asks = match model {
                0 => self.shape.of.asks,
                _ => Asks::default(),
            };
            let (figures, after) = rest.split_at(asks.n_figures());
            rest = after;
            let has_part =
                |f: usize| self.chosen[f] && (model == 0 || self.shape.of.features[f] == model - 1);
            let (_, auc) = self.fitted(secrets, has_part);
            let figures = Figures::of(figures, asks).expect("enough of both");
            assert_eq!(figures.lift.is_some(), model == 0);
            if model == 0 {
                let (figures, after) = rest.split_at(Asks::default().n_figures());
                rest = after;
                let of_train = Figures::of(figures, Asks::default()).expect("enough of both");
                let n_bad = train.iter().filter(|p| p.is_bad).count() as u64;
                assert_eq!(
                    [of_train.n_bad, of_train.n_bad + of_train.n_good],
                    [n_bad, train.len() as u64]
                );
                let (figures, after) = rest.split_at(asks.n_figures());
                rest = after;
                let oot = Figures::of(figures, asks).expect("enough of both");
                let n_late = kept.iter().filter(|p| p.is_late).count() as u64;
                assert_eq!(oot.n_bad + oot.n_good, n_late);
            }
            assert!(
                (figures.auc - auc).abs() < 1e-9,
                "{model}: {figures:?}, {auc}"
            );
        }
        self.check_spreads(rest, (&train, &kept));
    }

    /// What comes behind all other figures: how rows kept for a test, and those out of time, are spread over bins.
    fn check_spreads(&self, figures: &[u64], (train, kept): (&[Person], &[Person])) {
        let shape = self.shape.spreads().expect("asked for");
        let told = shape.told(figures).expect("two samples");
        for (found, late) in told.iter().zip([false, true]) {
            let sample: Vec<&Person> = kept.iter().filter(|p| p.is_late == late).collect();
            for (feature, found) in found.iter().enumerate() {
                let part = |bin: usize, of: &[&Person]| {
                    let n = of.iter().filter(|p| p.bins[feature] == bin).count();
                    (n as f64 / of.len() as f64).max(1e-4)
                };
                let base: Vec<&Person> = train.iter().collect();
                let terms = (0..self.shape.bins[feature]).map(|bin| {
                    let (e, a) = (part(bin, &base), part(bin, &sample));
                    (a - e) * (a / e).ln()
                });
                let expected: f64 = terms.sum();
                let found = found.expect("any number of rows is told");
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }
}

impl Case for Cards {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(binned::release_cost(seats, &self.shape, &[Seat(1)]));
        binned::price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let (seat, shape) = (session.seat(), &self.shape);
        let own = self.own(secrets, seat);
        let disclosure = Disclosure::approved(shape.terms(&[Seat(1)]));
        let counted = binned::count(session, own, shape, stock, disclosure).await?;
        let counts = counted.counts.clone();
        let model = match &counts {
            Err(_) => {
                // What the fit would have taken is left over.
                *stock = Stock::default();
                None
            }
            Ok(counts) => {
                let features = self
                    .place(seat)
                    .map_or(vec![], |place| self.features_of(place));
                let tells: Vec<f64> = features.iter().map(|f| 0.25 + *f as f64).collect();
                let tells = counted.rank(session, &tells, shape).await?;
                assert_eq!(tells, [0.25, 1.25, 2.25]);
                // One value less than there are bins, and one feature without any.
                let edges = |f: &usize| -> Vec<f64> {
                    let n = if *f == 1 { 0 } else { shape.bins[*f] - 1 };
                    (0..n)
                        .map(|i| (i as f64 - 1.5) * 1e9f64.powi(*f as i32 - 1))
                        .collect()
                };
                let own: Vec<Vec<f64>> = features.iter().map(edges).collect();
                let told = counted.edges(session, &own, shape).await?;
                let all = [0, 1, 2].map(|f| edges(&f)).to_vec();
                assert_eq!(told, (seat == Seat(1)).then_some(all));
                let own = features.iter().flat_map(|f| {
                    let counts = counts.bins[*f].as_ref().expect("its own");
                    self.weights(*f, counts)
                });
                let own: Vec<f64> = own.collect();
                let mut keeper = self.kept.at(seat);
                let (course, weights) = (&mut keeper.course(), (&own[..], &self.chosen[..]));
                Some(counted.fit(session, weights, shape, course, stock).await?)
            }
        };
        let end = Ended {
            seat,
            counts,
            model,
        };
        self.ended.borrow_mut().push(end);
        Ok(Shared::default())
    }
}

#[test]
fn scorecards_over_joins_are_those_of_the_rows_in_common() {
    for n_computing in [2, 3, 5] {
        let case = cards(n_computing, 400);
        demands::found(&case, n_computing, 3);
        case.check(3);
    }
    let mut fewer = cards(3, 400);
    fewer.chosen = [true, false, true];
    demands::found(&fewer, 3, 3);
    fewer.check(3);
}

/// Of the model of all tables; those of each table's features alone are made again.
#[test]
fn scorecards_over_joins_go_on_where_another_session_stood() {
    let mut case = cards(2, 400);
    demands::found_in(&case, 2, (8, 3));
    case.ended.borrow_mut().clear();
    (case.kept.from, case.shape.of.n_done) = (4, 4);
    demands::found_in(&case, 2, (9, 3));
    case.check(3);
}

#[test]
fn bins_that_are_too_small_are_named_and_nothing_else_is_told() {
    let mut case = cards(3, 400);
    let (train, _) = case.common(3);
    let counts: Vec<Vec<[u64; 2]>> = (0..3).map(|f| case.counts(f, &train)).collect();
    // The bins that have rows, but for the largest ones.
    let mut all: Vec<u64> = counts.iter().flatten().flatten().copied().collect();
    all.sort_unstable();
    case.shape.min_count = all[all.len() / 2];
    demands::found(&case, 3, 3);
    let is_short = |(f, bin): &(usize, usize)| {
        let is_empty = *f == 2 && *bin == 3;
        !is_empty && counts[*f][*bin].iter().any(|n| *n < case.shape.min_count)
    };
    let bins = (0..3).flat_map(|f| (0..case.shape.bins[f]).map(move |bin| (f, bin)));
    let expected = Short {
        rows: false,
        bins: bins.filter(is_short).collect(),
    };
    assert!(!expected.bins.is_empty());
    for end in case.ended.take() {
        assert_eq!(end.counts, Err(expected.clone()));
        assert!(end.model.is_none());
    }
}

#[test]
fn scorecards_over_joins_are_held_to_all_demands() {
    let mut case = cards(3, 60);
    case.shape.of.n_steps = 1;
    case.shape.min_count = 0;
    demands::check_price_within(&case, 3, 4);
    demands::check_outline(&case, 3);
    let mut two = cards(2, 400);
    two.shape.of.n_steps = 2;
    two.shape.compares = false;
    demands::check_price_within(&two, 2, 5);
    demands::check_empty_stock(&two);
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn scorecards_over_joins_send_what_looks_uniform() {
    let mut case = cards(3, 1000);
    case.shape.of.n_steps = 1;
    case.shape.compares = false;
    let transcripts = demands::recorded(&case, 3, (31, 31));
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}
