//! Buffers that a thread lends to whichever connection it is working on, so that an idle connection owns none.

use std::{cell::RefCell, sync::Arc};

use bytes::BytesMut;

use crate::router::{Contents, Fanout, Message};

/// How much is read at once: a TLS record is 16 KiB, and four of them amortise a system call well.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// How many spare buffers a thread keeps. One connection is worked on at a time; a few more serve those that are
/// between two wakes with unsent output.
const SPARE_MAX: usize = 8;
/// Buffers that grew beyond this are not kept: one burst must not pin its memory.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// One thread's buffers.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) read: Vec<u8>,
    pub(super) fanout: Fanout,
    pub(super) found: Vec<Arc<Message>>,
    outputs: Vec<BytesMut>,
    contents: Vec<Contents>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            read: vec![0; READ_BYTES],
            fanout: Fanout::default(),
            found: Vec::new(),
            outputs: Vec::new(),
            contents: Vec::new(),
        }
    }

    /// Runs `work` with this thread's buffers.
    pub(super) fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
        }
        let taken = SCRATCH.with(|place| place.borrow_mut().take());
        let mut scratch = taken.unwrap_or_else(|| Box::new(Self::new()));
        let result = work(&mut scratch);
        SCRATCH.with(|place| *place.borrow_mut() = Some(scratch));
        result
    }

    /// An empty output buffer.
    pub(super) fn output(&mut self) -> BytesMut {
        self.outputs.pop().unwrap_or_default()
    }

    /// Takes an output buffer back.
    pub(super) fn return_output(&mut self, mut output: BytesMut) {
        if (1..=SPARE_BYTES_MAX).contains(&output.capacity()) && self.outputs.len() < SPARE_MAX {
            output.clear();
            self.outputs.push(output);
        }
    }

    /// Empty contents, with room from earlier use.
    pub(super) fn contents(&mut self) -> Contents {
        self.contents.pop().unwrap_or_default()
    }

    /// Takes contents back whose entries have all been sent.
    pub(super) fn return_contents(&mut self, mut contents: Contents) {
        if self.contents.len() < SPARE_MAX && contents.frames.capacity() <= SPARE_BYTES_MAX {
            contents.frames.clear();
            contents.entries.clear();
            (contents.messages, contents.bytes) = (0, 0);
            self.contents.push(contents);
        }
    }
}
