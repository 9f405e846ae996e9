//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once. SIGHUP: read all files again.

use std::time::Duration;

use gaugeline_broker::reload::{ReloadHandle, Trigger};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};

use crate::failure::Failure;

/// What a shell reports for a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;
/// Programs such as `timeout` send their signal to the process and to its group, so that it arrives twice: what
/// comes this soon after the first is the same wish.
const ECHO_TIME: Duration = Duration::from_millis(500);

/// Tells when the user, or the system, wants the program to end.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Starts to listen for the signals. Must be called within the runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let interrupts = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
        let terminations = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(watch_signals(interrupts, terminations, sender));
        Ok(Self(receiver))
    }

    /// Returns once the first signal has arrived.
    pub(crate) async fn requested(&mut self) {
        // An error means that the watcher is gone, which only happens when the runtime ends.
        if self.0.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Reloads whenever SIGHUP arrives. Must be called within the runtime.
pub(crate) fn reload_on_hangup(reloader: ReloadHandle) -> Result<(), Failure> {
    let mut hangups = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            // The reloader itself tells what became of it.
            reloader.reload(Trigger::Signal).await.ok();
        }
    });
    Ok(())
}

/// Catches SIGUSR1 and SIGUSR2, which would end the process otherwise. mosquitto saves its database at the one; here all that
/// was acknowledged is on disk already. Must be called within the runtime.
pub(crate) fn outlive_those_of_mosquitto() -> Result<(), Failure> {
    let kinds = [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())];
    for (name, kind) in kinds {
        let mut signals = signal(kind).map_err(Failure::failed)?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("{name}: there is nothing to do");
            }
        });
    }
    Ok(())
}

/// Passes on the first signal and ends the process at the second.
async fn watch_signals(mut interrupts: Signal, mut terminations: Signal, sender: watch::Sender<bool>) {
    next(&mut interrupts, &mut terminations).await;
    sender.send_replace(true);
    let echoes = async {
        loop {
            next(&mut interrupts, &mut terminations).await;
        }
    };
    // Until the time is over, which is the only way to get past this line.
    drop(timeout(ECHO_TIME, echoes).await);
    next(&mut interrupts, &mut terminations).await;
    eprintln!("Interrupted again: ending at once");
    std::process::exit(INTERRUPTED);
}

/// Waits for either signal.
async fn next(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}
