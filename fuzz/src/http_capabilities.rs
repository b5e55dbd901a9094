//! The handshake of both ends, descriptors and addresses.

use std::collections::BTreeMap;

use hgrpc::KeyOrder;
use hgrpc_std::blocking::Router;
use hgrpc_std::http::server::{Server, ServerConfig};
use hgrpc_std::http::{
    API_NAME, ArgInfo, ArgType, CBOR_MEDIA_TYPE, Capabilities, Client, Command, CommandInfo,
    Config, Credentials, Error, FRAMING_MEDIA_TYPE, V1_MEDIA_TYPE,
};
use hgrpc_std::value::Value;

use crate::canned::{Canned, Cuts, answer};
use crate::input::Input;
use crate::served::exchange;

thread_local! {
    static SERVER: Server = {
        let heads = CommandInfo::pull().arg("publiconly", ArgInfo::optional(ArgType::Bool, Value::Bool(false)));
        let capabilities = Capabilities::new([("heads", heads), ("pushkey", CommandInfo::push())]);
        Server::new(Router::new(), capabilities, ServerConfig::default())
    };
}

/// What one end says of itself the other end understands; what is no descriptor and no address is
/// refused; and a password goes nowhere but to the server that it is for.
pub fn http_capabilities(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => upgrade(&mut input),
        1 => descriptor(&mut input),
        _ => addresses(&mut input),
    }
}

/// What headers are made of.
const WORDS: [&str; 12] = [
    API_NAME, "exp-http", "-v2", "-0003", " ", "cbor", "cb", "or", "", "x", "  ", "cbor2",
];

/// Headers that are cut into numbered ones, as a server joins them.
fn upgrade(input: &mut Input<'_>) {
    let mut request =
        String::from("GET /?cmd=capabilities HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..input.byte() % 8 {
        let which = input.byte();
        let name = ["X-HgUpgrade", "X-HgProto", "x-HGproto", "X-HgOther"][usize::from(which & 3)];
        let name = match which >> 2 & 7 {
            0 => name.to_owned(),
            1 => format!("{name}-01"),
            number => format!("{name}-{}", number - 1),
        };
        let words = (0..which >> 5).map(|_| WORDS[usize::from(input.byte()) % WORDS.len()]);
        let value: String = words.collect();
        request.push_str(&format!("{name}: {value}\r\n"));
        // Blanks around a value are not of it; of two headers the first counts.
        let value = value.trim().to_owned();
        headers.entry(name.to_ascii_lowercase()).or_insert(value);
    }
    request.push_str("\r\n");
    let joined = |name: &str| -> String {
        let values = (1..).map_while(|number| headers.get(&format!("{name}-{number}")));
        values.map(String::as_str).collect()
    };
    let (upgrade, protocols) = (joined("x-hgupgrade"), joined("x-hgproto"));
    let is_upgrade = !upgrade.is_empty() && protocols.split(' ').any(|item| item == "cbor");
    let has_api = upgrade.split(' ').any(|item| item == API_NAME);

    let reply = SERVER.with(|server| exchange(server, request.as_bytes(), usize::MAX));
    assert_eq!((reply.status, reply.is_whole), (200, true));
    let media_type = if is_upgrade {
        CBOR_MEDIA_TYPE
    } else {
        V1_MEDIA_TYPE
    };
    assert_eq!(reply.media_type, media_type, "{request}");
    let head = [("Content-Type", reply.media_type.as_str())];
    let canned = Canned::new([answer("200 OK", &head, &reply.body)]);
    match canned.connect("http://server/repo/", Config::default()) {
        Ok(client) => {
            assert!(is_upgrade && has_api);
            SERVER.with(|server| assert_eq!(client.capabilities(), server.capabilities()));
            assert_eq!(client.url(), "http://server/repo");
        }
        Err(Error::NoApi(names)) => assert!(is_upgrade && !has_api && names.is_empty()),
        Err(Error::OnlyVersion1 { .. }) => assert!(!is_upgrade),
        Err(error) => panic!("{error}"),
    }
}

