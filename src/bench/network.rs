//! Bulk messages between two agents on loopback: a session over the agents' data plane beside a bare QUIC stream.
//!
//! Both ends run in this process and share its cores: the figures say how the two compare, not what a network carries.

pub(super) mod pair;

use super::report::{Extra, Meter, Work};
use crate::outcome::{Failure, Outcome};
use bytes::Bytes;
use pair::{Bare, Sessions, Trouble};

/// Bytes of one message.
const CHUNK: usize = 1 << 20;

pub(super) async fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    let failed = |error: Trouble| {
        Failure::runtime("loopback", error.to_string())
            .advice("see `entente doctor`: are UDP sockets on 127.0.0.1 allowed?")
    };
    let n_bytes = meter.scale.size(128 << 20, 4 << 20);
    let chunk = Bytes::from(vec![0x5a; CHUNK]);
    let bare_id = format!("network/bare-quic/{n_bytes}");
    meter.announce(&bare_id);
    let bare = Bare::connect().await.map_err(failed)?;
    let mut sessions = Sessions::connect().await.map_err(failed)?;
    let (mut bare_s, mut session_s, mut correct) = (Vec::new(), Vec::new(), true);
    // In turns, so that both see the machine in the same state; the first turn warms up.
    for repetition in 0..=meter.scale.repetitions {
        let (bare_time, bare_bytes) = bare.transfer(n_bytes, &chunk).await.map_err(failed)?;
        let (time, received) = sessions.transfer(n_bytes, &chunk).await.map_err(failed)?;
        correct &= bare_bytes == n_bytes && received == n_bytes;
        if repetition > 0 {
            bare_s.push(bare_time.as_secs_f64());
            session_s.push(time.as_secs_f64());
        }
    }
    let extra = || Extra {
        bytes_sent: Some(n_bytes as u64),
        ..Extra::of_this_process(correct)
    };
    meter.record(Work::new(bare_id.clone(), n_bytes, "B"), bare_s, extra());
    let session = Work::new(format!("network/session/{n_bytes}"), n_bytes, "B");
    meter.record(session, session_s, extra());
    meter.ratio_to(&bare_id, Some("at least 0.7"));
    Ok(())
}
