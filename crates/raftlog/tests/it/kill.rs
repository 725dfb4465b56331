//! `kill -9` in the middle of writing: nothing that was acknowledged is lost.

use crate::common::workload::{Dice, Mix, Workload};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    for round in 0..6 {
        let mut workload = Workload::start(dir.path(), round, Mix::Usual).await;
        workload.listen(20 + dice.below(150));
        let told = workload.kill();
        let checked = told.check(dir.path()).await;
        println!("round {round}: {checked} acknowledged entries are there");
    }
    let blobs = std::fs::read_dir(dir.path().join("log/blobs")).unwrap();
    assert_eq!(blobs.count(), 0, "no value is large enough for a file of its own");
}
