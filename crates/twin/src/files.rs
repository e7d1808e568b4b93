//! How does an empty relation get its length, and an empty B-tree its height?
//!
//! Source: PostgreSQL's `src/backend/storage/smgr/md.c` (segments of 1 GB, each full before the next
//! counts), `src/include/storage/bufpage.h`, `itemid.h` and `src/include/access/nbtree.h` (page and
//! metapage layout, version 4 of the B-tree, the same from 12 to 18).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const PAGE: usize = 8192;
const SEGMENT_PAGES: u64 = 131_072;

/// Gives a relation its length. The pages beyond the real ones are holes: they take no space and
/// read as zeros, which is a valid new page.
pub(crate) fn extend(path: &Path, pages: u64) -> io::Result<()> {
    let first = OpenOptions::new().write(true).open(path)?;
    let owner = first.metadata()?;
    first.set_len(pages.min(SEGMENT_PAGES) * PAGE as u64)?;
    let mut left = pages.saturating_sub(SEGMENT_PAGES);
    let mut number = 1;
    while left > 0 {
        let next = segment(path, number);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&next)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
            std::os::unix::fs::chown(&next, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.set_len(left.min(SEGMENT_PAGES) * PAGE as u64)?;
        left = left.saturating_sub(SEGMENT_PAGES);
        number += 1;
    }
    Ok(())
}

/// Makes a table look empty: segments beyond the first are not looked at while that one is not full.
pub(crate) fn empty(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

fn segment(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

const HEADER: usize = 24;
const SPECIAL: usize = 16;
const BTREE_MAGIC: u32 = 0x0005_3162;
const BTREE_VERSION: u32 = 4;
const INDEX_ALT_TID_MASK: u16 = 0x2000;
const BTP_LEAF: u16 = 1;
const BTP_ROOT: u16 = 2;

/// Whether a new B-tree can merge duplicates, as its metapage says (`btm_allequalimage`).
pub(crate) fn allows_deduplication(path: &Path) -> io::Result<bool> {
    let page = read_page(&mut File::open(path)?)?;
    Ok(is_btree_metapage(&page) && page[HEADER + 40] != 0)
}

fn is_btree_metapage(page: &[u8; PAGE]) -> bool {
    word(page, HEADER) == BTREE_MAGIC && word(page, HEADER + 4) == BTREE_VERSION
}

/// Gives a new, empty B-tree its height, which the planner reads from the metapage and charges for
/// on every descent (`btcostestimate`).
///
/// The metapage alone must not say so: the planner also descends to the ends of an index
/// (`get_actual_variable_range`) and would meet a zero page. So a whole tree is planted, one page per
/// level, each with one downlink, and an empty leaf at the bottom: the descent finds nothing, and
/// the planner falls back on the histogram.
pub(crate) fn plant_btree(path: &Path, height: u32) -> io::Result<()> {
    // The bits of a line pointer are laid out the other way on such machines.
    if height == 0 || cfg!(target_endian = "big") {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut meta = read_page(&mut file)?;
    if !is_btree_metapage(&meta) || word(&meta, HEADER + 8) != 0 {
        return Ok(());
    }
    // The root leads to the only leaf at once: whoever descends goes by the flags of a page, not by its level, and
    // thousands of candidates take less of the memory that their files are kept in.
    for (block, level) in [(1, height), (2, 0)] {
        file.seek(SeekFrom::Start(u64::from(block) * PAGE as u64))?;
        file.write_all(&tree_page(&meta, level, block, level == height))?;
    }
    // btm_root, btm_level, btm_fastroot, btm_fastlevel
    for (at, value) in [(8, 1), (12, height), (16, 1), (20, height)] {
        meta[HEADER + at..HEADER + at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&meta)
}

fn tree_page(meta: &[u8; PAGE], level: u32, block: u32, root: bool) -> [u8; PAGE] {
    let mut page = [0_u8; PAGE];
    let mut put16 = |at: usize, value: u16| page[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    let special = PAGE - SPECIAL;
    let tuple = special - 8;
    let leaf = level == 0;
    put16(12, u16::try_from(if leaf { HEADER } else { HEADER + 4 }).unwrap_or_default()); // pd_lower
    put16(14, u16::try_from(if leaf { special } else { tuple }).unwrap_or_default()); // pd_upper
    put16(16, u16::try_from(special).unwrap_or_default()); // pd_special
    put16(special + 12, if leaf { BTP_LEAF } else { 0 } | if root { BTP_ROOT } else { 0 });
    if !leaf {
        // The downlink: a pivot tuple without attributes, which stands for minus infinity.
        let child = block + 1;
        put16(tuple, u16::try_from(child >> 16).unwrap_or_default());
        put16(tuple + 2, u16::try_from(child & 0xffff).unwrap_or_default());
        put16(tuple + 6, 8 | INDEX_ALT_TID_MASK);
        // Its line pointer: offset, LP_NORMAL, length.
        let pointer = u32::try_from(tuple).unwrap_or_default() | 1 << 15 | 8 << 17;
        page[HEADER..HEADER + 4].copy_from_slice(&pointer.to_ne_bytes());
    }
    page[0..8].copy_from_slice(&meta[0..8]); // pd_lsn
    page[18..20].copy_from_slice(&meta[18..20]); // pd_pagesize_version
    page[special + 8..special + 12].copy_from_slice(&level.to_ne_bytes());
    page
}

fn read_page(file: &mut File) -> io::Result<[u8; PAGE]> {
    let mut page = [0; PAGE];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut page)?;
    Ok(page)
}

fn word(page: &[u8; PAGE], at: usize) -> u32 {
    u32::from_ne_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_relation_has_full_segments_and_takes_no_space() {
        let dir = std::env::temp_dir().join(format!("pgwright-files-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("16384");
        File::create(&path).unwrap();
        extend(&path, 2 * SEGMENT_PAGES + 7).unwrap();
        let length = |p: &Path| std::fs::metadata(p).unwrap().len();
        assert_eq!(length(&path), 1 << 30);
        assert_eq!(length(&segment(&path, 1)), 1 << 30);
        assert_eq!(length(&segment(&path, 2)), 7 * PAGE as u64);
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
        empty(&path).unwrap();
        assert_eq!(length(&path), 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
