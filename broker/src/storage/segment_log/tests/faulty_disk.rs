//! A disk in memory that keeps what was synced apart from what was only written, and fails on demand.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::super::disk::{Disk, DiskFile};

/// A disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// By name, as the running program sees it.
    live: BTreeMap<String, Arc<Mutex<FileContents>>>,
    /// By name, as a power cut would leave the directory.
    durable: BTreeMap<String, Arc<Mutex<FileContents>>>,
    faults: Faults,
}

#[derive(Debug, Clone, Default)]
struct FileContents {
    live: Vec<u8>,
    /// As of the last sync, and the writes and cuts since.
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Debug, Clone)]
enum Unsynced {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// What goes wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// This many writes succeed, the next one fails half way.
    pub(super) writes_left: Option<u32>,
    /// This many syncs succeed, the next one fails and loses what it should have kept.
    pub(super) syncs_left: Option<u32>,
    /// How many bytes the files together may have.
    pub(super) capacity: Option<usize>,
    /// This many removals fail.
    pub(super) failing_removals: u32,
    /// Everything fails from now on, as for a process that was killed.
    pub(super) dead: bool,
    /// How many syncs of files were tried.
    pub(super) syncs: u32,
}

/// What becomes of unsynced writes in a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process alone ends: everything that was written is there.
    Process,
    /// Unsynced writes survive or not, one by one, and the last surviving one is torn, as the seed says.
    Power(u64),
}

impl FaultyDisk {
    pub(super) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().faults);
    }

    pub(super) fn syncs(&self) -> u32 {
        self.0.lock().faults.syncs
    }

    /// The files' names and sizes.
    pub(super) fn sizes(&self) -> BTreeMap<String, usize> {
        let contents = self.0.lock();
        contents.live.iter().map(|(name, file)| (name.clone(), file.lock().live.len())).collect()
    }

    /// Changes a file behind everybody's back, synced.
    pub(super) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let contents = self.0.lock();
        let mut file = contents.live[name].lock();
        change(&mut file.live);
        file.durable = file.live.clone();
        file.unsynced.clear();
    }

    /// The disk as it is found after the crash; the old one is dead.
    pub(super) fn crash(&self, crash: Crash) -> Self {
        let mut contents = self.0.lock();
        contents.faults.dead = true;
        contents.after(crash)
    }

    /// The disk as a crash at this moment would leave it; the old one goes on.
    pub(super) fn copy_after(&self, crash: Crash) -> Self {
        self.0.lock().after(crash)
    }
}

impl Contents {
    fn after(&self, crash: Crash) -> FaultyDisk {
        let mut random = Random(match crash {
            Crash::Process => 0,
            Crash::Power(seed) => seed,
        });
        let power = crash != Crash::Process;
        // Whether unsynced changes of the directory survive is one choice: journals keep their order.
        let directory = if power && random.next(2) == 0 { &self.durable } else { &self.live };
        let files = directory.iter().map(|(name, file)| {
            let file = file.lock();
            let bytes = if power { file.after_power_cut(&mut random) } else { file.live.clone() };
            // What a process leaves behind in the cache is not synced.
            let (durable, unsynced) = if power {
                (bytes.clone(), Vec::new())
            } else {
                (file.durable.clone(), file.unsynced.clone())
            };
            (name.clone(), Arc::new(Mutex::new(FileContents { live: bytes, durable, unsynced })))
        });
        let live: BTreeMap<_, _> = files.collect();
        let durable = live.clone();
        FaultyDisk(Arc::new(Mutex::new(Self { live, durable, faults: Faults::default() })))
    }
}

impl FileContents {
    fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            let kept = random.next(3);
            match change {
                Unsynced::Truncate(length) if kept > 0 => bytes.resize(*length, 0),
                Unsynced::Truncate(_) => {}
                Unsynced::Write { offset, bytes: written } => {
                    let length = match kept {
                        0 => 0,
                        1 => written.len(),
                        _ => random.next(written.len() as u64 + 1) as usize,
                    };
                    write(&mut bytes, *offset, &written[..length]);
                }
            }
        }
        bytes
    }
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    file.resize(file.len().max(offset + bytes.len()), 0);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// xorshift64*: enough for choosing what to lose.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

impl Contents {
    fn check(&self) -> io::Result<()> {
        if self.faults.dead { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }

    fn used(&self) -> usize {
        self.live.values().map(|file| file.lock().live.len()).sum()
    }
}

impl Disk for FaultyDisk {
    fn path(&self) -> &Path {
        Path::new("/disk")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().live.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let contents = self.0.lock();
        let file = contents.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.lock().live.clone())
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let contents = self.0.lock();
        contents.check()?;
        let file = contents.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file: Arc::clone(file) }))
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut contents = self.0.lock();
        contents.check()?;
        let file = Arc::default();
        contents.live.insert(name.to_owned(), Arc::clone(&file));
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut contents = self.0.lock();
        contents.check()?;
        if contents.faults.failing_removals > 0 {
            contents.faults.failing_removals -= 1;
            return Err(io::Error::other("the removal failed"));
        }
        contents.live.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut contents = self.0.lock();
        contents.check()?;
        let file = contents.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        contents.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut contents = self.0.lock();
        contents.check()?;
        contents.durable = contents.live.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    file: Arc<Mutex<FileContents>>,
}

impl FaultyFile {
    fn write_part(&self, offset: usize, bytes: &[u8]) {
        let mut file = self.file.lock();
        write(&mut file.live, offset, bytes);
        file.unsynced.push(Unsynced::Write { offset, bytes: bytes.to_vec() });
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut contents = self.disk.0.lock();
        contents.check()?;
        let offset = usize::try_from(offset).unwrap();
        if let Some(left) = &mut contents.faults.writes_left {
            if *left == 0 {
                drop(contents);
                self.write_part(offset, &bytes[..bytes.len() / 2]);
                return Err(io::Error::other("the write failed"));
            }
            *left -= 1;
        }
        if let Some(capacity) = contents.faults.capacity {
            let grown = (offset + bytes.len()).saturating_sub(self.file.lock().live.len());
            let room = capacity.saturating_sub(contents.used());
            if grown > room {
                drop(contents);
                self.write_part(offset, &bytes[..bytes.len() - (grown - room)]);
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        drop(contents);
        self.write_part(offset, bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut contents = self.disk.0.lock();
        contents.check()?;
        contents.faults.syncs += 1;
        let mut file = self.file.lock();
        if let Some(left) = &mut contents.faults.syncs_left {
            if *left == 0 {
                // As Linux does: the pages are dropped, marked as clean, and the next sync succeeds.
                contents.faults.syncs_left = None;
                file.unsynced.clear();
                return Err(io::Error::other("the sync failed"));
            }
            *left -= 1;
        }
        // Only what is marked as written since the last sync, successful or not: see above.
        for change in std::mem::take(&mut file.unsynced) {
            match change {
                Unsynced::Truncate(length) => file.durable.resize(length, 0),
                Unsynced::Write { offset, bytes } => write(&mut file.durable, offset, &bytes),
            }
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.0.lock().check()?;
        let length = usize::try_from(length).unwrap();
        let mut file = self.file.lock();
        file.live.resize(length, 0);
        file.unsynced.push(Unsynced::Truncate(length));
        Ok(())
    }
}
