//! What the database of a server is to have.

use std::path::PathBuf;

use super::setting::section;

section! {
    /// Declarations
    DeclaredDraft;
    /// Make the database what this file declares before the server is ready, as `chancery apply` does
    apply: PathBuf as "FILE";
}
