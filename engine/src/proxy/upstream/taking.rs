//! Taking an idle connection from another worker, when this one has none: a look at the board, a question to one worker
//! that seems to have what is wanted, its answer. Nobody waits long: a worker that does not answer at once is not asked
//! again before it has, and what it then answers is kept here like any other idle connection.
//!
//! Called by `forward` with a request that found nothing in the pool, and by `server` with what other workers ask and
//! answer. `kernel-notes/decisions/0012-idle-connections-are-taken.md` says why it is so.

use std::cell::RefCell;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::UpstreamPool;
use super::board::{Board, Mark, OwnRow, Slip};
use crate::limits;
use crate::net::TcpStream;
use crate::rt::{Operation, Post, Rt, TaskId};

/// What a worker knows of the others.
pub(super) struct Others {
    post: Post,
    pub(super) row: OwnRow,
    /// By slip.
    questions: RefCell<[Question; limits::UPSTREAM_QUESTIONS_MAX]>,
    /// By word of the board: hosts that share one share this as well.
    allowances: RefCell<Box<[Allowance]>>,
}

/// This worker's side of a slip of its own.
#[derive(Default)]
struct Question {
    /// The worker that was asked.
    asked: u16,
    /// Who waits for the answer, as long as somebody does.
    waits: Option<TaskId>,
    /// What has come for it.
    answer: Option<TcpStream>,
}

/// Questions within a second.
#[derive(Clone, Copy)]
struct Allowance {
    since: Instant,
    used: u8,
}

/// Waiting for an answer. Dropped early, what comes later goes to the pool.
pub(in crate::proxy) struct Enquiry {
    pool: Rc<UpstreamPool>,
    slip: u16,
}

impl Others {
    pub(super) fn new(rt: &Rt, board: Arc<Board>, post: Post) -> Self {
        let unused = Allowance {
            since: rt.now(),
            used: 0,
        };
        Self {
            row: OwnRow::new(board, post.own()),
            post,
            questions: RefCell::default(),
            allowances: RefCell::new(vec![unused; limits::UPSTREAM_BOARD_WORDS].into()),
        }
    }

    /// A slip of this worker.
    fn slip(&self, slip: u16) -> Option<&Slip> {
        self.row.board().slip(self.post.own(), slip)
    }

    /// The worker to ask for what `mark` stands for: one that shows it and owes no answer.
    fn holder(&self, mark: Mark) -> Option<u16> {
        let mut holders = self.row.board().holders(self.post.own(), mark);
        holders.find(|&holder| {
            let questions = self.questions.borrow();
            let mut slips = (0..).zip(questions.iter());
            !slips.any(|(slip, question)| {
                question.asked == holder
                    && question.waits.is_none()
                    && self.slip(slip).is_some_and(Slip::is_open)
            })
        })
    }

    /// A slip that nobody waits with and no answer is due on.
    fn free_slip(&self) -> Option<(u16, &Slip)> {
        let questions = self.questions.borrow();
        (0..)
            .zip(questions.iter())
            .filter(|(_, question)| question.waits.is_none())
            .find_map(|(number, _)| {
                let slip = self.slip(number).filter(|slip| !slip.is_open())?;
                Some((number, slip))
            })
    }

    /// Whether there may be one more question about what `mark` stands for.
    fn allow(&self, mark: Mark, now: Instant) -> bool {
        let mut allowances = self.allowances.borrow_mut();
        let Some(allowance) = allowances.get_mut(mark.word) else {
            return false;
        };
        if now.saturating_duration_since(allowance.since) >= Duration::from_secs(1) {
            *allowance = Allowance {
                since: now,
                used: 0,
            };
        }
        let allowed = allowance.used < limits::UPSTREAM_QUESTIONS_PER_SECOND_MAX;
        allowance.used += u8::from(allowed);
        allowed
    }

    fn question<T>(&self, slip: u16, change: impl FnOnce(&mut Question) -> T) -> Option<T> {
        let mut questions = self.questions.borrow_mut();
        questions.get_mut(usize::from(slip)).map(change)
    }
}

