//! The machine under the figures, and the memory of this process, from `/proc`.

use crate::table::bytes;
use serde::Serialize;
use std::fs;

/// What a figure depends on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    pub(super) system: String,
    /// What the kernels choose by.
    pub(super) features: Vec<&'static str>,
}

impl Machine {
    pub(super) fn look() -> Self {
        let cpu = field("/proc/cpuinfo", "model name");
        Self {
            cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: kib("/proc/meminfo", "MemTotal"),
            system: format!("{} {}", std::env::consts::OS, kernel()),
            features: features(),
        }
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{}, {} cores, {}, {}; {}",
            self.cpu,
            self.cores,
            bytes(self.memory_bytes),
            self.system,
            self.features.join(" ")
        )
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;
    let all = [
        ("aes", has!("aes")),
        ("avx2", has!("avx2")),
        ("avx512f", has!("avx512f")),
        ("avx512dq", has!("avx512dq")),
        ("avx512ifma", has!("avx512ifma")),
        ("vaes", has!("vaes")),
        ("gfni", has!("gfni")),
    ];
    all.into_iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    release
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The most memory that was resident since the last [`forget_peak_rss`]; 0 where the system does not tell.
pub(super) fn peak_rss_bytes() -> u64 {
    kib("/proc/self/status", "VmHWM")
}

/// Starts the high-water mark anew. A system that refuses keeps the old one, which is then too high.
pub(super) fn forget_peak_rss() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn kib(file: &str, name: &str) -> u64 {
    let text = field(file, name).unwrap_or_default();
    let number = text.split_ascii_whitespace().next().unwrap_or_default();
    number.parse::<u64>().unwrap_or(0) * 1024
}

/// The first field of this name in a file of lines `name: value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find_map(|(key, value)| (key.trim() == name).then(|| value.trim().to_owned()))
}
