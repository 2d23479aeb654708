//! What this process has used, from `/proc`.

use std::fs;

/// Clock ticks a second in `/proc`: fixed at 100 on every Linux that user space sees (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time of all threads so far; 0 where `/proc` does not tell.
pub(super) fn cpu_seconds() -> f64 {
    fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|text| ticks(&text))
        .unwrap_or(0) as f64
        / TICKS_PER_S
}

/// The most memory that was resident at a time, in bytes; 0 where `/proc` does not tell.
pub(super) fn peak_rss_bytes() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| high_water_mark(&text))
        .unwrap_or(0)
}

fn ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks(""), None);
        assert_eq!(ticks("7 (x) S 1"), None);
    }

    #[test]
    fn the_high_water_mark_is_in_bytes() {
        assert_eq!(
            high_water_mark("VmPeak: 9 kB\nVmHWM:\t    2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(high_water_mark("VmPeak: 9 kB\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(peak_rss_bytes() > 1 << 20);
        assert!(cpu_seconds() >= 0.0);
    }
}
