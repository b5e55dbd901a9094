//! The program that README.md has a new user write ("From nothing to a call") is the one that
//! `firmware/tool.rs` calls in QEMU.

use std::fs;
use std::path::Path;

#[test]
fn the_readme_has_the_program_that_is_tested() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(tests.join("../README.md")).unwrap();
    for name in ["main.rs", "uart.rs"] {
        let path = tests
            .join("firmware/boards/src/bin/lm3s6965evb-readme")
            .join(name);
        let source = fs::read_to_string(&path).unwrap();
        let block = format!("```rust,ignore\n{source}```\n");
        assert!(
            readme.contains(&block),
            "README.md does not have {} as it is",
            path.display()
        );
    }
}
