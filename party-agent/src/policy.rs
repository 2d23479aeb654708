//! The holder's policy file: who may do what with which column. Default deny.
