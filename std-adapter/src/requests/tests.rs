use std::collections::HashMap;

use hgrpc::store::laws;
use proptest::prelude::*;

use super::*;

fn budgets(requests: usize, bytes: usize) -> Budgets {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = requests;
    budgets.refused = requests;
    budgets.bytes = bytes;
    budgets
}

fn key(id: u16) -> Key {
    Key::request(RequestId::new(id))
}

#[test]
fn growable_requests_keep_the_laws() {
    for (count, bytes) in [(1, 16), (4, 64), (999, 64), (2000, 32 << 20)] {
        let mut requests = GrowableRequests::new(budgets(count, bytes));
        let mut memory = GatheredBytes::new(bytes);
        for _ in 0..2 {
            laws::check(&mut requests, &mut memory).unwrap();
            assert!(requests.is_empty() && memory.held() == 0);
            assert!(requests.open(key(7), 1, 0));
            assert!(requests.append(key(7), b"bytes", &mut memory));
            requests.clear(&mut memory);
        }
    }
}

#[test]
fn every_id_has_a_place_and_memory_is_given_back() {
    let mut requests = GrowableRequests::new(budgets(0x1_0000, 0));
    for id in 0..=u16::MAX {
        let is_open = requests.open(key(id), u32::from(id), 0);
        assert_eq!(is_open, usize::from(id) < MOST);
    }
    assert_eq!(requests.len(), MOST);
    for id in (0..=u16::MAX).rev() {
        requests.remove(key(id));
        assert!(requests.find(key(id)).is_none());
    }
    let directory = requests.places.directory.as_ref().unwrap();
    assert!(directory.iter().all(Option::is_none));
    requests.shrink();
    assert!(requests.places.directory.is_none() && requests.entries.capacity() == 0);
}

#[test]
fn a_tag_lives_as_long_as_its_request() {
    let mut requests = GrowableRequests::new(budgets(4, 0));
    let id = RequestId::new(5);
    requests.set_tag(id, 9);
    assert_eq!(requests.tag(id), 0);
    assert!(requests.open(key(5), 0, 0) && requests.open(key(6), 1, 0));
    requests.set_tag(id, 9);
    requests.remove(key(6));
    assert_eq!(requests.tag(id), 9);
    assert!(requests.open(key(5), 2, 0));
    assert_eq!(requests.tag(id), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Open(u16),
    Remove(u16),
    Append(u16, Vec<u8>),
    Take(u16),
    Release,
}

proptest! {
    /// Requests and their bytes are those of a map, whatever is done in which order.
    #[test]
    fn requests_are_a_map(ops in prop::collection::vec(
        // Few IDs, far apart and side by side.
        (0..5u16, prop::sample::select(vec![0u16, 1, 511, 512, 0xfffe, 0xffff]), 0..20usize).prop_map(
            |(op, id, len)| match op {
                0 | 1 => Op::Open(id),
                2 => Op::Append(id, vec![len.to_le_bytes()[0]; len]),
                3 => Op::Take(id),
                _ => if len < 10 { Op::Remove(id) } else { Op::Release },
            }), 0..200)) {
        let mut requests = GrowableRequests::new(budgets(4, 100));
        let mut memory = GatheredBytes::new(100);
        let mut model: HashMap<u16, Vec<u8>> = HashMap::new();
        let (mut taken, mut order) = (Vec::new(), 0);
        for op in ops {
            let held = model.values().map(Vec::len).sum::<usize>() + taken.len();
            prop_assert_eq!(memory.held(), held);
            match op {
                Op::Open(id) if model.get(&id).is_none_or(Vec::is_empty) => {
                    let fits = model.len() < 4 || model.contains_key(&id);
                    order += 1;
                    prop_assert_eq!(requests.open(key(id), order, 0), fits);
                    if fits {
                        model.insert(id, Vec::new());
                    }
                }
                Op::Remove(id) if model.get(&id).is_some_and(Vec::is_empty) => {
                    requests.remove(key(id));
                    model.remove(&id);
                }
                Op::Append(id, bytes) => {
                    let fits = model.contains_key(&id) && held + bytes.len() <= 100;
                    prop_assert_eq!(requests.append(key(id), &bytes, &mut memory), fits);
                    if fits && let Some(held) = model.get_mut(&id) {
                        held.extend_from_slice(&bytes);
                    }
                }
                Op::Take(id) => {
                    requests.take(key(id), &mut memory);
                    taken = model.get_mut(&id).map(std::mem::take).unwrap_or_default();
                }
                Op::Release => {
                    requests.release(&mut memory);
                    taken.clear();
                }
                Op::Open(_) | Op::Remove(_) => {}
            }
            prop_assert_eq!(requests.taken(&memory), &taken[..]);
            for (id, bytes) in &model {
                prop_assert_eq!(requests.gathered(key(*id), &memory), &bytes[..]);
            }
            prop_assert_eq!(requests.len(), model.len());
        }
    }
}
