//! Memory for layers of any size: stored and packed, eight jobs.

use super::{Bench, JOBS, references};
use crate::corpus;
use crate::services::Services;
use crate::shell::Failed;
use std::path::Path;

impl Bench {
    /// Carries one layout from registry to registry, stored and packed, and compares peaks with
    /// their limits in MiB.
    pub(super) fn memory(&mut self, layout: &Path) -> Result<(), Failed> {
        self.clear()?;
        let mut running = Services::none("bench")?;
        let source = running.open(&self.tools, "source")?.to_string();
        corpus::seed::push(&self.tools, layout, &source)?;
        let (key, public) = self.key()?;
        let list = references(layout, &source)?;
        let jobs = JOBS.to_string();
        for (form, level) in [("stored", "0"), ("packed", "9")] {
            let (bundle, export) = self.export(&list, &key, &["--level", level, "--jobs", &jobs])?;
            self.at_most(&format!("{form}: export peak MiB"), export.peak, 320.0);
            let verify = self.packmule(&["verify", &bundle, "--key", &public, "--jobs", &jobs])?;
            self.at_most(&format!("{form}: verify peak MiB"), verify.peak, 100.0);
            let mut empty = Services::none("import")?;
            let target = empty.open(&self.tools, "packmule")?.to_string();
            let import = self.packmule(&["import", &bundle, "--key", &public, "--to", &target, "--jobs", &jobs])?;
            self.at_most(&format!("{form}: import peak MiB"), import.peak, 200.0);
            println!(
                "     {form}: export {:.1} s, verify {:.1} s, import {:.1} s",
                export.seconds, verify.seconds, import.seconds
            );
        }
        Ok(())
    }
}
