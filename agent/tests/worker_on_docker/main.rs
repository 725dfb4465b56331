//! The worker with real containers. Runs only where `SWARM_TEST_DOCKER_HOST` names an engine to use, such as
//! `unix:///tmp/d/docker.sock`; each case has a node id of its own, so that they share the engine.

mod bed;
mod containers;
mod crash;
mod engine;
mod life;
