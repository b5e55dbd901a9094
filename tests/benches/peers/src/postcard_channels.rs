//! postcard-rpc: its client and its server over its channels, on one thread.

use std::hint::black_box;

use postcard_rpc::header::{VarHeader, VarKeyKind, VarSeqKind};
use postcard_rpc::host_client::HostClient;
use postcard_rpc::host_client::test_channels::new_from_channels;
use postcard_rpc::server::impls::test_channels::{
    ChannelWireRx, ChannelWireSpawn, ChannelWireTx, dispatch_impl::*,
};
use postcard_rpc::standard_icd::WireError;
use postcard_rpc::{TopicDirection, define_dispatch, endpoints, topics};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Request {
    value: [u8; 8],
}

#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Answer {
    body: [u8; 20],
}

endpoints! {
    list = ENDPOINTS;
    | EndpointTy | RequestTy | ResponseTy | Path   |
    | ---------- | --------- | ---------- | ----   |
    | Echo       | Request   | Answer     | "echo" |
}

topics! {
    list = TOPICS_IN;
    direction = TopicDirection::ToServer;
    | TopicTy | MessageTy | Path |
    | ------- | --------- | ---- |
}

topics! {
    list = TOPICS_OUT;
    direction = TopicDirection::ToClient;
    | TopicTy | MessageTy | Path |
    | ------- | --------- | ---- |
}

pub(crate) struct Nothing;

define_dispatch! {
    app: Dispatcher;
    spawn_fn: spawn_fn;
    tx_impl: WireTxImpl;
    spawn_impl: WireSpawnImpl;
    context: Nothing;
    endpoints: {
        list: ENDPOINTS;
        | EndpointTy | kind     | handler |
        | ---------- | ----     | ------- |
        | Echo       | blocking | echo    |
    };
    topics_in: {
        list: TOPICS_IN;
        | TopicTy | kind | handler |
        | ------- | ---- | ------- |
    };
    topics_out: {
        list: TOPICS_OUT;
    };
}

fn echo(_: &mut Nothing, _: VarHeader, request: Request) -> Answer {
    black_box(request.value);
    Answer {
        body: *black_box(b"twenty bytes of body"),
    }
}

pub(crate) fn round_trip(count: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (to_server, from_client) = mpsc::channel(16);
        let (to_client, from_server) = mpsc::channel(16);
        let dispatch = Dispatcher::new(Nothing, ChannelWireSpawn {});
        let settings = Settings {
            tx: ChannelWireTx::new(to_client),
            rx: ChannelWireRx::new(from_client),
            buf: 1024,
            kkind: VarKeyKind::Key8,
        };
        let mut server = new_server(dispatch, settings);
        let server = tokio::spawn(async move {
            let _ = server.run().await;
        });
        let client: HostClient<WireError> =
            new_from_channels(to_server, from_server, VarSeqKind::Seq1);
        for _ in 0..count {
            let answer = client
                .send_resp::<Echo>(black_box(&Request {
                    value: *b"8 bytes.",
                }))
                .await
                .unwrap();
            assert!(black_box(answer.body).len() == 20);
        }
        server.abort();
    });
}
