//! Randomness for secrets and names.

use crate::failure::Failure;

/// Random bytes from the operating system.
pub(crate) fn bytes<const COUNT: usize>() -> Result<[u8; COUNT], Failure> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
