//! Bodies that tell whose they are: each octet follows from the nonce and its place.

/// The octet at this place of the nonce's body; a response's differs from its request's.
fn octet(nonce: u64, place: u64, is_response: bool) -> u8 {
    let mixed = (nonce ^ (place / 8).wrapping_mul(0x9E37_79B9) ^ u64::from(is_response) << 40)
        .wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> (8 * (place % 8))) as u8
}

/// A body of so many octets.
pub(crate) fn body(nonce: u64, length: usize, is_response: bool) -> Vec<u8> {
    (0..length as u64)
        .map(|place| octet(nonce, place, is_response))
        .collect()
}

/// Is it the beginning of the nonce's body?
pub(crate) fn is_body(nonce: u64, octets: &[u8], is_response: bool) -> bool {
    (0..)
        .zip(octets)
        .all(|(place, found)| *found == octet(nonce, place, is_response))
}

/// A length: often none or little, now and then much.
pub(crate) fn length() -> usize {
    use hotgate::net::sim::below;
    match below(10) {
        0..2 => 0,
        2..6 => below(100) as usize,
        6..9 => below(5_000) as usize,
        _ => below(120_000) as usize,
    }
}
