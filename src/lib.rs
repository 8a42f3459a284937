//! Detaches security groups from Alibaba Cloud PrivateLink VPC endpoints, and proves that it did.

pub mod alibaba;
pub mod completion;
pub mod detach;
pub mod reason;
pub mod request;
