//! The hub's columns, transposed, times the right-hand ones.
//!
//! The hub knows its columns, so they need no shares, and their bits are choices of oblivious transfers
//! with which every other seat's share of the right-hand columns is multiplied. There are three ways, and
//! public numbers say which is taken:
//!
//! * matrix: a matrix triple, where a dealer makes it and nothing is known of the values;
//! * cells: each cell of each key by itself;
//! * slots: a key has few cells. Each is multiplied once, and the products are scattered to cells that the hub
//!   alone knows.

use super::plan::{Column, Part, Plan, Product};
use super::shape::{Bounds, Relation, Shape};
use super::{Inputs, Own};
use crate::arith::matmul;
use crate::correlate::{
    MatrixShape, Multiply, Online, Places, Scatter, Stock, StockedRing, Tariff,
};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// Most items of a product: bins, times what each is multiplied with.
const MAX_ITEMS: usize = 1 << 28;

/// How products are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Matrix,
    Cells,
    Slots(usize),
}

/// What is public about the products.
pub(super) struct Products {
    way: Way,
    owner: Seat,
    relation: Relation,
    bounds: Bounds,
    n_bins: usize,
}

/// A ring over which the hub's columns are multiplied.
pub(super) trait HubRing: StockedRing {
    /// A row's value of a column at a cell, of so many; flags are the first columns.
    fn of(own: &Inputs, at: (Column, usize, usize), row: usize) -> Self;
}

impl HubRing for u64 {
    fn of(own: &Inputs, at: (Column, usize, usize), row: usize) -> Self {
        own.narrow(at, row)
    }
}

/// Narrow columns are numbers without a sign here.
impl HubRing for u128 {
    fn of(own: &Inputs, (column, cell, cells): (Column, usize, usize), row: usize) -> Self {
        let n_narrow = own.rows.narrow.len() / own.per_column(cells);
        match column.checked_sub(n_narrow) {
            None => own.narrow((column, cell, cells), row).into(),
            Some(column) => own.wide((column, cell, cells), row),
        }
    }
}

/// For each product, each cell's row.
pub(super) struct Made {
    pub(super) narrow: Vec<Share<u64>>,
    pub(super) wide: Vec<Share<u128>>,
}

/// Right-hand columns.
pub(super) struct Rights {
    pub(super) narrow: Vec<Share<u64>>,
    pub(super) wide: Vec<Share<u128>>,
}

impl Products {
    pub(super) fn new(seats: Seats, shape: &Shape, plan: &Plan, n_bins: usize) -> Self {
        let relation = shape.relations[0].clone();
        let bounds = shape.bounds.clone();
        let mut products = Self {
            way: Way::Matrix,
            owner: shape.hub().seat,
            bounds: bounds.unwrap_or_else(|| Bounds::of(&relation)),
            relation,
            n_bins,
        };
        if shape.bounds.is_some() || seats.n_seats == seats.n_computing {
            products.way = products.cheaper(plan);
        }
        products
    }

    /// By cells or by slots, whichever sends less for a bin.
    fn cheaper(&self, plan: &Plan) -> Way {
        let (cells, slots) = (self.relation.cells, self.bounds.cells);
        let row = |part: &Part, bytes: usize| {
            let rights = part.products.iter().map(|product| product.rights.len());
            bytes * rights.sum::<usize>()
        };
        let ots = |n_bits: u32, product: &Product, bytes: usize| {
            n_bits as usize * (4 + bytes * product.rights.len())
        };
        let narrow = plan.narrow.products.iter();
        let narrow = narrow.map(|p| ots(self.n_bits(p.left), p, 8));
        let wide = plan.wide.products.iter();
        let wide = wide.map(|p| ots(self.n_bits(p.left), p, 16));
        let multiplied = narrow.chain(wide).fold(0, usize::saturating_add);
        let scattered = match self.scatter(plan, slots) {
            Some(scatter) => {
                20 * scatter.depth() + row(&plan.narrow, 8) + row(&plan.wide, 16) + multiplied
            }
            None => usize::MAX,
        };
        match slots.saturating_mul(scattered) < cells.saturating_mul(multiplied) {
            true => Way::Slots(slots),
            false => Way::Cells,
        }
    }

    /// Bits of a value of a column.
    fn n_bits(&self, column: Column) -> u32 {
        let Relation { flags, narrow, .. } = self.relation;
        if column < flags {
            1
        } else if column < flags + narrow {
            self.bounds.narrow[column - flags]
        } else {
            self.bounds.wide[column - flags - narrow]
        }
    }

