//! The op slab: one slot per operation the kernel knows of, with the memory it may touch.
//!
//! A slot is in flight, done (its owner has yet to take the outcome), or abandoned (nobody will take it). Memory has one
//! release point: the final completion, which is the one without MORE, and for SEND_ZC the notification. The rules here
//! need no kernel; `uring.rs` feeds them. See `kernel-notes/op-lifetime.md`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;

use bytes::Bytes;
use io_uring::cqueue;

use super::buf::{Arena, Lease, Scratch};
use super::key::{INDEX_MAX, Key};
use super::op::{Kind, RecvEnd, SendData};
use super::port::Passage;
use super::sys::SocketAddress;
use crate::limits;

/// Who is woken by a completion: a task of this core's executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub u32);

/// What an operation keeps alive for the kernel.
pub(super) enum Payload {
    None,
    /// Read by the kernel only.
    Address(#[expect(dead_code)] Box<SocketAddress>),
    /// The socket that the message hands over, if it is about one.
    Message(Option<OwnedFd>, #[expect(dead_code)] Passage),
    Lease(Lease, Option<Rc<Cell<u32>>>),
    Bytes(Box<Bytes>),
    Scratch(Scratch),
    Accepted(VecDeque<OwnedFd>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Done,
    Abandoned,
}

struct Slot {
    generation: u32,
    owner: Owner,
    result: i32,
    inbox: Inbox,
    kind: Kind,
    state: State,
    /// A cancellation was queued because the inbox is full.
    paused: bool,
    /// A SEND_ZC whose notification is due.
    lingers: bool,
    payload: Payload,
}

/// Received buffers, first to last, linked through the arena.
#[derive(Debug, Clone, Copy, Default)]
struct Inbox {
    head: u16,
    tail: u16,
    count: u16,
}

/// What a receive has for its owner.
#[derive(Debug)]
pub enum Received {
    /// Bytes, in order.
    Bytes(Lease),
    /// Nothing yet.
    Waiting,
    /// Everything was taken and no more comes; the key is spent.
    Ended(RecvEnd),
}

/// What an accept has for its owner.
#[derive(Debug)]
pub enum NextSocket {
    /// A connection.
    Socket(OwnedFd),
    /// None yet.
    Waiting,
    /// The accept is over with this errno (0 when it only has to be started again); the key is spent.
    Ended(i32),
}

/// How a send went.
#[derive(Debug)]
pub struct SendOutcome {
    /// Bytes sent, or the errno.
    pub result: Result<u32, i32>,
    /// What was to be sent, whole.
    pub data: SendData,
}

/// What a completion asks of the ring.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) wake: Option<Owner>,
    /// The inbox is full: cancel this receive.
    pub(super) pause: Option<Key>,
    pub(super) stale: bool,
    pub(super) no_buffers: bool,
}

/// The slots.
pub(super) struct OpSlab {
    slots: slab::Slab<Slot>,
    arena: Rc<Arena>,
    generation: u32,
    lingering: usize,
}

impl OpSlab {
    pub(super) fn new(arena: Rc<Arena>) -> Self {
        Self {
            slots: slab::Slab::new(),
            arena,
            generation: 0,
            lingering: 0,
        }
    }

    /// Operations that the kernel or an owner still knows of.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// SEND_ZC buffers whose notification is due.
    pub(super) fn lingering(&self) -> usize {
        self.lingering
    }

    pub(super) fn insert(&mut self, kind: Kind, owner: Owner, payload: Payload) -> Key {
        self.insert_in(State::InFlight, kind, owner, payload, 0)
    }

    /// An operation that never went to the kernel's queue; its owner has yet to take the outcome.
    pub(super) fn insert_done(
        &mut self,
        kind: Kind,
        owner: Owner,
        payload: Payload,
        result: i32,
    ) -> Key {
        self.insert_in(State::Done, kind, owner, payload, result)
    }

    fn insert_in(
        &mut self,
        state: State,
        kind: Kind,
        owner: Owner,
        payload: Payload,
        result: i32,
    ) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot {
            generation: self.generation,
            owner,
            result,
            inbox: Inbox::default(),
            kind,
            state,
            paused: false,
            lingers: false,
            payload,
        };
        let index = self.slots.insert(slot);
        assert!(
            index <= INDEX_MAX as usize,
            "more operations in flight than user_data can name"
        );
        Key {
            index: index as u32,
            generation: self.generation,
        }
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
    }

    /// The owner's side asks only for keys it holds; a spent one is an error of the engine.
    fn owned(&mut self, key: Key) -> &mut Slot {
        self.slot(key)
            .expect("a key is used after its operation was taken")
    }

    /// Feeds one completion in.
    pub(super) fn complete(&mut self, key: Key, kind: Kind, result: i32, flags: u32) -> Effects {
        let Some(slot) = self.slot(key).filter(|slot| slot.kind == kind) else {
            self.return_stray_buffer(flags);
            return Effects {
                stale: true,
                ..Effects::default()
            };
        };
        let more = cqueue::more(flags);
        let mut effects = Effects {
            wake: Some(slot.owner),
            ..Effects::default()
        };
        if slot.state == State::Abandoned {
            effects.wake = None;
        }
        match kind {
            Kind::Recv => self.complete_recv(key, result, flags, &mut effects),
            Kind::Accept => {
                if result >= 0 {
                    // SAFETY: a completion of accept carries a new descriptor that nobody else owns.
                    let socket = unsafe { OwnedFd::from_raw_fd(result) };
                    if let (State::InFlight, Payload::Accepted(queue)) =
                        (slot.state, &mut slot.payload)
                    {
                        queue.push_back(socket);
                    }
                }
                if !more {
                    self.finish(key, result.min(0));
                }
            }
            Kind::Send => self.complete_send(key, result, flags, &mut effects),
            Kind::Message => {
                if result >= 0
                    && let Payload::Message(Some(socket), _) =
                        std::mem::replace(&mut slot.payload, Payload::None)
                {
                    // The other ring owns it now.
                    let _ = socket.into_raw_fd();
                }
                self.finish(key, result);
            }
            Kind::Poll if more => slot.result |= result,
            Kind::Connect | Kind::Poll => self.finish(key, result),
            Kind::Cancel => {}
        }
        effects
    }

    fn return_stray_buffer(&self, flags: u32) {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            self.arena.taken(buffer);
            self.arena.release(buffer);
        }
    }

