//! The bytes of a segment: its header, and the groups behind it. Knows nothing of what records mean.
//!
//! All numbers are little-endian. A checksum is a CRC-32 (IEEE 802.3).
//!
//! ```text
//! segment  = header group*                       file name: sequence as 16 hexadecimal digits, ".log"
//!
//! header   0  magic "GAUGELOG"                   64 bytes
//!          8  version u32 (1)
//!         12  checksum u32 of bytes 16..64
//!         16  sequence u64                       one more than the segment before
//!         24  first group u64                    the number of the first group in this segment
//!         32  last stamp u64                     the marks as they stood when the segment began, see `state::Marks`
//!         40  last session u64
//!         48  next order u64
//!         56  zero u64
//!
//! group    0  magic "GRUP"                       40 bytes, then the records, then zeros up to a multiple of 8
//!          4  checksum u32 of bytes 8..40
//!          8  sequence u64                       of the segment
//!         16  number u64                         one more than the group before, across segments
//!         24  synced u64                         every group below this number had been synced when this was written
//!         32  length u32                         of the records, in bytes
//!         36  checksum u32 of the records
//!
//! record   0  length u32                         of kind and content
//!          4  kind u8                            see `encoding`
//!          5  content
//! ```
//!
//! A group is written with one write and is all or nothing: its checksums are its commit marker. Where a segment ends
//! is not written in it: it ends where its file ends, and the next segment's first group tells that nothing is missing.
//!
//! `synced` tells a torn tail from damage. A power cut may lose any page that was not synced, so a bad group may be
//! followed by whole ones that were written after it and before a sync. But a group that names the bad one as synced
//! proves that the disk had promised to keep it.

use bytes::Buf;

use super::state::Marks;

/// The bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// The bytes of a group's header.
pub(super) const GROUP_HEADER_BYTES: usize = 40;
/// Groups begin at multiples of this.
const ALIGNMENT: usize = 8;

const SEGMENT_MAGIC: &[u8; 8] = b"GAUGELOG";
const GROUP_MAGIC: &[u8; 4] = b"GRUP";
const VERSION: u32 = 1;

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) sequence: u64,
    pub(super) first_group: u64,
    pub(super) marks: Marks,
}

/// Why a file's first bytes are not the header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is not a segment, or its first bytes are damaged.
    Unreadable,
    /// A version that this program does not know.
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut covered = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        let Marks { last_stamp, last_session, next_order } = self.marks;
        for number in [self.sequence, self.first_group, last_stamp, last_session, next_order, 0] {
            covered.extend_from_slice(&number.to_le_bytes());
        }
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        header.extend_from_slice(SEGMENT_MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
        header.append(&mut covered);
        header
    }

    /// Whether an unreadable header may be one that was being written: the magic is there, or was never written.
    pub(super) fn may_be_torn(file: &[u8]) -> bool {
        let front = file.get(..SEGMENT_MAGIC.len()).unwrap_or(file);
        SEGMENT_MAGIC.starts_with(front) || front.iter().all(|byte| *byte == 0)
    }

    pub(super) fn decode(file: &[u8]) -> Result<Self, HeaderError> {
        let (mut header, _) = file.split_at_checked(SEGMENT_HEADER_BYTES).ok_or(HeaderError::Unreadable)?;
        let magic = header.get(..8);
        header.advance(8);
        if magic != Some(SEGMENT_MAGIC) {
            return Err(HeaderError::Unreadable);
        }
        // The lengths were checked above: these reads never fail, nor panic.
        let (version, checksum) = (header.get_u32_le(), header.get_u32_le());
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        if checksum != crc32fast::hash(header) {
            return Err(HeaderError::Unreadable);
        }
        let sequence = header.get_u64_le();
        let first_group = header.get_u64_le();
        let marks = Marks {
            last_stamp: header.get_u64_le(),
            last_session: header.get_u64_le(),
            next_order: header.get_u64_le(),
        };
        Ok(Self { sequence, first_group, marks })
    }
}

/// A group that is being put together: records are appended to [`Self::records`], then it is finished and written.
#[derive(Debug, Default)]
pub(super) struct GroupBuffer {
    bytes: Vec<u8>,
    /// How many bytes at the end are padding: not zero once it was finished.
    padding: usize,
}

impl GroupBuffer {
    /// Empties it. Its memory is kept, but not more than a usual group needs.
    pub(super) fn start(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.resize(GROUP_HEADER_BYTES, 0);
        self.padding = 0;
    }

    /// Where records are appended.
    pub(super) fn records(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How many bytes of records there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(GROUP_HEADER_BYTES + self.padding)
    }

