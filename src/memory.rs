//! Memory — decides where blocks of memory come from, and tells how much there is of it. It never decides who gets some.
//!
//! A run asks for many small blocks, and tantivy for nine zeroed megabytes a segment (the arenas of its indexer), of
//! which it touches a few pages and has no more use soon. mimalloc is quick with the former, but clears the latter by
//! hand, as glibc does once they come from its heap. So arenas are parts of a region of pages that the system zeroes as
//! they are touched; once all of a region have been given back, its pages go back to the system at one stroke: each
//! such stroke stops every other thread, so that one an arena would cost a sweep a fifth of its second core.

#![expect(unsafe_code, reason = "an allocator has no safe form")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
};

use mimalloc::MiMalloc;

/// The allocator of the binary. For one's own tests: `#[global_allocator] static ALLOCATOR: Allocator = Allocator;`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// Blocks from this size on come from the system, in bytes: it makes them larger without copying them, where a record
/// that grows would be there twice.
const LARGE: usize = 4 << 20;

fn is_large(size: usize) -> bool {
    size >= LARGE
}

// SAFETY: a block is given back to whom it came from: arenas lie where nothing else does, and the others are told apart by
// their size, which a caller has to give again; each of the three keeps the contract for what it gives.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is the caller's.
        unsafe { if is_large(layout.size()) { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(arena) = arenas::take(layout) {
            return arena;
        }
        // SAFETY: the layout is the caller's.
        unsafe {
            if is_large(layout.size()) { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if arenas::give(block) {
            return;
        }
        // SAFETY: what is no arena came from there, by its size.
        unsafe {
            if is_large(layout.size()) {
                System.dealloc(block, layout)
            } else {
                MiMalloc.dealloc(block, layout)
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: what is no arena came from there, by its size, and what it becomes will go there.
        match (is_large(layout.size()), is_large(size)) {
            (true, true) => return unsafe { System.realloc(block, layout, size) },
            (false, false) if !arenas::is_arena(block) => {
                return unsafe { MiMalloc.realloc(block, layout, size) };
            }
            _ => {}
        }
        // SAFETY: the caller sees to it that the size is one that a layout can have; both blocks are as long as what is
        // copied, and no two live blocks overlap.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                block.copy_to_nonoverlapping(moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Zeroed megabytes, region by region.
#[cfg(target_os = "linux")]
mod arenas {
    use std::{
        alloc::Layout,
        ptr,
        sync::{
            Mutex, MutexGuard, PoisonError,
            atomic::{AtomicPtr, Ordering},
        },
    };

    /// A page of tantivy's arenas.
    const ARENA: usize = 1 << 20;
    /// What a page of memory is aligned to at least.
    const ALIGNMENT_MAX: usize = 4096;
    /// Arenas of a region: those of a few segments.
    const ARENAS: usize = 36;
    /// Regions: where one arena of a region is kept for long, the others are waited for.
    const REGIONS: usize = 8;

    /// Where all regions lie, one after the other; null until the first arena is asked for.
    static BASE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    static REGISTER: Mutex<Register> = Mutex::new(Register {
        regions: [const { Region { handed_out: 0, in_use: 0 } }; REGIONS],
        current: 0,
    });

    /// Arenas of a region are handed out one after the other, each once until all have been given back.
    struct Region {
        handed_out: usize,
        in_use: usize,
    }

    struct Register {
        regions: [Region; REGIONS],
        current: usize,
    }

    fn register() -> MutexGuard<'static, Register> {
        REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of all arenas it is.
    fn number(block: *mut u8) -> Option<usize> {
        let base = BASE.load(Ordering::Acquire);
        let number = block.addr().wrapping_sub(base.addr()) / ARENA;
        (!base.is_null() && number < REGIONS * ARENAS).then_some(number)
    }

    pub(super) fn is_arena(block: *mut u8) -> bool {
        number(block).is_some()
    }

    /// One that is all zeros, if that is what is wanted and there is one.
    pub(super) fn take(layout: Layout) -> Option<*mut u8> {
        if layout.size() != ARENA || layout.align() > ALIGNMENT_MAX {
            return None;
        }
        let mut register = register();
        let base = base()?;
        if register.regions[register.current].handed_out == ARENAS {
            register.current = register.regions.iter().position(|region| region.in_use == 0)?;
            let number = register.current;
            clear(base, number, &mut register.regions[number])?;
        }
        let number = register.current;
        let region = &mut register.regions[number];
        let arena = base.wrapping_add((number * ARENAS + region.handed_out) * ARENA);
        region.handed_out += 1;
        region.in_use += 1;
        Some(arena)
    }

    /// Takes a block back if it is an arena, of which the caller has no more use.
    pub(super) fn give(block: *mut u8) -> bool {
        let Some(number) = number(block) else { return false };
        register().regions[number / ARENAS].in_use -= 1;
        true
    }

    /// Its pages go back to the system, and are zeros when they are touched again.
    fn clear(base: *mut u8, number: usize, region: &mut Region) -> Option<()> {
        let from = base.wrapping_add(number * ARENAS * ARENA);
        // SAFETY: the region lies within the mapping, and nobody uses any of its arenas.
        let cleared = unsafe { libc::madvise(from.cast(), ARENAS * ARENA, libc::MADV_DONTNEED) };
        region.handed_out = if cleared == 0 { 0 } else { ARENAS };
        (cleared == 0).then_some(())
    }

    /// Where the regions lie; they are mapped at the first call, which is under the lock. Pages that nobody has touched
    /// take no memory.
    fn base() -> Option<*mut u8> {
        let base = BASE.load(Ordering::Acquire);
        if !base.is_null() {
            return Some(base);
        }
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping, of no file, at a place of the system's choice, touches no other memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), REGIONS * ARENAS * ARENA, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        BASE.store(base.cast(), Ordering::Release);
        Some(base.cast())
    }
}

/// Elsewhere giving pages back does not make them zeros.
#[cfg(not(target_os = "linux"))]
mod arenas {
    use std::alloc::Layout;

    pub(super) fn is_arena(_: *mut u8) -> bool {
        false
    }

    pub(super) fn take(_: Layout) -> Option<*mut u8> {
        None
    }

    pub(super) fn give(_: *mut u8) -> bool {
        false
    }
}

/// The most memory that this process has had, in bytes, since it began or since [`forget_peak`], where the system tells.
pub fn peak() -> Option<u64> {
    read("VmHWM")
}

/// The memory that this process has now, in bytes, where the system tells.
pub fn resident() -> Option<u64> {
    read("VmRSS")
}

fn read(what: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Linux forgets the highest memory use on request; elsewhere [`peak`] is that of the process so far. What has been freed
/// is given back to the system first, lest it count again.
pub fn forget_peak() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
    // Without it the peak stays that of the process.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    const ARENA: usize = 1 << 20;

    /// More than all regions have together.
    const MANY: usize = 400;

    fn is_zeros(block: *mut u8) -> bool {
        // SAFETY: the block is that long.
        unsafe { std::slice::from_raw_parts(block, ARENA) == vec![0; ARENA] }
    }

    #[test]
    fn arena_is_zeros_each_time_it_is_handed_out() {
        for _ in 0..100 {
            // SAFETY: the block is used within its length, and given back once, as it was asked for.
            unsafe {
                let block = Allocator.alloc_zeroed(layout(ARENA));
                assert!(is_zeros(block));
                block.write_bytes(7, ARENA);
                Allocator.dealloc(block, layout(ARENA));
            }
        }
    }

    #[test]
    fn what_an_arena_holds_moves_out_with_it() {
        // SAFETY: each block is used within its length, and given back once, as it was asked for last.
        unsafe {
            let mut block = Allocator.alloc_zeroed(layout(ARENA));
            block.write_bytes(3, ARENA);
            let mut size = ARENA;
            for next in [2 * ARENA, ARENA, 50] {
                block = Allocator.realloc(block, layout(size), next);
                size = next;
                let held = size.min(ARENA);
                assert!(std::slice::from_raw_parts(block, held) == vec![3; held]);
            }
            Allocator.dealloc(block, layout(size));
        }
    }

    #[test]
    fn what_a_block_holds_moves_with_it_as_it_grows_large_and_small_again() {
        // SAFETY: each block is used within its length, and given back once, as it was asked for last.
        unsafe {
            let (mut size, mut block) = (100, Allocator.alloc(layout(100)));
            block.write_bytes(5, size);
            for next in [LARGE - 1, LARGE, 3 * LARGE, 2 * LARGE, 70] {
                block = Allocator.realloc(block, layout(size), next);
                size = next;
                assert!(std::slice::from_raw_parts(block, 70) == [5; 70]);
            }
            Allocator.dealloc(block, layout(size));
            let zeroed = Allocator.alloc_zeroed(layout(LARGE));
            assert!(std::slice::from_raw_parts(zeroed, LARGE) == vec![0; LARGE]);
            Allocator.dealloc(zeroed, layout(LARGE));
        }
    }

    #[test]
    fn more_arenas_than_there_are_in_regions_are_apart_from_each_other() {
        // SAFETY: the blocks are used within their length, and given back once, as they were asked for.
        unsafe {
            let blocks: Vec<_> = (0..MANY).map(|_| Allocator.alloc_zeroed(layout(ARENA))).collect();
            for (block, mark) in blocks.iter().zip(0_usize..) {
                block.cast::<usize>().write(mark);
                block.add(ARENA - 1).write(mark as u8);
            }
            let is_own = |(block, mark): (&*mut u8, usize)| {
                block.cast::<usize>().read() == mark && block.add(ARENA - 1).read() == mark as u8
            };
            assert!(blocks.iter().zip(0..).all(is_own));
            blocks.into_iter().for_each(|block| Allocator.dealloc(block, layout(ARENA)));
            let again = Allocator.alloc_zeroed(layout(ARENA));
            assert!(is_zeros(again));
            Allocator.dealloc(again, layout(ARENA));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(peak().unwrap() >= resident().unwrap() / 2);
    }
}
