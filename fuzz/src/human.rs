//! Human frame strings.

use hgrpc_std::human::{parse_frame, print_frame};

use crate::input::Input;

/// Whatever parses, prints and parses again as the same frame; what does not names a column
/// within the line, or one past it.
pub fn human(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = input.revision();
    let line = input.rest();
    match parse_frame(line, revision) {
        Ok(frame) => {
            let printed =
                print_frame(frame.header(), frame.payload(), revision).expect("it was parsed");
            let again = parse_frame(printed.as_bytes(), revision).expect("what is printed parses");
            assert_eq!(again.to_bytes(), frame.to_bytes(), "{printed}");
        }
        Err(error) => {
            assert!(
                error.column >= 1 && error.column <= line.len() + 1,
                "{error:?}"
            );
            assert!(!error.to_string().is_empty());
        }
    }
}
