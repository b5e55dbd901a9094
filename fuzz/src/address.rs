//! Addresses of transports.

use hgrpc_std::transport::Address;

/// What parses, prints, and parses again as the same address; what does not says why.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Address>() {
        Ok(address) => {
            let printed = address.to_string();
            let again = printed.parse::<Address>();
            assert_eq!(again.as_ref(), Ok(&address), "{text:?} printed {printed:?}");
            assert_eq!(again.map(|a| a.to_string()), Ok(printed));
        }
        Err(error) => {
            assert_eq!(error.address, text);
            assert!(!error.to_string().is_empty());
            if let Some(suggestion) = error.suggestion {
                let meant = suggestion.parse::<Address>();
                assert!(meant.is_ok(), "{text:?}: {suggestion:?}: {meant:?}");
            }
        }
    }
}
