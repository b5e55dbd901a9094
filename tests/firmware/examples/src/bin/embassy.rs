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
use hgrpc::connection::{Buffers, LinkBuffers, LinkedServer};
use hgrpc::drive::asynch::Driver;
use hgrpc::link::LinkConfig;
use hgrpc::server::{Event, Server, ServerConfig};
use hgrpc::store::FixedRequests;

bind_interrupts!(struct Irqs {
    UARTE0 => buffered_uarte::InterruptHandler<peripherals::UARTE0>;
});

/// Requests at once.
const REQUESTS: usize = 4;

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
    serve(rx, tx, led, button).await;
}

/// Serves connection after connection.
async fn serve(
    rx: BufferedUarteRx<'_>,
    tx: BufferedUarteTx<'_>,
    mut led: Output<'_>,
    mut button: Input<'_>,
) {
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 256],
        output: &mut [0; 64],
    };
    let packets = LinkBuffers {
        received: &mut [0; 64],
        sent: &mut [0; 64],
    };
    let requests = FixedRequests::<REQUESTS>::new();
    let mut server = Server::new(R0005, ServerConfig::STREAMING, requests);
    // A device that counts its starts gives their number times 65,536.
    let link = LinkConfig::new(1 << 16);
    let connection = LinkedServer::linked(&mut server, buffers, link, packets);
    let mut device = Driver::new(connection, rx, tx);
    loop {
        // The event that was not waited for to the end comes next time.
        let step = match select(device.step(), button.wait_for_falling_edge()).await {
            Either::First(step) => step,
            Either::Second(()) => {
                led.toggle();
                continue;
            }
        };
        let done = match step {
            Ok(Some((Event::Command(command), mut replies))) => {
                if command.is("echo") {
                    replies
                        .send(command.reply.body(command.args.as_cbor()))
                        .await
                } else if command.is("toggle") {
                    led.toggle();
                    replies.send(command.reply.ok(true)).await
                } else {
                    replies.send(command.unknown()).await
                }
            }
            // A connection that begins or is lost asks for nothing here: no call is remembered.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // The peer broke the protocol, or the UART has failed, by noise for example.
            device.connection_mut().disconnect();
            Timer::after_millis(10).await;
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
