//! What the process asks of the system, answered by the world: random bytes and the time.
//!
//! Nothing in the programs is changed for it. These three functions stand in for those of the C library, which is what every
//! crate ends at: hash seeds, the order in which `select!` looks at its branches, election timeouts, ids and wall clocks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The time of day at which every world begins, seconds: some day in 2026.
const BEGINNING: u64 = 1_790_000_000;

/// How long the machine has been up when a world begins, seconds.
const UPTIME: u64 = 1000;

static IN_WORLD: AtomicBool = AtomicBool::new(false);
static ENTROPY: AtomicU64 = AtomicU64::new(0);
static NANOS: AtomicU64 = AtomicU64::new(0);
static REAL_SYSCALL: AtomicUsize = AtomicUsize::new(0);

/// From now on this process lives in the world of this seed.
pub(crate) fn enter(seed: u64) {
    ENTROPY.store(seed ^ 0x5eed, Relaxed);
    IN_WORLD.store(true, Relaxed);
}

/// Sets the time since the beginning.
pub(crate) fn set_time(nanos: u64) {
    NANOS.store(nanos, Relaxed);
}

/// Seeded random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fill(buffer: *mut u8, length: usize) {
    for at in 0..length {
        let step = ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        // SAFETY: the caller of getrandom owns `length` bytes from `buffer` on.
        unsafe { buffer.add(at).write((mix(step) >> 32) as u8) };
    }
}

type Syscall = unsafe extern "C" fn(libc::c_long, usize, usize, usize, usize, usize, usize) -> libc::c_long;

/// The C library's own `syscall`, behind ours.
fn real_syscall() -> Syscall {
    let mut found = REAL_SYSCALL.load(Relaxed);
    if found == 0 {
        // SAFETY: the name is a C string; the C library has this function.
        found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr()) } as usize;
        if found == 0 {
            std::process::abort();
        }
        REAL_SYSCALL.store(found, Relaxed);
    }
    // SAFETY: it is the C library's `syscall`, which takes up to six words as this type says.
    unsafe { std::mem::transmute::<usize, Syscall>(found) }
}

/// # Safety
/// As `getrandom(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: libc::c_uint) -> isize {
    if IN_WORLD.load(Relaxed) {
        fill(buffer, length);
        return length as isize;
    }
    // SAFETY: passed on as it came.
    unsafe { real_syscall()(libc::SYS_getrandom, buffer as usize, length, flags as usize, 0, 0, 0) as isize }
}

/// # Safety
/// As `syscall(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(number: libc::c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> libc::c_long {
    if number == libc::SYS_getrandom && IN_WORLD.load(Relaxed) {
        fill(a as *mut u8, b);
        return b as libc::c_long;
    }
    // SAFETY: passed on as it came.
    unsafe { real_syscall()(number, a, b, c, d, e, f) }
}

/// # Safety
/// As `clock_gettime(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let base = match clock {
        libc::CLOCK_REALTIME => BEGINNING,
        libc::CLOCK_MONOTONIC => UPTIME,
        _ => 0,
    };
    if base > 0 && IN_WORLD.load(Relaxed) {
        let nanos = NANOS.load(Relaxed);
        let now =
            libc::timespec { tv_sec: (base + nanos / 1_000_000_000) as libc::time_t, tv_nsec: (nanos % 1_000_000_000) as libc::c_long };
        // SAFETY: the caller owns what `time` points at.
        unsafe { time.write(now) };
        return 0;
    }
    // SAFETY: passed on as it came.
    unsafe { real_syscall()(libc::SYS_clock_gettime, clock as usize, time as usize, 0, 0, 0, 0) as libc::c_int }
}
