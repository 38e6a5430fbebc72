//! Certificates on the control plane: where they come from, where they are kept, and what the listeners serve of them.
pub mod book;
pub mod fault;
pub mod files;
pub mod keeper;
pub mod leaf;
pub mod local_ca;
pub mod name;
pub mod needs;
pub mod pem;
pub mod place;
pub mod publish;
pub mod report;
pub mod sections;
pub mod storage;
pub mod trust_stores;
pub mod watch;
