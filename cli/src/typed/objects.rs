//! Go types of services, nodes and the swarm part of `/info`.

use super::Go::{
    Any, Bool, Bytes, Duration, Embedded, Float, Int, List, Number, Object as Obj, Optional,
    Pointer, Text, TextMap, Texts, Time, Uint,
};
use super::Object;
use super::container::CONTAINER_SPEC;

/// `swarm.Service`.
pub(crate) static SERVICE: Object = Object {
    name: "swarm.Service",
    fields: &[
        ("ID", Text, false),
        ("Meta", Embedded(&META), false),
        ("Spec", Obj(&SERVICE_SPEC), true),
        ("PreviousSpec", Pointer(&SERVICE_SPEC), true),
        ("Endpoint", Obj(&ENDPOINT), true),
        ("UpdateStatus", Pointer(&UPDATE_STATUS), true),
        ("ServiceStatus", Pointer(&SERVICE_STATUS), true),
        ("JobStatus", Pointer(&JOB_STATUS), true),
    ],
};

/// `swarm.Node`.
pub(crate) static NODE: Object = Object {
    name: "swarm.Node",
    fields: &[
        ("ID", Text, false),
        ("Meta", Embedded(&META), false),
        ("Spec", Obj(&NODE_SPEC), true),
        ("Description", Obj(&NODE_DESCRIPTION), true),
        ("Status", Obj(&NODE_STATUS), true),
        ("ManagerStatus", Pointer(&MANAGER_STATUS), true),
    ],
};

/// `swarm.Info`.
pub(crate) static SWARM_INFO: Object = Object {
    name: "swarm.Info",
    fields: &[
        ("NodeID", Text, false),
        ("NodeAddr", Text, false),
        ("LocalNodeState", Text, false),
        ("ControlAvailable", Bool, false),
        ("Error", Text, false),
        ("RemoteManagers", List(&PEER), false),
        ("Nodes", Number("int"), true),
        ("Managers", Number("int"), true),
        ("Cluster", Pointer(&CLUSTER_INFO), true),
        ("Warnings", Texts, true),
    ],
};

/// `types.ComponentVersion`.
pub(crate) static COMPONENT: Object = Object {
    name: "types.ComponentVersion",
    fields: &[
        ("Name", Text, false),
        ("Version", Text, false),
        ("Details", TextMap, true),
    ],
};

static META: Object = Object {
    name: "swarm.Meta",
    fields: &[
        ("Version", Obj(&VERSION), true),
        ("CreatedAt", Time, true),
        ("UpdatedAt", Time, true),
    ],
};

static VERSION: Object = Object {
    name: "swarm.Version",
    fields: &[("Index", Uint, true)],
};

static ANNOTATIONS: Object = Object {
    name: "swarm.Annotations",
    fields: &[("Name", Text, true), ("Labels", TextMap, false)],
};

static PEER: Object = Object {
    name: "swarm.Peer",
    fields: &[("NodeID", Text, false), ("Addr", Text, false)],
};

static CLUSTER_INFO: Object = Object {
    name: "swarm.ClusterInfo",
    fields: &[
        ("ID", Text, false),
        ("Meta", Embedded(&META), false),
        ("Spec", Obj(&CLUSTER_SPEC), false),
        ("TLSInfo", Obj(&TLS_INFO), false),
        ("RootRotationInProgress", Bool, false),
        ("DefaultAddrPool", Texts, false),
        ("SubnetSize", Number("uint32"), false),
        ("DataPathPort", Number("uint32"), false),
    ],
};

static CLUSTER_SPEC: Object = Object {
    name: "swarm.Spec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS), false),
        ("Orchestration", Obj(&ORCHESTRATION), true),
        ("Raft", Obj(&RAFT), true),
        ("Dispatcher", Obj(&DISPATCHER), true),
        ("CAConfig", Obj(&CA_CONFIG), true),
        ("TaskDefaults", Obj(&TASK_DEFAULTS), true),
        ("EncryptionConfig", Obj(&ENCRYPTION), true),
    ],
};

static ORCHESTRATION: Object = Object {
    name: "swarm.OrchestrationConfig",
    fields: &[("TaskHistoryRetentionLimit", Optional("int64", &Int), true)],
};

static RAFT: Object = Object {
    name: "swarm.RaftConfig",
    fields: &[
        ("SnapshotInterval", Uint, true),
        ("KeepOldSnapshots", Optional("uint64", &Uint), true),
        ("LogEntriesForSlowFollowers", Uint, true),
        ("ElectionTick", Number("int"), false),
        ("HeartbeatTick", Number("int"), false),
    ],
};

static DISPATCHER: Object = Object {
    name: "swarm.DispatcherConfig",
    fields: &[("HeartbeatPeriod", Duration, true)],
};

static CA_CONFIG: Object = Object {
    name: "swarm.CAConfig",
    fields: &[
        ("NodeCertExpiry", Duration, true),
        ("ExternalCAs", List(&EXTERNAL_CA), true),
        ("SigningCACert", Text, true),
        ("SigningCAKey", Text, true),
        ("ForceRotate", Uint, true),
    ],
};