/// Any bytes as a descriptor, alone and in a handshake.
fn descriptor(input: &mut Input<'_>) {
    let cut = input.byte();
    let is_whole = input.byte() & 1 == 0;
    let bytes = input.rest();
    let body = if is_whole {
        bytes.to_vec()
    } else {
        let front = b"\xa2\x47apibase\x44api/\x44apis\xa1\x50exp-http-v2-0003";
        [&front[..], bytes].concat()
    };
    let connect = |cuts| {
        let canned = Canned::new([]);
        let head = [("Content-Type", CBOR_MEDIA_TYPE)];
        canned.answer(answer("200 OK", &head, &body), cuts);
        canned.connect("http://server", Config::default())
    };
    let found = connect(Cuts::Nowhere);
    let shown = |found: &Result<Client, Error>| match found {
        Ok(client) => format!("{:?}", client.capabilities()),
        Err(error) => format!("{error:?}"),
    };
    assert_eq!(shown(&connect(Cuts::Anywhere(cut))), shown(&found));
    if !is_whole {
        let read = Value::decode(bytes).map(|value| Capabilities::from_value(&value));
        match (&read, &found) {
            (Ok(Ok(read)), Ok(client)) => {
                assert_eq!(format!("{read:?}"), format!("{:?}", client.capabilities()));
            }
            (Ok(Err(read)), Err(Error::Capabilities(error))) => assert_eq!(read, error),
            // Two more levels of nesting, or what follows.
            (_, Err(Error::Handshake(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    let Ok(client) = found else {
        return;
    };
    let read = client.capabilities();
    let again = Capabilities::from_value(&read.to_value()).expect("what is written is read");
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    // Repeated keys in what is not known here have no encoding.
    if let Ok(encoded) = read.to_value().encode(KeyOrder::Bytewise) {
        let value = Value::decode(&encoded).expect("what is encoded decodes");
        let again = Capabilities::from_value(&value).expect("what is written is read");
        let again = again.to_value().encode(KeyOrder::Bytewise);
        assert_eq!(again.as_deref(), Ok(&encoded[..]));
    }
}

/// How `user` says the password `secret`.
const SECRET: &str = "Basic dXNlcjpzZWNyZXQ=";

/// Any address of a repository, and any that it redirects to.
fn addresses(input: &mut Input<'_>) {
    let bits = input.byte();
    let mut texts = [(); 3].map(|()| {
        let len = usize::from(input.byte());
        String::from_utf8_lossy(input.bytes(len)).into_owned()
    });
    // No header holds them.
    for target in &mut texts[1..] {
        target.retain(|c| !c.is_control());
    }
    // What also stands where a host or a path is, is no secret.
    let is_secret = !texts.iter().any(|text| text.contains("user:secret"));
    if bits & 1 != 0 {
        texts[0].insert_str(0, "http://user:secret@");
    }
    let [url, first, second] = texts;
    let mut config = Config::default();
    if bits & 2 != 0 {
        config.credentials = Some(Credentials {
            user: "user".into(),
            password: "secret".into(),
        });
    }
    let redirect = |to: &str| {
        answer(
            "302 Found",
            &[("Location", to), ("Content-Length", "0")],
            b"",
        )
    };
    let body =
        b"\xa2\x47apibase\x44api/\x44apis\xa1\x50exp-http-v2-0003\xa1\x48commands\xa1\x45heads\xa0";
    let handshake = answer("200 OK", &[("Content-Type", CBOR_MEDIA_TYPE)], body);
    let mut answers = Vec::new();
    if bits & 4 != 0 {
        answers.push(redirect(&first));
    }
    if bits & 8 != 0 {
        answers.push(redirect(&second));
    }
    // Of one that lost its query another is asked.
    let other = answer("200 OK", &[("Content-Type", "text/html")], b"");
    answers.push(if bits & 16 == 0 {
        handshake.clone()
    } else {
        other
    });
    answers.push(handshake);
    let canned = Canned::new(answers);
    let connected = canned.connect(&url, config);
    let mut sent = canned.take_sent();
    if let Ok(client) = &connected {
        let (_, rest) = client.url().split_once("://").expect("it has a scheme");
        let authority = rest.split('/').next().unwrap_or_default();
        assert!(!authority.contains('@'), "{}", client.url());
        assert!(!client.url().ends_with('/') && !client.url().contains('?'));
        let head = [("Content-Type", FRAMING_MEDIA_TYPE)];
        canned.answer(answer("200 OK", &head, b""), Cuts::Nowhere);
        assert!(client.call(&Command::new("heads")).is_ok());
        sent.extend(canned.take_sent());
    } else if let Err(error) = &connected {
        let text = format!("{error} {error:?}");
        assert!(!is_secret || !text.contains("user:secret"), "{text}");
    }
    let host = |authority: &str| {
        let host = authority.rsplit('@').next().unwrap_or_default();
        host.to_owned()
    };
    let home = sent.first().map(|sent| host(&sent.authority));
    for sent in &sent {
        let is_home = Some(host(&sent.authority)) == home;
        assert!(is_home || !sent.says(SECRET), "{sent:?} {home:?}");
    }
    if connected.is_ok()
        && bits & 3 == 2
        && !url.contains('@')
        && let Some(call) = sent.last()
    {
        // The place that the handshake ended at.
        let is_home = Some(host(&call.authority)) == home;
        assert_eq!(call.says(SECRET), is_home, "{call:?}");
    }
}
