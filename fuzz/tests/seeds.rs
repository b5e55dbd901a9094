//! Replays every seed through its target, so that what the fuzzer has found stays found on any
//! toolchain.

use std::path::Path;

#[test]
fn every_seed_replays() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, target) in hgrpc_fuzz::TARGETS {
        let folder = seeds.join(name);
        let mut count = 0;
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
