//! A disk that is full in the middle of a write: the log stops, nothing acknowledged is lost, and a full disk is never taken
//! for damage. Needs root and a loop device; says so and passes where there are none.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::common::disk::Disk;
use crate::common::workload::{Mix, Workload};
use crate::common::*;
use swarm_raftlog::LogError;

const DISK_BYTES: u64 = 64 << 20;
/// Times that the disk is filled; the first bytes of room are others each time.
const ROUNDS: u64 = 4;

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing() {
    // A thread of its own, because it leaves the mount namespace of the others.
    let outcome = std::thread::spawn(|| {
        let disk = Disk::create(DISK_BYTES)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fill_and_write(&disk));
        Ok::<(), String>(())
    });
    match outcome.join() {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => println!("skipped: {reason}"),
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

async fn fill_and_write(disk: &Disk) {
    let dir = disk.mount_point().join("raft");
    let filler = disk.mount_point().join("filler");
    disk.mount();
    for round in 0..ROUNDS {
        let mut workload = Workload::start(&dir, 300 + round, Mix::Usual).await;
        workload.listen(10);
        fill(&filler, 3 << 20);
        let (told, last_words) = workload.listen_to_the_end();
        assert!(last_words.contains("No space left on device") || last_words.contains("StorageFull"), "{last_words}");
        // Without any room at all it says so and touches nothing; that is no damage.
        fill(&filler, 0);
        let error = refusal(&dir).await;
        assert!(matches!(error, LogError::File { .. }) && !error.needs_rebuild(), "{error:?}");
        std::fs::remove_file(&filler).unwrap();
        let checked = told.check(&dir).await;
        // And it goes on: the next round writes where this one ended.
        println!("round {round}: {checked} acknowledged entries are there");
    }
    disk.unmount();
}

/// Makes a file of everything but the last `left` bytes of the disk, those for root included.
fn fill(path: &Path, left: u64) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    let piece = vec![7; 256 << 10];
    while file.write_all(&piece).and_then(|()| file.sync_all()).is_ok() {}
    while left == 0 && file.write_all(&piece[..512]).and_then(|()| file.sync_all()).is_ok() {}
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes.saturating_sub(left)).unwrap();
    file.sync_all().unwrap();
}
