//! Sharing a holder's own rows.

use crate::arith;
use crate::boolean;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use crate::table::{Table, TableShape};
use engine::share::boolean::BitShare;
use zeroize::Zeroize;

/// A holder's own rows: the bits, one vector a bit position, and the ring columns.
pub(super) struct Columns {
    pub(super) planes: Vec<BitShare>,
    pub(super) ring64: Vec<Vec<u64>>,
    pub(super) ring128: Vec<Vec<u128>>,
}

impl Columns {
    pub(super) fn of_bits(planes: Vec<BitShare>) -> Self {
        Self {
            planes,
            ring64: Vec::new(),
            ring128: Vec::new(),
        }
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        self.ring64.zeroize();
        self.ring128.zeroize();
    }
}

/// Shares one holder's table, without sending anything. `own` is `Some` at its owner.
pub(super) async fn table(
    session: &mut Session,
    owner: Seat,
    mut own: Option<Columns>,
    shape: TableShape,
) -> Result<Table, ProtocolError> {
    let n_rows = shape.n_rows;
    let planes = own.as_mut().map(|own| std::mem::take(&mut own.planes));
    let lens = vec![n_rows; shape.n_bits()];
    let mut planes = boolean::input(session, owner, planes, lens).await?;
    let extra = planes.split_off(shape.key_bits);
    let mut ring64 = Vec::with_capacity(shape.ring64);
    for k in 0..shape.ring64 {
        let values = own.as_mut().map(|own| std::mem::take(&mut own.ring64[k]));
        ring64.push(arith::input(session, owner, values, n_rows).await?);
    }
    let mut ring128 = Vec::with_capacity(shape.ring128);
    for k in 0..shape.ring128 {
        let values = own.as_mut().map(|own| std::mem::take(&mut own.ring128[k]));
        ring128.push(arith::input(session, owner, values, n_rows).await?);
    }
    Ok(Table::new(n_rows, &planes, &extra, ring64, ring128))
}
