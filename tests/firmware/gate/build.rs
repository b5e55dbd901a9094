//! Hands the memory map and the linker script to the linker: cortex-m-rt's for Arm, ours for RISC-V.
//! For the web there is nothing to place; what the host calls is exported.

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    println!(
        "cargo::rustc-link-search={}",
        variable("CARGO_MANIFEST_DIR")
    );
    let arguments: &[&str] = match variable("CARGO_CFG_TARGET_ARCH").as_str() {
        "arm" => &["-Tlink.x", "--nmagic"],
        "riscv32" => &["-Triscv.x", "--nmagic"],
        "wasm32" => &["--export=main"],
        _ => &[],
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    if std::env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo::rustc-link-arg-bin=logged=-Tdefmt.x");
    }
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=riscv.x");
    println!("cargo::rerun-if-changed=build.rs");
}
