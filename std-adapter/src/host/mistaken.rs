//! Peers that speak another protocol, known by their first bytes, so that the error says so.

/// What a server speaks whose first bytes these are. As frames, all of these are far over the largest default, so
/// that no hgrpc server is taken for another.
pub(crate) fn answering(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'H', b'T', b'T', b'P', b'/', ..] => "HTTP",
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        // An alert of any version, which is two bytes long.
        [0x15, 3, 1..=4, 0, 2, ..] => "TLS",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "SMTP or FTP",
        [b'+', b'O', b'K', ..] => "POP3",
        [b'-', b'E', b'R', b'R', ..] => "Redis",
        _ => return None,
    })
}

/// What a client speaks whose first bytes these are.
pub(crate) fn asking(bytes: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8]; 5] = [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS "];
    HTTP.iter()
        .any(|start| bytes.starts_with(start))
        .then_some("HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_first_bytes() {
        assert_eq!(asking(b"GET / HTTP/1.1\r\n"), Some("HTTP"));
        assert_eq!(asking(b"GET"), None);
        assert_eq!(answering(b"HTTP/1.1 400 Bad Request\r\n"), Some("HTTP"));
        assert_eq!(answering(b"SSH-2.0-OpenSSH"), Some("SSH"));
        assert_eq!(answering(b"\x15\x03\x03\x00\x02\x02\x46"), Some("TLS"));
        assert_eq!(answering(b"220-mail"), Some("SMTP or FTP"));
        // A frame of 16 bytes.
        assert_eq!(answering(b"\x10\0\0\x01\0\x02\x01\x92"), None);
    }
}
