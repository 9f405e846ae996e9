pub(crate) mod isolate;
pub(crate) mod verdict;
