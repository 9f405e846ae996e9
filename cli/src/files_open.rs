//! How many files and sockets the process may have open at once.

/// Each connection is an open file, and the soft limit of most systems is 1024: raises it as far as a process may.
/// A failure is no reason to stop, only to say so.
pub(crate) fn raise_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!("up to {limit} open files and connections"),
        Err(error) => tracing::warn!("the limit of open files stays as it is: {error}"),
    }
}
