//! The 20 bytes in front of every STUN message (RFC 8489 section 5): class, method, length, cookie, transaction.

/// Bytes of the header.
pub(super) const HEADER_LEN: usize = 20;

/// The magic cookie (RFC 8489 section 5).
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// The 96 bits that tie a response to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks, and is answered.
    Request,
    /// Tells, and is never answered.
    Indication,
    /// Answers a request that was carried out.
    Success,
    /// Answers a request that was not.
    Error,
}

/// What a message is about: a number of 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489 section 18.2).
    pub const BINDING: Self = Self(0x001);
    /// Allocate (RFC 8656 section 7).
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh (RFC 8656 section 8).
    pub const REFRESH: Self = Self(0x004);
    /// Send, an indication (RFC 8656 section 11.1).
    pub const SEND: Self = Self(0x006);
    /// Data, an indication (RFC 8656 section 11.3).
    pub const DATA: Self = Self(0x007);
    /// CreatePermission (RFC 8656 section 10).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind (RFC 8656 section 12).
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect (RFC 6062 section 6.1).
    pub const CONNECT: Self = Self(0x00A);
    /// ConnectionBind (RFC 6062 section 6.1).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// ConnectionAttempt, an indication (RFC 6062 section 6.1).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// The method of that number; `None` where the number has more than 12 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= 0xFFF {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Interleaves method and class into the message type: M11-7 C1 M6-4 C0 M3-0 (RFC 8489 section 5).
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let class_bits = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    let number = method.0;
    class_bits | (number & 0x00F) | (number & 0x070) << 1 | (number & 0xF80) << 2
}

/// The class in a message type.
pub(super) const fn class_of(message_type: u16) -> Class {
    match (message_type & 0x100 != 0, message_type & 0x010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    }
}

/// The method in a message type.
pub(super) const fn method_of(message_type: u16) -> Method {
    Method((message_type & 0x000F) | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2)
}

/// Writes the header of a message without attributes.
pub(super) fn write_header(
    header: &mut [u8; HEADER_LEN],
    class: Class,
    method: Method,
    id: TransactionId,
) {
    let [t0, t1] = message_type(class, method).to_be_bytes();
    let [c0, c1, c2, c3] = COOKIE;
    let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = id.0;
    *header = [
        t0, t1, 0, 0, c0, c1, c2, c3, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11,
    ];
}

/// Sets the length, in bytes of attributes.
pub(super) const fn set_length(header: &mut [u8; HEADER_LEN], length: u16) {
    let [_, _, high, low, ..] = header;
    [*high, *low] = length.to_be_bytes();
}

/// Takes a message apart into a header that claims `length` bytes of attributes, and the attributes it has. That is
/// what the sealing attributes are computed over (RFC 8489 section 14.5). `None` where there is no whole header.
pub(super) fn with_length(message: &[u8], length: u16) -> Option<([u8; HEADER_LEN], &[u8])> {
    let (header, attributes) = message.split_first_chunk()?;
    let mut header = *header;
    set_length(&mut header, length);
    Some((header, attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 4] = [
        Class::Request,
        Class::Indication,
        Class::Success,
        Class::Error,
    ];

    #[test]
    fn every_class_and_method_survives_the_message_type() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..=0xFFF {
            let method = Method::new(number).expect("12 bits");
            for class in CLASSES {
                let bits = message_type(class, method);
                assert!(bits < 0x4000, "the first two bits are zero");
                assert_eq!((class_of(bits), method_of(bits)), (class, method));
                assert!(seen.insert(bits), "{bits:#06x} is used twice");
            }
        }
    }

    #[test]
    fn message_types_are_those_of_the_rfcs() {
        assert_eq!(message_type(Class::Request, Method::BINDING), 0x0001);
        assert_eq!(message_type(Class::Indication, Method::BINDING), 0x0011);
        assert_eq!(message_type(Class::Success, Method::ALLOCATE), 0x0103);
        assert_eq!(message_type(Class::Error, Method::REFRESH), 0x0114);
        assert_eq!(message_type(Class::Indication, Method::SEND), 0x0016);
        assert_eq!(message_type(Class::Indication, Method::DATA), 0x0017);
        assert_eq!(
            message_type(Class::Success, Method::CREATE_PERMISSION),
            0x0108
        );
        assert_eq!(message_type(Class::Error, Method::CHANNEL_BIND), 0x0119);
        assert_eq!(
            message_type(Class::Indication, Method::CONNECTION_ATTEMPT),
            0x001C
        );
    }

    #[test]
    fn number_of_thirteen_bits_is_no_method() {
        assert_eq!(Method::new(0x1000), None);
    }
}
