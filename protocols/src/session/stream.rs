//! Long vectors between two seats, in chunks that kernels make and take.
//!
//! [`Session::round_chunks`] moves memory on the calling task. Here every chunk costs work: a
//! [`Producer`] and a [`Consumer`] run on the pool, the two directions have lengths of their own,
//! and while a chunk is on the wire the next one is being made. Nobody holds more than a few chunks.

use super::concurrent::try_both;
use super::{Chunks, Session, Shared, decode};
use crate::error::ProtocolError;
use crate::net::{Inlet, Outlet};
use crate::party::Seat;
use crate::stamp::Stamp;
use crate::wire::{Frame, FrameShape, Wire};
use std::ops::Range;

/// Makes the chunks of a vector, one after the other. Runs where kernels run.
pub trait Producer: Send + 'static {
    /// One chunk.
    type Message: Wire + 'static;

    /// The chunk of these items.
    ///
    /// # Errors
    ///
    /// Its own; they end the session.
    fn make(&mut self, items: Range<usize>) -> Result<Self::Message, ProtocolError>;
}

/// Takes the chunks of a vector, one after the other. Runs where kernels run.
pub trait Consumer: Send + 'static {
    /// One chunk.
    type Message: Wire + 'static;

    /// What is known of a chunk of so many items before it comes.
    fn shape(&self, n_items: usize) -> <Self::Message as Wire>::Shape;

    /// Takes the chunk of these items.
    ///
    /// # Errors
    ///
    /// Its own; they end the session.
    fn take(&mut self, items: Range<usize>, chunk: Self::Message) -> Result<(), ProtocolError>;
}

impl Session {
    /// Sends one vector to a seat and receives another from it, in one round. Returns producer and
    /// consumer as they are in the end. An empty vector is one empty message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`], and those of the two.
    pub async fn stream<P: Producer, C: Consumer>(
        &mut self,
        peer: Seat,
        outgoing: (Chunks, P),
        incoming: (Chunks, C),
    ) -> Result<(P, C), ProtocolError> {
        let (producer, consumer) = self
            .guarded_stream(peer, Some(outgoing), Some(incoming))
            .await?;
        Ok((
            producer.expect("one went out"),
            consumer.expect("one came in"),
        ))
    }

    /// Like [`Session::stream`], in one direction. The peer calls [`Session::stream_from`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], and those of the producer.
    pub async fn stream_to<P: Producer>(
        &mut self,
        peer: Seat,
        chunks: Chunks,
        producer: P,
    ) -> Result<P, ProtocolError> {
        let outgoing = Some((chunks, producer));
        let (producer, _) = self.guarded_stream(peer, outgoing, NOTHING).await?;
        Ok(producer.expect("one went out"))
    }

    /// Like [`Session::stream`], in one direction. The peer calls [`Session::stream_to`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`], and those of the consumer.
    pub async fn stream_from<C: Consumer>(
        &mut self,
        peer: Seat,
        chunks: Chunks,
        consumer: C,
    ) -> Result<C, ProtocolError> {
        let incoming = Some((chunks, consumer));
        let (_, consumer) = self.guarded_stream(peer, NOTHING, incoming).await?;
        Ok(consumer.expect("one came in"))
    }

    async fn guarded_stream<P: Producer, C: Consumer>(
        &mut self,
        peer: Seat,
        outgoing: Option<(Chunks, P)>,
        incoming: Option<(Chunks, C)>,
    ) -> Result<(Option<P>, Option<C>), ProtocolError> {
        let operation = self.begin();
        let outcome = operation.session.try_stream(peer, outgoing, incoming).await;
        operation.done();
        self.ended_by(outcome)
    }