    fn complete_recv(&mut self, key: Key, result: i32, flags: u32, effects: &mut Effects) {
        let arena = Rc::clone(&self.arena);
        let slot = self.owned(key);
        if let Some(buffer) = cqueue::buffer_select(flags) {
            arena.taken(buffer);
            if result > 0 && slot.state == State::InFlight {
                slot.inbox.push(&arena, buffer, result as u32);
            } else {
                arena.release(buffer);
            }
        }
        if !cqueue::more(flags) {
            effects.no_buffers = result == -libc::ENOBUFS;
            self.finish(key, result);
        } else if slot.inbox.count >= limits::INBOX_BUFFERS_MAX && !slot.paused {
            slot.paused = true;
            effects.pause = Some(key);
        }
    }

    fn complete_send(&mut self, key: Key, result: i32, flags: u32, effects: &mut Effects) {
        let slot = self.owned(key);
        if cqueue::notif(flags) {
            effects.wake = None;
            slot.lingers = false;
            let copied = result as u32 & ZERO_COPY_COPIED != 0;
            if let (true, Payload::Lease(_, Some(count))) = (copied, &slot.payload) {
                count.set(count.get().saturating_add(1));
            }
            if slot.state == State::Abandoned {
                self.slots.remove(key.index as usize);
            }
            self.lingering -= 1;
            return;
        }
        if cqueue::more(flags) {
            slot.lingers = true;
            slot.result = result;
            if slot.state == State::InFlight {
                slot.state = State::Done;
            }
            self.lingering += 1;
        } else {
            self.finish(key, result);
        }
    }

    /// The final completion: the kernel is done with the slot's memory.
    fn finish(&mut self, key: Key, result: i32) {
        let slot = self.owned(key);
        slot.result = result;
        if slot.state == State::Abandoned {
            self.slots.remove(key.index as usize);
        } else {
            slot.state = State::Done;
        }
    }

    /// Takes the next of what a receive has. The caller owns the operation from now on.
    pub(super) fn receive(&mut self, key: Key, owner: Owner) -> Received {
        let arena = Rc::clone(&self.arena);
        let slot = self.owned(key);
        slot.owner = owner;
        if let Some((buffer, bytes)) = slot.inbox.pop(&arena) {
            return Received::Bytes(Lease::new(arena, buffer, bytes));
        }
        if slot.state == State::InFlight {
            return Received::Waiting;
        }
        let end = RecvEnd::of(slot.result, slot.paused);
        self.slots.remove(key.index as usize);
        Received::Ended(end)
    }

