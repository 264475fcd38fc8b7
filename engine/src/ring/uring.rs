//! The ring: submissions in, completions out, once per turn.

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::{IoUring, squeue};

use super::buf::Arena;
use super::feature::{Capabilities, Feature};
use super::key::{Address, Key};
use super::op::{News, Op, cancel, missed};
use super::port::Port;
use super::setup::{self, RingConfig};
use super::slab::{NextSocket, OpSlab, Owner, Received, SendOutcome};

/// How long an enter may wait for a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until one comes.
    Forever,
    /// Until one comes or this much time has passed.
    For(Duration),
}

/// What a ring has counted since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct RingCounters {
    /// io_uring_enter(2) calls.
    pub enters: u64,
    /// Completions taken.
    pub completions: u64,
    /// Turns that found completions parked in the kernel because the queue was full.
    pub overflows: u64,
    /// Completions for operations that are no more.
    pub stale: u64,
    /// Receives that ended because the arena was empty.
    pub no_buffers: u64,
    /// Receives cancelled because their owner was slower than the sender.
    pub pauses: u64,
    /// Cancellations that missed and were repeated.
    pub cancel_retries: u64,
}

#[derive(Clone, Copy)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// One worker's ring, with its operations and its receive buffers. Lives and dies on the worker's thread
/// (IORING_SETUP_SINGLE_ISSUER).
pub struct Ring {
    uring: ManuallyDrop<IoUring>,
    registered_index: Option<u32>,
    enter_flags: u32,
    capabilities: Capabilities,
    slab: ManuallyDrop<OpSlab>,
    arena: ManuallyDrop<Rc<Arena>>,
    arena_registered: bool,
    completions: Vec<Completion>,
    port: Arc<Port>,
    /// What other rings have sent.
    news: VecDeque<News>,
    news_owner: Option<Owner>,
    small_sends_at_once: bool,
    counters: RingCounters,
}

/// A full queue is emptied by the first attempt, or by the second one after completions were taken.
const PUSH_ATTEMPTS_MAX: u32 = 10_000;

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// struct io_uring_getevents_arg (io_uring_enter(2)).
#[repr(C)]
struct GetEventsArgument {
    signal_mask: u64,
    signal_mask_bytes: u32,
    min_wait_us: u32,
    timespec: u64,
}

