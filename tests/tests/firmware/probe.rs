use crate::host::*;
use hgrpc::client::*;
use hgrpc::cbor::EncodedArgs;
pub(crate) fn upload(connection: &mut Connection<'_>, data: &[u8], piece: usize) -> Vec<u8> {
    let request = Request::new(b"digest", EncodedArgs::EMPTY).with_data(CallData::Stream);
    let mut call = connection.calls().open(request).unwrap();
    let n = data.chunks(piece).count();
    for (i, chunk) in data.chunks(piece).enumerate() {
        connection.calls().send_data(&mut call, chunk, i + 1 == n).unwrap();
    }
    let mut answer = Vec::new();
    loop {
        match connection.next_action().map_err(|e| e.to_string()).unwrap() {
            Some((ClientAction::ResponseData { data, eos, .. }, _)) => {
                answer.extend_from_slice(data);
                if eos { return answer; }
            }
            Some(_) => {}
            None => panic!(),
        }
    }
}
#[test]
fn speed() {
    use sha2::Digest;
    for board in ["lm3s6965evb", "mps2-an386", "mps2-an500", "microbit"] {
        let emulator = crate::Emulator::start(board);
        let line = line(&emulator.address);
        let mut connection = connect(&line);
        let data: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        let began = std::time::Instant::now();
        let answer = upload(&mut connection, &data, 30000);
        let expected: String = sha2::Sha256::digest(&data).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(String::from_utf8_lossy(&answer[2..]), expected);
        println!("{board}: {:?}", began.elapsed());
    }
}
#[test]
fn sizes() {
    let emulator = crate::Emulator::start("microbit");
    let line = line(&emulator.address);
    for (size, piece) in [(100, 100), (1000, 100), (1000, 1000), (5000, 100), (5000, 5000), (20000, 100), (20000, 20000), (100000, 100)] {
        let mut connection = connect(&line);
        let data: Vec<u8> = (0..size as u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        let began = std::time::Instant::now();
        println!("{size} {piece}");
        let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| upload(&mut connection, &data, piece)));
        println!("{size} {piece}: {} {:?}", r.is_ok(), began.elapsed());
        let mut c = connect(&line);
        c.calls().call(Request::new(b"stats", EncodedArgs::EMPTY)).unwrap();
        let mut answer = Vec::new();
        loop {
        match c.next_action().map_err(|e| e.to_string()).unwrap() {
            Some((ClientAction::ResponseData { data, eos, .. }, _)) => {
                answer.extend_from_slice(data);
                if eos { break; }
            }
            Some(_) => {}
            None => panic!(),
        }
        }
        println!("1stats {}", answer.escape_ascii());
    }
}
