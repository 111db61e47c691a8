//! Whole files: read, written and read again, damaged.

mod damage;
mod mmcif;
mod pdb;
mod round_trip;
