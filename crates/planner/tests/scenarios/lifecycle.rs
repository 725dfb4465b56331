//! Creating, scaling, removing.

use crate::world::World;

#[test]
fn tasks_are_born_assigned_and_spread() {
    let mut world = World::with_nodes(3).service("web", 4);
    assert_eq!(world.step(), "create web.1 on n1\ncreate web.2 on n2\ncreate web.3 on n3\ncreate web.4 on n1\n");
    assert_eq!(world.step(), "");
    world.settle();
    assert_eq!(world.running("web"), 4);
}

#[test]
fn draining_stops_the_old_task_and_prepares_its_replacement() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.drain("n2");
    assert_eq!(world.plan().text(), "stop web.2 on n2\nprepare web.2 on n1\n");
}
