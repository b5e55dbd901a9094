//! Both ends of the engine over a simulated network.

mod bell;
mod call;
mod caller;
mod client_end;
mod handler;
mod pipe;
mod plan;
mod random;
mod server_end;
mod world;

use world::play;

#[test]
fn first() {
    let seed = std::env::var("HGRPC_SEED").ok().map(|s| s.parse().unwrap());
    let trace = std::env::var_os("HGRPC_TRACE").is_some();
    let mut all = world::Census::new();
    let range = match seed { Some(seed) => seed..seed + 1, None => 0..std::env::var("HGRPC_SEEDS").map_or(200, |n| n.parse().unwrap()) };
    let mut bad = 0;
    for seed in range {
        let start = std::time::Instant::now();
        let Ok(census) = std::panic::catch_unwind(|| play(seed, trace)) else { eprintln!("SEED {seed}"); bad += 1; continue };
        if start.elapsed().as_millis() > 300 { eprintln!("SLOW {seed} {:?}", start.elapsed()); }
        for (k, v) in census { *all.entry(k).or_default() += v; }
    }
    println!("{all:#?}");
    assert_eq!(bad, 0);
}
