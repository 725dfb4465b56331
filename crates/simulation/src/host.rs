//! A host: a runtime of its own with a clock of its own, so that a crash takes everything that ran there.

use std::{future::Future, time::Duration};
use tokio::runtime::{Builder, Runtime};

#[derive(Default)]
pub(crate) struct Host {
    runtime: Option<Runtime>,
}

impl Host {
    /// Boots with one program.
    pub(crate) fn start(&mut self, program: impl Future<Output = ()> + Send + 'static) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.spawn(program);
        self.runtime = Some(runtime);
    }

    /// Lets the host's clock and programs go on.
    pub(crate) fn run(&self, span: Duration) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async { tokio::time::sleep(span).await });
        }
    }

    /// Everything in memory is gone.
    pub(crate) fn crash(&mut self) {
        self.runtime = None;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.runtime.is_some()
    }
}
