//! The life of leads: the stage machine row by row, the charter, and the invariants under any sequence of verbs.

mod charter;
mod follow_up;
mod invariants;
mod machine;
mod table;
mod world;