static EXTERNAL_CA: Object = Object {
    name: "swarm.ExternalCA",
    fields: &[
        ("Protocol", Text, false),
        ("URL", Text, false),
        ("Options", TextMap, true),
        ("CACert", Text, false),
    ],
};

static TASK_DEFAULTS: Object = Object {
    name: "swarm.TaskDefaults",
    fields: &[("LogDriver", Pointer(&DRIVER), true)],
};

static ENCRYPTION: Object = Object {
    name: "swarm.EncryptionConfig",
    fields: &[("AutoLockManagers", Bool, false)],
};

static NODE_SPEC: Object = Object {
    name: "swarm.NodeSpec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS), false),
        ("Role", Text, true),
        ("Availability", Text, true),
    ],
};

static NODE_DESCRIPTION: Object = Object {
    name: "swarm.NodeDescription",
    fields: &[
        ("Hostname", Text, true),
        ("Platform", Obj(&PLATFORM), true),
        ("Resources", Obj(&RESOURCES), true),
        ("Engine", Obj(&ENGINE), true),
        ("TLSInfo", Obj(&TLS_INFO), true),
        ("CSIInfo", Any, true),
    ],
};

static PLATFORM: Object = Object {
    name: "swarm.Platform",
    fields: &[("Architecture", Text, true), ("OS", Text, true)],
};

static RESOURCES: Object = Object {
    name: "swarm.Resources",
    fields: &[
        ("NanoCPUs", Int, true),
        ("MemoryBytes", Int, true),
        ("GenericResources", List(&GENERIC_RESOURCE), true),
    ],
};

static GENERIC_RESOURCE: Object = Object {
    name: "swarm.GenericResource",
    fields: &[
        ("NamedResourceSpec", Pointer(&NAMED_RESOURCE), true),
        ("DiscreteResourceSpec", Pointer(&DISCRETE_RESOURCE), true),
    ],
};

static NAMED_RESOURCE: Object = Object {
    name: "swarm.NamedGenericResource",
    fields: &[("Kind", Text, true), ("Value", Text, true)],
};

static DISCRETE_RESOURCE: Object = Object {
    name: "swarm.DiscreteGenericResource",
    fields: &[("Kind", Text, true), ("Value", Int, true)],
};

static ENGINE: Object = Object {
    name: "swarm.EngineDescription",
    fields: &[
        ("EngineVersion", Text, true),
        ("Labels", TextMap, true),
        ("Plugins", List(&PLUGIN), true),
    ],
};

static PLUGIN: Object = Object {
    name: "swarm.PluginDescription",
    fields: &[("Type", Text, true), ("Name", Text, true)],
};

static TLS_INFO: Object = Object {
    name: "swarm.TLSInfo",
    fields: &[
        ("TrustRoot", Text, true),
        ("CertIssuerSubject", Bytes, true),
        ("CertIssuerPublicKey", Bytes, true),
    ],
};

static NODE_STATUS: Object = Object {
    name: "swarm.NodeStatus",
    fields: &[
        ("State", Text, true),
        ("Message", Text, true),
        ("Addr", Text, true),
    ],
};

static MANAGER_STATUS: Object = Object {
    name: "swarm.ManagerStatus",
    fields: &[
        ("Leader", Bool, true),
        ("Reachability", Text, true),
        ("Addr", Text, true),
    ],
};

static SERVICE_SPEC: Object = Object {
    name: "swarm.ServiceSpec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS), false),
        ("TaskTemplate", Obj(&TASK_SPEC), true),
        ("Mode", Obj(&SERVICE_MODE), true),
        ("UpdateConfig", Pointer(&UPDATE_CONFIG), true),
        ("RollbackConfig", Pointer(&UPDATE_CONFIG), true),
        ("Networks", List(&NETWORK_ATTACHMENT), true),
        ("EndpointSpec", Pointer(&ENDPOINT_SPEC), true),
    ],
};

static TASK_SPEC: Object = Object {
    name: "swarm.TaskSpec",
    fields: &[
        ("ContainerSpec", Pointer(&CONTAINER_SPEC), true),
        ("PluginSpec", Any, true),
        ("NetworkAttachmentSpec", Any, true),
        ("Resources", Pointer(&RESOURCE_REQUIREMENTS), true),
        ("RestartPolicy", Pointer(&RESTART_POLICY), true),
        ("Placement", Pointer(&PLACEMENT), true),
        ("Networks", List(&NETWORK_ATTACHMENT), true),
        ("LogDriver", Pointer(&DRIVER), true),
        ("ForceUpdate", Uint, false),
        ("Runtime", Text, true),
    ],
};