    /// Fills in the header; the result is what is to be written. May be asked again, if writing it failed.
    pub(super) fn finish(&mut self, sequence: u64, number: u64, synced: u64) -> &[u8] {
        self.bytes.truncate(GROUP_HEADER_BYTES + self.len());
        let records = self.bytes.get(GROUP_HEADER_BYTES..).unwrap_or_default();
        let mut covered = Vec::with_capacity(GROUP_HEADER_BYTES);
        for field in [sequence, number, synced] {
            covered.extend_from_slice(&field.to_le_bytes());
        }
        covered.extend_from_slice(&u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes());
        covered.extend_from_slice(&crc32fast::hash(records).to_le_bytes());
        let mut header = [GROUP_MAGIC.as_slice(), &crc32fast::hash(&covered).to_le_bytes()].concat();
        header.append(&mut covered);
        if let Some(place) = self.bytes.get_mut(..GROUP_HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        let whole = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.padding = whole - self.bytes.len();
        self.bytes.resize(whole, 0);
        &self.bytes
    }
}

/// The memory that a buffer keeps between groups: a busy group. Larger ones are rare.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// A whole and valid group in a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) number: u64,
    pub(super) synced: u64,
    pub(super) records: &'a [u8],
    /// Where the next group begins in the file.
    pub(super) end: usize,
}

impl<'a> Group<'a> {
    /// The group that begins at `offset`; `None` if no whole and valid group of this segment does.
    pub(super) fn at(file: &'a [u8], offset: usize, sequence: u64) -> Option<Self> {
        let (header, behind) = file.get(offset..)?.split_at_checked(GROUP_HEADER_BYTES)?;
        let mut covered = header.strip_prefix(GROUP_MAGIC)?;
        if covered.try_get_u32_le().ok()? != crc32fast::hash(covered) {
            return None;
        }
        if covered.try_get_u64_le().ok()? != sequence {
            return None;
        }
        let number = covered.try_get_u64_le().ok()?;
        let synced = covered.try_get_u64_le().ok()?;
        let length = usize::try_from(covered.try_get_u32_le().ok()?).ok()?;
        let checksum = covered.try_get_u32_le().ok()?;
        let records = behind.get(..length)?;
        let end = (offset + GROUP_HEADER_BYTES + length).next_multiple_of(ALIGNMENT);
        // The padding counts: the writer's next group begins behind it.
        (end <= file.len() && checksum == crc32fast::hash(records)).then_some(Self {
            number,
            synced,
            records,
            end,
        })
    }

    /// The first valid group that begins behind `offset`, numbered `number_min` or above, and where.
    pub(super) fn search(
        file: &'a [u8],
        offset: usize,
        sequence: u64,
        number_min: u64,
    ) -> Option<(usize, Self)> {
        let mut at = offset.max(SEGMENT_HEADER_BYTES - ALIGNMENT).next_multiple_of(ALIGNMENT);
        while at + ALIGNMENT < file.len() {
            at += ALIGNMENT;
            if let Some(group) = Self::at(file, at, sequence)
                && group.number >= number_min
            {
                return Some((at, group));
            }
        }
        None
    }
}

/// The name of a segment's file.
pub(super) fn file_name(sequence: u64) -> String {
    format!("{sequence:016x}.log")
}

/// The sequence of the segment in a file with this name; `None` if it is not a segment's name.
pub(super) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sequence: u64, number: u64, records: &[u8]) -> Vec<u8> {
        let mut buffer = GroupBuffer::default();
        buffer.start();
        buffer.records().extend_from_slice(records);
        buffer.finish(sequence, number, number).to_vec()
    }

    #[test]
    fn header_comes_back() {
        let marks = Marks { last_stamp: 1, last_session: u64::MAX, next_order: 3 };
        let header = SegmentHeader { sequence: 7, first_group: 9, marks };
        let bytes = header.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for at in 0..SEGMENT_HEADER_BYTES {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(SegmentHeader::decode(&damaged).is_err(), "byte {at}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..63]), Err(HeaderError::Unreadable));
    }

    #[test]
    fn version_of_another_program_is_told() {
        let header = SegmentHeader { sequence: 1, first_group: 1, marks: Marks::default() };
        let mut bytes = header.encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Version(2)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_group_is_noticed() {
        let bytes = group(3, 4, b"some records");
        let found = Group::at(&bytes, 0, 3).unwrap();
        assert_eq!((found.number, found.records, found.end), (4, &b"some records"[..], bytes.len()));
        assert!(Group::at(&bytes, 0, 2).is_none(), "of another segment");
        for at in 0..GROUP_HEADER_BYTES + 12 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Group::at(&damaged, 0, 3).is_none(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(Group::at(&bytes[..length], 0, 3).is_none(), "cut to {length}");
        }
    }

    #[test]
    fn group_behind_damage_is_found() {
        let mut file = vec![0; SEGMENT_HEADER_BYTES];
        let bad_at = file.len();
        file.extend(group(1, 1, b"one"));
        let good_at = file.len();
        file.extend(group(1, 2, b"two"));
        file[bad_at + GROUP_HEADER_BYTES] ^= 1;
        let (at, found) = Group::search(&file, bad_at, 1, 2).unwrap();
        assert_eq!((at, found.number), (good_at, 2));
        assert!(Group::search(&file, bad_at, 1, 3).is_none());
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!(sequence_of(&file_name(0xABC)), Some(0xABC));
        for other in ["lock", "1.log", "00000000000000zz.log", "0000000000000001.torn-64"] {
            assert_eq!(sequence_of(other), None, "{other}");
        }
    }
}
