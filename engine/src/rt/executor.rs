//! The loop of a core: completions, then tasks, then timers, then one enter.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::activity::{Activity, Counted};
use super::busy_poll::{SpinPolicy, SpinWindow};
use super::wheel::{TimerKey, Wheel};
use crate::limits;
use crate::ring::{Owner, Ring, Wait};

/// Names a task; reused after the task has ended, so a wake may be spurious.
pub type TaskId = u32;

struct Task {
    /// Away while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// On the ready list.
    queued: bool,
    /// On the list of those who wait for a buffer.
    starved: bool,
    /// On the list of those who hold buffers.
    holding: bool,
    counted: Counted,
}

struct Core {
    ring: RefCell<Ring>,
    tasks: RefCell<slab::Slab<Task>>,
    ready: RefCell<VecDeque<TaskId>>,
    wheel: RefCell<Wheel>,
    /// Tasks whose receive ended for want of a buffer, first come first served.
    starved: RefCell<VecDeque<TaskId>>,
    /// Tasks that hold buffers because their peer does not read.
    holders: RefCell<Vec<TaskId>>,
    spin: RefCell<SpinWindow>,
    activity: RefCell<Activity>,
    /// Small sends go at once while fewer tasks are at work.
    at_once_tasks: Cell<usize>,
    started: Instant,
    now: Cell<Instant>,
    current: Cell<TaskId>,
    /// No task starts any more.
    joining: Cell<bool>,
}

/// A handle on this core's runtime.
#[derive(Clone)]
pub struct Rt(Rc<Core>);

/// What a runtime holds at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtGauges {
    /// Tasks.
    pub tasks: usize,
    /// Timers.
    pub timers: usize,
    /// Operations in the ring's slab.
    pub operations: usize,
    /// Buffers the kernel may receive into.
    pub buffers_free: u16,
    /// Buffers held by somebody.
    pub leases: u16,
}

impl Rt {
    /// A runtime around `ring`, on the thread that made it.
    #[must_use]
    pub fn new(ring: Ring, spin: SpinPolicy) -> Self {
        let now = Instant::now();
        Self(Rc::new(Core {
            ring: RefCell::new(ring),
            tasks: RefCell::new(slab::Slab::new()),
            ready: RefCell::new(VecDeque::new()),
            wheel: RefCell::new(Wheel::new()),
            starved: RefCell::new(VecDeque::new()),
            holders: RefCell::new(Vec::new()),
            spin: RefCell::new(SpinWindow::new(spin)),
            activity: RefCell::new(Activity::new(now)),
            at_once_tasks: Cell::new(limits::SMALL_SENDS_AT_ONCE_TASKS),
            started: now,
            now: Cell::new(now),
            current: Cell::new(TaskId::MAX),
            joining: Cell::new(false),
        }))
    }

