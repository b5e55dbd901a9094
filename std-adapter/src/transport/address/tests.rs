use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

fn tcp(host: &str, port: u16) -> Address {
    let host = host.to_owned();
    Address::Tcp { host, port }
}

fn exec(words: &[&str]) -> Address {
    let mut words = words.iter().map(|&word| word.to_owned());
    Address::Exec {
        program: words.next().unwrap(),
        args: words.collect(),
    }
}

#[test]
fn every_form_is_read_and_written() {
    for (text, address) in [
        ("tcp://127.0.0.1:7070", tcp("127.0.0.1", 7070)),
        ("tcp://localhost:0", tcp("localhost", 0)),
        ("tcp://[::1]:7070", tcp("::1", 7070)),
        ("tcp://[fe80::1%eth0]:65535", tcp("fe80::1%eth0", 65_535)),
        ("tcp://a-b.c_d:1", tcp("a-b.c_d", 1)),
        (
            "unix:///run/a b:c#%20",
            Address::Unix("/run/a b:c#%20".into()),
        ),
        ("stdio:", Address::Stdio),
        ("exec:cat", exec(&["cat"])),
        ("exec: //bin/cat", exec(&["//bin/cat"])),
        (
            "exec:ssh host hgrpc serve stdio:",
            exec(&["ssh", "host", "hgrpc", "serve", "stdio:"]),
        ),
    ] {
        assert_eq!(text.parse(), Ok(address.clone()), "{text}");
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn words_are_split_as_a_shell_would_and_not_expanded() {
    for (text, words) in [
        ("exec:  a  b ", &["a", "b"][..]),
        (r#"exec:a 'b c' "d'e" f\ g"#, &["a", "b c", "d'e", "f g"]),
        ("exec:a '' $HOME *", &["a", "", "$HOME", "*"]),
    ] {
        assert_eq!(text.parse(), Ok(exec(words)), "{text}");
    }
}

#[test]
fn slips_are_named_and_corrected() {
    use AddressErrorKind::*;
    let s = str::to_owned;
    for (text, kind, suggestion) in [
        ("", NoScheme, None),
        ("localhost", NoScheme, None),
        (
            "localhost:7070",
            UnknownScheme(s("localhost:")),
            Some("tcp://localhost:7070"),
        ),
        (
            "10.0.0.1:70",
            UnknownScheme(s("10.0.0.1:")),
            Some("tcp://10.0.0.1:70"),
        ),
        (":7070", UnknownScheme(s(":")), Some("tcp://127.0.0.1:7070")),
        ("7070", NoScheme, Some("tcp://127.0.0.1:7070")),
        ("[::1]:70", UnknownScheme(s("[:")), Some("tcp://[::1]:70")),
        ("TCP://h:1", UnknownScheme(s("TCP:")), Some("tcp://h:1")),
        ("tcp:h:1", NoSlashes, Some("tcp://h:1")),
        ("tcp:/h:1", NoSlashes, Some("tcp://h:1")),
        ("tcp://", NoHost, None),
        ("tcp://:1", NoHost, Some("tcp://127.0.0.1:1")),
        ("tcp://h", NoPort, None),
        ("tcp://h:", NoPort, None),
        ("tcp://[::1]", NoPort, None),
        ("tcp://h:x", BadPort(s("x")), None),
        ("tcp://h:+1", BadPort(s("+1")), None),
        ("tcp://h:65536", BadPort(s("65536")), None),
        ("tcp://h:1/", BadPort(s("1/")), Some("tcp://h:1")),
        ("tcp://u@h:1", BadHost(s("u@h")), None),
        ("tcp://::1", BadIpv6(s("::1")), None),
        ("tcp://::1:70x", BadIpv6(s("::1")), None),
        ("tcp://fe80::1:x", BadIpv6(s("fe80::1")), None),
        ("tcp://[::1", BadIpv6(s("[::1")), None),
        ("tcp://[h]:1", BadIpv6(s("h")), Some("tcp://h:1")),
        ("unix:/run/x", NoSlashes, Some("unix:///run/x")),
        ("unix://run/x", RelativePath, Some("unix:///run/x")),
        ("unix:x", NoSlashes, None),
        ("/run/x", NoScheme, Some("unix:///run/x")),
        ("stdio", NoScheme, Some("stdio:")),
        ("-", NoScheme, Some("stdio:")),
        ("stdio://", AfterStdio(s("//")), Some("stdio:")),
        ("exec:", NoProgram, None),
        ("exec:''", NoProgram, None),
        ("exec://cat x", ExecSlashes, Some("exec:cat x")),
        ("exec:a 'b", UnclosedQuote, None),
        ("exec:a\0", Nul, None),
        ("http://h/", Http, None),
        ("https://h:1", Http, None),
        (
            "ssh://host",
            UnknownScheme(s("ssh:")),
            Some("exec:ssh host hgrpc serve stdio:"),
        ),
        ("/dev/ttyS0", NoScheme, Some("serial:///dev/ttyS0")),
        ("serial:/dev/x", NoSlashes, Some("serial:///dev/x")),
        ("serial://dev/x", RelativeDevice, Some("serial:///dev/x")),
        (
            "serial://ttyS0?baud=9",
            RelativeDevice,
            Some("serial:///dev/ttyS0?baud=9"),
        ),
        ("serial://", RelativeDevice, None),
        (
            "pty:///dev/pts/1",
            AfterPty(s("///dev/pts/1")),
            Some("pty:"),
        ),
        (
            "serial:///dev/x?speed=9",
            UnknownParameter {
                name: s("speed"),
                known: query::SERIAL,
            },
            None,
        ),
        (
            "tcp://h:1?baud=9",
            UnknownParameter {
                name: s("baud"),
                known: query::LINK,
            },
            None,
        ),
        ("pty:?link=cobs&link=none", RepeatedParameter("link"), None),
        ("tcp://h:1?packet=64", WithoutLink("packet"), None),
        ("pty:?link=none&patience=1", WithoutLink("patience"), None),
    ] {
        let error = text.parse::<Address>().unwrap_err();
        assert_eq!(
            (&error.kind, error.suggestion.as_deref()),
            (&kind, suggestion),
            "{text}"
        );
        if let Some(suggestion) = suggestion {
            assert!(suggestion.parse::<Address>().is_ok(), "{suggestion}");
        }
    }
}

#[test]
fn parameters_say_what_they_can_be() {
    for (text, what) in [
        (
            "serial:///x?baud=0",
            "baud=\"0\" is not a number of bits a second, such as 115200",
        ),
        (
            "serial:///x?baud=+9600",
            "baud=\"+9600\" is not a number of bits a second, such as 115200",
        ),
        (
            "serial:///x?flow=xon",
            "flow=\"xon\" is not none or hardware",
        ),
        ("tcp://h:1?link", "link=\"\" is not cobs or none"),
        (
            "pty:?packet=100",
            "packet=\"100\" is not 32, 64, 128 or 256 bytes",
        ),
        (
            "unix:///x?patience=65536",
            "patience=\"65536\" is not a number of seconds up to 65535",
        ),
        (
            "pty:?",
            "no such parameter \"\"; there are link, packet, patience",
        ),
        (
            "tcp://h:1?packet=64",
            "the parameter packet is the link's, and there is none",
        ),
    ] {
        let error = text.parse::<Address>().unwrap_err();
        assert_eq!(error.to_string(), format!("{text:?}: {what}"));
    }
}

#[test]
fn lines_have_parameters() {
    let serial = |path: &str, baud, flow| Address::Serial {
        path: path.into(),
        settings: SerialSettings { baud, flow },
    };
    let link = |packet, patience| LinkSettings { packet, patience };
    let plain = serial("/dev/ttyUSB0", 115_200, Flow::None);
    let fast = serial("/dev/ttyUSB0", 921_600, Flow::Hardware);
    for (text, address) in [
        ("serial:///dev/ttyUSB0?link=none", plain.clone()),
        (
            "serial:///dev/ttyUSB0",
            plain.clone().with_link(link(256, 10)),
        ),
        (
            "serial:///dev/ttyUSB0?baud=921600&flow=hardware&packet=64&patience=0",
            fast.clone().with_link(link(64, 0)),
        ),
        (
            "serial:///dev/ttyUSB0?baud=921600&flow=hardware&link=none",
            fast,
        ),
        (
            "serial:///a?b?baud=115200",
            serial("/a?b", 115_200, Flow::None).with_link(link(256, 10)),
        ),
        ("pty:", Address::Pty.with_link(link(256, 10))),
        ("pty:?packet=32", Address::Pty.with_link(link(32, 10))),
        ("pty:?link=none", Address::Pty),
        ("tcp://h:1?link=cobs", tcp("h", 1).with_link(link(256, 10))),
        (
            "tcp://[::1]:1?link=cobs&packet=128",
            tcp("::1", 1).with_link(link(128, 10)),
        ),
        (
            "unix:///a?b?link=cobs",
            Address::Unix("/a?b".into()).with_link(link(256, 10)),
        ),
        (
            "unix:///a?link=cobs?link=none",
            Address::Unix("/a?link=cobs".into()),
        ),
        ("unix:///a?b", Address::Unix("/a?b".into())),
    ] {
        assert_eq!(text.parse(), Ok(address.clone()), "{text}");
        assert_eq!(address.to_string(), text);
    }
    assert_eq!(
        "serial:///dev/ttyUSB0?link=cobs&baud=115200&flow=none".parse(),
        Ok(plain.with_link(link(256, 10)))
    );
    assert_eq!("tcp://h:1?link=none".parse(), Ok(tcp("h", 1)));
}

#[test]
fn errors_are_one_line_that_lists_what_there_is() {
    let shown = |text: &str| text.parse::<Address>().unwrap_err().to_string();
    assert_eq!(
        shown("gopher:\n"),
        "\"gopher:\\n\": no such kind of address \"gopher:\"; \
         there are tcp://HOST:PORT, unix:///PATH, serial:///DEVICE, pty:, stdio: and exec:PROGRAM ARGS"
    );
    assert_eq!(
        shown("http://localhost:8000"),
        "\"http://localhost:8000\": web addresses are not spoken here, only plain connections; \
         there are tcp://HOST:PORT, unix:///PATH, serial:///DEVICE, pty:, stdio: and exec:PROGRAM ARGS"
    );
    assert_eq!(
        shown("tcp://h"),
        "\"tcp://h\": the port is missing, as in tcp://HOST:7070"
    );
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(
        words in prop::collection::vec("[^\0]{0,12}", 1..5),
        path in "/[^\0]{0,20}",
        host in "[a-z0-9.-]{1,20}",
        address in any::<u128>(),
        port: u16,
    ) {
        let mut exec = vec![format!("p{}", words[0])];
        exec.extend(words);
        let mut words = exec.into_iter();
        for address in [
            Address::Exec { program: words.next().unwrap(), args: words.collect() },
            Address::Unix(path.into()),
            Address::Tcp { host, port },
            Address::Tcp { host: Ipv6Addr::from_bits(address).to_string(), port },
        ] {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }

    #[test]
    fn any_text_is_an_address_or_one_line(text: String) {
        if let Err(error) = text.parse::<Address>() {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