impl UpstreamPool {
    /// Asks another worker for a connection to `key`, if one seems to have some.
    pub(in crate::proxy) fn ask(self: &Rc<Self>, key: &[u8]) -> Option<Enquiry> {
        // Who takes nothing any more gets no answer either.
        let others = self.others.as_ref().filter(|_| !self.is_closed())?;
        let mark = others.row.board().mark(key);
        let holder = others.holder(mark)?;
        let (number, slip) = others.free_slip()?;
        if !others.allow(mark, self.rt.now()) || !slip.write(key) {
            return None;
        }
        let Some(message) = others.post.ask(holder, number) else {
            slip.close();
            return None;
        };
        others.question(number, |question| {
            question.asked = holder;
            question.waits = Some(self.rt.current());
        });
        self.counters.asked.add(1);
        self.rt.spawn(Rc::clone(self).deliver(message, number));
        Some(Enquiry {
            pool: Rc::clone(self),
            slip: number,
        })
    }

    /// Sees to it that a question which does not get there is over.
    async fn deliver(self: Rc<Self>, message: Operation, slip: u16) {
        let (result, _) = message.await;
        if result < 0 {
            self.answered_with(slip, None);
        }
    }

    /// What another worker has answered.
    pub fn answered(self: &Rc<Self>, slip: u16, socket: Option<OwnedFd>) {
        let stream = socket.map(|socket| TcpStream::new(&self.rt, socket));
        self.counters.taken.add(u64::from(stream.is_some()));
        self.answered_with(slip, stream);
    }

    fn answered_with(self: &Rc<Self>, number: u16, stream: Option<TcpStream>) {
        let Some(others) = &self.others else { return };
        let Some(slip) = others.slip(number) else {
            return;
        };
        let key = slip.read();
        slip.close();
        let late = others.question(number, |question| match question.waits {
            Some(task) => {
                question.answer = stream;
                self.rt.wake(task);
                None
            }
            None => stream,
        });
        if let (Some(key), Some(stream)) = (key, late.flatten()) {
            self.put(&key, stream);
        }
    }

    /// Answers what `asker` asks for on its slip: with the connection that was used last, if there is one alive.
    pub fn answer(self: &Rc<Self>, asker: u16, slip: u16) {
        let Some(others) = &self.others else { return };
        let Some(key) = others.row.board().slip(asker, slip).and_then(Slip::read) else {
            return;
        };
        // Without a descriptor to spare for a moment the connection is closed, which spares one.
        let stream = self.take(&key);
        let socket = stream.and_then(|stream| stream.into_socket().ok());
        match others.post.answer(asker, slip, socket) {
            Ok(message) => drop(
                self.rt
                    .spawn(Rc::clone(self).hand_over(message, asker, slip)),
            ),
            Err(socket) => self.unanswered(asker, slip, socket),
        }
    }

    async fn hand_over(self: Rc<Self>, message: Operation, asker: u16, slip: u16) {
        match message.await {
            (result, None) if result >= 0 => {}
            (_, socket) => self.unanswered(asker, slip, socket),
        }
    }

    /// The answer did not get there: keeps the connection, and lets the asker have its slip back.
    fn unanswered(self: &Rc<Self>, asker: u16, slip: u16, socket: Option<OwnedFd>) {
        let Some(others) = &self.others else { return };
        let Some(slip) = others.row.board().slip(asker, slip) else {
            return;
        };
        if let (Some(key), Some(socket)) = (slip.read(), socket) {
            self.put(&key, TcpStream::new(&self.rt, socket));
        }
        slip.close();
    }
}

impl Enquiry {
    /// The connection, if the other worker has one and says so in time.
    pub(in crate::proxy) async fn connection(self) -> Option<TcpStream> {
        let rt = &self.pool.rt;
        let deadline = rt.now() + limits::UPSTREAM_QUESTION_TIME_MAX;
        let answer = rt.timeout_at(deadline, poll_fn(|_| self.poll())).await;
        answer.ok().flatten()
    }

