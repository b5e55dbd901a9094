//! A device with Embassy, on an nRF52840: a task that answers calls over the link, which gives up
//! waiting whenever a button is pressed, without losing a byte.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_nrf::buffered_uarte::{self, BufferedUarte, BufferedUarteRx, BufferedUarteTx};
use embassy_nrf::gpio::{Input, Level, Output, OutputDrive, Pull};
use embassy_nrf::{bind_interrupts, peripherals, uarte};
use embassy_time::Timer;
use hgrpc::R0005;
use hgrpc::io::asynch::{LinkedLine, SendError, ServerConnection};
use hgrpc::link::LinkConfig;
use hgrpc::server::{Body, Failure, ServerAction, ServerConfig};

bind_interrupts!(struct Irqs {
    UARTE0 => buffered_uarte::InterruptHandler<peripherals::UARTE0>;
});

type Line<'d> = LinkedLine<BufferedUarteRx<'d>, BufferedUarteTx<'d>, fn(&[u8]), 64>;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let p = embassy_nrf::init(Default::default());
    let led = Output::new(p.P0_13, Level::Low, OutputDrive::Standard);
    let button = Input::new(p.P0_11, Pull::Up);
    let (mut rx_buffer, mut tx_buffer) = ([0; 256], [0; 256]);
    // Its halves have a buffer behind them: a read or write that is dropped has done nothing.
    let uart = BufferedUarte::new(
        p.UARTE0,
        p.TIMER0,
        p.PPI_CH0,
        p.PPI_CH1,
        p.PPI_GROUP0,
        p.P0_08,
        p.P0_06,
        Irqs,
        uarte::Config::default(),
        &mut rx_buffer,
        &mut tx_buffer,
    );
    let (rx, tx) = uart.split();
    // A device that counts its starts gives their number times 65,536.
    let line = Line::new(rx, tx, |_| {}, LinkConfig::new(1 << 16));
    serve(&line, led, button).await;
}

/// Serves connection after connection.
async fn serve(line: &Line<'_>, mut led: Output<'_>, mut button: Input<'_>) {
    loop {
        let Ok((reader, writer)) = line.connect().await else {
            // The UART has failed, by noise for example.
            Timer::after_millis(10).await;
            continue;
        };
        let mut connection: ServerConnection<_, _, 4, 256, 64, 64, R0005> =
            ServerConnection::new(reader, writer, R0005, ServerConfig::STREAMING);
        loop {
            // The action that was not waited for to the end comes next time.
            let next = select(connection.next_action(), button.wait_for_falling_edge()).await;
            let event = match next {
                Either::First(event) => event,
                Either::Second(()) => {
                    led.toggle();
                    continue;
                }
            };
            let Ok(Some((action, replies))) = event else {
                // Lost: every open call has ended; all is made anew.
                break;
            };
            let sent: Result<(), SendError<_>> = match action {
                ServerAction::RunCommand(command) => {
                    let body = match command.name.as_slice() {
                        Some(b"echo") => Body::Cbor(command.args.as_cbor()),
                        Some(b"toggle") => {
                            led.toggle();
                            Body::Cbor(b"\xf5") // true
                        }
                        _ => Body::Failure(Failure::command(b"no such command")),
                    };
                    replies.respond(command.responder, body).await
                }
                ServerAction::RejectRequest(rejection) => replies.reject(rejection).await,
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