    pub(super) fn next_socket(&mut self, key: Key, owner: Owner) -> NextSocket {
        let slot = self.owned(key);
        slot.owner = owner;
        if let Payload::Accepted(queue) = &mut slot.payload
            && let Some(socket) = queue.pop_front()
        {
            return NextSocket::Socket(socket);
        }
        if slot.state == State::InFlight {
            return NextSocket::Waiting;
        }
        let errno = -slot.result;
        self.slots.remove(key.index as usize);
        NextSocket::Ended(errno)
    }

    /// Takes the outcome of a send; `None` while it is in flight.
    pub(super) fn send_outcome(&mut self, key: Key, owner: Owner) -> Option<SendOutcome> {
        let slot = self.owned(key);
        slot.owner = owner;
        if slot.state == State::InFlight {
            return None;
        }
        let result = u32::try_from(slot.result).map_err(|_| -slot.result);
        if slot.lingers {
            let Payload::Lease(lease, _) = &slot.payload else {
                unreachable!("only arena bytes are sent zero-copy")
            };
            let data = SendData::Lease(lease.clone());
            slot.state = State::Abandoned;
            return Some(SendOutcome { result, data });
        }
        let data = match self.slots.remove(key.index as usize).payload {
            Payload::Lease(lease, _) => SendData::Lease(lease),
            Payload::Bytes(bytes) => SendData::Bytes(bytes),
            Payload::Scratch(scratch) => SendData::Scratch(scratch),
            _ => unreachable!("a send keeps its bytes"),
        };
        Some(SendOutcome { result, data })
    }

    /// Takes the result of a connect, message or poll, with the socket that a failed message leaves; `None` in flight.
    pub(super) fn result(&mut self, key: Key, owner: Owner) -> Option<(i32, Option<OwnedFd>)> {
        let slot = self.owned(key);
        slot.owner = owner;
        if slot.state == State::InFlight {
            return None;
        }
        let slot = self.slots.remove(key.index as usize);
        let socket = if let Payload::Message(socket, _) = slot.payload {
            socket
        } else {
            None
        };
        Some((slot.result, socket))
    }

    /// Takes the events of a poll that are among `answers`, or none when it is over without them; `None` while it goes
    /// on. The flag says that it is over, and the key spent.
    pub(super) fn poll_events(
        &mut self,
        key: Key,
        owner: Owner,
        answers: i32,
    ) -> Option<(i32, bool)> {
        let slot = self.owned(key);
        slot.owner = owner;
        let events = std::mem::take(&mut slot.result);
        // A poll that failed is answered by whatever is tried next on its descriptor.
        let events = if events < 0 {
            answers
        } else {
            events & answers
        };
        if slot.state == State::InFlight {
            return (events != 0).then_some((events, false));
        }
        self.slots.remove(key.index as usize);
        Some((events, true))
    }

    /// The errno that an operation ended with, before its owner has taken it: ENOBUFS and ECANCELED are none.
    pub(super) fn failure(&self, key: Key) -> Option<i32> {
        let slot = self.slots.get(key.index as usize)?;
        let over = slot.generation == key.generation && slot.state == State::Done;
        let errno = -slot.result;
        let harmless = matches!(
            errno,
            libc::ENOBUFS | libc::ECANCELED | libc::EAGAIN | libc::EINTR
        );
        (over && errno > 0 && !harmless).then_some(errno)
    }