static RESOURCE_REQUIREMENTS: Object = Object {
    name: "swarm.ResourceRequirements",
    fields: &[
        ("Limits", Pointer(&LIMIT), true),
        ("Reservations", Pointer(&RESOURCES), true),
        ("SwapBytes", Optional("int64", &Int), true),
        ("MemorySwappiness", Optional("int64", &Int), true),
    ],
};

static LIMIT: Object = Object {
    name: "swarm.Limit",
    fields: &[
        ("NanoCPUs", Int, true),
        ("MemoryBytes", Int, true),
        ("Pids", Int, true),
    ],
};

static RESTART_POLICY: Object = Object {
    name: "swarm.RestartPolicy",
    fields: &[
        ("Condition", Text, true),
        ("Delay", Optional("time.Duration", &Duration), true),
        ("MaxAttempts", Optional("uint64", &Uint), true),
        ("Window", Optional("time.Duration", &Duration), true),
    ],
};

static PLACEMENT: Object = Object {
    name: "swarm.Placement",
    fields: &[
        ("Constraints", Texts, true),
        ("Preferences", List(&PREFERENCE), true),
        ("MaxReplicas", Uint, true),
        ("Platforms", List(&PLATFORM), true),
    ],
};

static PREFERENCE: Object = Object {
    name: "swarm.PlacementPreference",
    fields: &[("Spread", Pointer(&SPREAD_OVER), false)],
};

static SPREAD_OVER: Object = Object {
    name: "swarm.SpreadOver",
    fields: &[("SpreadDescriptor", Text, false)],
};

static NETWORK_ATTACHMENT: Object = Object {
    name: "swarm.NetworkAttachmentConfig",
    fields: &[
        ("Target", Text, true),
        ("Aliases", Texts, true),
        ("DriverOpts", TextMap, true),
    ],
};

/// `swarm.Driver`.
pub(super) static DRIVER: Object = Object {
    name: "swarm.Driver",
    fields: &[("Name", Text, true), ("Options", TextMap, true)],
};

static SERVICE_MODE: Object = Object {
    name: "swarm.ServiceMode",
    fields: &[
        ("Replicated", Pointer(&REPLICATED), true),
        ("Global", Pointer(&GLOBAL), true),
        ("ReplicatedJob", Pointer(&REPLICATED_JOB), true),
        ("GlobalJob", Pointer(&GLOBAL_JOB), true),
    ],
};

static REPLICATED: Object = Object {
    name: "swarm.ReplicatedService",
    fields: &[("Replicas", Optional("uint64", &Uint), true)],
};

static GLOBAL: Object = Object {
    name: "swarm.GlobalService",
    fields: &[],
};

static REPLICATED_JOB: Object = Object {
    name: "swarm.ReplicatedJob",
    fields: &[
        ("MaxConcurrent", Optional("uint64", &Uint), true),
        ("TotalCompletions", Optional("uint64", &Uint), true),
    ],
};

static GLOBAL_JOB: Object = Object {
    name: "swarm.GlobalJob",
    fields: &[],
};

static UPDATE_CONFIG: Object = Object {
    name: "swarm.UpdateConfig",
    fields: &[
        ("Parallelism", Uint, false),
        ("Delay", Duration, true),
        ("FailureAction", Text, true),
        ("Monitor", Duration, true),
        ("MaxFailureRatio", Float, false),
        ("Order", Text, false),
    ],
};

static ENDPOINT_SPEC: Object = Object {
    name: "swarm.EndpointSpec",
    fields: &[("Mode", Text, true), ("Ports", List(&PORT), true)],
};

static PORT: Object = Object {
    name: "swarm.PortConfig",
    fields: &[
        ("Name", Text, true),
        ("Protocol", Text, true),
        ("TargetPort", Number("uint32"), true),
        ("PublishedPort", Number("uint32"), true),
        ("PublishMode", Text, true),
    ],
};

static ENDPOINT: Object = Object {
    name: "swarm.Endpoint",
    fields: &[
        ("Spec", Obj(&ENDPOINT_SPEC), true),
        ("Ports", List(&PORT), true),
        ("VirtualIPs", List(&VIRTUAL_IP), true),
    ],
};

static VIRTUAL_IP: Object = Object {
    name: "swarm.EndpointVirtualIP",
    fields: &[("NetworkID", Text, true), ("Addr", Text, true)],
};

static UPDATE_STATUS: Object = Object {
    name: "swarm.UpdateStatus",
    fields: &[
        ("State", Text, true),
        ("StartedAt", Optional("time.Time", &Time), true),
        ("CompletedAt", Optional("time.Time", &Time), true),
        ("Message", Text, true),
    ],
};

static SERVICE_STATUS: Object = Object {
    name: "swarm.ServiceStatus",
    fields: &[
        ("RunningTasks", Uint, false),
        ("DesiredTasks", Uint, false),
        ("CompletedTasks", Uint, false),
    ],
};

static JOB_STATUS: Object = Object {
    name: "swarm.JobStatus",
    fields: &[
        ("JobIteration", Obj(&VERSION), false),
        ("LastExecution", Time, true),
    ],
};
