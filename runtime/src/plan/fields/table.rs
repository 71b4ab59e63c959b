//! What becomes of each field.

/// A field's path, or the beginning of several with `.*`, and what becomes of it.
pub(super) type Row = (&'static str, Treatment);

type Given = &'static [(&'static str, &'static str)];

/// What becomes of a field. Values are JSON; without one, some value that is not the default is made up.
pub(super) enum Treatment {
    /// Changes the plan, when it has this value and the others have theirs. The test of this name observes it on a real
    /// container, and has the field's name or this word in it.
    Acts { value: Option<&'static str>, given: Given, test: &'static str, word: Option<&'static str> },
    /// A cgroup's limit: reaches this file, of version 1 or 2.
    Limits { value: Option<&'static str>, given: Given, file: &'static str },
    /// Is refused by its name, or by that of the object that it is in.
    Refused(Option<&'static str>),
    /// Is left alone on purpose, for this reason.
    Inert(&'static str),
}

use Treatment::{Acts, Inert, Limits, Refused};

const fn acts(test: &'static str) -> Treatment {
    Acts { value: None, given: &[], test, word: None }
}

const fn value(value: &'static str, test: &'static str) -> Treatment {
    Acts { value: Some(value), given: &[], test, word: None }
}

const fn given(given: Given, value: &'static str, test: &'static str) -> Treatment {
    Acts { value: Some(value), given, test, word: None }
}

const fn word(value: &'static str, test: &'static str, word: &'static str) -> Treatment {
    Acts { value: Some(value), given: &[], test, word: Some(word) }
}

const fn file(file: &'static str) -> Treatment {
    Limits { value: None, given: &[], file }
}

const fn file_with(given: Given, value: &'static str, file: &'static str) -> Treatment {
    Limits { value: Some(value), given, file }
}

const MEMORY: &str = "linux.resources.memory.limit";
const DEADLINE: Given = &[("process.scheduler", r#"{"policy": "SCHED_DEADLINE"}"#)];
const SCHEDULER: Given = &[("process.scheduler", r#"{"policy": "SCHED_OTHER"}"#)];
const FIFO: Given = &[("process.scheduler", r#"{"policy": "SCHED_FIFO"}"#)];
const IO: Given = &[("process.ioPriority", r#"{"class": "IOPRIO_CLASS_BE", "priority": 3}"#)];
const SIZE: Given = &[("process.consoleSize", r#"{"width": 5, "height": 5}"#)];
const BIND: Given = &[("linux.memoryPolicy", r#"{"mode": "MPOL_BIND", "nodes": "0"}"#)];
const OFFSET: Given = &[("linux.timeOffsets", r#"{"boottime": {"secs": 5}}"#)];
const PAGES: Given = &[("linux.resources.hugepageLimits[].limit", "4")];
const RDMA: Given = &[("linux.resources.rdma", r#"{"key": {"hcaHandles": 3, "hcaObjects": 3}}"#)];

const ELSEWHERE: Treatment = Inert("of another platform; the specification wants it ignored");
const ABOVE: Treatment = Inert("the specification has it below `linux` only");
const OBSOLETE: Treatment = Inert("the kernel has no such limit any more");

/// Kinds of hooks.
pub(super) const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// All of config.json.
pub(super) const TABLE: &[Row] = &[
    ("ociVersion", word("\"1.0.2\"", "life_cycle", "ociVersion")),
    ("root.path", word("\"/x\"", "life_cycle", "rootfs")),
    ("root.readonly", acts("file_systems")),
    ("mounts[].destination", acts("mounts_onto_dangling_links")),
    (
        "mounts[].type",
        Acts {
            value: Some("\"tmpfs\""),
            given: &[("mounts", r#"[{"destination": "/d", "type": "proc", "source": "s"}]"#)],
            test: "tmpfs_modes",
            word: None,
        },
    ),
    ("mounts[].source", acts("mounts_onto_dangling_links")),
    ("mounts[].options[]", word("\"rbind\"", "mounts", "rshared")),
    ("mounts[].uidMappings[].hostID", word("7", "mapped_mounts", "hostID")),
    ("mounts[].uidMappings[].containerID", word("7", "mapped_mounts", "containerID")),
    ("mounts[].uidMappings[].size", word("7", "mapped_mounts", "size")),
    ("mounts[].gidMappings[].hostID", word("7", "mapped_mounts", "gidMappings")),
    ("mounts[].gidMappings[].containerID", word("7", "mapped_mounts", "gidMappings")),
    ("mounts[].gidMappings[].size", word("7", "mapped_mounts", "gidMappings")),
    ("process.terminal", value("false", "line_ends_of_a_relayed_terminal")),
    ("process.consoleSize.height", given(SIZE, "11", "console_socket")),
    ("process.consoleSize.width", given(SIZE, "11", "console_socket")),
    ("process.user.uid", acts("process")),
    ("process.user.gid", acts("process")),
    ("process.user.umask", acts("process")),
    ("process.user.additionalGids[]", acts("process")),
    ("process.user.username", ELSEWHERE),
    ("process.args[]", acts("host_binary")),
    ("process.commandLine", ELSEWHERE),
    ("process.env[]", acts("environment")),
    ("process.cwd", acts("process")),
    ("process.capabilities.bounding[]", value("\"CAP_KILL\"", "process")),
    ("process.capabilities.effective[]", value("\"CAP_KILL\"", "process")),
    ("process.capabilities.inheritable[]", value("\"CAP_KILL\"", "process")),
    ("process.capabilities.permitted[]", value("\"CAP_KILL\"", "process")),
    ("process.capabilities.ambient[]", value("\"CAP_KILL\"", "process")),
    ("process.rlimits[].type", word("\"RLIMIT_NOFILE\"", "process", "RLIMIT_NOFILE")),
    ("process.rlimits[].hard", acts("process")),
    ("process.rlimits[].soft", acts("process")),
    ("process.noNewPrivileges", acts("seccomp")),
    ("process.apparmorProfile", acts("labels")),
    ("process.oomScoreAdj", acts("process")),
    ("process.selinuxLabel", acts("labels")),
    ("process.ioPriority.class", given(IO, "\"IOPRIO_CLASS_IDLE\"", "placement")),
    ("process.ioPriority.priority", given(IO, "5", "placement")),
    ("process.scheduler.policy", given(SCHEDULER, "\"SCHED_BATCH\"", "placement")),
    ("process.scheduler.nice", given(SCHEDULER, "11", "placement")),
    ("process.scheduler.priority", given(FIFO, "11", "placement")),
    ("process.scheduler.flags[]", given(SCHEDULER, "\"SCHED_RESET_ON_FORK\"", "placement")),
    ("process.scheduler.runtime", given(DEADLINE, "11", "placement")),
    ("process.scheduler.deadline", given(DEADLINE, "11", "placement")),
    ("process.scheduler.period", given(DEADLINE, "11", "placement")),
    ("process.execCPUAffinity.initial", value("\"0\"", "placement")),
    ("process.execCPUAffinity.final", value("\"0\"", "placement")),
    ("hostname", acts("user_namespace")),
    ("domainname", acts("time_and_names")),
    ("hooks.prestart[].path", acts("hooks")),
    ("hooks.prestart[].args[]", acts("hooks")),
    ("hooks.prestart[].env[]", acts("hooks")),
    ("hooks.prestart[].timeout", acts("hooks")),
    ("hooks.createRuntime[].path", word("\"/x\"", "hooks", "createRuntime")),
    ("hooks.createRuntime[].args[]", acts("hooks")),
    ("hooks.createRuntime[].env[]", acts("hooks")),
    ("hooks.createRuntime[].timeout", acts("hooks")),
    ("hooks.createContainer[].path", word("\"/x\"", "hooks", "createContainer")),
    ("hooks.createContainer[].args[]", acts("hooks")),
    ("hooks.createContainer[].env[]", acts("hooks")),
    ("hooks.createContainer[].timeout", acts("hooks")),
    ("hooks.startContainer[].path", word("\"/x\"", "start_container_hooks", "startContainer")),
    ("hooks.startContainer[].args[]", acts("start_container_hooks")),
    ("hooks.startContainer[].env[]", acts("start_container_hooks")),
    ("hooks.startContainer[].timeout", acts("hooks")),
    ("hooks.poststart[].path", word("\"/x\"", "hooks", "poststart")),
    ("hooks.poststart[].args[]", acts("hooks")),
    ("hooks.poststart[].env[]", acts("hooks")),
    ("hooks.poststart[].timeout", acts("hooks")),
    ("hooks.poststop[].path", word("\"/x\"", "hooks", "poststop")),
    ("hooks.poststop[].args[]", acts("hooks")),
    ("hooks.poststop[].env[]", acts("hooks")),
    ("hooks.poststop[].timeout", acts("hooks")),
    ("annotations{}", acts("life_cycle")),
    ("linux.netDevices{}.name", Refused(None)),
    ("linux.uidMappings[].hostID", acts("user_namespace")),
    ("linux.uidMappings[].containerID", acts("user_namespace")),
    ("linux.uidMappings[].size", acts("user_namespace")),
    ("linux.gidMappings[].hostID", word("7", "user_namespace", "gidMappings")),
    ("linux.gidMappings[].containerID", word("7", "user_namespace", "gidMappings")),
    ("linux.gidMappings[].size", word("7", "user_namespace", "gidMappings")),
    ("linux.sysctl{}", acts("namespaces")),
    ("linux.resources.devices[].allow", value("false", "version_1")),
    ("linux.resources.devices[].type", value("\"b\"", "version_1")),
    ("linux.resources.devices[].major", acts("version_1")),
    ("linux.resources.devices[].minor", acts("version_1")),
    ("linux.resources.devices[].access", value("\"r\"", "version_1")),
    (MEMORY, file("v1 memory.limit_in_bytes")),
    ("linux.resources.memory.reservation", file("v2 memory.low")),
    ("linux.resources.memory.swap", file_with(&[(MEMORY, "5")], "11", "v2 memory.swap.max")),
    ("linux.resources.memory.kernel", OBSOLETE),
    ("linux.resources.memory.kernelTCP", OBSOLETE),
    ("linux.resources.memory.swappiness", file("v1 memory.swappiness")),
    ("linux.resources.memory.disableOOMKiller", file("v1 memory.oom_control")),
    (
        "linux.resources.memory.useHierarchy",
        Inert("every kernel of ours counts a cgroup's children in, and can do nothing else"),
    ),
    ("linux.resources.memory.checkBeforeUpdate", file_with(&[(MEMORY, "5")], "true", "V2 fails")),
    ("linux.resources.cpu.shares", file("v2 cpu.weight")),
    ("linux.resources.cpu.quota", file("v2 cpu.max")),
    ("linux.resources.cpu.idle", file_with(&[], "1", "v2 cpu.idle")),
    ("linux.resources.cpu.burst", file("v2 cpu.max.burst")),
    ("linux.resources.cpu.period", file("v1 cpu.cfs_period_us")),
    ("linux.resources.cpu.realtimeRuntime", file("v1 cpu.rt_runtime_us")),
    ("linux.resources.cpu.realtimePeriod", file("v1 cpu.rt_period_us")),
    ("linux.resources.cpu.cpus", file_with(&[], "\"0\"", "v1 cpuset.cpus")),
    ("linux.resources.cpu.mems", file_with(&[], "\"0\"", "v1 cpuset.mems")),
    ("linux.resources.pids.limit", file("v2 pids.max")),
    ("linux.resources.blockIO.weight", file("v1 blkio.weight")),
    ("linux.resources.blockIO.leafWeight", file("v1 blkio.leaf_weight")),
    ("linux.resources.blockIO.weightDevice[].major", file("v1 blkio.weight_device")),
    ("linux.resources.blockIO.weightDevice[].minor", file("v1 blkio.weight_device")),
    ("linux.resources.blockIO.weightDevice[].weight", file("v1 blkio.weight_device")),
    ("linux.resources.blockIO.weightDevice[].leafWeight", file("v1 blkio.leaf_weight_device")),
    ("linux.resources.blockIO.throttleReadBpsDevice[].major", file("v1 blkio.throttle.read_bps_device")),
    ("linux.resources.blockIO.throttleReadBpsDevice[].minor", file("v1 blkio.throttle.read_bps_device")),
    ("linux.resources.blockIO.throttleReadBpsDevice[].rate", file("v1 blkio.throttle.read_bps_device")),
    ("linux.resources.blockIO.throttleWriteBpsDevice[].major", file("v1 blkio.throttle.write_bps_device")),
    ("linux.resources.blockIO.throttleWriteBpsDevice[].minor", file("v1 blkio.throttle.write_bps_device")),
    ("linux.resources.blockIO.throttleWriteBpsDevice[].rate", file("v1 blkio.throttle.write_bps_device")),
    ("linux.resources.blockIO.throttleReadIOPSDevice[].major", file("v1 blkio.throttle.read_iops_device")),
    ("linux.resources.blockIO.throttleReadIOPSDevice[].minor", file("v1 blkio.throttle.read_iops_device")),
    ("linux.resources.blockIO.throttleReadIOPSDevice[].rate", file("v1 blkio.throttle.read_iops_device")),
    ("linux.resources.blockIO.throttleWriteIOPSDevice[].major", file("v1 blkio.throttle.write_iops_device")),
    ("linux.resources.blockIO.throttleWriteIOPSDevice[].minor", file("v1 blkio.throttle.write_iops_device")),
    ("linux.resources.blockIO.throttleWriteIOPSDevice[].rate", file("v1 blkio.throttle.write_iops_device")),
    (
        "linux.resources.hugepageLimits[].pageSize",
        file_with(PAGES, "\"1GB\"", "v1 hugetlb.1GB.limit_in_bytes"),
    ),
    ("linux.resources.hugepageLimits[].limit", file("v1 hugetlb.2MB.limit_in_bytes")),
    ("linux.resources.network.classID", file("v1 net_cls.classid")),
    ("linux.resources.network.priorities[].name", file("v1 net_prio.ifpriomap")),
    ("linux.resources.network.priorities[].priority", file("v1 net_prio.ifpriomap")),
    ("linux.resources.rdma{}.hcaHandles", file_with(RDMA, "4", "v1 rdma.max")),
    ("linux.resources.rdma{}.hcaObjects", file_with(RDMA, "4", "v1 rdma.max")),
    ("linux.resources.unified{}", file("V1 refuses")),
    ("linux.cgroupsPath", acts("user_namespace")),
    (
        "linux.namespaces[].type",
        given(
            &[(
                "linux.namespaces",
                r#"[{"type": "cgroup"}, {"type": "mount"}, {"type": "user"}, {"type": "uts"}]"#,
            )],
            "\"network\"",
            "namespaces",
        ),
    ),
    (
        "linux.namespaces[].path",
        given(
            &[(
                "linux.namespaces",
                r#"[{"type": "cgroup"}, {"type": "mount"}, {"type": "user"}, {"type": "uts"}]"#,
            )],
            "\"/x\"",
            "namespaces",
        ),
    ),
    ("linux.devices[].path", acts("file_systems")),
    ("linux.devices[].type", value("\"p\"", "file_systems")),
    ("linux.devices[].major", acts("file_systems")),
    ("linux.devices[].minor", acts("file_systems")),
    ("linux.devices[].fileMode", acts("file_systems")),
    ("linux.devices[].uid", acts("file_systems")),
    ("linux.devices[].gid", acts("file_systems")),
    ("linux.seccomp.defaultAction", value("\"SCMP_ACT_LOG\"", "seccomp")),
    (
        "linux.seccomp.defaultErrnoRet",
        given(&[("linux.seccomp.defaultAction", "\"SCMP_ACT_ERRNO\"")], "11", "seccomp"),
    ),
    (
        "linux.seccomp.architectures[]",
        value("\"SCMP_ARCH_X86\"", "an_architecture_that_is_not_named_is_killed"),
    ),
    ("linux.seccomp.flags[]", value("\"SECCOMP_FILTER_FLAG_LOG\"", "seccomp_agent")),
    ("linux.seccomp.listenerPath", acts("seccomp_agent")),
    ("linux.seccomp.listenerMetadata", acts("seccomp_agent")),
    ("linux.seccomp.syscalls[].names[]", value("\"chmod\"", "seccomp")),
    ("linux.seccomp.syscalls[].action", value("\"SCMP_ACT_KILL\"", "seccomp")),
    ("linux.seccomp.syscalls[].errnoRet", acts("seccomp")),
    ("linux.seccomp.syscalls[].args[].index", value("1", "seccomp")),
    ("linux.seccomp.syscalls[].args[].value", acts("seccomp")),
    (
        "linux.seccomp.syscalls[].args[].valueTwo",
        given(
            &[("linux.seccomp.syscalls[].args[].op", "\"SCMP_CMP_MASKED_EQ\"")],
            "11",
            "a_masked_comparison_looks_at_the_masked_bits",
        ),
    ),
    ("linux.seccomp.syscalls[].args[].op", value("\"SCMP_CMP_NE\"", "seccomp")),
    ("linux.rootfsPropagation", value("\"shared\"", "mounts")),
    ("linux.maskedPaths[]", acts("fake_null")),
    ("linux.readonlyPaths[]", word("\"/x\"", "file_systems", "/proc/sys/kernel/hostname")),
    ("linux.mountLabel", Refused(None)),
    ("linux.intelRdt.closID", Refused(None)),
    ("linux.intelRdt.schemata[]", Refused(None)),
    ("linux.intelRdt.l3CacheSchema", Refused(None)),
    ("linux.intelRdt.memBwSchema", Refused(None)),
    ("linux.intelRdt.enableCmt", Refused(None)),
    ("linux.intelRdt.enableMbm", Refused(None)),
    ("linux.intelRdt.enableMonitoring", Refused(None)),
    ("linux.memoryPolicy.mode", given(BIND, "\"MPOL_INTERLEAVE\"", "placement")),
    ("linux.memoryPolicy.nodes", given(BIND, "\"0-1\"", "placement")),
    ("linux.memoryPolicy.flags[]", given(BIND, "\"MPOL_F_STATIC_NODES\"", "placement")),
    ("linux.personality.domain", value("\"LINUX32\"", "exec_with_a_process_file")),
    ("linux.personality.flags[]", Refused(None)),
    ("linux.timeOffsets{}.secs", given(OFFSET, "11", "time_and_names")),
    ("linux.timeOffsets{}.nanosecs", given(OFFSET, "11", "time_and_names")),
    ("solaris.*", ELSEWHERE),
    ("windows.*", ELSEWHERE),
    ("zos.*", ELSEWHERE),
    ("vm.*", Inert("of runtimes that make machines; the specification wants it ignored")),
    ("uidMappings[].hostID", ABOVE),
    ("uidMappings[].containerID", ABOVE),
    ("uidMappings[].size", ABOVE),
    ("gidMappings[].hostID", ABOVE),
    ("gidMappings[].containerID", ABOVE),
    ("gidMappings[].size", ABOVE),
];
