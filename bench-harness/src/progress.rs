//! A line on the terminal that says what runs, for how long already, and how long the rest may take. It moves once a
//! second, also within a long run; where nobody looks, nothing is written and no thread started.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MOVES_EVERY: Duration = Duration::from_secs(1);

/// So many steps, some of them done.
#[derive(Debug)]
pub(crate) struct Progress {
    steps: usize,
    begun: usize,
    started: Instant,
    /// What a step takes, until one is over.
    expected: Option<Duration>,
    screen: Option<Screen>,
}

/// A terminal, and the thread that has its line move.
#[derive(Debug)]
struct Screen {
    drawn: Arc<Mutex<Drawn>>,
    /// Gone once the thread shall end.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is on the terminal, if anything is.
struct Drawn {
    line: Option<Line>,
    out: Box<dyn Write + Send>,
}

/// A step under way.
#[derive(Debug, Clone)]
struct Line {
    what: String,
    /// Its number, and how many there are.
    number: usize,
    steps: usize,
    begun: Instant,
    /// When all steps will be over, as far as can be told.
    end: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let is_watched = stderr().is_terminal();
        Self::on(
            steps,
            is_watched.then(|| Screen::new(stderr(), MOVES_EVERY)),
        )
    }

    fn on(steps: usize, screen: Option<Screen>) -> Self {
        Self {
            steps,
            begun: 0,
            started: Instant::now(),
            expected: None,
            screen,
        }
    }

    /// A step takes about as long as this, where that can be told beforehand.
    pub(crate) fn expecting(self, step: Option<Duration>) -> Self {
        Self {
            expected: step,
            ..self
        }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, what: &str) {
        let now = Instant::now();
        let done = u32::try_from(self.begun).unwrap_or(u32::MAX);
        let each = match done {
            0 => self.expected,
            done => Some((now - self.started) / done),
        };
        let left = u32::try_from(self.steps.saturating_sub(self.begun)).unwrap_or(u32::MAX);
        self.begun += 1;
        self.show(Some(Line {
            what: what.to_owned(),
            number: self.begun,
            steps: self.steps,
            begun: now,
            end: each.map(|each| now + each * left),
        }));
    }

    /// So many steps will not be made.
    pub(crate) fn skip(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }

    /// So many steps will be made again.
    pub(crate) fn again(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// Makes room for a table; the next step shows itself again.
    pub(crate) fn clear(&self) {
        self.show(None);
    }

    fn show(&self, line: Option<Line>) {
        if let Some(screen) = &self.screen {
            let mut drawn = screen.drawn();
            drawn.line = line;
            drawn.draw();
        }
    }
}

impl Screen {
    fn new(out: impl Write + Send + 'static, every: Duration) -> Self {
        let drawn = Arc::new(Mutex::new(Drawn {
            line: None,
            out: Box::new(out),
        }));
        let (end, ended) = channel::<()>();
        let moving = Arc::clone(&drawn);
        let work = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let mut drawn = lock(&moving);
                if drawn.line.is_some() {
                    drawn.draw();
                }
            }
        };
        // Without the thread it stands still, which must not end a measurement.
        let thread = std::thread::Builder::new().name("progress".to_owned());
        Self {
            drawn,
            end: Some(end),
            thread: thread.spawn(work).ok(),
        }
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        lock(&self.drawn)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let mut drawn = self.drawn();
        drawn.line = None;
        drawn.draw();
    }
}

fn lock(drawn: &Mutex<Drawn>) -> MutexGuard<'_, Drawn> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drawn {
    fn draw(&mut self) {
        let text = self.line.as_ref().map(|line| line.text(Instant::now()));
        let text = text.unwrap_or_default();
        // Without wrapping (DECAWM): of a line that is wrapped only the last part would be overwritten.
        let text = format!("\r\x1b[K\x1b[?7l{text}\x1b[?7h");
        // A terminal that is gone must not end a measurement.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("Drawn");
        fields.field("line", &self.line).finish_non_exhaustive()
    }
}

impl Line {
    fn text(&self, now: Instant) -> String {
        let Self {
            what,
            number,
            steps,
            ..
        } = self;
        let since = (now - self.begun).as_secs();
        let left = self.end.map(|end| end.saturating_duration_since(now));
        let left = match left.map(|left| left.as_secs_f64().round()) {
            Some(left) if left > 0.0 => format!(", about {left:.0} s left"),
            _ => String::new(),
        };
        format!("[{number}/{steps}] {since} s{left}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io;

    /// A terminal whose writes can be waited for.
    struct Terminal(Sender<String>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let sent = self.0.send(text);
            sent.map(|()| bytes.len()).map_err(io::Error::other)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_line_moves_within_a_step_and_is_gone_when_there_is_a_table() {
        let (sender, drawn) = channel();
        let screen = Screen::new(Terminal(sender), Duration::from_millis(1));
        let mut progress = Progress::on(2, Some(screen)).expecting(Some(Duration::from_secs(30)));
        progress.step("W3");
        let deadline = Duration::from_secs(20);
        let next = || drawn.recv_timeout(deadline).unwrap();
        let first = next();
        assert!(first.contains("[1/2] 0 s, about 60 s left: W3"), "{first}");
        let moved = "[1/2] 1 s, about 59 s left: W3";
        let started = Instant::now();
        while !next().contains(moved) {
            assert!(started.elapsed() < deadline, "it stands still");
        }
        progress.clear();
        drop(progress);
        let rest: Vec<String> = drawn.iter().collect();
        let last = rest.last().unwrap();
        assert!(!last.contains("W3"), "{last}");
    }

    #[test]
    fn the_time_left_is_that_of_the_steps_that_are_over_less_what_this_one_has_had() {
        let begun = Instant::now();
        let line = |left: Option<u64>| Line {
            what: "W9".to_owned(),
            number: 2,
            steps: 3,
            begun,
            end: left.map(|left| begun + Duration::from_secs(left)),
        };
        let text = |left, seconds| line(left).text(begun + Duration::from_secs(seconds));
        assert_eq!(text(Some(8), 0), "[2/3] 0 s, about 8 s left: W9");
        assert_eq!(text(Some(8), 5), "[2/3] 5 s, about 3 s left: W9");
        assert_eq!(text(Some(8), 12), "[2/3] 12 s: W9", "it takes longer");
        assert_eq!(text(None, 12), "[2/3] 12 s: W9");
        let mut progress = Progress::on(3, None);
        progress.step("first");
        progress.skip(1);
        assert_eq!((progress.begun, progress.steps), (1, 2));
    }
}
