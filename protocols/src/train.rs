//! Models of shared rows.
//!
//! * [`solve`]: systems of equations with a symmetric positive definite matrix, as every Newton step has one;
//! * [`pooled`]: Newton's steps over sums of holders who each have rows of their own;
//! * [`glm`]: generalised linear models by Newton's method;
//! * [`standard`]: columns less their means, in units of their standard deviations;
//! * [`correlated`]: which columns go together more than a limit says;
//! * [`evaluate`]: how well scores tell bad rows from good ones;
//! * [`vertical`]: all of it, over a join in which nobody sees who matched;
//! * [`shapley`]: how much each holder's columns contribute to a linear one;
//! * [`hazards`]: likewise, of when something befalls people;
//! * [`binned`]: likewise, of features in bins that are replaced by weights;
//! * [`score`]: points by a model of which each holder has a part;
//! * [`trees`]: gradient-boosted trees.

pub mod solve;
pub mod pooled;
pub mod correlated;
pub mod glm;
pub mod standard;
pub mod evaluate;
pub mod vertical;
pub mod shapley;
pub mod hazards;
pub mod trees;
pub mod binned;
pub mod score;
