//! A file system in a file, on a loop device, whose power can be cut. Needs root and a loop device.
//!
//! Also used by tests of other crates, which include this file by its path.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// `_IOR('X', 125, u32)`, and its flag for "without writing the journal first".
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
const EXT4_GOING_FLAGS_NOLOGFLUSH: u32 = 2;

/// A file system of its own in a file. Unmounted and detached when dropped, also after a failure.
pub(crate) struct Disk {
    dir: TempDir,
    device: PathBuf,
}

impl Disk {
    /// Makes one of this size. The calling thread leaves the mount namespace of the others; so do the processes and
    /// threads that it starts from then on.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub(crate) fn create(bytes: u64) -> Result<Disk, String> {
        // SAFETY: takes no arguments and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Err("needs root".to_owned());
        }
        leave_mount_namespace()?;
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        let disk = Disk { dir, device: PathBuf::from(device.trim()) };
        disk.try_mount()?;
        let probe = disk.try_cut_power();
        disk.unmount();
        probe.map(|()| disk)
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn try_mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount.args(["-t", "ext4"]).arg(&self.device).arg(self.mount_point())).map(drop)
    }

    pub(crate) fn mount(&self) {
        self.try_mount().unwrap();
    }

    pub(crate) fn unmount(&self) {
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

    pub(crate) fn cut_power(&self) {
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
