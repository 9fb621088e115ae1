//! Addresses — decides which addresses an id of the scheme `ip` means. It never resolves a name
//! (`IPAuthenticationProvider.java`, which knows IPv4 alone).

/// Whether `id` is an address, or an address with the number of leading bits that count.
pub(super) fn is_valid(id: &str) -> bool {
    network(id).is_some()
}

/// Whether the connection's address is in the network of an entry. Neither being readable is no match.
pub(super) fn matches(address: &str, expression: &str) -> bool {
    let Some((network, bits)) = network(expression) else { return false };
    parse(address).is_some_and(|address| masked(address, bits) == masked(network, bits))
}

fn network(expression: &str) -> Option<(u32, u32)> {
    let (address, bits) = expression.split_once('/').unwrap_or((expression, "32"));
    let bits = bits.parse::<i32>().ok().filter(|bits| (0..=32).contains(bits))?;
    Some((parse(address)?, bits as u32))
}

/// Numbers as `Integer.parseInt` reads them: leading zeros and a sign are no matter.
fn parse(address: &str) -> Option<u32> {
    let byte = |part: &str| part.parse::<i32>().ok().and_then(|value| u8::try_from(value).ok());
    let bytes: Vec<u8> = address.split('.').map(byte).collect::<Option<_>>()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn masked(address: u32, bits: u32) -> u32 {
    address & u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_tells_how_much_of_an_address_counts() {
        for (address, expression, matched) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.1.2.3", "10.1.0.0/16", true),
            ("10.1.2.3", "10.1.255.255/16", true),
            ("10.2.2.3", "10.1.0.0/16", false),
            ("10.1.2.3", "10.1.2.2/31", true),
            ("10.1.2.4", "10.1.2.2/31", false),
            ("200.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3/33", false),
            ("::1", "0.0.0.0/0", false),
        ] {
            assert_eq!(matches(address, expression), matched, "{address} {expression}");
        }
    }

    #[test]
    fn valid_id_is_four_bytes_and_perhaps_bits() {
        for valid in ["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "001.2.3.4"] {
            assert!(is_valid(valid), "{valid}");
        }
        for bad in
            ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "::1", "1.2.3.x"]
        {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
