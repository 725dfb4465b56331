//! The images that every test host has, made from the machine's busybox: no registry is needed.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::archive::{Image, Layer, write_archive};
use crate::output;

/// A shell and the usual small programs. It runs `sh`; process 1 of any other command given to it ignores
/// SIGTERM, as process 1 does by default, which makes it a container that only stops by SIGKILL. User
/// `app` (1000:1000) is known, and the group `extra` (2000).
pub const BUSYBOX: &str = "swarm-test/busybox:latest";
/// A web server on port `$PORT` (8080). `/` answers its hostname and `$VERSION` (here `1`) on one line,
/// `/cgi-bin/env` its environment, `/cgi-bin/client` the address of who asks. It ends at once on SIGTERM.
pub const WEB_1: &str = "swarm-test/web:1";
/// As [`WEB_1`], with `VERSION=2`.
pub const WEB_2: &str = "swarm-test/web:2";
/// Does nothing, for ever. On TERM, INT, HUP, QUIT, USR1 or USR2 it prints `stopped by NAME` and ends
/// with code 0.
pub const SLEEP: &str = "swarm-test/sleep:latest";
/// [`WEB_1`] with a healthcheck (every second, two tries): healthy while `/tmp/sick` does not exist.
pub const HEALTH: &str = "swarm-test/health:latest";
/// Ends by itself: the arguments are the seconds to wait and the exit code (default `0 1`).
pub const EXIT: &str = "swarm-test/exit:latest";

// As process 1 the shell gets no signal that it does not trap, and `wait` is what a trap interrupts.
const WEB_SCRIPT: &str = "#!/bin/sh
trap 'exit 0' TERM INT QUIT
httpd -f -p \"${PORT:-8080}\" -h /www &
wait $!
";
const SLEEP_SCRIPT: &str = "#!/bin/sh
for name in TERM INT HUP QUIT USR1 USR2; do
	trap \"echo stopped by $name; exit 0\" $name
done
echo started
sleep infinity &
wait $!
";
const EXIT_SCRIPT: &str = "#!/bin/sh
trap 'exit 143' TERM
echo \"ending in ${1:-0} s with code ${2:-1}\"
sleep \"${1:-0}\" &
wait $!
exit \"${2:-1}\"
";
const INDEX_CGI: &str = "#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s\\n' \"$(hostname)\" \"$VERSION\"
";
const ENV_CGI: &str = "#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
exec env
";
const CLIENT_CGI: &str = "#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' \"$REMOTE_ADDR\"
";

/// Builds the archive of all images, for `docker load`. The same bytes every time.
pub(crate) fn build() -> Result<Vec<u8>> {
    write_archive(&layer()?, &images())
}

fn images() -> Vec<Image> {
    let path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let web = |version| {
        json!({
            "Env": [path, format!("VERSION={version}")],
            "Entrypoint": ["web"],
            "ExposedPorts": {"8080/tcp": {}},
        })
    };
    let mut health = web(1);
    health["Healthcheck"] = json!({
        "Test": ["CMD-SHELL", "test ! -e /tmp/sick"],
        "Interval": 1_000_000_000_u64,
        "Timeout": 10_000_000_000_u64,
        "Retries": 2,
    });
    let image = |reference, config| Image { reference, config };
    vec![
        image(BUSYBOX, json!({"Env": [path], "Cmd": ["sh"]})),
        image(WEB_1, web(1)),
        image(WEB_2, web(2)),
        image(SLEEP, json!({"Env": [path], "Entrypoint": ["rest"]})),
        image(HEALTH, health),
        image(EXIT, json!({"Env": [path], "Entrypoint": ["exit-after"]})),
    ]
}

fn layer() -> Result<Vec<u8>> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok())
        .context("no busybox on this machine: run scripts/setup.sh")?;
    let mut list = Command::new("busybox");
    list.arg("--list");
    let applets = output::run(list)?.lines()?;

    let mut layer = Layer::new();
    for (path, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/local", 0o755),
        ("usr/local/bin", 0o755),
        ("var", 0o755),
        ("www", 0o755),
        ("www/cgi-bin", 0o755),
    ] {
        layer.folder(path, mode)?;
    }
    layer.file("bin/busybox", 0o755, &busybox)?;
    for applet in applets.iter().filter(|name| *name != "busybox") {
        layer.symlink(&format!("bin/{applet}"), "busybox")?;
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n";
    layer.file("etc/passwd", 0o644, passwd.as_bytes())?;
    let group = "root:x:0:\napp:x:1000:\nextra:x:2000:app\n";
    layer.file("etc/group", 0o644, group.as_bytes())?;
    for (path, script) in [
        ("usr/local/bin/web", WEB_SCRIPT),
        ("usr/local/bin/rest", SLEEP_SCRIPT),
        ("usr/local/bin/exit-after", EXIT_SCRIPT),
        ("www/cgi-bin/index.cgi", INDEX_CGI),
        ("www/cgi-bin/env", ENV_CGI),
        ("www/cgi-bin/client", CLIENT_CGI),
    ] {
        layer.file(path, 0o755, script.as_bytes())?;
    }
    layer.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn images_are_the_same_in_every_run() {
        assert!(super::build().unwrap() == super::build().unwrap());
    }
}
