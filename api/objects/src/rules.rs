//! The rules of each kind: what is filled in, and what is refused.
//!
//! A kind has a row in [`of`]; its functions stand in a file of the kind, in the folder of its group. They look at one
//! object in the form that it is stored in, and at the one that it replaces. What concerns other objects (a name that
//! is taken, a namespace that is not there) is not theirs.

use serde_json::Value;

use crate::core::{
    config_map, endpoints, event, limit_range, namespace, node, resource_quota, secret, service,
};
use crate::networking::{self, endpoint_slice, ingress, ingress_class, network_policy};
use crate::{FieldError, pod};

/// What the API does with the objects of one kind. The metadata is looked at for all kinds alike.
pub struct Rules {
    /// Fills in what was left out.
    pub defaults: fn(&mut Value),
    /// What the server makes of a new object, or of one that replaces another, before it is looked at.
    pub prepare: fn(&mut Value, Option<&Value>),
    /// What a new object breaks.
    pub create: fn(&Value) -> Vec<FieldError>,
    /// What an object breaks that replaces another one: the new one, the old one.
    pub update: fn(&Value, &Value) -> Vec<FieldError>,
    /// What a new status breaks: the new object, the old one.
    pub status: fn(&Value, &Value) -> Vec<FieldError>,
}

impl Rules {
    /// Nothing is filled in, nothing is refused.
    const NONE: Self = Self {
        defaults: |_| {},
        prepare: |_, _| {},
        create: |_| Vec::new(),
        update: |_, _| Vec::new(),
        status: |_, _| Vec::new(),
    };
}

/// The rules of a kind, named by its group (empty for the core one) and its name; none for a kind that has only its
/// schema.
pub fn of(group: &str, kind: &str) -> Option<&'static Rules> {
    Some(match (group, kind) {
        ("", "Pod") => const { &Rules { defaults: pod::set_defaults, ..Rules::NONE } },
        ("", kind) => return core_group(kind),
        ("events.k8s.io", "Event") => {
            const { &Rules { create: event::create, update: event::update, ..Rules::NONE } }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            const {
                &Rules {
                    defaults: endpoint_slice::defaults,
                    prepare: endpoint_slice::prepare,
                    create: endpoint_slice::create,
                    update: endpoint_slice::update,
                    ..Rules::NONE
                }
            }
        }
        ("networking.k8s.io", kind) => return networking_group(kind),
        _ => return None,
    })
}

fn core_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "ConfigMap" => {
            const { &Rules { create: config_map::create, update: config_map::update, ..Rules::NONE } }
        }
        "Endpoints" => {
            const {
                &Rules {
                    defaults: endpoints::defaults,
                    create: endpoints::create,
                    update: endpoints::update,
                    ..Rules::NONE
                }
            }
        }
        "Event" => const { &Rules { create: event::create, update: event::update, ..Rules::NONE } },
        "LimitRange" => {
            const {
                &Rules {
                    defaults: limit_range::defaults,
                    create: limit_range::create,
                    update: |new, _| limit_range::create(new),
                    ..Rules::NONE
                }
            }
        }
        "Namespace" => {
            const {
                &Rules {
                    defaults: namespace::defaults,
                    prepare: namespace::prepare,
                    create: namespace::create,
                    update: |new, _| namespace::create(new),
                    status: namespace::status,
                }
            }
        }
        "Node" => {
            const {
                &Rules {
                    defaults: node::defaults,
                    create: node::create,
                    update: node::update,
                    status: node::status,
                    ..Rules::NONE
                }
            }
        }
        "ResourceQuota" => {
            const {
                &Rules {
                    create: resource_quota::create,
                    update: resource_quota::update,
                    status: resource_quota::status,
                    ..Rules::NONE
                }
            }
        }
        "Secret" => {
            const {
                &Rules {
                    defaults: secret::defaults,
                    create: secret::create,
                    update: secret::update,
                    ..Rules::NONE
                }
            }
        }
        "Service" => {
            const {
                &Rules {
                    defaults: service::defaults,
                    prepare: service::prepare,
                    create: service::create,
                    update: service::update,
                    status: service::status,
                }
            }
        }
        _ => return None,
    })
}

fn networking_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "IPAddress" => {
            const {
                &Rules {
                    create: networking::create_address,
                    update: networking::update_address,
                    ..Rules::NONE
                }
            }
        }
        "Ingress" => {
            const {
                &Rules {
                    create: ingress::create,
                    update: ingress::update,
                    status: ingress::status,
                    ..Rules::NONE
                }
            }
        }
        "IngressClass" => {
            const {
                &Rules {
                    defaults: ingress_class::defaults,
                    create: ingress_class::create,
                    update: ingress_class::update,
                    ..Rules::NONE
                }
            }
        }
        "NetworkPolicy" => {
            const {
                &Rules {
                    defaults: network_policy::defaults,
                    create: network_policy::create,
                    update: network_policy::update,
                    ..Rules::NONE
                }
            }
        }
        "ServiceCIDR" => {
            const { &Rules { create: networking::create_range, update: networking::update_range, ..Rules::NONE } }
        }
        _ => return None,
    })
}