    fn poll(&self) -> Poll<Option<TcpStream>> {
        let Some(others) = &self.pool.others else {
            return Poll::Ready(None);
        };
        if others.slip(self.slip).is_some_and(Slip::is_open) {
            return Poll::Pending;
        }
        let answer = others.question(self.slip, |question| question.answer.take());
        Poll::Ready(answer.flatten())
    }
}

impl Drop for Enquiry {
    fn drop(&mut self) {
        if let Some(others) = &self.pool.others {
            others.question(self.slip, |question| {
                question.waits = None;
                question.answer = None;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::Future;
    use std::io::Read;
    use std::net;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::proxy::Counters;
    use crate::rt::{News, trial};

    const KEY: &[u8] = b"\x01origin.example:80";

    /// Two workers of three on one ring, whose news the test takes and gives to whom they are for, when it wants to.
    struct Pair {
        rt: Rt,
        asker: Rc<UpstreamPool>,
        asked: Rc<UpstreamPool>,
        board: Arc<Board>,
        listener: net::TcpListener,
    }

    /// The way that leads to no ring.
    #[derive(PartialEq, Eq)]
    enum Broken {
        Neither,
        ToAsker,
        ToAsked,
    }

    impl Pair {
        fn new(rt: &Rt, broken: &Broken) -> Self {
            let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            let no_ring = listener.as_raw_fd();
            let way = |way: Broken| (*broken == way).then_some(no_ring);
            let ways = [way(Broken::ToAsker), way(Broken::ToAsked), None];
            let board = Board::new(3);
            let [asker, asked] = [0, 1].map(|own| {
                let post = trial::post(rt, own, ways);
                let others = Some((Arc::clone(&board), post));
                UpstreamPool::new(rt, Arc::<Counters>::default(), others)
            });
            Self {
                rt: rt.clone(),
                asker,
                asked,
                board,
                listener,
            }
        }

        /// Puts a connection into the pool of the worker that is asked, and gives its other end.
        fn put(&self, key: &[u8]) -> net::TcpStream {
            let socket = net::TcpStream::connect(self.listener.local_addr().expect("an address"));
            let socket = OwnedFd::from(socket.expect("a connection"));
            self.asked.put(key, TcpStream::new(&self.rt, socket));
            self.listener.accept().expect("its other end").0
        }

        /// Gives the next message to the worker that it is for.
        async fn pass_on(&self) {
            let news = poll_fn(|_| {
                let mut ring = self.rt.ring();
                ring.listen_for_messages(self.rt.owner());
                ring.next_message().map_or(Poll::Pending, Poll::Ready)
            });
            match news.await {
                News::Question { asker, slip } => self.asked.answer(asker, slip),
                News::Answer { slip, socket } => self.asker.answered(slip, socket),
                News::Connection(_) => panic!("nobody has sent one"),
            }
        }

        /// A key for each word of the board, so that none has to share its allowance.
        fn keys(&self, words: std::ops::Range<usize>) -> Vec<Vec<u8>> {
            let others = self.asker.others.as_ref().expect("there is another worker");
            let mut hosts = (0..).map(|number| format!("\x01{number}.example:80").into_bytes());
            let word = |key: &[u8]| others.row.board().mark(key).word;
            words
                .map(|wanted| hosts.find(|key| word(key) == wanted % limits::UPSTREAM_BOARD_WORDS))
                .map(|key| key.expect("there is no end of hosts"))
                .collect()
        }

        /// Lets a few turns pass, in which messages come to their ends.
        async fn settle(&self) {
            while self.rt.gauges().operations > 0 {
                self.rt.next_turn().await;
            }
        }

        /// Idle connections of the one who asks, and of the one who is asked.
        fn idle(&self) -> [usize; 2] {
            [self.asker.idle(), self.asked.idle()]
        }

        fn counted(&self) -> [u64; 2] {
            let counters = &self.asker.counters;
            [counters.asked.value(), counters.taken.value()]
        }
    }

    fn with_pair<Main: Future<Output = ()> + 'static>(
        broken: &Broken,
        main: impl FnOnce(Pair) -> Main,
    ) {
        let rt = trial::runtime();
        let pair = Pair::new(&rt, broken);
        rt.run(main(pair)).expect("an orderly end");
    }

    /// The next byte that comes, if it is not the end.
    fn ended(mut stream: &net::TcpStream) -> bool {
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a timeout");
        stream.read(&mut [0]).expect("its end is in order") == 0
    }

    #[test]
    fn what_another_worker_has_is_taken() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            assert!(pair.asker.ask(KEY).is_none(), "nobody shows it");
            let far = [(); 2].map(|()| pair.put(KEY));
            assert!(pair.asker.ask(b"\x00origin.example:80").is_none());
            let enquiry = pair.asker.ask(KEY).expect("one worker shows it");
            pair.pass_on().await;
            assert_eq!(pair.idle(), [0, 1]);
            pair.pass_on().await;
            let stream = enquiry.connection().await.expect("it was given");
            let address = stream.local_address().expect("it is connected");
            assert_eq!(address, far[1].peer_addr().expect("so is this"), "newest");
            pair.settle().await;
            assert_eq!((pair.idle(), pair.counted()), ([0, 1], [1, 1]));
        });
    }

