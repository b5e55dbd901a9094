//! Request decoding and everything else that is read from CBOR.

use hgrpc::cbor::{
    Atoms, CborError, CommandRequest, ErrorMessage, Pieces, Progress, SenderSettings, Status,
    StreamSettings, Value, value_len,
};
use hgrpc::wire::ErrorFlags;

use crate::input::Input;

/// Whatever bytes come, decoding ends, agrees with itself and never panics.
pub fn request(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = input.revision();
    let bytes = input.rest();
    if let Ok(request) = CommandRequest::decode(bytes, revision) {
        let args: Vec<_> = request.args.iter().collect();
        assert_eq!(args.len(), request.args.len());
        for (key, value) in &args {
            let mut flat = vec![0; key.len()];
            assert_eq!(key.copy_to(&mut flat), Some(flat.len()));
            let found = request.args.find(&flat).expect("every key is found");
            assert!(args.iter().any(|(_, v)| v.as_cbor() == found.as_cbor()));
            assert_eq!(value_len(value.as_cbor()), Ok(value.as_cbor().len()));
        }
        assert_eq!(value_len(bytes), Ok(bytes.len()), "nothing is left over");
    }
    match value_len(bytes) {
        Ok(len) => {
            let value = Value::from_cbor(&bytes[..len]).expect("what was measured is a value");
            assert_eq!(
                Pieces::new(value).collect::<Vec<_>>().concat(),
                &bytes[..len]
            );
            // No prefix of a value is a value.
            for end in 0..len.min(64) {
                assert_eq!(value_len(&bytes[..end]), Err(CborError::Incomplete));
            }
        }
        Err(CborError::Incomplete) => {
            assert!(CommandRequest::decode(bytes, revision).is_err());
        }
        Err(_) => {}
    }
    if let Ok((_, len)) = Status::decode(bytes) {
        assert!(len <= bytes.len());
    }
    if let Ok(atoms) = Atoms::decode(bytes) {
        let _ = format!("{atoms}");
        let escaped = format!("{}", atoms.escaped());
        assert!(
            !escaped
                .chars()
                .any(|c| c.is_control() && c != '\n' && c != '\t')
        );
    }
    if let Ok(message) = ErrorMessage::decode(bytes, ErrorFlags::NONE, revision) {
        let _ = format!("{message}");
    }
    if let Ok(progress) = Progress::decode(bytes) {
        let mut again = vec![0; bytes.len() + 64];
        if let Ok(len) = progress.encode(revision, &mut again) {
            let second = Progress::decode(&again[..len]).expect("what is encoded decodes");
            assert_eq!((second.pos, second.total), (progress.pos, progress.total));
        }
    }
    // What is final after some bytes must not be revised by more of them.
    if SenderSettings::finish(bytes).is_ok() {
        for end in 0..bytes.len().min(64) {
            assert_eq!(SenderSettings::continue_ok(&bytes[..end]), Ok(()));
        }
    }
    let _ = StreamSettings::finish(bytes, false);
}
