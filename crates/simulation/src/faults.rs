//! What is done to a world while it breaks.

use crate::{
    manager::host,
    world::{NODES, World},
};
use std::time::Duration;

/// A host or process that went down is back after this many milliseconds at most.
const BACK_MS_MAX: usize = 5000;

impl World {
    /// One fault, by the dice.
    pub(crate) fn fault(&mut self) {
        let place = self.dice.below(NODES);
        match self.dice.below(20) {
            0..=3 => self.cut_power(place),
            4 | 5 => self.kill_manager(place),
            6 => self.kill_agent(place),
            7..=9 => self.cut_links(),
            10 | 11 => {
                self.tell("the cuts heal".to_owned());
                self.net.heal_cuts();
            }
            12 | 13 => {
                let (loss, delay) = (self.dice.below(8), 1 + self.dice.below(80));
                self.tell(format!("{loss} % are lost, up to {delay} ms late"));
                self.net.set_weather(loss, delay);
            }
            14 | 15 => {
                let span = Duration::from_millis(self.dice.below(2500) as u64);
                self.tell(format!("host {place} stands still for {span:?}"));
                self.places[place].stalled_until = self.now + span;
            }
            16..=18 => self.let_container_die(place),
            _ => {
                for place in 0..NODES {
                    self.cut_power(place);
                }
            }
        }
    }

    fn soon(&mut self) -> Duration {
        self.now + Duration::from_millis(100 + self.dice.below(BACK_MS_MAX) as u64)
    }

    fn cut_power(&mut self, place: usize) {
        if !self.places[place].agent.is_up() && !self.places[place].manager.is_up() {
            return;
        }
        let back = self.soon();
        self.stop_manager(place);
        let there = &mut self.places[place];
        there.agent.crash();
        there.start.disk.lose_power();
        there.agent_start.engine.lose_power();
        *there.agent_start.seen.lock().expect("not poisoned") = None;
        (there.agent_back, there.manager_back) = (Some(back), Some(back));
        self.net.set_power(&host(place), false);
        self.crashes += 1;
        self.tell(format!("host {place} loses its power until {back:?}"));
    }

    fn kill_manager(&mut self, place: usize) {
        if self.places[place].manager.is_up() {
            let back = self.soon();
            self.stop_manager(place);
            self.places[place].manager_back = Some(back);
            self.crashes += 1;
            self.tell(format!("manager {place} is killed until {back:?}"));
        }
    }

    fn kill_agent(&mut self, place: usize) {
        if self.places[place].agent.is_up() {
            let back = self.soon();
            let there = &mut self.places[place];
            there.agent.crash();
            *there.agent_start.seen.lock().expect("not poisoned") = None;
            there.agent_back = Some(back);
            self.tell(format!("agent {place} is killed until {back:?}"));
        }
    }

    fn cut_links(&mut self) {
        let one_way = self.dice.percent(30);
        let side: Vec<bool> = (0..NODES).map(|_| self.dice.percent(50)).collect();
        self.tell(format!("cut {side:?}, one way: {one_way}"));
        for from in 0..NODES {
            for to in 0..NODES {
                if side[from] != side[to] && (!one_way || side[from]) {
                    self.net.cut(&host(from), &host(to));
                }
            }
        }
    }

    fn let_container_die(&mut self, place: usize) {
        let engine = self.places[place].agent_start.engine.clone();
        let running = engine.running();
        if !running.is_empty() {
            let task = running[self.dice.below(running.len())];
            let exit_code = self.dice.below(3) as i64;
            self.tell(format!("the process of task {task} on host {place} ends with {exit_code}"));
            engine.die(task, exit_code);
        }
    }
}
