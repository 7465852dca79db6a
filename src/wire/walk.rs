//! The attributes of a message as they lie there: type, length, value, padding (RFC 8489 section 14).

use super::AttributeType;

/// An iterator over the attributes of a region. It ends where the region ends, or in front of the first attribute that
/// does not fit in it.
#[derive(Clone)]
pub(super) struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    pub(super) const fn new(region: &'a [u8]) -> Self {
        Self { rest: region }
    }

    /// What is not walked yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (AttributeType, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[t0, t1, l0, l1], rest) = self.rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..len)?;
        // A value is padded to a multiple of four bytes; the padding may hold anything.
        self.rest = rest.get(len.next_multiple_of(4)..)?;
        Some((AttributeType(u16::from_be_bytes([t0, t1])), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_without_their_padding() {
        let walked: Vec<_> = Walk::new(&[0, 6, 0, 1, 65, 9, 9, 9, 0, 26, 0, 0]).collect();
        assert_eq!(
            walked,
            [(AttributeType(6), &[65][..]), (AttributeType(26), &[])]
        );
    }

    #[test]
    fn walk_ends_in_front_of_what_does_not_fit() {
        for (region, fits) in [
            (&[0, 6, 0][..], 0),
            (&[0, 6, 0, 1][..], 0),
            (&[0, 6, 0, 1, 65][..], 0),
            (&[0, 26, 0, 0, 0, 6, 0, 5, 65, 65, 65, 65][..], 4),
            (&[0, 6, 255, 255, 65, 0, 0, 0][..], 0),
        ] {
            let mut walk = Walk::new(region);
            walk.by_ref().for_each(drop);
            assert_eq!(walk.rest(), region.split_at(fits).1, "{region:?}");
        }
    }
}