    async fn try_stream<P: Producer, C: Consumer>(
        &mut self,
        peer: Seat,
        outgoing: Option<(Chunks, P)>,
        incoming: Option<(Chunks, C)>,
    ) -> Result<(Option<P>, Option<C>), ProtocolError> {
        self.open_link(peer).await?;
        let link = self.links.get_mut(&peer).expect("it was just opened");
        let end = End {
            shared: &self.shared,
            peer,
        };
        let stamp = self.clock.next();
        let send = async {
            match outgoing {
                Some((chunks, producer)) => {
                    let sent = end.send_all(&mut *link.outlet, stamp, chunks, producer);
                    sent.await.map(Some)
                }
                None => Ok(None),
            }
        };
        let receive = async {
            match incoming {
                Some((chunks, consumer)) => {
                    let received = end.receive_all(&mut *link.inlet, chunks, consumer);
                    let (consumer, latest) = received.await?;
                    Ok((Some(consumer), latest))
                }
                None => Ok((None, Stamp::default())),
            }
        };
        let (producer, (consumer, latest)) = try_both(send, receive).await?;
        self.clock.raise(latest);
        Ok((producer, consumer))
    }
}

/// The direction that nothing goes.
enum Nothing {}

const NOTHING: Option<(Chunks, Nothing)> = None;

impl Producer for Nothing {
    type Message = crate::wire::MaskedBits;

    fn make(&mut self, _: Range<usize>) -> Result<Self::Message, ProtocolError> {
        match *self {}
    }
}

impl Consumer for Nothing {
    type Message = crate::wire::MaskedBits;

    fn shape(&self, _: usize) -> usize {
        match *self {}
    }

    fn take(&mut self, _: Range<usize>, _: Self::Message) -> Result<(), ProtocolError> {
        match *self {}
    }
}

/// This seat's end of a link.
struct End<'a> {
    shared: &'a Shared,
    peer: Seat,
}

impl End<'_> {
    async fn send_all<P: Producer>(
        &self,
        outlet: &mut dyn Outlet,
        stamp: Stamp,
        chunks: Chunks,
        producer: P,
    ) -> Result<P, ProtocolError> {
        let (mut producer, mut message) = self.make(producer, chunks.range(0)).await?;
        for chunk in 1..chunks.count() {
            let next = self.make(producer, chunks.range(chunk));
            ((), (producer, message)) = try_both(self.send(outlet, stamp, message), next).await?;
        }
        self.send(outlet, stamp, message).await?;
        Ok(producer)
    }

    async fn make<P: Producer>(
        &self,
        mut producer: P,
        items: Range<usize>,
    ) -> Result<(P, P::Message), ProtocolError> {
        let kernel = move || producer.make(items).map(|message| (producer, message));
        self.shared.compute.run(kernel).await
    }

    async fn send<T: Wire>(
        &self,
        outlet: &mut dyn Outlet,
        stamp: Stamp,
        message: T,
    ) -> Result<(), ProtocolError> {
        let body = message.encode();
        let n_bytes = body.len();
        let kind = T::KIND as u16;
        let sent = outlet.send(Frame { stamp, kind, body }).await;
        sent.map_err(|e| ProtocolError::from_link(self.peer, e))?;
        self.shared.meter.sent(self.peer, n_bytes, stamp);
        Ok(())
    }

    /// Returns the latest stamp of what arrived as well.
    async fn receive_all<C: Consumer>(
        &self,
        inlet: &mut dyn Inlet,
        chunks: Chunks,
        mut consumer: C,
    ) -> Result<(C, Stamp), ProtocolError> {
        let mut latest = Stamp::default();
        for chunk in 0..chunks.count() {
            let items = chunks.range(chunk);
            let shape = consumer.shape(items.len());
            let expected = FrameShape {
                kind: C::Message::KIND as u16,
                len: C::Message::wire_len(shape),
            };
            let frame = inlet.recv(expected).await;
            let frame = frame.map_err(|e| ProtocolError::from_link(self.peer, e))?;
            let fits = expected.admit(&frame);
            fits.map_err(|e| ProtocolError::from_wire(self.peer, e))?;
            let meter = &self.shared.meter;
            meter.received(self.peer, frame.body.len(), frame.stamp);
            latest.raise(frame.stamp);
            let message = decode::<C::Message>(self.peer, shape, frame.body)?;
            let kernel = move || consumer.take(items, message).map(|()| consumer);
            consumer = self.shared.compute.run(kernel).await?;
        }
        Ok((consumer, latest))
    }
}
