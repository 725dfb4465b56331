//! A power cut, emulated at the file system: an ext4 on a loop device is shut down without flushing
//! its journal, so what was never synced is gone. Needs root and a loop device; says so and passes
//! where there are none.

use crate::common::disk::Disk;
use crate::common::workload::{Dice, Mix, Workload};

/// Cuts per run; each also checks what the cuts before left.
const CUTS: u64 = 8;
const CUTS_OF_MEGABYTES: u64 = 5;
const DISK_BYTES: u64 = 384 << 20;

#[test]
fn acknowledged_writes_survive_a_power_cut() {
    on_a_disk(|disk| async move { write_and_cut(&disk, Mix::Usual, CUTS, 200).await });
}

/// Values of the largest size that the API takes, most of the time.
#[test]
fn acknowledged_megabytes_survive_a_power_cut() {
    on_a_disk(|disk| async move { write_and_cut(&disk, Mix::Megabytes, CUTS_OF_MEGABYTES, 30).await });
}

fn on_a_disk<F: Future<Output = ()>>(test: impl FnOnce(Disk) -> F + Send + 'static) {
    // A thread of its own, because it leaves the mount namespace of the others.
    let outcome = std::thread::spawn(|| {
        let disk = Disk::create(DISK_BYTES)?;
        // Its threads are started by this one, so they are in the same namespace.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(disk));
        Ok::<(), String>(())
    });
    match outcome.join() {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => println!("skipped: {reason}"),
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

async fn write_and_cut(disk: &Disk, mix: Mix, cuts: u64, lines_max: u64) {
    let mut dice = Dice(11);
    let dir = disk.mount_point().join("raft");
    for cut in 0..cuts {
        disk.mount();
        let mut workload = Workload::start(&dir, 100 + cut, mix).await;
        workload.listen(20 + dice.below(lines_max));
        disk.cut_power();
        let told = workload.kill();
        disk.unmount();

        disk.mount();
        let checked = told.check(&dir).await;
        println!("cut {cut}: {checked} acknowledged entries are there");
        let blobs = std::fs::read_dir(dir.join("log/blobs")).unwrap();
        assert_eq!(blobs.count(), 0, "no value is large enough for a file of its own");
        disk.unmount();
    }
}
