//! Certificates on the control plane: where they come from, where they are kept, and what the listeners serve of them.
pub mod fault;
pub mod leaf;
pub mod name;
pub mod pem;
pub mod storage;
