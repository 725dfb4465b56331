//! A power cut under a whole manager that writes configs of the largest size. Needs root and a loop device; says so and passes
//! where there are none.

use crate::{disk::Disk, world::World};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const DISK_BYTES: u64 = 768 << 20;
const CUTS: u64 = 3;
/// The largest config that is taken.
const CONFIG_BYTES: usize = 1_000_000 - 1;

#[tokio::test]
async fn configs_of_a_megabyte_survive_a_power_cut() {
    let disk = match Disk::create(DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: {reason}"),
    };
    disk.mount();
    let mount = disk.mount_point();
    {
        // A snapshot every few writes, so that some cuts come in the middle of one.
        let mut world = World::start_in(1, &["--raft-snapshot-interval", "7"], |_, _| mount.join("m0")).await;
        let mut acknowledged: Vec<String> = Vec::new();
        for cut in 0..CUTS {
            let told = Arc::new(Mutex::new(Vec::new()));
            let is_cut = Arc::new(AtomicBool::new(false));
            std::thread::scope(|scope| {
                let (manager, told, is_cut) = (&world.managers[0], &told, &is_cut);
                scope.spawn(move || {
                    for n in 0.. {
                        let name = format!("c{cut}-{n:03}");
                        let answer = manager.try_write(&name, &vec![b'a' + (n % 26) as u8; CONFIG_BYTES]);
                        if !matches!(answer, Some((201, _))) {
                            assert!(is_cut.load(Ordering::SeqCst), "{answer:?}");
                            return;
                        }
                        told.lock().unwrap().push(name);
                    }
                });
                crate::world::until("some writes are acknowledged", || (told.lock().unwrap().len() as u64 > 4 + cut).then_some(()));
                // At any moment of a write.
                std::thread::sleep(Duration::from_millis(37 * cut));
                is_cut.store(true, Ordering::SeqCst);
                disk.cut_power();
            });
            acknowledged.append(&mut told.lock().unwrap());
            world.managers[0].kill();
            disk.unmount();
            disk.mount();
            world.managers[0].start();
            world.managers[0].ready();
            for name in &acknowledged {
                let (status, config) = world.managers[0].ask("GET", &format!("/configs/{name}"), None);
                let bytes = config["Spec"]["Data"].as_str().map_or(0, |data| data.trim_end_matches('=').len() * 3 / 4);
                assert_eq!((status, bytes), (200, CONFIG_BYTES), "{name} was acknowledged before cut {cut}");
            }
            println!("cut {cut}: {} acknowledged configs are there", acknowledged.len());
            // Room for the next ones.
            for name in acknowledged.drain(..) {
                let (status, answer) = world.managers[0].ask("DELETE", &format!("/configs/{name}"), None);
                assert_eq!(status, 204, "{answer}");
            }
        }
    }
    disk.unmount();
}
