//! From an author's folder to a component, in three languages, and the folders to start from. `handfast plugin new` and
//! `build` are this, and so is what `cargo xtask plugins` and `languages` do with the rules that ship: one set of flags.
//!
//! It runs other programs (cargo, jco, componentize-py) and knows neither the host nor the server.

mod folder;
mod javascript;
mod python;
mod rust;
mod sdk;
mod template;
mod tool;

pub use folder::{Folder, Language, Manifest, World};
pub use javascript::javascript;
pub use python::python;
pub use rust::{TARGET, encode, rust};
pub use sdk::WIT;
pub use template::{Kind, files};
pub use tool::{Missing, run};
