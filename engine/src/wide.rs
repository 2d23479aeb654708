//! The widest registers that the processor has, chosen at run time.

#[cfg(target_arch = "x86_64")]
mod avx512;

/// Runs a loop as compiled for the widest registers. `body` profits if it is inlined.
#[inline(always)]
pub(crate) fn run(body: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = avx512::Wide::detect() {
        return wide.run(body);
    }
    body();
}

/// Transposes a 64×64 bit matrix, with `portable` if there is no kernel for this processor.
#[inline(always)]
pub(crate) fn transpose_64(rows: &mut [u64; 64], portable: impl FnOnce(&mut [u64; 64])) {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = avx512::Wide::detect() {
        return wide.transpose_64(rows);
    }
    portable(rows);
}
