//! What a process of this machine has cost so far, from `/proc` (Linux).

use std::fs;

use super::failure::Failure;

/// Clock ticks a second in `/proc/PID/stat`: fixed for programs on every Linux that gaugeline runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// User and system time of all its threads, living and dead.
    pub(super) cpu_seconds: f64,
    /// Resident memory now.
    pub(super) memory_bytes: u64,
    /// The most resident memory so far.
    pub(super) memory_peak_bytes: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub(super) fn of(pid: u32) -> Result<Self, Failure> {
        Self::read(&pid.to_string()).ok_or_else(|| {
            Failure::failed(format!("--pid {pid}: no such process on this machine, or no /proc here"))
        })
    }

    /// Looks at this process.
    pub(super) fn own() -> Option<Self> {
        Self::read("self")
    }

    fn read(pid: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self {
            cpu_seconds: cpu_seconds(&stat)?,
            memory_bytes: memory_bytes(&status, "VmRSS:")?,
            memory_peak_bytes: memory_bytes(&status, "VmHWM:")?,
        })
    }
}

/// The program's name, in brackets, may hold anything: the fields count from the last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn memory_bytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "4711 (a) b (c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 200 300";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nonsense"), None);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(memory_bytes(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(memory_bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(memory_bytes(status, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn knows_itself() {
        let usage = Usage::own().unwrap();
        assert!(usage.memory_peak_bytes >= usage.memory_bytes && usage.memory_bytes > 0);
        assert!(Usage::of(std::process::id()).is_ok());
        assert!(Usage::of(u32::MAX).unwrap_err().to_string().contains("no such process"));
    }
}
