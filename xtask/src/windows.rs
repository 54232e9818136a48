//! `cargo xtask windows`: runs the guard build for Windows with Wine, on every vector whose files
//! can exist on Windows. Not part of CI, since Wine takes a third of a second to start.

use crate::guard::{self, FEATURES, WINDOWS};
use crate::install;
use crate::shell::{self, Failed};
use std::path::Path;

/// Path of Debian's Wine.
const WINE: &str = "/usr/lib/wine/wine64";

/// Replacement for the random number functions of Windows 10, which are missing in older versions
/// of Wine, by those that it has.
const RANDOM: &str = "#include <windows.h>\n\
    BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n\
    __declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T size) { return SystemFunction036(to, (ULONG)size); }\n";

/// Builds it and has it verify the vectors. Links, FIFOs and modes are left out, because Wine shows
/// a link as its target.
pub fn run(root: &Path) -> Result<(), Failed> {
    guard::ready_for_windows()?;
    if !Path::new(WINE).is_file() {
        install::apt(&["wine64"])?;
    }
    let build = ["build", "--quiet", "--target", WINDOWS, "--config", "profile.dev.opt-level=1"];
    shell::run(shell::command("cargo").current_dir(root).args(build).args(FEATURES))?;
    let folder = shell::target().join("wine");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("packmule.exe");
    std::fs::copy(shell::target().join(WINDOWS).join("debug/packmule.exe"), &program)?;
    let source = folder.join("random.c");
    std::fs::write(&source, RANDOM)?;
    let mut compiler = shell::command("x86_64-w64-mingw32-gcc");
    compiler.args(["-shared", "-o"]).arg(folder.join("bcryptprimitives.dll")).arg(source).arg("-ladvapi32");
    shell::run(&mut compiler)?;
    let drive = format!("WINEPREFIX={}", folder.join("drive").display());
    let command = ["env".as_ref(), drive.as_ref(), "WINEDEBUG=-all".as_ref(), WINE.as_ref(), program.as_os_str()];
    guard::vectors(root, &["--plain"], &command)
}
