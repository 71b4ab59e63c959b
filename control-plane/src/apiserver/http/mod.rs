//! HTTP: what a request asks for, in which form it is answered, and the connection it comes on.

pub mod answer;
pub mod negotiate;
pub mod path;
pub mod query;
pub mod request;
pub mod serve;
pub mod yaml;
