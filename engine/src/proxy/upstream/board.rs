//! Where every worker can see what the others have: for each worker a row of bits, which show by hash the hosts that it
//! keeps idle connections for, and the slips that its questions stand on. Only its own worker writes a row, and nobody
//! waits for anybody: a bit is a hint, to be asked about and never to be trusted.
//!
//! A slip is read by the worker that was asked, between the message that names it and the answer. What ends that is the
//! answer, or `Slip::close` when there will be none.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::limits;

const WORDS: usize = limits::UPSTREAM_BOARD_WORDS;
const KEY_WORDS: usize = limits::UPSTREAM_KEY_BYTES_MAX / 8;

/// What all workers see.
#[derive(Debug)]
pub struct Board {
    /// With a seed of this process, so that nobody outside can choose hosts that look alike.
    hash: RandomState,
    rows: Box<[Row]>,
}

/// What one worker writes, on cache lines of its own: adjacent ones are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Row {
    shown: [AtomicU64; WORDS],
    slips: [Slip; limits::UPSTREAM_QUESTIONS_MAX],
}

/// Which bits stand for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) word: usize,
    bits: u64,
}

/// What a question asks for.
#[derive(Debug)]
pub(super) struct Slip {
    /// An answer is due.
    open: AtomicBool,
    bytes: AtomicUsize,
    key: [AtomicU64; KEY_WORDS],
}

/// A key that was read from a slip.
pub(super) struct Key {
    bytes: [u8; limits::UPSTREAM_KEY_BYTES_MAX],
    length: usize,
}

impl Board {
    /// An empty one for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        let row = |_| Row {
            shown: [const { AtomicU64::new(0) }; WORDS],
            slips: std::array::from_fn(|_| Slip {
                open: AtomicBool::new(false),
                bytes: AtomicUsize::new(0),
                key: [const { AtomicU64::new(0) }; KEY_WORDS],
            }),
        };
        Arc::new(Self {
            hash: RandomState::new(),
            rows: (0..workers).map(row).collect(),
        })
    }

    /// The bits of a host.
    pub(super) fn mark(&self, key: &[u8]) -> Mark {
        let hash = self.hash.hash_one(key);
        Mark {
            word: (hash >> 12) as usize % WORDS,
            bits: 1 << (hash & 63) | 1 << (hash >> 6 & 63),
        }
    }

    /// The workers that show `mark`, from the one behind `own` on around.
    pub(super) fn holders(&self, own: u16, mark: Mark) -> impl Iterator<Item = u16> {
        let shows = move |(_, row): &(u16, &Row)| {
            let shown = row.shown.get(mark.word);
            shown.is_some_and(|word| word.load(Ordering::Relaxed) & mark.bits == mark.bits)
        };
        let behind = usize::from(own) + 1;
        let rows = (0..).zip(self.rows.iter());
        let around = rows
            .clone()
            .skip(behind)
            .chain(rows.take(behind.saturating_sub(1)));
        around.filter(shows).map(|(worker, _)| worker)
    }

    /// A slip of `worker`.
    pub(super) fn slip(&self, worker: u16, slip: u16) -> Option<&Slip> {
        let row = self.rows.get(usize::from(worker))?;
        row.slips.get(usize::from(slip))
    }
}

/// One worker's own row, as it writes it.
pub(super) struct OwnRow {
    board: Arc<Board>,
    own: u16,
    /// How many of its hosts share each bit, by word and bit.
    hosts: RefCell<Box<[[u16; 64]]>>,
}

impl OwnRow {
    /// The row of worker `own`, which no other one may write.
    pub(super) fn new(board: Arc<Board>, own: u16) -> Self {
        Self {
            board,
            own,
            hosts: RefCell::new(vec![[0; 64]; WORDS].into()),
        }
    }

    /// The board that it is on.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// Shows a host, which was not shown.
    pub(super) fn show(&self, key: &[u8]) {
        self.change(key, |hosts| hosts.saturating_add(1));
    }

    /// Shows a host no more, which was.
    pub(super) fn hide(&self, key: &[u8]) {
        self.change(key, |hosts| hosts.saturating_sub(1));
    }

