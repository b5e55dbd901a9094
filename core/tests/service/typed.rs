//! For any declared types and values, what one end sends the other gets.

use hgrpc::REVISIONS;
use hgrpc::cbor::{ByteString, Minicbor, Text};
use hgrpc::server::Command;
use hgrpc::service::Reply;
use hgrpc::wire::RequestId;
use proptest::prelude::*;

use crate::looped::{Looped, Replies, Serve};

hgrpc::types! {
    /// Names.
    pub enum Colour {
        red,
        WarmWhite as "warm-white",
    }

    /// Values beside each other.
    pub struct Reading {
        pub temperature: i16,
        pub humidity as "relative humidity": Option<u8>,
        pub colour: Colour,
        pub inner: Inner,
    }

    pub struct Inner {
        pub id: [u8; 4],
    }
}

/// Commands that answer with their argument.
macro_rules! echoes {
    ($($name:ident: $type:ty,)*) => {
        hgrpc::service! {
            pub service echo<'a> {
                $(fn $name(value: $type) -> $type;)*
            }
        }

        fn echo_all(command: Command<'_>, replies: &mut Replies<'_>) {
            match echo::Command::read(command) {
                $(Ok(echo::Command::$name { value, reply }) => replies.send(reply.ok(value)),)*
                Err(answer) => replies.send(answer),
            }
        }
    };
}
echoes! {
    of_bool: bool,
    of_u8: u8,
    of_u16: u16,
    of_u32: u32,
    of_u64: u64,
    of_i8: i8,
    of_i16: i16,
    of_i32: i32,
    of_i64: i64,
    of_f32: f32,
    of_f64: f64,
    of_str: &'a str,
    of_text: Text<'a>,
    of_bytes: &'a [u8],
    of_string: ByteString<'a>,
    of_array: [u8; 5],
    of_numbers: [i32; 3],
    of_floats: [f64; 2],
    of_option: Option<u16>,
    of_text_option: Option<&'a str>,
    of_colour: Colour,
    of_reading: Reading,
    of_minicbor: Minicbor<(u8, i8)>,
}

fn colour() -> impl Strategy<Value = Colour> {
    prop_oneof![Just(Colour::red), Just(Colour::WarmWhite)]
}

prop_compose! {
    fn reading()(temperature: i16, humidity: Option<u8>, colour in colour(), id: [u8; 4]) -> Reading {
        Reading { temperature, humidity, colour, inner: Inner { id } }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_one_end_sends_the_other_gets(
        numbers: (bool, u8, u16, u32, u64), signed: (i8, i16, i32, i64), single: f32, double: f64,
        text in ".{0,8}", bytes in prop::collection::vec(any::<u8>(), 0..20), array: [u8; 5],
        integers: [i32; 3], option: Option<u16>, has_text: bool, colour in colour(), reading in reading(),
        revision in 0usize..3,
    ) {
        let looped = Looped::new(REVISIONS[revision], echo_all);
        let echo = echo::Client::new(&looped);
        macro_rules! same {
            ($($call:ident $value:expr;)*) => {$(
                prop_assert_eq!(echo.$call($value).send(), Ok($value));
            )*};
        }
        let (flag, a, b, c, d) = numbers;
        let (e, f, g, h) = signed;
        same! {
            of_bool flag; of_u8 a; of_u16 b; of_u32 c; of_u64 d; of_i8 e; of_i16 f; of_i32 g; of_i64 h;
            of_array array; of_numbers integers; of_option option; of_colour colour; of_reading reading;
        }
        if !single.is_nan() && !double.is_nan() {
            same! { of_f32 single; of_f64 double; of_floats [double, f64::from(single)]; }
        }
        prop_assert_eq!(echo.of_str(&text).send(), Ok(text.clone()));
        prop_assert_eq!(echo.of_text(Text::new(&text)).send(), Ok(text.clone()));
        prop_assert_eq!(echo.of_bytes(&bytes).send(), Ok(bytes.clone()));
        prop_assert_eq!(echo.of_string(ByteString::from_slice(&bytes)).send(), Ok(bytes));
        let maybe = has_text.then_some(text.as_str());
        prop_assert_eq!(echo.of_text_option(maybe).send(), Ok(maybe.map(str::to_owned)));
        let Minicbor(pair) = echo.of_minicbor(Minicbor((a, e))).send().unwrap();
        prop_assert_eq!(pair, (a, e));
    }
}

hgrpc::service! {
    /// What streams.
    pub service streams {
        fn sum() <- Stream -> u32;
        fn sample(channel: u8, count: u8 = 3) -> Values<u16>;
        fn dump(length: u16) -> Stream;
        fn touch();
    }
}

/// Serves `streams`.
#[derive(Default)]
struct Streams {
    sum: Option<(Reply<u32>, u32)>,
    touched: u32,
}

impl Serve for Streams {
    fn command(&mut self, command: Command<'_>, replies: &mut Replies<'_>) {
        match streams::Command::read(command) {
            Ok(streams::Command::sum { reply }) => self.sum = Some((reply, 0)),
            Ok(streams::Command::sample {
                channel,
                count,
                reply,
            }) => {
                for number in 0..count {
                    replies.send(reply.item(u16::from(channel) << 8 | u16::from(number)));
                }
                replies.send(reply.end());
            }
            Ok(streams::Command::dump { length, reply }) => {
                for _ in 0..length {
                    replies.send(reply.piece(b"\x43abc"));
                }
                replies.send(reply.end());
            }
            Ok(streams::Command::touch { reply }) => {
                self.touched += 1;
                replies.send(reply.ok(()));
            }
            Err(answer) => replies.send(answer),
        }
    }

    fn data(&mut self, id: RequestId, bytes: &[u8], is_last: bool, replies: &mut Replies<'_>) {
        let (reply, sum) = self.sum.as_mut().unwrap();
        assert_eq!(reply.request_id(), id);
        *sum += bytes.iter().copied().map(u32::from).sum::<u32>();
        if is_last && let Some((reply, sum)) = self.sum.take() {
            replies.send(reply.ok(sum));
        }
    }
}

#[test]
fn data_and_values_stream() {
    for revision in REVISIONS {
        let looped = Looped::new(revision, Streams::default());
        let client = streams::Client::new(&looped);
        let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let expected = data.iter().copied().map(u32::from).sum();
        assert_eq!(client.sum().data(&data[..]).send(), Ok(expected));
        assert_eq!(client.sample(1).send(), Ok(vec![0x100, 0x101, 0x102]));
        assert_eq!(client.sample(0).count(40).send(), Ok((0..40).collect()));
        assert_eq!(client.sample(7).count(0).send(), Ok(vec![]));
        assert_eq!(client.dump(50).send(), Ok(b"\x43abc".repeat(50)));
        assert_eq!(client.touch().send(), Ok(()));
        assert_eq!(looped.server().touched, 1);
    }
}
