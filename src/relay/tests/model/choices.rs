//! Where a case comes from: numbers drawn from a seed, or read from a fuzzer's bytes.

/// A source of small numbers.
pub(super) trait Choices {
    /// The next number below `bound`, which is at least 1.
    fn below(&mut self, bound: u64) -> u64;

    /// Whether a chance of `hits` in `of` comes true.
    fn chance(&mut self, hits: u64, of: u64) -> bool {
        self.below(of) < hits
    }

    /// One of some things.
    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }

    /// One of some things, most often a good one, where there is one.
    fn likely<T: Clone>(&mut self, of: &[T], is_good: impl Fn(&T) -> bool) -> T {
        let good: Vec<T> = of.iter().filter(|it| is_good(it)).cloned().collect();
        if good.is_empty() || self.chance(1, 8) {
            self.one(of)
        } else {
            self.one(&good)
        }
    }

    /// An index into so many things.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("less than `len`")
    }

    /// A number below `bound`, as a byte.
    fn byte(&mut self, bound: u8) -> u8 {
        u8::try_from(self.below(u64::from(bound))).expect("less than `bound`")
    }

    /// A number below `bound`, as two bytes.
    fn short(&mut self, bound: u16) -> u16 {
        u16::try_from(self.below(u64::from(bound))).expect("less than `bound`")
    }
}
