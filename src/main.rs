//! The program: the process as a world, run, exit code. Nothing else.

use std::process::ExitCode;

use packmule::cli::{self, world::World};
use packmule::system::memory::Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    ExitCode::from(cli::run(&mut World::process()))
}
