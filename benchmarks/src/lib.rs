//! Reproducible comparisons with Docker Swarm and etcd on the same machine, and what stretches the control plane further than
//! real containers could.
//!
//! `make bench` runs the rows of the design's table; figures of all sides are taken in turn in one run, so that what else the
//! machine does hits all of them. Nothing here is part of the product.

pub mod api;
pub mod docker_swarm;
pub mod etcd;
pub mod hollow;
pub mod load;
pub mod managers;
pub mod report;
pub mod rows;
pub mod usage;
