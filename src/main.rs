//! The binary: arguments to exit code.

use std::process::ExitCode;

/// Rarely asked on the data path, but the control plane and the first exchanges of a connection allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hotgate::cli::main()
}
