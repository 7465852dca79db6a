//! The published test vectors, for unit tests, differential tests and benches alike.

/// RFC 5769 section 2.1: a Binding request with short-term credentials.
pub(crate) const V1: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
    80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
    80280004e57a3bcf";
/// RFC 5769 section 2.2: its response with an IPv4 address, 192.0.2.1:32853.
pub(crate) const V2: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 section 2.3: its response with an IPv6 address, [2001:db8:1234:5678:11:2233:4455:6677]:32853.
pub(crate) const V3: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa\
    a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
/// RFC 5769 section 2.4: a Binding request with long-term credentials.
pub(crate) const V4: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c\
    662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f7267000008\
    0014f67024656dd64a3e02b8e0712e85c9a28ca89666";
/// RFC 8489 appendix B.1 as corrected by erratum 6268: USERHASH, SHA-256.
pub(crate) const V5: &str = "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b2\
    05c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c394653547679363473\
    410000000014000b6578616d706c652e6f726700001d000400020000001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb\
    927c43149309278cc6518e65";

/// The short-term password of V-1 to V-3, which is the key.
pub(crate) const SHORT_TERM_KEY: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
/// The key of V-4: MD5 over user, realm and password.
pub(crate) const V4_KEY: &str = "e8ca7ad59d5eb0518e312911d2dab2a9";
/// The key of V-5: SHA-256 over the same.
pub(crate) const V5_KEY: &str = "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1";
/// The user of V-4 and V-5.
pub(crate) const USER: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
/// The nonce of V-4.
pub(crate) const V4_NONCE: &str = "f//499k954d6OL34oL9FSTvy64sA";
/// The nonce of V-5.
pub(crate) const V5_NONCE: &str = "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";

/// The bytes that a hexadecimal string spells; other characters are skipped.
///
/// # Panics
///
/// Where a digit is left over.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).expect("a hexadecimal digit"))
        .collect();
    let (bytes, []) = digits.as_chunks::<2>() else {
        panic!("half a byte is left over");
    };
    bytes.iter().map(|[high, low]| high << 4 | low).collect()
}