/// struct __kernel_timespec.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Ring {
    /// Sets up a ring on the calling thread, which must be the one that uses it.
    ///
    /// # Errors
    /// What io_uring_setup(2), io_uring_register(2) or mmap(2) says.
    pub fn new(config: &RingConfig) -> io::Result<Self> {
        let capabilities = config.capabilities;
        let uring = setup::ring(config.completion_entries, capabilities)?;
        let arena = Rc::new(Arena::map(config.buffers, config.buffer_bytes)?);
        setup::provide(&uring, &arena)?;
        setup::limit_workers(&uring)?;
        let registered_index = if capabilities.has(Feature::RingFd) {
            setup::register_descriptor(&uring).ok()
        } else {
            None
        };
        let no_iowait =
            capabilities.has(Feature::NoIowait) && uring.params().is_feature_no_iowait();
        let port = Port::new(uring.as_raw_fd());
        Ok(Self {
            uring: ManuallyDrop::new(uring),
            registered_index,
            enter_flags: if no_iowait { ENTER_NO_IOWAIT } else { 0 },
            capabilities,
            slab: ManuallyDrop::new(OpSlab::new(Rc::clone(&arena))),
            arena: ManuallyDrop::new(arena),
            arena_registered: false,
            completions: Vec::with_capacity(config.completion_entries.min(1024) as usize),
            port,
            news: VecDeque::new(),
            news_owner: None,
            small_sends_at_once: true,
            counters: RingCounters::default(),
        })
    }

    /// What the kernel can.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Where other rings send sockets to.
    #[must_use]
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Takes no more sockets from other rings. Those on their way still come: until the port is not in use any more, and
    /// with the turn after that.
    pub fn close_port(&self) {
        self.port.close();
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> RingCounters {
        self.counters
    }

    /// Operations that the kernel or an owner still knows of.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.slab.len()
    }

    /// SEND_ZC buffers whose notification is due.
    #[must_use]
    pub fn zero_copy_lingering(&self) -> usize {
        self.slab.lingering()
    }

    /// The receive buffers.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Registers the arena for SEND_ZC, once.
    ///
    /// # Errors
    /// ENOMEM when RLIMIT_MEMLOCK is smaller than the arena.
    pub fn register_arena(&mut self) -> io::Result<()> {
        if !self.arena_registered {
            setup::register(&self.uring, &self.arena)?;
            self.arena_registered = true;
        }
        Ok(())
    }

    /// Whether sends that are not large go at once, too.
    pub fn send_small_at_once(&mut self, at_once: bool) {
        self.small_sends_at_once = at_once;
    }

    /// Queues an operation; it starts with the next [`Self::turn`] or [`Self::flush`]. A send that goes at once is over
    /// already.
    pub fn start(&mut self, op: Op, owner: Owner) -> Key {
        let kind = op.kind();
        let op = match op {
            Op::Send(send) if send.goes_at_once(self.small_sends_at_once) => {
                let (result, payload) = send.at_once();
                return self.slab.insert_done(kind, owner, payload, result);
            }
            op => op,
        };
        let (entry, payload) = op.encode();
        let key = self.slab.insert(kind, owner, payload);
        self.push(entry.user_data(key.pack(kind)));
        key
    }

    /// Takes the next of what a receive has, and makes `owner` the one to wake.
    pub fn receive(&mut self, key: Key, owner: Owner) -> Received {
        self.slab.receive(key, owner)
    }

    /// Takes the next connection of an accept, and makes `owner` the one to wake.
    pub fn next_socket(&mut self, key: Key, owner: Owner) -> NextSocket {
        self.slab.next_socket(key, owner)
    }

    /// Takes the outcome of a send; `None` while it is in flight.
    pub fn send_outcome(&mut self, key: Key, owner: Owner) -> Option<SendOutcome> {
        self.slab.send_outcome(key, owner)
    }

    /// Takes the result of a connect, message or poll; `None` while it is in flight.
    pub fn result(&mut self, key: Key, owner: Owner) -> Option<(i32, Option<OwnedFd>)> {
        self.slab.result(key, owner)
    }

    /// The events of a poll that are among `answers`, or none when it is over without them; `None` while it goes on.
    /// The flag says that it is over.
    pub fn poll_events(&mut self, key: Key, owner: Owner, answers: i32) -> Option<(i32, bool)> {
        self.slab.poll_events(key, owner, answers)
    }

    /// The errno that an operation ended with, before its owner has taken it.
    #[must_use]
    pub fn failure(&self, key: Key) -> Option<i32> {
        self.slab.failure(key)
    }

    /// Asks the kernel to end an operation early. Its final completion still comes, and the owner still takes it.
    pub fn cancel(&mut self, key: Key) {
        if let Some(kind) = self.slab.kind_in_flight(key) {
            self.push(cancel(key, kind));
        }
    }

    /// A missed cancellation of an operation that still goes on is repeated: somebody waits for its end.
    fn retry_cancel(&mut self, key: Key) {
        if let Some(kind) = self.slab.kind_with_the_kernel(key) {
            self.counters.cancel_retries += 1;
            self.push(cancel(key, kind));
        }
    }

    /// Nobody will take the outcome of `key`: ends it early if the kernel still has it.
    pub fn abandon(&mut self, key: Key) {
        if let Some(kind) = self.slab.abandon(key) {
            self.push(cancel(key, kind));
        }
    }

    /// Whether the kernel may still complete this operation.
    #[must_use]
    pub fn in_flight(&self, key: Key) -> bool {
        self.slab.kind_in_flight(key).is_some()
    }

    /// Makes `owner` the one to wake when another ring sends something.
    pub fn listen_for_messages(&mut self, owner: Owner) {
        self.news_owner = Some(owner);
    }

    /// Takes what another ring sent.
    pub fn next_message(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn push(&mut self, entry: squeue::Entry) {
        for _ in 0..PUSH_ATTEMPTS_MAX {
            // SAFETY: the slab keeps the memory that the entry points to until the operation's final completion.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: let the kernel have it. When it wants its completions taken first (EBUSY), take them.
            if self.enter(Wait::No).is_err() {
                self.drain();
            }
        }
        panic!(
            "the kernel takes no submissions: {}",
            io::Error::last_os_error()
        );
    }

    /// Submits what is queued, without waiting and without handling completions.
    ///
    /// # Errors
    /// What io_uring_enter(2) says, when it is not a reason to go on.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.uring.submission().is_empty() {
            match self.enter(Wait::No) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => self.drain(),
                result => result?,
            }
        }
        Ok(())
    }

    /// One turn: submits, waits if told to, takes the completions and names the owners to wake.
    ///
    /// # Errors
    /// What io_uring_enter(2) says, when it is not a reason to go on.
    pub fn turn(&mut self, wait: Wait, woken: &mut Vec<Owner>) -> io::Result<()> {
        let idle = wait == Wait::No && self.uring.submission().is_empty() && !self.work_pending();
        if !idle && self.completions.is_empty() {
            match self.enter(wait) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                result => result?,
            }
        }
        self.drain();
        self.dispatch(woken);
        Ok(())
    }

    /// Whether the kernel has completions, or work that will become completions, for the next enter.
    #[must_use]
    pub fn ready(&mut self) -> bool {
        !self.completions.is_empty() || self.work_pending() || !self.uring.completion().is_empty()
    }

    fn work_pending(&mut self) -> bool {
        let submission = self.uring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Looks at the queue in shared memory for up to `window`, without a system call. Says whether something came.
    #[must_use]
    pub fn spin(&mut self, window: Duration) -> bool {
        const LOOKS_PER_CLOCK_READING: u32 = 8;
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS_PER_CLOCK_READING {
                if self.ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= window {
                return false;
            }
        }
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.counters.enters += 1;
        let to_submit = self.uring.submission().len();
        let mut flags = ENTER_GETEVENTS | self.enter_flags;
        let timespec;
        let mut argument = GetEventsArgument {
            signal_mask: 0,
            signal_mask_bytes: 0,
            min_wait_us: 0,
            timespec: 0,
        };
        if let Wait::For(duration) = wait {
            timespec = KernelTimespec {
                seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: i64::from(duration.subsec_nanos()),
            };
            argument.timespec = (&raw const timespec) as u64;
            flags |= ENTER_EXT_ARG;
        }
        let (argument, argument_bytes) = match wait {
            Wait::For(_) => (&raw const argument, size_of::<GetEventsArgument>()),
            _ => (std::ptr::null(), 0),
        };
        let descriptor = match self.registered_index {
            Some(index) => {
                flags |= ENTER_REGISTERED_RING;
                index as libc::c_int
            }
            None => self.uring.as_raw_fd(),
        };
        // SAFETY: `to_submit` entries are queued, each with memory that the slab keeps; the argument and the timespec
        // are on this stack frame until the call returns.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                descriptor,
                to_submit as libc::c_uint,
                libc::c_uint::from(wait != Wait::No),
                flags,
                argument,
                argument_bytes,
            )
        };
        if entered >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A signal, the end of the wait, or a moment without memory: the next turn goes on.
            Some(libc::EINTR | libc::ETIME | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        }
    }

    /// Moves the completions out of the shared queue; nothing is handled yet.
    fn drain(&mut self) {
        if self.uring.submission().cq_overflow() {
            self.counters.overflows += 1;
        }
        let taken = self.uring.completion().map(|entry| Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        });
        self.completions.extend(taken);
    }

    fn dispatch(&mut self, woken: &mut Vec<Owner>) {
        self.counters.completions += self.completions.len() as u64;
        let mut list = std::mem::take(&mut self.completions);
        for completion in list.drain(..) {
            let (key, kind) = match Address::unpack(completion.user_data) {
                Address::Slot(key, kind) => (key, kind),
                Address::Cancellation(key) => {
                    if missed(completion.result) {
                        self.retry_cancel(key);
                    }
                    continue;
                }
                Address::News(subject, slip) => {
                    // SAFETY: the sender gave the descriptor away when its message succeeded.
                    let owned = |descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) };
                    self.news
                        .push_back(News::arrived(subject, slip, completion.result, owned));
                    woken.extend(self.news_owner);
                    continue;
                }
                Address::Unknown(_) => {
                    self.counters.stale += 1;
                    continue;
                }
            };
            let effects = self
                .slab
                .complete(key, kind, completion.result, completion.flags);
            self.counters.stale += u64::from(effects.stale);
            self.counters.no_buffers += u64::from(effects.no_buffers);
            woken.extend(effects.wake);
            if let Some(key) = effects.pause {
                self.counters.pauses += 1;
                self.push(cancel(key, kind));
            }
        }
        // `push` may have taken more completions while it made room.
        if self.completions.is_empty() {
            self.completions = list;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A ring that ends in an error may have its port open.
        self.port.close();
        // The kernel ends a closed ring in the background. Memory that it may still write to or read from then must
        // outlive the process's interest in it, so it is leaked: this happens when a worker ends in an error, or when the
        // end of an operation took too long.
        let joined = self.slab.len() == 0;
        // SAFETY: each field is dropped at most once, here, and not used again; the ring goes before its memory.
        unsafe {
            ManuallyDrop::drop(&mut self.uring);
            if joined {
                ManuallyDrop::drop(&mut self.slab);
                ManuallyDrop::drop(&mut self.arena);
            }
        }
    }
}