    #[test]
    fn a_dead_connection_is_not_handed_over() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            drop(pair.put(KEY));
            let enquiry = pair.asker.ask(KEY).expect("one worker shows it");
            pair.pass_on().await;
            pair.pass_on().await;
            assert!(enquiry.connection().await.is_none());
            assert!(pair.asker.ask(KEY).is_none(), "it shows it no more");
            assert_eq!((pair.idle(), pair.counted()), ([0, 0], [1, 0]));
        });
    }

    #[test]
    fn an_answer_that_is_late_goes_to_the_pool_and_nobody_else_waits_for_it() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let _far = [(); 2].map(|()| pair.put(KEY));
            let enquiry = pair.asker.ask(KEY).expect("one worker shows it");
            let asked_at = Instant::now();
            assert!(enquiry.connection().await.is_none(), "it says nothing");
            let waited = asked_at.elapsed();
            assert!(waited >= limits::UPSTREAM_QUESTION_TIME_MAX);
            assert!(waited < Duration::from_secs(10), "{waited:?}");
            assert!(pair.asker.ask(KEY).is_none(), "it owes an answer");
            pair.pass_on().await;
            pair.pass_on().await;
            assert_eq!(pair.idle(), [1, 1]);
            assert!(pair.asker.take(KEY).is_some());
            assert!(pair.asker.ask(KEY).is_some(), "it owes nothing now");
            assert_eq!(pair.counted(), [2, 1]);
        });
    }

    #[test]
    fn who_waits_is_woken_by_the_answer() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let _far = pair.put(KEY);
            let served = Rc::new(Cell::new(false));
            let (asker, done) = (Rc::clone(&pair.asker), Rc::clone(&served));
            pair.rt.spawn(async move {
                let enquiry = asker.ask(KEY).expect("one worker shows it");
                // Without a deadline, which would wake it as well.
                done.set(poll_fn(|_| enquiry.poll()).await.is_some());
            });
            pair.pass_on().await;
            pair.pass_on().await;
            pair.settle().await;
            pair.rt.next_turn().await;
            assert!(served.get());
        });
    }

    #[test]
    fn a_slip_with_an_answer_due_is_not_written_again() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let _far = pair.put(KEY);
            drop(pair.asker.ask(KEY).expect("one worker shows it"));
            // Shown by a third worker, which owes nothing.
            let others = pair.asker.others.as_ref().expect("there are some");
            let third = OwnRow::new(Arc::clone(&pair.board), 2);
            third.show(b"elsewhere");
            let slip = others.slip(0).expect("the first one").read();
            assert_eq!(slip.as_deref(), Some(KEY));
            assert!(pair.asker.ask(b"elsewhere").is_some());
            // Two questions, two answers.
            for _ in 0..4 {
                pair.pass_on().await;
            }
            assert!(pair.asker.take(KEY).is_some(), "it is under its own key");
        });
    }

    #[test]
    fn an_answer_that_is_late_for_a_drain_is_closed() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let far = [(); 2].map(|()| pair.put(KEY));
            drop(pair.asker.ask(KEY).expect("one worker shows it"));
            pair.asker.close();
            pair.pass_on().await;
            pair.pass_on().await;
            assert_eq!(pair.idle(), [0, 1]);
            pair.settle().await;
            assert!(ended(&far[1]));
            assert!(pair.asker.ask(KEY).is_none(), "it could not be answered");
        });
    }

    #[test]
    fn an_answer_to_a_worker_that_takes_none_stays_where_it_was() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let _far = pair.put(KEY);
            let enquiry = pair.asker.ask(KEY).expect("one worker shows it");
            pair.settle().await;
            pair.rt.ring().close_port();
            pair.pass_on().await;
            assert_eq!(pair.idle(), [0, 1]);
            assert!(enquiry.connection().await.is_none());
            assert!(pair.asker.ask(KEY).is_none(), "nobody lets it in");
            assert_eq!(pair.counted(), [1, 0]);
        });
    }

    #[test]
    fn an_answer_that_does_not_get_there_stays_where_it_was() {
        with_pair(&Broken::ToAsker, async |pair: Pair| {
            let _far = pair.put(KEY);
            // More often than there are slips: each is given back.
            for key in pair.keys(0..3 * limits::UPSTREAM_QUESTIONS_MAX) {
                let _far = pair.put(&key);
                let enquiry = pair.asker.ask(&key).expect("one worker shows it");
                pair.pass_on().await;
                pair.settle().await;
                assert_eq!(pair.idle(), [0, 2]);
                assert!(enquiry.connection().await.is_none());
                assert!(pair.asked.take(&key).is_some());
            }
        });
    }

    #[test]
    fn a_question_that_does_not_get_there_is_over_at_once() {
        with_pair(&Broken::ToAsked, async |pair: Pair| {
            for key in pair.keys(0..3 * limits::UPSTREAM_QUESTIONS_MAX) {
                let _far = pair.put(&key);
                let enquiry = pair.asker.ask(&key).expect("one worker shows it");
                let until = Instant::now() + Duration::from_secs(20);
                let over = pair.rt.timeout_at(until, poll_fn(|_| enquiry.poll()));
                assert!(over.await.expect("it fails").is_none());
            }
        });
    }

    #[test]
    fn questions_under_way_have_a_bound() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            let keys = pair.keys(0..2 * limits::UPSTREAM_QUESTIONS_MAX);
            let _far: Vec<_> = keys.iter().map(|key| pair.put(key)).collect();
            let enquiries: Vec<_> = keys.iter().filter_map(|key| pair.asker.ask(key)).collect();
            assert_eq!(enquiries.len(), limits::UPSTREAM_QUESTIONS_MAX);
            for _ in 0..2 * limits::UPSTREAM_QUESTIONS_MAX {
                pair.pass_on().await;
            }
            for enquiry in enquiries {
                assert!(enquiry.connection().await.is_some());
            }
            let last = keys.last().expect("there are some");
            assert!(pair.asker.ask(last).is_some());
        });
    }

    #[test]
    fn a_host_that_is_wanted_again_and_again_is_dialled() {
        with_pair(&Broken::Neither, async |pair: Pair| {
            const MOST: u8 = limits::UPSTREAM_QUESTIONS_PER_SECOND_MAX;
            let second = Duration::from_secs(1);
            let [key, other] = [0, 1].map(|word| pair.keys(word..word + 1).concat());
            let _far = [(); 50].map(|()| pair.put(&key));
            let begun = pair.rt.now();
            for _ in 0..MOST {
                let enquiry = pair.asker.ask(&key).expect("it may be asked for");
                pair.pass_on().await;
                pair.pass_on().await;
                assert!(enquiry.connection().await.is_some());
            }
            assert!(pair.rt.now() < begun + second, "too slow to see anything");
            assert!(pair.asker.ask(&key).is_none(), "too often");
            let _far = pair.put(&other);
            assert!(pair.asker.ask(&other).is_some(), "it is for each host");
            pair.pass_on().await;
            pair.pass_on().await;
            pair.rt.sleep_until(begun + second).await;
            assert!(pair.asker.ask(&key).is_some(), "not lately");
        });
    }
}
