//! The program: makes the process into a `World`, runs it and returns the exit code.

use std::process::ExitCode;

use packmule::cli::{self, world::World};
use packmule::system::memory::Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    ExitCode::from(cli::run(&mut World::process()))
}
