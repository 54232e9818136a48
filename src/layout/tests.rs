//! Tests of the layout, on real directories.