    /// Places of a tree are limited.
    fn scatter(&self, plan: &Plan, slots: usize) -> Option<Scatter> {
        let columns = |part: &Part| part.products.iter().map(|p| p.rights.len()).sum();
        (self.relation.cells <= 1 << 16).then(|| Scatter {
            n_items: slots * self.n_bins,
            n_places: self.relation.cells,
            n_narrow: columns(&plan.narrow),
            n_wide: columns(&plan.wide),
        })
    }

    fn multiply(&self, product: &Product) -> Multiply {
        let (n_times, sums) = match self.way {
            Way::Slots(slots) => (slots, false),
            Way::Cells | Way::Matrix => (self.relation.cells, true),
        };
        Multiply {
            n_rows: self.n_bins,
            n_times,
            n_bits: self.n_bits(product.left),
            n_columns: product.rights.len(),
            sums,
        }
    }

    fn matrix(&self, product: &Product) -> MatrixShape {
        MatrixShape {
            m: self.relation.cells,
            k: self.n_bins,
            n: product.rights.len(),
        }
    }

    /// Checks that products are not too many to be held in memory.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), ProtocolError> {
        let times = match self.way {
            Way::Slots(slots) => slots,
            Way::Cells | Way::Matrix => self.relation.cells,
        };
        let is_needed = !plan.narrow.products.is_empty() || !plan.wide.products.is_empty();
        match is_needed && times.saturating_mul(self.n_bins) > MAX_ITEMS {
            true => Err(ProtocolError::InvalidInput {
                what: "a join multiplies up to 2^28 cells of the hub's keys, 1.3 times those it has",
            }),
            false => Ok(()),
        }
    }

    pub(super) fn price(&self, seats: Seats, plan: &Plan) -> Price {
        let (narrow, wide) = (&plan.narrow.products, &plan.wide.products);
        if narrow.is_empty() && wide.is_empty() {
            return Price::nothing(seats);
        }
        if self.way == Way::Matrix {
            let narrow = narrow
                .iter()
                .map(|p| matmul::price::<u64>(seats, self.matrix(p)));
            let wide = wide
                .iter()
                .map(|p| matmul::price::<u128>(seats, self.matrix(p)));
            return Price::sequence(seats, narrow.chain(wide));
        }
        let mut tariff = Tariff::new(seats.n_computing, self.owner);
        for product in narrow {
            tariff.multiply::<u64>(self.multiply(product));
        }
        for product in wide {
            tariff.multiply::<u128>(self.multiply(product));
        }
        if let Way::Slots(slots) = self.way
            && let Some(scatter) = self.scatter(plan, slots)
        {
            tariff.scatter(&scatter);
        }
        Price::of_cost(tariff.into_cost(seats.n_seats))
    }

    /// Makes all products. `own`: at the hub its rows and their bins.
    pub(super) async fn make(
        &self,
        session: &mut Session,
        plan: &Plan,
        (own, rights): (Option<Own<'_>>, Rights),
        stock: &mut Stock,
    ) -> Result<Made, ProtocolError> {
        let (narrow, wide) = (&plan.narrow.products, &plan.wide.products);
        let mut made = Made {
            narrow: Vec::with_capacity(narrow.len()),
            wide: Vec::with_capacity(wide.len()),
        };
        if narrow.is_empty() && wide.is_empty() {
            return Ok(made);
        }
        if self.way == Way::Matrix {
            for product in narrow {
                let made_one = self.by_matrix(session, product, (own, &rights.narrow), stock);
                made.narrow.push(made_one.await?);
            }
            for product in wide {
                let made_one = self.by_matrix(session, product, (own, &rights.wide), stock);
                made.wide.push(made_one.await?);
            }
            return Ok(made);
        }
        let slots = own.map(|own| self.slots(own));
        let mut online = Online::set_up(session, self.owner).await?;
        for product in narrow {
            let numbers = own.map(|own| self.numbers(own, product));
            let rows = rows(&rights.narrow, product);
            let made_one = online.multiply(self.multiply(product), numbers, rows);
            made.narrow.push(made_one.await?);
        }
        for product in wide {
            let numbers = own.map(|own| self.numbers(own, product));
            let rows = rows(&rights.wide, product);
            let made_one = online.multiply(self.multiply(product), numbers, rows);
            made.wide.push(made_one.await?);
        }
        drop(rights);
        match self.way {
            Way::Slots(n) => self.scattered(&mut online, plan, (slots, made), n).await,
            Way::Cells | Way::Matrix => Ok(made),
        }
    }

    /// The cell of every slot of every bin: bins of the first slot come first.
    fn slots(&self, (own, places): Own<'_>) -> Places {
        let Way::Slots(n_slots) = self.way else {
            return Places(Vec::new());
        };
        let mut cells = vec![self.relation.cells as u32; n_slots * self.n_bins];
        for (row, bin) in places.iter().enumerate() {
            for (slot, (_, cell)) in own.filled(&self.relation, row).enumerate() {
                cells[slot * self.n_bins + *bin as usize] = cell as u32;
            }
        }
        Places(cells)
    }

    /// What each row is multiplied with: the values of each cell, or of each slot.
    fn numbers<R: HubRing>(&self, (own, places): Own<'_>, product: &Product) -> Vec<R> {
        let cells = self.relation.cells;
        let times = match self.way {
            Way::Slots(slots) => slots,
            Way::Cells | Way::Matrix => cells,
        };
        let mut numbers = vec![R::ZERO; times * self.n_bins];
        for (row, bin) in places.iter().enumerate() {
            for (slot, (_, cell)) in own.filled(&self.relation, row).enumerate() {
                let time = match self.way {
                    Way::Slots(_) => slot,
                    Way::Cells | Way::Matrix => cell,
                };
                numbers[time * self.n_bins + *bin as usize] =
                    R::of(own, (product.left, cell, cells), row);
            }
        }
        numbers
    }

    async fn by_matrix<R: HubRing>(
        &self,
        session: &mut Session,
        product: &Product,
        (own, rights): (Option<Own<'_>>, &[Share<R>]),
        stock: &mut Stock,
    ) -> Result<Share<R>, ProtocolError> {
        let shape = self.matrix(product);
        let left = match own {
            Some(own) => Share::new(self.numbers(own, product)),
            None => Share::zero(shape.left_len()),
        };
        let right = rows(rights, product);
        matmul::matmul(session, &left, &right, shape, stock).await
    }

    /// Adds up the products of all slots at their cells.
    async fn scattered(
        &self,
        online: &mut Online<'_>,
        plan: &Plan,
        (places, made): (Option<Places>, Made),
        n_slots: usize,
    ) -> Result<Made, ProtocolError> {
        let scatter = self
            .scatter(plan, n_slots)
            .expect("checked when the way was chosen");
        let n_items = scatter.n_items;
        let rows = (beside(&made.narrow, n_items), beside(&made.wide, n_items));
        drop(made);
        let (narrow, wide) = online.scatter(scatter, places, rows).await?;
        Ok(Made {
            narrow: apart(&narrow, &plan.narrow, self.relation.cells),
            wide: apart(&wide, &plan.wide, self.relation.cells),
        })
    }
}

/// The right-hand columns of a product, row by row.
fn rows<R: Ring>(rights: &[Share<R>], product: &Product) -> Share<R> {
    let n_columns = product.rights.len();
    let n_rows = rights.first().map_or(0, Share::len);
    let mut rows = Share::zero(n_rows * n_columns);
    for (at, right) in product.rights.iter().enumerate() {
        let places = rows.as_mut_slice().iter_mut().skip(at).step_by(n_columns);
        for (out, value) in places.zip(rights[*right].as_slice()) {
            *out = *value;
        }
    }
    rows
}

/// Rows of several products, put together.
fn beside<R: Ring>(products: &[Share<R>], n_items: usize) -> Share<R> {
    let mut all = Vec::with_capacity(products.iter().map(Share::len).sum());
    for item in 0..n_items {
        for product in products {
            let n_columns = product.len() / n_items;
            all.extend_from_slice(&product.as_slice()[item * n_columns..][..n_columns]);
        }
    }
    Share::new(all)
}

/// The rows of each product again.
fn apart<R: Ring>(rows: &Share<R>, part: &Part, cells: usize) -> Vec<Share<R>> {
    let n_columns = rows.len() / cells;
    let mut first = 0;
    let products = part.products.iter().map(|product| {
        let columns = first..first + product.rights.len();
        first = columns.end;
        let rows = rows.as_slice().chunks_exact(n_columns);
        let own = rows.flat_map(|row| row[columns.clone()].iter().copied());
        Share::new(own.collect())
    });
    products.collect()
}
