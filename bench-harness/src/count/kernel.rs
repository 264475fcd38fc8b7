//! The kernel's counters of a running program: entries into system calls (the tracepoint raw_syscalls:sys_enter), and
//! instructions in user space where the CPU's counters can be had.

use std::fs;
use std::io;

use perf_event::events::{Hardware, Tracepoint};
use perf_event::{Builder, Counter};

use super::{Counted, Counts};

/// Where tracefs is mounted: by itself, or inside debugfs.
const TRACEPOINTS: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// Counters on every thread that a process had when it was looked up, and on those these start.
#[derive(Debug)]
pub(crate) struct Kernel {
    instructions: Option<Vec<Counter>>,
    system_calls: Option<Vec<Counter>>,
    before: Counts,
}

impl Kernel {
    /// Attaches to the process `pid`. What cannot be counted here is left out; an error says why nothing can.
    pub(crate) fn attach(pid: u32) -> Result<Self, String> {
        let threads =
            threads(pid).map_err(|error| format!("there is no process {pid}: {error}"))?;
        let system_calls = tracepoint().and_then(|point| {
            let mut builder = Builder::new(point);
            builder.include_kernel(); // where system calls are entered
            counters(builder, &threads)
        });
        let instructions = counters(Builder::new(Hardware::INSTRUCTIONS), &threads);
        if let (Err(instructions), Err(system_calls)) = (&instructions, &system_calls) {
            return Err(format!(
                "instructions: {instructions}; system calls: {system_calls}"
            ));
        }
        Ok(Self {
            instructions: instructions.ok(),
            system_calls: system_calls.ok(),
            before: Counts::default(),
        })
    }
}

impl Counted for Kernel {
    fn read(&mut self) -> Result<Counts, String> {
        let now = Counts {
            instructions: sum(&mut self.instructions)?,
            system_calls: sum(&mut self.system_calls)?,
        };
        let before = std::mem::replace(&mut self.before, now);
        let since =
            |now: Option<f64>, before: Option<f64>| now.map(|now| now - before.unwrap_or_default());
        Ok(Counts {
            instructions: since(now.instructions, before.instructions),
            system_calls: since(now.system_calls, before.system_calls),
        })
    }
}

fn threads(pid: u32) -> io::Result<Vec<i32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        threads.extend(entry?.file_name().to_string_lossy().parse::<i32>());
    }
    Ok(threads)
}

fn tracepoint() -> io::Result<Tracepoint> {
    let read = TRACEPOINTS.iter().map(fs::read_to_string);
    let text = read.reduce(Result::or).unwrap_or(Ok(String::new()))?;
    text.trim()
        .parse()
        .map(Tracepoint::with_id)
        .map_err(io::Error::other)
}

/// One on each thread, counting from now on.
fn counters(mut builder: Builder<'_>, threads: &[i32]) -> io::Result<Vec<Counter>> {
    builder.inherit(true).enabled(true);
    threads
        .iter()
        .map(|&thread| builder.observe_pid(thread).build())
        .collect()
}

fn sum(counters: &mut Option<Vec<Counter>>) -> Result<Option<f64>, String> {
    let Some(counters) = counters else {
        return Ok(None);
    };
    let mut sum = 0;
    for counter in counters {
        sum += counter
            .read()
            .map_err(|error| format!("cannot read a counter of the kernel: {error}"))?;
    }
    Ok(Some(sum as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    /// `cat` reads and writes once for each line, so the slope is known. Where the kernel does not let us count, the
    /// reason has to say so.
    #[test]
    fn system_calls_are_counted_to_the_one() {
        let mut cat = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut to, mut from) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let mut echo = |operations| {
            for _ in 0..operations {
                to.write_all(b"x\n").map_err(|error| error.to_string())?;
                let mut back = [0; 2];
                from.read_exact(&mut back)
                    .map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        echo(1).unwrap(); // it has started
        match Kernel::attach(cat.id()) {
            Ok(mut kernel) => {
                let counts = super::super::per_operation(&mut kernel, 50, echo).unwrap();
                if let Some(system_calls) = counts.system_calls {
                    assert!((1.9..2.1).contains(&system_calls), "{counts:?}");
                } else {
                    assert!(counts.instructions.is_some());
                }
            }
            Err(why) => assert!(why.contains("system calls:"), "{why}"),
        }
        drop(to);
        cat.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Kernel::attach(u32::MAX).unwrap_err();
        assert!(error.contains("no process 4294967295"), "{error}");
    }
}
