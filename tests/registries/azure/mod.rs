//! Containers of Azure Blob Storage: against the emulator, against a small fake that does what the
//! emulator does not, and with Azure's own SDK.

mod emulator;
mod fake;
mod faults;
mod rights;
mod site;
mod stranger;
