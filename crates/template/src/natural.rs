//! Natural order: `web2` before `web10`.

use std::cmp::Ordering;

/// Compares bytewise, except that runs of ASCII digits compare as numbers.
///
/// A digit sorts before anything else, fewer leading zeros before more.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(first_a), Some(first_b)) = (a.first(), b.first()) {
        match (first_a.is_ascii_digit(), first_b.is_ascii_digit()) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {
                if first_a != first_b {
                    return first_a.cmp(first_b);
                }
                (a, b) = (&a[1..], &b[1..]);
            }
            (true, true) => {
                let (number_a, rest_a) = take_number(a);
                let (number_b, rest_b) = take_number(b);
                let zeros_a = a.len() - rest_a.len() - number_a.len();
                let zeros_b = b.len() - rest_b.len() - number_b.len();
                let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b)).then_with(|| zeros_a.cmp(&zeros_b));
                if order.is_ne() {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
        }
    }
    a.len().cmp(&b.len())
}

/// The leading number without its zeros, and what follows.
fn take_number(text: &[u8]) -> (&[u8], &[u8]) {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    let digits = text[zeros..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    text[zeros..].split_at(digits)
}
