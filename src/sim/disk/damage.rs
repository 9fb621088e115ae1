//! Damage — decides what rot and writes that go astray leave of a disk's files. It never decides when.

use std::collections::BTreeSet;

use super::{Disk, STRIP};
use crate::{core::FileName, scenario::plan::FileKind, sim::dice::Die};

impl<M> Disk<M> {
    /// Bits of one durable file of this kind are flipped. Gives the file, and how many of its bytes changed.
    pub fn rot(&mut self, files: FileKind, bits: u32, mut die: Die) -> Option<(FileName, u32)> {
        let file = self.draw_file(|file| files.has(file), &mut die)?;
        let content = self.durable.get_mut(&file)?;
        let bits = u64::from(bits).min(content.len() as u64 * 8);
        let mut flipped = BTreeSet::new();
        while (flipped.len() as u64) < bits {
            flipped.insert(die.below(content.len() as u64 * 8));
        }
        let changed: BTreeSet<u64> = flipped.iter().map(|bit| bit / 8).collect();
        flipped.iter().for_each(|bit| content[(bit / 8) as usize] ^= 1 << (bit % 8));
        Some((file, changed.len() as u32))
    }

    /// The last write to a durable file of this kind went to another file. Gives both, each with the number of bytes
    /// that are not what they were; the other one is missing if there is none.
    pub fn misdirect(&mut self, files: FileKind, mut die: Die) -> Vec<(FileName, u32)> {
        let Some(meant) = self.draw_file(|file| files.has(file), &mut die) else { return Vec::new() };
        let content = self.durable.get_mut(&meant).expect("it was drawn");
        let astray = content.len().saturating_sub(STRIP);
        let strip = content[astray..].to_vec();
        // Noise: what the place held before. An odd byte is never zero.
        content[astray..].iter_mut().for_each(|byte| *byte = die.bits() as u8 | 1);
        let mut hit = vec![(meant.clone(), strip.len() as u32)];
        if let Some(other) = self.draw_file(|file| **file != *meant, &mut die) {
            let content = self.durable.get_mut(&other).expect("it was drawn");
            let at = die.below(content.len() as u64) as usize;
            let landed = strip.len().min(content.len() - at);
            content[at..at + landed].copy_from_slice(&strip[..landed]);
            hit.push((other, landed as u32));
        }
        hit
    }

    fn draw_file(&self, is_meant: impl Fn(&FileName) -> bool, die: &mut Die) -> Option<FileName> {
        let is_there = |(file, content): &(&FileName, &Vec<u8>)| is_meant(file) && !content.is_empty();
        let files: Vec<_> = self.durable.iter().filter(is_there).map(|(file, _)| file).collect();
        files.get(die.below(files.len() as u64) as usize).map(|file| (*file).clone())
    }
}
