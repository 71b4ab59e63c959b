//! The table of a volume.

use super::Shape::{Any, Integer, List, Object, Quantity, Text};
use super::Support::{Done, Only, Refused};
use super::container::{FIELD_REF, RESOURCE_REF};
use super::pod::NEEDS_API;
use super::{Type, field};

const NETWORK: &str = "volumes of storage systems are not implemented";
const GONE: &str = "this kind of volume was removed from Kubernetes";

pub(super) static VOLUME: Type = Type {
    name: "Volume",
    fields: &[
        field("awsElasticBlockStore", Any, Refused(GONE)),
        field("azureDisk", Any, Refused(GONE)),
        field("azureFile", Any, Refused(GONE)),
        field("cephfs", Any, Refused(GONE)),
        field("cinder", Any, Refused(GONE)),
        field("configMap", Any, Refused(NEEDS_API)),
        field("csi", Any, Refused(NEEDS_API)),
        field("downwardAPI", Object(&DOWNWARD), Done("golden volumes")),
        field("emptyDir", Object(&EMPTY_DIR), Done("golden volumes")),
        field("ephemeral", Any, Refused(NEEDS_API)),
        field("fc", Any, Refused(NETWORK)),
        field("flexVolume", Any, Refused(GONE)),
        field("flocker", Any, Refused(GONE)),
        field("gcePersistentDisk", Any, Refused(GONE)),
        field("gitRepo", Any, Refused(GONE)),
        field("glusterfs", Any, Refused(GONE)),
        field("hostPath", Object(&HOST_PATH), Done("golden volumes")),
        field("image", Any, Refused("volumes of images are not implemented")),
        field("iscsi", Any, Refused(NETWORK)),
        field("name", Text, Done("golden volumes")),
        field("nfs", Any, Refused(NETWORK)),
        field("persistentVolumeClaim", Any, Refused(NEEDS_API)),
        field("photonPersistentDisk", Any, Refused(GONE)),
        field("portworxVolume", Any, Refused(GONE)),
        field("projected", Object(&PROJECTED), Done("unit volumes::downward sources_are_joined")),
        field("quobyte", Any, Refused(GONE)),
        field("rbd", Any, Refused(GONE)),
        field("scaleIO", Any, Refused(GONE)),
        field("secret", Any, Refused(NEEDS_API)),
        field("storageos", Any, Refused(GONE)),
        field("vsphereVolume", Any, Refused(GONE)),
    ],
};

static EMPTY_DIR: Type = Type {
    name: "EmptyDirVolumeSource",
    fields: &[
        field("medium", Text, Only(&["", "Memory"], "huge pages as a volume")),
        field("sizeLimit", Quantity, Done("unit volumes::empty_dir memory_is_bounded_by_the_size_limit")),
    ],
};

static HOST_PATH: Type = Type {
    name: "HostPathVolumeSource",
    fields: &[
        field("path", Text, Done("golden volumes")),
        field("type", Text, Done("unit volumes::host_path each_type_is_checked")),
    ],
};

static DOWNWARD: Type = Type {
    name: "DownwardAPIVolumeSource",
    fields: &[
        field("defaultMode", Integer, Done("unit volumes::downward files_have_their_modes")),
        field("items", List(&DOWNWARD_FILE), Done("unit volumes::downward files_have_their_modes")),
    ],
};

static DOWNWARD_FILE: Type = Type {
    name: "DownwardAPIVolumeFile",
    fields: &[
        field("fieldRef", Object(&FIELD_REF), Done("unit volumes::downward files_have_their_modes")),
        field("mode", Integer, Done("unit volumes::downward files_have_their_modes")),
        field("path", Text, Done("unit volumes::downward files_have_their_modes")),
        field(
            "resourceFieldRef",
            Object(&RESOURCE_REF),
            Done("unit volumes::downward files_have_their_modes"),
        ),
    ],
};

static PROJECTED: Type = Type {
    name: "ProjectedVolumeSource",
    fields: &[
        field("defaultMode", Integer, Done("unit volumes::downward sources_are_joined")),
        field("sources", List(&PROJECTION), Done("unit volumes::downward sources_are_joined")),
    ],
};

static PROJECTION: Type = Type {
    name: "VolumeProjection",
    fields: &[
        field("clusterTrustBundle", Any, Refused(NEEDS_API)),
        field("configMap", Any, Refused(NEEDS_API)),
        field("downwardAPI", Object(&DOWNWARD_PROJECTION), Done("unit volumes::downward sources_are_joined")),
        field("podCertificate", Any, Refused(NEEDS_API)),
        field("secret", Any, Refused(NEEDS_API)),
        field("serviceAccountToken", Any, Refused(NEEDS_API)),
    ],
};

static DOWNWARD_PROJECTION: Type = Type {
    name: "DownwardAPIProjection",
    fields: &[field("items", List(&DOWNWARD_FILE), Done("unit volumes::downward sources_are_joined"))],
};