    /// The kind of an operation that the kernel may still complete (a lingering notification aside).
    pub(super) fn kind_in_flight(&self, key: Key) -> Option<Kind> {
        let slot = self
            .slots
            .get(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        (slot.state == State::InFlight).then_some(slot.kind)
    }

    /// The kind of an operation that the kernel still works on, abandoned or not. A SEND_ZC that waits for its
    /// notification cannot be cancelled any more.
    pub(super) fn kind_with_the_kernel(&self, key: Key) -> Option<Kind> {
        let slot = self.slots.get(key.index as usize)?;
        let at_work =
            slot.generation == key.generation && slot.state != State::Done && !slot.lingers;
        at_work.then_some(slot.kind)
    }

    /// Nobody will take the outcome. Says which kind to cancel when the kernel still has it.
    pub(super) fn abandon(&mut self, key: Key) -> Option<Kind> {
        let arena = Rc::clone(&self.arena);
        let slot = self.slot(key)?;
        while let Some((buffer, _)) = slot.inbox.pop(&arena) {
            arena.release(buffer);
        }
        if let Payload::Accepted(queue) = &mut slot.payload {
            queue.clear();
        }
        let in_flight = slot.state == State::InFlight;
        let kind = slot.kind;
        if in_flight || slot.lingers {
            slot.state = State::Abandoned;
        } else {
            self.slots.remove(key.index as usize);
        }
        in_flight.then_some(kind)
    }
}

/// IORING_NOTIF_USAGE_ZC_COPIED.
const ZERO_COPY_COPIED: u32 = 1 << 31;

impl Inbox {
    fn push(&mut self, arena: &Arena, buffer: u16, bytes: u32) {
        arena.set_queued(buffer, 0, bytes);
        if self.count == 0 {
            self.head = buffer;
        } else {
            let (_, tail_bytes) = arena.queued(self.tail);
            arena.set_queued(self.tail, buffer, tail_bytes);
        }
        self.tail = buffer;
        self.count += 1;
    }

