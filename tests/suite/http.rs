//! The HTTP interface as a desk, a page or another system uses it.

mod accounts;
mod cases;
mod halls;
mod lists;
mod operation;
mod pages;
mod today;
