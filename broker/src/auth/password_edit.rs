//! Editing password files.