    fn pop(&mut self, arena: &Arena) -> Option<(u16, u32)> {
        self.count = self.count.checked_sub(1)?;
        let buffer = self.head;
        let (behind, bytes) = arena.queued(buffer);
        self.head = behind;
        Some((buffer, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: u32 = 1 << 1;
    const NOTIFICATION: u32 = 1 << 3;
    const ME: Owner = Owner(7);

    fn buffer(id: u32) -> u32 {
        1 | id << 16
    }

    fn slab(buffers: u16) -> (OpSlab, Rc<Arena>) {
        let arena = Rc::new(Arena::map(buffers, 512).expect("a small mapping"));
        (OpSlab::new(Rc::clone(&arena)), arena)
    }

    #[test]
    fn a_send_that_was_over_at_once_has_its_outcome() {
        let (mut slab, _arena) = slab(4);
        for (result, expected) in [(5, Ok(5)), (-libc::EAGAIN, Err(libc::EAGAIN))] {
            let bytes = Box::new(Bytes::from_static(b"bytes"));
            let key = slab.insert_done(Kind::Send, ME, Payload::Bytes(bytes), result);
            assert!(slab.kind_in_flight(key).is_none());
            let outcome = slab.send_outcome(key, ME).expect("over");
            assert_eq!(outcome.result, expected);
            assert_eq!(outcome.data.as_slice(), b"bytes");
        }
        let bytes = Box::new(Bytes::from_static(b"bytes"));
        let key = slab.insert_done(Kind::Send, ME, Payload::Bytes(bytes), -libc::EPIPE);
        assert_eq!(slab.failure(key), Some(libc::EPIPE));
        assert!(slab.abandon(key).is_none());
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn received_bytes_come_in_order_before_the_end() {
        let (mut slab, arena) = slab(4);
        let key = slab.insert(Kind::Recv, ME, Payload::None);
        assert_eq!(
            slab.complete(key, Kind::Recv, 10, buffer(2) | MORE).wake,
            Some(ME)
        );
        slab.complete(key, Kind::Recv, 20, buffer(0) | MORE);
        slab.complete(key, Kind::Recv, 0, 0);
        for expected in [10, 20] {
            let Received::Bytes(lease) = slab.receive(key, ME) else {
                panic!("bytes are due")
            };
            assert_eq!(lease.bytes(), expected);
        }
        assert!(matches!(
            slab.receive(key, ME),
            Received::Ended(RecvEnd::Fin)
        ));
        assert_eq!((slab.len(), arena.free()), (0, 4));
    }

    #[test]
    fn a_full_inbox_pauses_once_and_starts_again() {
        let (mut slab, _arena) = slab(16);
        let key = slab.insert(Kind::Recv, ME, Payload::None);
        let pauses = (0..12)
            .filter(|&id| {
                slab.complete(key, Kind::Recv, 1, buffer(id) | MORE)
                    .pause
                    .is_some()
            })
            .count();
        assert_eq!(pauses, 1);
        slab.complete(key, Kind::Recv, -libc::ECANCELED, 0);
        while let Received::Bytes(_) = slab.receive(key, ME) {}
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn an_abandoned_receive_keeps_its_slot_until_its_final_completion() {
        let (mut slab, arena) = slab(2);
        let key = slab.insert(Kind::Recv, ME, Payload::None);
        slab.complete(key, Kind::Recv, 5, buffer(0) | MORE);
        assert_eq!(slab.abandon(key), Some(Kind::Recv));
        assert_eq!(arena.free(), 2);
        assert_eq!(
            slab.complete(key, Kind::Recv, 5, buffer(1) | MORE).wake,
            None
        );
        assert_eq!((slab.len(), arena.free()), (1, 2));
        slab.complete(key, Kind::Recv, -libc::ECANCELED, 0);
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn a_stale_completion_only_returns_its_buffer() {
        let (mut slab, arena) = slab(2);
        let old = slab.insert(Kind::Recv, ME, Payload::None);
        slab.complete(old, Kind::Recv, 0, 0);
        assert!(matches!(
            slab.receive(old, ME),
            Received::Ended(RecvEnd::Fin)
        ));
        let new = slab.insert(Kind::Recv, ME, Payload::None);
        assert_eq!(new.index, old.index);
        let effects = slab.complete(old, Kind::Recv, 9, buffer(1) | MORE);
        assert!(effects.stale && effects.wake.is_none());
        assert!(matches!(slab.receive(new, ME), Received::Waiting));
        assert_eq!(arena.free(), 2);
    }

    #[test]
    fn a_look_out_for_failures_takes_fin_for_none() {
        let (mut slab, _arena) = slab(1);
        let error = i32::from(libc::POLLERR);
        let key = slab.insert(Kind::Poll, ME, Payload::None);
        slab.complete(key, Kind::Poll, i32::from(libc::POLLRDHUP), MORE);
        assert_eq!(slab.poll_events(key, ME, error), None);
        slab.complete(key, Kind::Poll, i32::from(libc::POLLRDHUP) | error, MORE);
        assert_eq!(slab.poll_events(key, ME, error), Some((error, false)));
        slab.complete(key, Kind::Poll, i32::from(libc::POLLRDHUP), 0);
        assert_eq!(slab.poll_events(key, ME, error), Some((0, true)));
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn a_failure_shows_before_it_is_taken() {
        let (mut slab, _arena) = slab(1);
        for (result, failure) in [
            (-libc::ECONNRESET, Some(libc::ECONNRESET)),
            (-libc::ENOBUFS, None),
            (0, None),
        ] {
            let key = slab.insert(Kind::Recv, ME, Payload::None);
            assert_eq!(slab.failure(key), None);
            slab.complete(key, Kind::Recv, result, 0);
            assert_eq!(slab.failure(key), failure);
            assert!(matches!(slab.receive(key, ME), Received::Ended(_)));
        }
    }

    #[test]
    fn a_zero_copy_send_holds_its_buffer_until_the_notification() {
        let (mut slab, arena) = slab(1);
        arena.taken(0);
        let copied = Rc::new(Cell::new(0));
        let lease = Lease::new(Rc::clone(&arena), 0, 100);
        let key = slab.insert(
            Kind::Send,
            ME,
            Payload::Lease(lease, Some(Rc::clone(&copied))),
        );
        slab.complete(key, Kind::Send, 60, MORE);
        let outcome = slab.send_outcome(key, ME).expect("the result is there");
        assert_eq!(outcome.result, Ok(60));
        drop(outcome);
        assert_eq!((slab.len(), slab.lingering(), arena.free()), (1, 1, 0));
        assert_eq!(
            slab.complete(key, Kind::Send, ZERO_COPY_COPIED as i32, NOTIFICATION)
                .wake,
            None
        );
        assert_eq!(
            (slab.len(), slab.lingering(), arena.free(), copied.get()),
            (0, 0, 1, 1)
        );
    }

    #[test]
    fn a_notification_before_the_outcome_is_taken_releases_nothing_twice() {
        let (mut slab, arena) = slab(1);
        arena.taken(0);
        let lease = Lease::new(Rc::clone(&arena), 0, 100);
        let key = slab.insert(Kind::Send, ME, Payload::Lease(lease, None));
        slab.complete(key, Kind::Send, 100, MORE);
        slab.complete(key, Kind::Send, 0, NOTIFICATION);
        assert_eq!(
            slab.send_outcome(key, ME)
                .expect("the result is there")
                .result,
            Ok(100)
        );
        assert_eq!((slab.len(), slab.lingering(), arena.free()), (0, 0, 1));
    }
}
