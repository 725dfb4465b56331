//! Go types of a service's container.

use super::Go::{Any, Bool, Duration, Int, List, Number, Optional, Pointer, Text, TextMap, Texts};
use super::Object;
use super::objects::DRIVER;

/// `swarm.ContainerSpec`.
pub(super) static CONTAINER_SPEC: Object = Object {
    name: "swarm.ContainerSpec",
    fields: &[
        ("Image", Text, true),
        ("Labels", TextMap, true),
        ("Command", Texts, true),
        ("Args", Texts, true),
        ("Hostname", Text, true),
        ("Env", Texts, true),
        ("Dir", Text, true),
        ("User", Text, true),
        ("Groups", Texts, true),
        ("Privileges", Pointer(&PRIVILEGES), true),
        ("Init", Optional("bool", &Bool), true),
        ("StopSignal", Text, true),
        ("TTY", Bool, true),
        ("OpenStdin", Bool, true),
        ("ReadOnly", Bool, true),
        ("Mounts", List(&MOUNT), true),
        (
            "StopGracePeriod",
            Optional("time.Duration", &Duration),
            true,
        ),
        ("Healthcheck", Pointer(&HEALTH), true),
        ("Hosts", Texts, true),
        ("DNSConfig", Pointer(&DNS), true),
        ("Secrets", List(&SECRET), true),
        ("Configs", List(&CONFIG), true),
        ("Isolation", Text, true),
        ("Sysctls", TextMap, true),
        ("CapabilityAdd", Texts, true),
        ("CapabilityDrop", Texts, true),
        ("Ulimits", List(&ULIMIT), true),
        ("OomScoreAdj", Int, true),
    ],
};

static PRIVILEGES: Object = Object {
    name: "swarm.Privileges",
    fields: &[
        ("CredentialSpec", Any, false),
        ("SELinuxContext", Any, false),
        ("Seccomp", Any, true),
        ("AppArmor", Any, true),
        ("NoNewPrivileges", Bool, false),
    ],
};

static MOUNT: Object = Object {
    name: "mount.Mount",
    fields: &[
        ("Type", Text, true),
        ("Source", Text, true),
        ("Target", Text, true),
        ("ReadOnly", Bool, true),
        ("Consistency", Text, true),
        ("BindOptions", Pointer(&BIND), true),
        ("VolumeOptions", Pointer(&VOLUME), true),
        ("ImageOptions", Pointer(&IMAGE), true),
        ("TmpfsOptions", Pointer(&TMPFS), true),
        ("ClusterOptions", Any, true),
    ],
};

static BIND: Object = Object {
    name: "mount.BindOptions",
    fields: &[
        ("Propagation", Text, true),
        ("NonRecursive", Bool, true),
        ("CreateMountpoint", Bool, true),
        ("ReadOnlyNonRecursive", Bool, true),
        ("ReadOnlyForceRecursive", Bool, true),
    ],
};

static VOLUME: Object = Object {
    name: "mount.VolumeOptions",
    fields: &[
        ("NoCopy", Bool, true),
        ("Labels", TextMap, true),
        ("Subpath", Text, true),
        ("DriverConfig", Pointer(&DRIVER), true),
    ],
};

static IMAGE: Object = Object {
    name: "mount.ImageOptions",
    fields: &[("Subpath", Text, true)],
};

static TMPFS: Object = Object {
    name: "mount.TmpfsOptions",
    fields: &[
        ("SizeBytes", Int, true),
        ("Mode", Number("fs.FileMode"), true),
        ("Options", Any, true),
    ],
};

static HEALTH: Object = Object {
    name: "container.HealthConfig",
    fields: &[
        ("Test", Texts, true),
        ("Interval", Duration, true),
        ("Timeout", Duration, true),
        ("StartPeriod", Duration, true),
        ("StartInterval", Duration, true),
        ("Retries", Number("int"), true),
    ],
};

static DNS: Object = Object {
    name: "swarm.DNSConfig",
    fields: &[
        ("Nameservers", Texts, true),
        ("Search", Texts, true),
        ("Options", Texts, true),
    ],
};

static SECRET: Object = Object {
    name: "swarm.SecretReference",
    fields: &[
        ("File", Pointer(&FILE), false),
        ("SecretID", Text, false),
        ("SecretName", Text, false),
    ],
};

static CONFIG: Object = Object {
    name: "swarm.ConfigReference",
    fields: &[
        ("File", Pointer(&FILE), true),
        ("Runtime", Any, true),
        ("ConfigID", Text, false),
        ("ConfigName", Text, false),
    ],
};

static FILE: Object = Object {
    name: "swarm.SecretReferenceFileTarget",
    fields: &[
        ("Name", Text, false),
        ("UID", Text, false),
        ("GID", Text, false),
        ("Mode", Number("fs.FileMode"), false),
    ],
};

static ULIMIT: Object = Object {
    name: "units.Ulimit",
    fields: &[
        ("Name", Text, false),
        ("Hard", Int, false),
        ("Soft", Int, false),
    ],
};