    /// The ring. Never held across a poll.
    ///
    /// # Panics
    /// When the ring is borrowed already: an error of the engine.
    #[must_use]
    pub fn ring(&self) -> RefMut<'_, Ring> {
        self.0.ring.borrow_mut()
    }

    /// Lets small sends go at once while fewer tasks than these are at work.
    pub fn set_at_once_tasks(&self, tasks: usize) {
        self.0.at_once_tasks.set(tasks);
        self.ring().send_small_at_once(tasks > 0);
    }

    /// The time of this turn, read once.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// The running task, as the ring's operations name it.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner(self.0.current.get())
    }

    /// The running task.
    #[must_use]
    pub fn current(&self) -> TaskId {
        self.0.current.get()
    }

    /// Starts a task; it runs for the first time in this turn or the next. At the end of the runtime, when tasks are only
    /// dropped, it is dropped at once.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskId {
        if self.0.joining.get() {
            return TaskId::MAX;
        }
        let task = Task {
            future: Some(Box::pin(future)),
            queued: true,
            starved: false,
            holding: false,
            counted: Counted::default(),
        };
        let id = self.0.tasks.borrow_mut().insert(task) as TaskId;
        self.0.ready.borrow_mut().push_back(id);
        id
    }

    /// Puts a task on the ready list.
    pub fn wake(&self, task: TaskId) {
        if let Some(task_slot) = self.0.tasks.borrow_mut().get_mut(task as usize)
            && !std::mem::replace(&mut task_slot.queued, true)
        {
            self.0.ready.borrow_mut().push_back(task);
        }
    }

    /// Puts every task on the ready list: something that none of them waits for by name has changed.
    pub fn wake_all(&self) {
        for (id, task) in self.0.tasks.borrow_mut().iter_mut() {
            if !std::mem::replace(&mut task.queued, true) {
                self.0.ready.borrow_mut().push_back(id as TaskId);
            }
        }
    }

    /// Lets the other tasks and the ring have a turn.
    pub async fn next_turn(&self) {
        let mut passed = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut passed, true) {
                return Poll::Ready(());
            }
            self.yield_now();
            Poll::Pending
        })
        .await;
    }

    /// Lets the other ready tasks run first.
    pub fn yield_now(&self) {
        self.wake(self.current());
    }

    /// Wakes the running task at `deadline`, rounded up to a millisecond.
    #[must_use]
    pub fn start_timer(&self, deadline: Instant) -> TimerKey {
        let after = deadline.saturating_duration_since(self.0.started);
        let at_ms = u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.0.wheel.borrow_mut().insert(at_ms, self.current())
    }

    /// Forgets a timer.
    pub fn stop_timer(&self, timer: TimerKey) {
        self.0.wheel.borrow_mut().remove(timer);
    }

    /// Wakes the running task when it is its turn for a receive buffer that has come back.
    pub fn wait_for_buffer(&self) {
        if let Some(task) = self.0.tasks.borrow_mut().get_mut(self.current() as usize)
            && !std::mem::replace(&mut task.starved, true)
        {
            self.0.starved.borrow_mut().push_back(self.current());
        }
    }

    /// Whether the running task still waits for its turn.
    #[must_use]
    pub fn waits_for_buffer(&self) -> bool {
        self.0
            .tasks
            .borrow()
            .get(self.current() as usize)
            .is_some_and(|task| task.starved)
    }

    /// Whether receives wait for buffers: whoever holds some should let go of them.
    #[must_use]
    pub fn buffers_wanted(&self) -> bool {
        !self.0.starved.borrow().is_empty()
    }

    /// Wakes the running task when buffers are wanted, because it holds some.
    pub fn hold_buffers(&self) {
        if let Some(task) = self.0.tasks.borrow_mut().get_mut(self.current() as usize)
            && !std::mem::replace(&mut task.holding, true)
        {
            self.0.holders.borrow_mut().push(self.current());
        }
    }

    /// What the runtime holds now.
    #[must_use]
    pub fn gauges(&self) -> RtGauges {
        let ring = self.0.ring.borrow();
        let arena = ring.arena();
        RtGauges {
            tasks: self.0.tasks.borrow().len(),
            timers: self.0.wheel.borrow().len(),
            operations: ring.operations(),
            buffers_free: arena.free(),
            leases: arena.buffers() - arena.free(),
        }
    }

    /// Runs until `main` is done, then drops every other task and waits until the kernel has given everything back.
    ///
    /// # Errors
    /// What io_uring_enter(2) says, when the ring cannot go on.
    pub fn run(&self, main: impl Future<Output = ()> + 'static) -> io::Result<()> {
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        self.spawn(async move {
            main.await;
            flag.set(true);
        });
        let mut woken: Vec<Owner> = Vec::with_capacity(WOKEN_CAPACITY);
        let mut fired = Vec::new();
        loop {
            self.0.now.set(Instant::now());
            for owner in woken.drain(..) {
                self.wake(owner.0);
            }
            self.offer_buffers();
            self.choose_sends();
            self.run_ready();
            if done.get() {
                return self.join();
            }
            self.expire_timers(&mut fired);
            self.enter(&mut woken)?;
        }
    }

    /// Runs every task that is ready now; those that become ready meanwhile wait for the next turn.
    fn run_ready(&self) {
        let count = self.0.ready.borrow().len();
        for _ in 0..count {
            let Some(id) = self.0.ready.borrow_mut().pop_front() else {
                return;
            };
            let future = self
                .0
                .tasks
                .borrow_mut()
                .get_mut(id as usize)
                .and_then(|task| {
                    task.queued = false;
                    self.0.activity.borrow_mut().count(&mut task.counted);
                    task.future.take()
                });
            let Some(mut future) = future else { continue };
            self.0.current.set(id);
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Pending => {
                    if let Some(task) = self.0.tasks.borrow_mut().get_mut(id as usize) {
                        task.future = Some(future);
                    }
                }
                Poll::Ready(()) => {
                    drop(future);
                    self.0.tasks.borrow_mut().remove(id as usize);
                }
            }
        }
    }

    /// While few tasks are at work, a send that goes at once is cheaper; among many, one enter for all sends is.
    fn choose_sends(&self) {
        if let Some(tasks) = self.0.activity.borrow_mut().end_window(self.now()) {
            let at_once = tasks < self.0.at_once_tasks.get();
            self.ring().send_small_at_once(at_once);
        }
    }

    fn expire_timers(&self, fired: &mut Vec<u32>) {
        self.0.wheel.borrow_mut().advance(self.elapsed_ms(), fired);
        for task in fired.drain(..) {
            self.wake(task);
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from((self.now() - self.0.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Wakes as many starved tasks as there are buffers; without any, asks those who hold some.
    fn offer_buffers(&self) {
        if self.0.starved.borrow().is_empty() {
            return;
        }
        let free = usize::from(self.0.ring.borrow().arena().free());
        if free == 0 {
            let holders = std::mem::take(&mut *self.0.holders.borrow_mut());
            for holder in holders {
                self.unlist(holder, |task| task.holding = false);
            }
        }
        for _ in 0..free {
            let Some(starved) = self.0.starved.borrow_mut().pop_front() else {
                return;
            };
            self.unlist(starved, |task| task.starved = false);
        }
    }

    fn unlist(&self, id: TaskId, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.0.tasks.borrow_mut().get_mut(id as usize) {
            change(task);
        }
        self.wake(id);
    }

    /// One enter: without waiting while tasks are ready, else until a completion or the next timer, after a look.
    fn enter(&self, woken: &mut Vec<Owner>) -> io::Result<()> {
        let mut ring = self.0.ring.borrow_mut();
        // Since the starved were last looked at, a buffer may have come back, or somebody may have come to hold one.
        let wanted = self.buffers_wanted();
        let servable = wanted && (ring.arena().free() > 0 || !self.0.holders.borrow().is_empty());
        if servable || !self.0.ready.borrow().is_empty() {
            return ring.turn(Wait::No, woken);
        }
        let wait = match self.0.wheel.borrow().next_ms() {
            None => Wait::Forever,
            Some(at_ms) => {
                let at = self.0.started + Duration::from_millis(at_ms);
                Wait::For(at.saturating_duration_since(self.now()))
            }
        };
        let mut spin = self.0.spin.borrow_mut();
        if spin.off() || wait == Wait::For(Duration::ZERO) {
            return ring.turn(wait, woken);
        }
        let window = match wait {
            Wait::For(time) => spin.window().min(time),
            _ => spin.window(),
        };
        // Submit first; what completes at once needs no look.
        ring.turn(Wait::No, woken)?;
        if !woken.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        if !window.is_zero() && ring.spin(window) {
            return ring.turn(Wait::No, woken);
        }
        ring.turn(wait, woken)?;
        spin.slept(start.elapsed());
        Ok(())
    }

    /// Drops the tasks and waits for their operations, so that the ring can be closed.
    fn join(&self) -> io::Result<()> {
        self.0.joining.set(true);
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
        let deadline = Instant::now() + JOIN_TIMEOUT;
        let mut woken = Vec::new();
        let mut ring = self.0.ring.borrow_mut();
        while ring.operations() > 0 && Instant::now() < deadline {
            ring.turn(Wait::For(Duration::from_millis(10)), &mut woken)?;
            woken.clear();
        }
        Ok(())
    }
}

/// Owners that one turn may wake before their list grows: as many as the ring's own list of completions holds at first.
const WOKEN_CAPACITY: usize = 1024;
/// How long the end of a worker waits for cancelled operations; a SEND_ZC to a dead peer may take longer, and leaks.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use bytes::Bytes;

    use super::super::trial;
    use super::*;
    use crate::ring::{Op, Send, SendData};

    /// Whether a send of one byte is on its way through the ring, after `tasks` have been at work for some windows.
    fn waits_for_the_ring(tasks: usize) -> bool {
        let (near, _far) = UnixStream::pair().expect("two sockets");
        let rt = trial::runtime();
        for _ in 1..tasks {
            let busy = rt.clone();
            rt.spawn(async move {
                loop {
                    busy.next_turn().await;
                }
            });
        }
        let waits = Rc::new(Cell::new(false));
        let (seen, handle) = (Rc::clone(&waits), rt.clone());
        let main = async move {
            let end = handle.now() + 3 * limits::ACTIVITY_WINDOW;
            while handle.now() < end {
                handle.next_turn().await;
            }
            let send = Send {
                socket: near.as_raw_fd(),
                data: SendData::Bytes(Box::new(Bytes::from_static(b"x"))),
                zero_copy: None,
            };
            let key = handle.ring().start(Op::Send(send), handle.owner());
            seen.set(handle.ring().in_flight(key));
            while handle.ring().send_outcome(key, handle.owner()).is_none() {
                handle.next_turn().await;
            }
        };
        rt.run(main).expect("an orderly end");
        waits.get()
    }

    #[test]
    fn small_sends_go_through_the_ring_while_many_tasks_are_at_work() {
        assert!(!waits_for_the_ring(limits::SMALL_SENDS_AT_ONCE_TASKS - 1));
        assert!(waits_for_the_ring(limits::SMALL_SENDS_AT_ONCE_TASKS));
    }
}
