//! Protocols on shares, compiled in this package for both rings.
//!
//! A generic function is compiled in the package that calls it, as well as that package is: agents, which mostly
//! wait, are built with little optimisation. Where a protocol touches every element, its public function
//! therefore calls the one that stands here.

use super::compare::{self, Method};
use super::{convert, matmul, mul, mux, scale, trunc};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::net::BoxFuture;
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

type Outcome<'a, T> = BoxFuture<'a, Result<T, ProtocolError>>;

macro_rules! compiled {
    ($($name:ident($($argument:ident: $type:ty),+) -> $output:ty = $module:ident::$protocol:ident;)+) => {
        /// Each of them has the contract of the public function of its name.
        pub trait Compiled: Ring {
            $(fn $name<'a>(
                session: &'a mut Session,
                $($argument: $type,)+
                stock: &'a mut Stock,
            ) -> Outcome<'a, $output>;)+
        }

        compiled! { @u64 $($name($($argument: $type),+) -> $output = $module::$protocol;)+ }
        compiled! { @u128 $($name($($argument: $type),+) -> $output = $module::$protocol;)+ }
    };
    (@$ring:ident $($name:ident($($argument:ident: $type:ty),+) -> $output:ty = $module:ident::$protocol:ident;)+) => {
        impl Compiled for $ring {
            $(fn $name<'a>(
                session: &'a mut Session,
                $($argument: $type,)+
                stock: &'a mut Stock,
            ) -> Outcome<'a, $output> {
                Box::pin($module::$protocol::<Self>(session, $($argument,)+ stock))
            })+
        }
    };
}

compiled! {
    mul(x: &'a Share<Self>, y: &'a Share<Self>) -> Share<Self> = mul::mul_over;
    scale(x: &'a Share<Self>, columns: &'a [Share<Self>]) -> Vec<Share<Self>> = scale::scale_over;
    matmul(x: &'a Share<Self>, y: &'a Share<Self>, shape: MatrixShape) -> Share<Self> = matmul::matmul_over;
    times(bit: &'a BitShare, x: &'a Share<Self>) -> Share<Self> = mux::times_over;
    truncate(x: &'a Share<Self>, frac_bits: u32) -> Share<Self> = trunc::probabilistic_over;
    less_than_zero(x: &'a Share<Self>, bound_bits: u32, method: Method) -> BitShare = compare::less_than_zero_over;
    equal_zero(x: &'a Share<Self>, bound_bits: u32, method: Method) -> BitShare = compare::equal_zero_over;
    planes_to_arith(planes: &'a [&'a BitShare]) -> Vec<Share<Self>> = convert::planes_to_arith_over;
    planes_to_sums(planes: &'a [&'a BitShare], weights: &'a [Vec<Self>]) -> Vec<Share<Self>> = convert::planes_to_sums_over;
    b2a(planes: &'a [BitShare]) -> Share<Self> = convert::b2a_over;
    a2b(x: &'a Share<Self>, n_planes: usize, method: Method) -> Vec<BitShare> = convert::a2b_over;
}
