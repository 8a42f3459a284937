//! The records in PrivateLink's lists: a group on an endpoint, and an endpoint, with their statuses as types.

use super::pages::Identified;

/// A group on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// As the service spells it.
    pub id: String,
    pub status: GroupStatus,
}

/// `SecurityGroupStatus`. There is no "detached": a detached group is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupStatus {
    Attaching,
    /// Also an unknown or missing status.
    Attached,
    Detaching,
}

impl GroupStatus {
    /// Alibaba's name of the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "Attaching",
            Self::Attached => "Attached",
            Self::Detaching => "Detaching",
        }
    }

    /// The status of this name.
    pub(super) fn read(status: Option<&str>) -> Self {
        match status {
            Some("Attaching") => Self::Attaching,
            Some("Detaching") => Self::Detaching,
            _ => Self::Attached,
        }
    }
}

/// An endpoint's record in `ListVpcEndpoints`, as far as a detach or a sweep needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// As the service spells it.
    pub id: String,
    pub region_id: Option<String>,
    pub endpoint_type: Option<EndpointType>,
    pub status: Option<EndpointStatus>,
    pub business_status: Option<BusinessStatus>,
    pub connection_status: Option<ConnectionStatus>,
    pub name: Option<String>,
    pub vpc_id: Option<String>,
    pub resource_group_id: Option<String>,
    pub tags: Option<Vec<Tag>>,
}

/// A tag of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A status as the service sends it: a documented value, or any other text.
macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value that Alibaba's documentation does not list.
            Other(String),
        }

        impl $name {
            /// The status of this exact name.
            #[must_use]
            pub fn read(name: String) -> Self {
                match name.as_str() {
                    $(stringify!($variant) => Self::$variant,)+
                    _ => Self::Other(name),
                }
            }

            /// The name as the service sent it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Other(name) => name,
                }
            }
        }
    };
}

status!(
    /// `EndpointStatus`.
    EndpointStatus {
        Creating,
        Active,
        /// Being modified, by any caller.
        Pending,
        Deleting,
    }
);

status!(
    /// `EndpointType`.
    EndpointType {
        Interface,
        Reverse,
        /// Has no security groups.
        GatewayLoadBalancer,
    }
);

status!(
    /// `EndpointBusinessStatus`.
    BusinessStatus {
        Normal,
        /// A payment is overdue.
        FinancialLocked,
    }
);

status!(
    /// `ConnectionStatus`.
    ConnectionStatus {
        Pending,
        Connecting,
        Connected,
        Disconnecting,
        Disconnected,
        Deleting,
        ServiceDeleted,
    }
);

impl Identified for SecurityGroup {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Endpoint {
    fn id(&self) -> &str {
        &self.id
    }
}
