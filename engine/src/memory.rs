//! Memory for vectors of many mebibytes.
//!
//! Such a vector is read at random places, and every page of 4 KiB that is new to the processor costs
//! a walk through its tables, as every fresh one costs a trap. Linux gives pages of 2 MiB to who asks.

use crate::block::Block;
use crate::ring::Ring;

/// Vectors from this size on ask for huge pages: a few of them.
#[cfg(target_os = "linux")]
const HUGE_FROM_BYTES: usize = 8 << 20;

/// A vector of zeros.
pub(crate) fn zeroed(n: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    reserve(&mut blocks, n);
    blocks.resize(n, Block::ZERO);
    blocks
}

/// A vector of the ring's zeros.
pub(crate) fn zeros<R: Ring>(n: usize) -> Vec<R> {
    // Fresh memory is zero already, and nothing touches it before the kernel is asked.
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut))]
    let mut values = vec![R::ZERO; n];
    #[cfg(target_os = "linux")]
    ask_for_huge_pages(&mut values);
    values
}

/// Makes room for `n` blocks in an empty vector.
pub(crate) fn reserve(blocks: &mut Vec<Block>, n: usize) {
    blocks.reserve_exact(n);
    #[cfg(target_os = "linux")]
    ask_for_huge_pages(blocks.spare_capacity_mut());
}

/// Lets all threads of this process take memory from two pools of the C library.
///
/// With one for each thread, as it has by itself, every pool keeps what its thread once needed: after ten intersections of 2^20
/// keys an agent holds a quarter more. Called once, by a program and not by a library, before it starts threads.
pub fn share_pools() {
    // SAFETY: sets a number of the C library's allocator, which takes its own lock.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// A hint. If the kernel has none to give, or is built without them, nothing changes.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(room: &mut [T]) {
    const PAGE: usize = 4096;
    if size_of_val(room) < HUGE_FROM_BYTES {
        return;
    }
    let start = room.as_mut_ptr() as usize;
    let (first, end) = (
        start.next_multiple_of(PAGE),
        (start + size_of_val(room)) / PAGE * PAGE,
    );
    // SAFETY: the range is part of `room`, which is mapped and borrowed exclusively; this advice
    // changes how pages are backed, and neither their contents nor their protection.
    unsafe {
        libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zero_whatever_their_pages() {
        for n in [0, 1, 1000, 600_000, 1_000_001] {
            let blocks = zeroed(n);
            assert_eq!(blocks.len(), n);
            assert!(blocks.iter().all(|block| *block == Block::ZERO));
        }
    }
}
