//! What may be written to a log or sent to the coordinator: ids, codes, counts and addresses, never a value.
//!
//! Log statements in this crate wrap every field in [`safe`], which accepts only types that opted in here or where they
//! are defined. A `String` is not among them: free text (a job's purpose, a peer's error) has to become a type first.

use std::fmt;

/// Marks a type whose `Display` output holds no data of any party and nothing secret.
pub trait LogSafe: fmt::Display {}

/// A reference that may be logged. Made by [`safe`].
pub struct Safe<'a, T: ?Sized>(&'a T);

impl<T: LogSafe + ?Sized> fmt::Display for Safe<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Wraps a loggable value. Does not compile for a type that is not [`LogSafe`]:
///
/// ```compile_fail
/// let text = String::from("patient 7");
/// let _ = coordinator::logsafe::safe(&text);
/// ```
pub fn safe<T: LogSafe + ?Sized>(value: &T) -> Safe<'_, T> {
    Safe(value)
}

macro_rules! log_safe {
    ($($type:ty),* $(,)?) => { $(impl LogSafe for $type {})* };
}

log_safe!(
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    i64,
    std::net::SocketAddr,
    std::net::IpAddr
);

impl<T: LogSafe + ?Sized> LogSafe for &T {}

/// Text written by a peer, made fit for a terminal and a log: printable ASCII only, and not long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerText(String);

impl PeerText {
    /// The longest text kept, in bytes.
    pub const MAX_BYTES: usize = 300;

    /// Keeps the printable ASCII of `text`; anything else becomes `?`.
    pub fn new(text: &str) -> Self {
        let printable = |c: char| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        };
        Self(text.chars().take(Self::MAX_BYTES).map(printable).collect())
    }

    /// The cleaned text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LogSafe for PeerText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_text_is_printable_and_short() {
        let text = PeerText::new(&format!("ok\n\u{1b}[31m病{}", "x".repeat(1000)));
        assert!(text.as_str().starts_with("ok??[31m?x"));
        assert_eq!(text.as_str().len(), PeerText::MAX_BYTES);
    }
}