    fn change(&self, key: &[u8], change: impl Fn(u16) -> u16) {
        let mark = self.board.mark(key);
        let mut hosts = self.hosts.borrow_mut();
        let row = self.board.rows.get(usize::from(self.own));
        let word = row.and_then(|row| row.shown.get(mark.word));
        let (Some(word), Some(hosts)) = (word, hosts.get_mut(mark.word)) else {
            return;
        };
        let mut shown = word.load(Ordering::Relaxed);
        for (bit, hosts) in hosts.iter_mut().enumerate() {
            if mark.bits >> bit & 1 == 1 {
                *hosts = change(*hosts);
                shown = shown & !(1 << bit) | u64::from(*hosts > 0) << bit;
            }
        }
        word.store(shown, Ordering::Relaxed);
    }
}

impl Slip {
    /// Opens it with `key`, if that fits. Only its worker may, and only while it is not open.
    pub(super) fn write(&self, key: &[u8]) -> bool {
        if key.len() > limits::UPSTREAM_KEY_BYTES_MAX {
            return false;
        }
        for (word, part) in self.key.iter().zip(key.chunks(8)) {
            let mut bytes = [0; 8];
            bytes
                .iter_mut()
                .zip(part)
                .for_each(|(to, from)| *to = *from);
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        self.bytes.store(key.len(), Ordering::Relaxed);
        self.open.store(true, Ordering::Release);
        true
    }

    /// What is asked for; `None` when no answer is due.
    pub(super) fn read(&self) -> Option<Key> {
        if !self.is_open() {
            return None;
        }
        let mut bytes = [0; limits::UPSTREAM_KEY_BYTES_MAX];
        for (part, word) in bytes.chunks_exact_mut(8).zip(&self.key) {
            part.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Some(Key {
            bytes,
            length: self.bytes.load(Ordering::Relaxed),
        })
    }

    /// No answer is due: it has come, or none will. What was read before is read no more.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Whether an answer is due.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Vec<u8> {
        format!("\0host{number}.example:80").into_bytes()
    }

    fn holders(board: &Board, own: u16, key: &[u8]) -> Vec<u16> {
        board.holders(own, board.mark(key)).collect()
    }

    #[test]
    fn a_host_is_shown_for_as_long_as_it_has_connections() {
        let board = Board::new(3);
        let [one, two] = [1, 2].map(|worker| OwnRow::new(Arc::clone(&board), worker));
        // Many enough to share bits: hiding one must not hide another.
        for number in 0..4000 {
            one.show(&key(number));
        }
        for number in (0..4000).step_by(2) {
            one.hide(&key(number));
        }
        for number in (1..4000).step_by(2) {
            assert_eq!(holders(&board, 0, &key(number)), [1]);
        }
        two.show(&key(1));
        assert_eq!(holders(&board, 0, &key(1)), [1, 2]);
        assert_eq!(holders(&board, 1, &key(1)), [2], "nobody asks itself");
        assert_eq!(holders(&board, 2, &key(1)), [1]);
        for number in (1..4000).step_by(2) {
            one.hide(&key(number));
        }
        assert_eq!(holders(&board, 0, &key(1)), [2]);
        two.hide(&key(1));
        for word in board.rows.iter().flat_map(|row| &row.shown) {
            assert_eq!(word.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_full_worker_seldom_seems_to_have_what_it_has_not() {
        let board = Board::new(2);
        let row = OwnRow::new(Arc::clone(&board), 1);
        for number in 0..limits::UPSTREAM_IDLE_MAX {
            row.show(&key(number));
        }
        let others = limits::UPSTREAM_IDLE_MAX..100_000;
        let count = others.len();
        let wrong = others
            .filter(|&number| !holders(&board, 0, &key(number)).is_empty())
            .count();
        assert!(wrong * 25 < count, "{wrong} of {count}");
    }

    #[test]
    fn one_worker_alone_holds_nothing_for_itself() {
        let board = Board::new(1);
        OwnRow::new(Arc::clone(&board), 0).show(b"host");
        assert!(holders(&board, 0, b"host").is_empty());
    }

    #[test]
    fn a_slip_says_what_was_written_until_it_is_closed() {
        let board = Board::new(1);
        let slip = board.slip(0, 3).expect("one of its slips");
        let bytes: Vec<u8> = (0..=limits::UPSTREAM_KEY_BYTES_MAX)
            .map(|byte| byte as u8 | 1)
            .collect();
        for length in (0..bytes.len()).rev() {
            assert!(slip.read().is_none());
            assert!(slip.write(&bytes[..length]));
            let key = slip.read().expect("it is open");
            assert_eq!(*key, bytes[..length]);
            slip.close();
        }
        assert!(!slip.write(&bytes), "it does not fit");
        assert!(slip.read().is_none());
        assert!(board.slip(1, 0).is_none() && board.slip(0, u16::MAX).is_none());
    }
}
