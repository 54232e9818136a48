//! The program: the process as a world, run, exit code. Nothing else.

use std::process::ExitCode;

use packmule::cli::{self, world::World};

fn main() -> ExitCode {
    ExitCode::from(cli::run(&mut World::process()))
}
