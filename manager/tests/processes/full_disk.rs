//! Disks that are full: writes are refused with the reason, nobody stops, and all is well again when there is room.
//! Needs root and a loop device; says so and passes where there are none.

use crate::{
    disk::Disk,
    world::{Manager, World, until},
};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// An eighth of it is kept free.
const DISK_BYTES: u64 = 256 << 20;
const REASON: &str = "no space left on the disk of the manager's state folder";
/// A write is refused within this time, not counting what a busy machine adds.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);

/// Takes all room but the last `left` bytes.
fn fill(disk: &Path, left: u64) -> PathBuf {
    let path = disk.join("filler");
    let mut file = File::options().create(true).append(true).open(&path).unwrap();
    let piece = vec![7; 1 << 20];
    while file.write_all(&piece).and_then(|()| file.sync_all()).is_ok() {}
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes.saturating_sub(left)).unwrap();
    file.sync_all().unwrap();
    path
}

/// Tries one write; the text of its refusal.
fn refusal(manager: &Manager, name: &str) -> Option<String> {
    let begun = Instant::now();
    let (status, answer) = manager.try_write(name, &[7; 1000]).unwrap();
    assert!(begun.elapsed() < REFUSED_WITHIN, "it took {:?}", begun.elapsed());
    (status != 201).then(|| answer["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_single_manager_without_room_refuses_writes_and_goes_on_by_itself() {
    let disk = match Disk::create(DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: {reason}"),
    };
    disk.mount();
    let mount = disk.mount_point();
    {
        let mut world = World::start_in(1, &[], |_, _| mount.join("m0")).await;
        let manager = &mut world.managers[0];
        manager.write("before", b"content");
        let filler = fill(&mount, 8 << 20);
        let text = refusal(manager, "refused").expect("there is no room");
        assert!(text.contains(REASON) && text.contains("rpc error: code = ResourceExhausted"), "{text}");
        assert_eq!(manager.configs(), [("before".to_owned(), 7)], "it still answers");
        fs::remove_file(&filler).unwrap();
        manager.write("again", b"content");
        assert!(manager.runs() && !manager.printed().contains("cannot go on"), "{}", manager.printed());

        // Killed while there is no room at all, it waits for some instead of ending again and again.
        let filler = fill(&mount, 0);
        manager.kill();
        manager.start();
        until("it says what it waits for", || manager.printed().contains("starts when there is room").then_some(()));
        assert!(manager.runs());
        fs::remove_file(&filler).unwrap();
        manager.ready();
        let names: Vec<String> = manager.configs().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["again", "before"]);
        manager.write("at-the-end", b"content");
    }
    disk.unmount();
}

#[tokio::test]
async fn a_leader_without_room_lets_another_manager_lead() {
    let disk = match Disk::create(DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: {reason}"),
    };
    disk.mount();
    let mount = disk.mount_point();
    {
        let mut world = World::start_in(3, &[], |dir, n| if n == 0 { mount.join("m0") } else { dir.join(format!("m{n}")) }).await;
        world.managers[1].write("before", &[7; 1000]);
        if !world.managers[0].leads() {
            let leader = world.leader();
            world.managers[leader].kill();
            until("the one with the small disk leads, or the third", || world.managers.iter().position(|m| m.leads()));
            world.managers[leader].start();
            world.managers[leader].ready();
        }
        let led = world.managers[0].leads();
        let filler = fill(&mount, 8 << 20);
        let begun = Instant::now();
        let mut written = vec!["before".to_owned()];
        let mut refused = Vec::new();
        while written.len() < 30 {
            let name = format!("c{:03}", written.len() + refused.len());
            match refusal(&world.managers[0], &name) {
                None => written.push(name),
                Some(text) => refused.push((begun.elapsed(), text)),
            }
            assert!(begun.elapsed() < crate::world::PATIENCE, "{refused:?}");
        }
        println!("{} writes refused, the last one after {:?}", refused.len(), refused.last().map(|(at, _)| *at));
        assert!(!led || refused.first().is_none_or(|(_, text)| text.contains(REASON)), "{refused:?}");
        assert!(!world.managers[0].leads());

        // Not one byte left: it neither stops nor is missed.
        fs::remove_file(&filler).unwrap();
        let filler = fill(&mount, 0);
        for n in 0..10 {
            let name = format!("d{n}");
            world.managers[1].write(&name, &[7; 1000]);
            written.push(name);
        }
        assert!(world.managers[0].runs(), "{}", world.managers[0].printed());
        fs::remove_file(&filler).unwrap();
        // It must have caught up to make a majority with one of the others.
        world.managers[2].kill();
        world.managers[1].write("late", &[7; 1000]);
        written.push("late".to_owned());
        assert!(world.managers[0].runs(), "{}", world.managers[0].printed());
        world.managers[0].kill();
        world.managers[2].start();
        world.managers[0].start();
        world.managers[0].ready();
        let mut found: Vec<String> = world.managers[0].configs().into_iter().map(|(name, _)| name).collect();
        // What was refused for another reason may be there: nobody was told that it is not.
        found.retain(|name| written.contains(name));
        written.sort();
        assert_eq!(found, written);
    }
    disk.unmount();
}

#[tokio::test]
async fn followers_without_room_fail_writes_within_a_bound_and_lose_nothing() {
    let disk = match Disk::create(DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: {reason}"),
    };
    disk.mount();
    let mount = disk.mount_point();
    {
        let place = |dir: &Path, n: usize| if n == 0 { dir.join("m0") } else { mount.join(format!("m{n}")) };
        let mut world = World::start_in(3, &[], place).await;
        world.managers[0].write("before", b"content");
        let filler = fill(&mount, 8 << 20);
        let leader = world.leader();
        let text = refusal(&world.managers[leader], "refused").expect("no majority has room");
        println!("refused: {text}");
        assert!(world.managers.iter_mut().all(Manager::runs));
        fs::remove_file(&filler).unwrap();
        world.managers[0].write("after", b"content");
        let names: Vec<String> = world.managers[1].configs().into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"before".to_owned()) && names.contains(&"after".to_owned()), "{names:?}");
        let stopped = world.managers.iter().find(|m| m.printed().contains("cannot go on"));
        assert!(stopped.is_none(), "{}", stopped.map_or_else(String::new, Manager::printed));
    }
    disk.unmount();
}
