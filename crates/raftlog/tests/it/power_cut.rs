//! A power cut, emulated at the file system: an ext4 on a loop device is shut down without flushing
//! its journal, so what was never synced is gone. Needs root and a loop device; says so and passes
//! where there are none.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::workload::{Dice, Workload};
use tempfile::TempDir;

/// `_IOR('X', 125, u32)`, and its flag for "without writing the journal first".
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
const EXT4_GOING_FLAGS_NOLOGFLUSH: u32 = 2;

/// Cuts per run; each also checks what the cuts before left.
const CUTS: u64 = 8;

#[test]
fn acknowledged_writes_survive_a_power_cut() {
    // A thread of its own, because it leaves the mount namespace of the others.
    let outcome = std::thread::spawn(|| {
        let disk = Disk::create()?;
        // Its threads are started by this one, so they are in the same namespace.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(write_and_cut(&disk));
        Ok::<(), String>(())
    });
    match outcome.join() {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => println!("skipped: {reason}"),
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

async fn write_and_cut(disk: &Disk) {
    let mut dice = Dice(11);
    let dir = disk.mount_point().join("raft");
    for cut in 0..CUTS {
        disk.mount();
        let mut workload = Workload::start(&dir, 100 + cut).await;
        workload.listen(20 + dice.below(200));
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

/// A file system of its own in a file. Unmounted and detached when dropped, also after a failure.
struct Disk {
    dir: TempDir,
    device: PathBuf,
}

impl Disk {
    fn create() -> Result<Disk, String> {
        // SAFETY: takes no arguments and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Err("needs root".to_owned());
        }
        leave_mount_namespace()?;
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(384 << 20).unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        let disk = Disk { dir, device: PathBuf::from(device.trim()) };
        disk.try_mount()?;
        let probe = disk.try_cut_power();
        disk.unmount();
        probe.map(|()| disk)
    }

    fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn try_mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount.args(["-t", "ext4"]).arg(&self.device).arg(self.mount_point())).map(drop)
    }

    fn mount(&self) {
        self.try_mount().unwrap();
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(self.mount_point())).unwrap();
    }

    fn try_cut_power(&self) -> Result<(), String> {
        let root = File::open(self.mount_point()).unwrap();
        let flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
        // SAFETY: the request reads one u32, which outlives the call.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) };
        match result {
            0 => Ok(()),
            _ => Err(format!("cannot shut ext4 down: {}", std::io::Error::last_os_error())),
        }
    }

    fn cut_power(&self) {
        self.try_cut_power().unwrap();
    }
}

/// Gives this thread mounts of its own. In a shared namespace, any container that starts meanwhile
/// gets a copy of our mount and keeps the file system alive, shut down as it is, beyond its unmounting.
fn leave_mount_namespace() -> Result<(), String> {
    let failed = || format!("needs a mount namespace: {}", std::io::Error::last_os_error());
    // SAFETY: takes no pointers; concerns only this thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(failed());
    }
    let none = std::ptr::null();
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the target is a C string; source, type and data may be null when only the propagation
    // is changed.
    match unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) } {
        0 => Ok(()),
        _ => Err(failed()),
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if is_mounted(&self.mount_point()) {
            // Lazily: a file may still be open in a failed test.
            if let Err(error) = run(Command::new("umount").arg("-l").arg(self.mount_point())) {
                eprintln!("{error}");
            }
        }
        if let Err(error) = run(Command::new("losetup").arg("--detach").arg(&self.device)) {
            eprintln!("{error}");
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    let path = path.to_str().unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(path))
}

/// Runs a command to its end; its output, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}", stderr.trim()))
    }
}
