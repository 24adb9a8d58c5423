//! Time, processor time and memory, as the kernel counts them.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Threads whose name begins so belong to the world outside: what they use is not cutover's.
pub const OUTSIDE: &str = "town";

/// A point in time, in wall and processor time.
#[derive(Clone, Copy)]
pub struct Mark {
    wall: Instant,
    all: Duration,
    outside: Duration,
}

/// What passed between two marks.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Wall time.
    pub wall: Duration,
    /// Processor time of everything in this process but the world outside.
    pub cpu: Duration,
    /// Processor time of the world outside.
    pub outside: Duration,
}

impl Mark {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let all = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
        Self { wall: Instant::now(), all, outside: outside() }
    }

    /// What passed since.
    pub fn passed(self) -> Passed {
        let now = Self::now();
        let outside = now.outside.saturating_sub(self.outside);
        Passed { wall: now.wall - self.wall, cpu: (now.all - self.all).saturating_sub(outside), outside }
    }
}

/// Processor time of the threads of the world outside.
fn outside() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let of = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let stat = std::fs::read_to_string(path.join("schedstat")).ok().filter(|_| name.starts_with(OUTSIDE))?;
        stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.flatten().filter_map(|task| of(task.path())).sum()
}

/// Memory in use, in bytes: what is in RAM of heap and stacks.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

/// Seconds of it.
pub fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

/// Milliseconds of it.
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
