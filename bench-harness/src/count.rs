//! What an operation costs in numbers that hardly vary: instructions in user space and system calls, of any program.
//!
//! A fixed number of operations over one connection, then twice as many: the difference is the operations alone,
//! without the start of the program and of the connections. There are two ways. `callgrind` runs the program under
//! valgrind, and counts both; it needs nothing of the machine. The kernel's own counters look at the program as it
//! is: system calls need root, instructions need a machine that has the counters, and few virtual ones do.
//!
//! Knows no workload: the caller does the operations. `gate` calls it.

pub(crate) mod callgrind;
mod kernel;

pub(crate) use callgrind::Callgrind;
pub(crate) use kernel::Kernel;

/// Operations before any are counted: caches of connections and of memory fill.
const WARM_UP_OPERATIONS: u64 = 100;

/// Since the last reading, or for each operation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    /// In user space; none where nothing counts them.
    pub(crate) instructions: Option<f64>,
    /// None where nothing counts them.
    pub(crate) system_calls: Option<f64>,
}

/// A program that runs and is counted.
pub(crate) trait Counted {
    /// What was counted since it was last asked, or since the start.
    fn read(&mut self) -> Result<Counts, String>;
}

/// What an operation costs: `work` does as many as it is told to.
pub(crate) fn per_operation(
    counted: &mut impl Counted,
    operations: u64,
    mut work: impl FnMut(u64) -> Result<(), String>,
) -> Result<Counts, String> {
    work(WARM_UP_OPERATIONS)?;
    counted.read()?;
    work(operations)?;
    let once = counted.read()?;
    work(2 * operations)?;
    let twice = counted.read()?;
    let slope = |once: Option<f64>, twice: Option<f64>| {
        let (once, twice) = once.zip(twice)?;
        Some((twice - once) / operations as f64)
    };
    Ok(Counts {
        instructions: slope(once.instructions, twice.instructions),
        system_calls: slope(once.system_calls, twice.system_calls),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;

    struct Meter<'a>(&'a Cell<u64>);

    impl Counted for Meter<'_> {
        fn read(&mut self) -> Result<Counts, String> {
            Ok(Counts {
                instructions: Some(self.0.take() as f64),
                system_calls: None,
            })
        }
    }

    #[test]
    fn what_every_part_costs_is_not_an_operations() {
        let counter = Cell::new(9_999_999);
        let work = |operations| {
            counter.set(counter.get() + 70_000 + 50 * operations);
            Ok(())
        };
        let counts = per_operation(&mut Meter(&counter), 1_000, work).unwrap();
        assert_eq!(counts.instructions, Some(50.0));
        assert_eq!(counts.system_calls, None);
    }

    #[test]
    fn a_failing_load_is_a_failing_count() {
        let counter = Cell::new(0);
        let work = |operations| match operations {
            WARM_UP_OPERATIONS => Ok(()),
            _ => Err("the proxy ended".to_owned()),
        };
        let failed = per_operation(&mut Meter(&counter), 10, work);
        assert_eq!(failed, Err("the proxy ended".to_owned()));
    }
}
