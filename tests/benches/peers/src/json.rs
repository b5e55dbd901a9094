//! jsonrpsee's methods without a transport: a request as text to its answer as text.

use std::hint::black_box;

use futures_util::FutureExt;
use jsonrpsee::RpcModule;

const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["8 bytes."]}"#;

pub(crate) fn request(count: u32) {
    let mut module = RpcModule::new(());
    module
        .register_method("echo", |params, (), _| {
            let value: &str = params.parse::<[&str; 1]>().unwrap()[0];
            black_box(value);
            "twenty bytes of body"
        })
        .unwrap();
    for _ in 0..count {
        let answer = module
            .raw_json_request(black_box(REQUEST), 1)
            .now_or_never()
            .expect("it does not wait");
        let (answer, _) = answer.unwrap();
        assert!(black_box(answer.get()).len() >= 40);
    }
}
