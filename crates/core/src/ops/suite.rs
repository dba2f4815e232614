//! The suite every operation goes through.
