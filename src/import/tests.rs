//! Tests of the import, layout to layout and against destinations that fail.
