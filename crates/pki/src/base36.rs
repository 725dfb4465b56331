//! Big numbers as text of digits `0-9a-z`, the form of Swarm's ids and tokens.

/// Digits by value.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Length of an object id.
const ID_CHARS: usize = 25;

/// Turns 16 random bytes into an object id: 25 characters of `0-9a-z`.
///
/// The bytes are read as one big-endian number and padded on the left with zeros, so the order
/// of the bytes is the order of the ids and different bytes give different ids.
pub fn id25(bytes: [u8; 16]) -> String {
    text(&encode::<16, ID_CHARS>(bytes))
}

/// Whether `text` has the form of an object id: 25 characters of `0-9a-z`.
pub fn is_id25(text: &str) -> bool {
    text.len() == ID_CHARS && is_base36(text)
}

/// Whether `text` consists of the digits `0-9a-z` only; capitals are not accepted.
pub(crate) fn is_base36(text: &str) -> bool {
    text.bytes().all(|byte| digit_value(byte).is_some())
}

/// Writes the big-endian number `bytes` with exactly `OUT` digits, padded on the left with zeros.
///
/// `OUT` must be large enough for any number of `IN` bytes (36^OUT ≥ 256^IN).
pub(crate) fn encode<const IN: usize, const OUT: usize>(mut bytes: [u8; IN]) -> [u8; OUT] {
    let mut digits = [b'0'; OUT];
    for digit in digits.iter_mut().rev() {
        // One long division by 36; the remainder is the next digit from the right.
        let mut rest = 0u16;
        for byte in &mut bytes {
            let part = rest * 256 + u16::from(*byte);
            *byte = u8::try_from(part / 36).expect("rest < 36, so part / 36 < 256");
            rest = part % 36;
        }
        *digit = DIGITS[usize::from(rest)];
    }
    debug_assert!(bytes.iter().all(|byte| *byte == 0), "OUT digits must suffice for IN bytes");
    digits
}

/// Reads base-36 digits as a big-endian number of `OUT` bytes.
///
/// `None` if a character is not a digit or the number does not fit.
pub(crate) fn decode<const OUT: usize>(text: &str) -> Option<[u8; OUT]> {
    let mut bytes = [0u8; OUT];
    for character in text.bytes() {
        let mut carry = u16::from(digit_value(character)?);
        for byte in bytes.iter_mut().rev() {
            let part = u16::from(*byte) * 36 + carry;
            let [high, low] = part.to_be_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

/// The value of one digit.
fn digit_value(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'z' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Digits as text.
pub(crate) fn text(digits: &[u8]) -> String {
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_padded_on_the_left() {
        assert_eq!(id25([0; 16]), "0".repeat(25));
        assert_eq!(id25(1u128.to_be_bytes()), format!("{}1", "0".repeat(24)));
        assert_eq!(id25(36u128.to_be_bytes()), format!("{}10", "0".repeat(23)));
        // Computed with Python's int arithmetic.
        assert_eq!(id25([0xff; 16]), "f5lxx1zz5pnorynqglhzmsp33");
        assert!(is_id25(&id25([0xa5; 16])));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(decode::<1>("73"), Some([255]));
        assert_eq!(decode::<1>("74"), None);
        assert_eq!(decode::<4>("A"), None);
        assert_eq!(decode::<4>("-1"), None);
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(bytes: [u8; 32]) {
            let digits = encode::<32, 50>(bytes);
            prop_assert_eq!(decode::<32>(&text(&digits)), Some(bytes));
        }

        #[test]
        fn decode_never_panics(any in ".*") {
            let _ = decode::<32>(&any);
        }

        #[test]
        fn the_order_of_bytes_is_the_order_of_ids(a: [u8; 16], b: [u8; 16]) {
            prop_assert_eq!(a.cmp(&b), id25(a).cmp(&id25(b)));
        }
    }
}
