//! One session as a machine: what happens goes in, what is to be done comes out.

use std::{net::IpAddr, time::Duration};
use swarm_session::{Assign, CloseReason, FromAgent, FromManager, Generation, Hello, NodeOrders, PROTOCOL, StatusReport};
use swarm_types::{Nanos, NodeDescription, NodeId};

/// A heartbeat period outside these bounds is a mistake of the manager's.
const PERIOD_MIN: Duration = Duration::from_millis(100);
const PERIOD_MAX: Duration = Duration::from_secs(3600);

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A manager's message.
    Received(FromManager),
    /// There may be new statuses.
    ReportsChanged,
    /// Statuses no manager has taken, in answer to [`Effect::CollectReports`].
    Reports(Vec<StatusReport>),
    /// The heartbeat period is over.
    BeatDue,
    /// The host changed.
    Description(Box<NodeDescription>),
    /// Names and load balancing are in place up to this generation.
    InPlace(Generation),
    /// How [`Effect::Assign`] went.
    Assigned(Result<(), String>),
    /// The agent ends the session, for this reason.
    Stop(String),
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Say this.
    Send(FromAgent),
    /// The session is accepted: every status is to be reported again, and a beat sent this often.
    Accepted(Duration),
    /// The heartbeat period is this from now on.
    Period(Duration),
    /// Give this to the worker.
    Assign(Box<Assign>),
    /// Ask the worker for statuses that no manager has taken.
    CollectReports,
    /// The managers have these statuses.
    Taken(Vec<StatusReport>),
    /// What the node is to the cluster.
    Orders(NodeOrders),
    /// The session is over.
    End(End),
}

/// Why a session is over, and with that what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Try another manager.
    Elsewhere(String),
    /// Come back at once, to any manager.
    Again(String),
    /// The cluster does not know the node any more.
    Removed,
    /// No session until one side is replaced.
    Refused(String),
    /// The agent wanted it.
    Stopped,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    AwaitingWelcome,
    Open,
    Over,
}

/// One session.
#[derive(Debug)]
pub struct Machine {
    phase: Phase,
    /// The newest orders taken.
    orders: Generation,
    /// Statuses that were sent and are not acknowledged. One batch at a time: what changes meanwhile goes together.
    batch: Option<(u64, Vec<StatusReport>)>,
    next_seq: u64,
    /// Whether statuses changed since they were collected last.
    has_news: bool,
    /// What the manager was told of the host.
    description: NodeDescription,
}

impl Machine {
    /// A new session, and its first message. `held` is the newest generation of the worker, `orders` that of the newest
    /// node orders, `data_path_addr` where the host takes packets of cluster networks.
    #[must_use]
    pub fn start(
        node_id: NodeId,
        description: NodeDescription,
        held: Generation,
        orders: Generation,
        data_path_addr: Option<IpAddr>,
    ) -> (Self, Effect) {
        let hello = Hello { protocol: PROTOCOL, node_id, description: description.clone(), generation: held, data_path_addr };
        let machine = Self { phase: Phase::AwaitingWelcome, orders, batch: None, next_seq: 1, has_news: false, description };
        (machine, Effect::Send(FromAgent::Hello(Box::new(hello))))
    }

    /// Whether the manager has accepted the session and it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match (&self.phase, event) {
            (Phase::Over, _) => vec![],
            (_, Event::Received(FromManager::Close(reason))) => self.end(closed(reason)),
            (_, Event::Stop(reason)) => {
                let mut effects = vec![Effect::Send(FromAgent::Goodbye { reason })];
                effects.extend(self.end(End::Stopped));
                effects
            }
            (Phase::AwaitingWelcome, event) => self.step_unwelcome(event),
            (Phase::Open, Event::Received(message)) => self.receive(message),
            (Phase::Open, Event::ReportsChanged) => self.collect(),
            (Phase::Open, Event::Reports(reports)) => self.report(reports),
            (Phase::Open, Event::BeatDue) => vec![Effect::Send(FromAgent::Heartbeat)],
            (Phase::Open, Event::Description(description)) => self.describe(*description),
            (Phase::Open, Event::InPlace(generation)) => vec![Effect::Send(FromAgent::Applied { generation })],
            (Phase::Open, Event::Assigned(Ok(()))) => vec![],
            // The next session's Hello names what is held, and the manager starts from a complete set.
            (Phase::Open, Event::Assigned(Err(error))) => self.end(End::Again(error)),
        }
    }

    fn step_unwelcome(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Received(FromManager::Welcome { session_id: _, heartbeat_period }) => {
                self.phase = Phase::Open;
                vec![Effect::Accepted(period(heartbeat_period)), Effect::CollectReports]
            }
            Event::Received(_) => self.end(End::Elsewhere("the manager spoke before it accepted the session".to_owned())),
            // The Hello has what was known; what changed since is sent once the session is open.
            Event::Description(_) | Event::ReportsChanged | Event::Reports(_) | Event::BeatDue | Event::InPlace(_) | Event::Assigned(_) => {
                vec![]
            }
            Event::Stop(_) => unreachable!("step takes it in every phase"),
        }
    }

    fn receive(&mut self, message: FromManager) -> Vec<Effect> {
        match message {
            FromManager::Node(orders) if orders.generation < self.orders => vec![],
            FromManager::Node(orders) => {
                self.orders = orders.generation;
                vec![Effect::Orders(orders)]
            }
            FromManager::Assign(assign) => vec![Effect::Assign(assign)],
            FromManager::StatusesTaken { seq } => self.taken(seq),
            FromManager::HeartbeatPeriod(nanos) => vec![Effect::Period(period(nanos))],
            FromManager::Welcome { .. } => self.end(End::Elsewhere("the manager accepted the session twice".to_owned())),
            FromManager::Close(reason) => self.end(closed(reason)),
        }
    }

    fn collect(&mut self) -> Vec<Effect> {
        if self.batch.is_some() {
            self.has_news = true;
            return vec![];
        }
        vec![Effect::CollectReports]
    }

    fn report(&mut self, reports: Vec<StatusReport>) -> Vec<Effect> {
        if reports.is_empty() {
            return vec![];
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.batch = Some((seq, reports.clone()));
        vec![Effect::Send(FromAgent::Statuses { seq, reports })]
    }

    fn taken(&mut self, seq: u64) -> Vec<Effect> {
        match self.batch.take_if(|(sent, _)| *sent <= seq) {
            Some((_, reports)) => {
                let mut effects = vec![Effect::Taken(reports)];
                if std::mem::take(&mut self.has_news) {
                    effects.push(Effect::CollectReports);
                }
                effects
            }
            None => vec![],
        }
    }

    fn describe(&mut self, description: NodeDescription) -> Vec<Effect> {
        if description == self.description {
            return vec![];
        }
        self.description = description.clone();
        vec![Effect::Send(FromAgent::Description(Box::new(description)))]
    }

    fn end(&mut self, end: End) -> Vec<Effect> {
        self.phase = Phase::Over;
        vec![Effect::End(end)]
    }
}

fn closed(reason: CloseReason) -> End {
    match reason {
        CloseReason::Elsewhere(why) => End::Elsewhere(why),
        CloseReason::Removed => End::Removed,
        CloseReason::Refused(why) => End::Refused(why),
        CloseReason::Replaced => End::Elsewhere("a newer session of this node took over".to_owned()),
        CloseReason::TooSlow => End::Again("this node fell behind".to_owned()),
    }
}

fn period(nanos: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).clamp(PERIOD_MIN, PERIOD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{Role, SessionId, TaskDefaults, TaskId, TaskStatus};

    fn started() -> Machine {
        let node_id = NodeId::from_random([1; 16]);
        let (machine, first) = Machine::start(node_id, NodeDescription::default(), Generation(5), Generation(3), None);
        let Effect::Send(FromAgent::Hello(hello)) = first else { panic!("the first message is a Hello") };
        assert_eq!((hello.protocol, hello.node_id, hello.generation), (PROTOCOL, node_id, Generation(5)));
        machine
    }

    fn open() -> Machine {
        let mut machine = started();
        let welcome = FromManager::Welcome { session_id: SessionId::from_random([2; 16]), heartbeat_period: 5_000_000_000 };
        let effects = machine.step(Event::Received(welcome));
        assert_eq!(effects, [Effect::Accepted(Duration::from_secs(5)), Effect::CollectReports]);
        machine
    }

    fn report(n: u8) -> StatusReport {
        StatusReport { task_id: TaskId::from_random([n; 16]), status: TaskStatus::default() }
    }

    fn orders(generation: u64) -> FromManager {
        FromManager::Node(NodeOrders {
            generation: Generation(generation),
            role: Role::Worker,
            managers: vec![],
            root_ca: String::new(),
            task_defaults: TaskDefaults::default(),
        })
    }

    #[test]
    fn statuses_go_one_batch_at_a_time_until_taken() {
        let mut machine = open();
        let sent = machine.step(Event::Reports(vec![report(1)]));
        assert_eq!(sent, [Effect::Send(FromAgent::Statuses { seq: 1, reports: vec![report(1)] })]);
        assert_eq!(machine.step(Event::ReportsChanged), []);
        assert_eq!(machine.step(Event::Received(FromManager::StatusesTaken { seq: 0 })), []);
        let taken = machine.step(Event::Received(FromManager::StatusesTaken { seq: 1 }));
        assert_eq!(taken, [Effect::Taken(vec![report(1)]), Effect::CollectReports]);
        let sent = machine.step(Event::Reports(vec![report(2)]));
        assert_eq!(sent, [Effect::Send(FromAgent::Statuses { seq: 2, reports: vec![report(2)] })]);
        assert_eq!(machine.step(Event::Received(FromManager::StatusesTaken { seq: 2 })), [Effect::Taken(vec![report(2)])]);
        assert_eq!(machine.step(Event::Reports(vec![])), []);
    }

    #[test]
    fn older_orders_are_refused() {
        let mut machine = open();
        assert_eq!(machine.step(Event::Received(orders(2))), []);
        assert_eq!(machine.step(Event::Received(orders(3))).len(), 1);
        assert_eq!(machine.step(Event::Received(orders(9))).len(), 1);
        assert_eq!(machine.step(Event::Received(orders(8))), []);
    }

    #[test]
    fn a_refused_assignment_starts_anew() {
        let mut machine = open();
        let ended = machine.step(Event::Assigned(Err("a gap".into())));
        assert_eq!(ended, [Effect::End(End::Again("a gap".into()))]);
        assert_eq!(machine.step(Event::BeatDue), []);
    }

    #[test]
    fn only_changes_of_the_host_are_told() {
        let mut machine = open();
        assert_eq!(machine.step(Event::Description(Box::default())), []);
        let changed = NodeDescription { hostname: "other".into(), ..Default::default() };
        let told = machine.step(Event::Description(Box::new(changed.clone())));
        assert_eq!(told, [Effect::Send(FromAgent::Description(Box::new(changed.clone())))]);
        assert_eq!(machine.step(Event::Description(Box::new(changed))), []);
    }

    #[test]
    fn endings_say_what_to_do_next() {
        let closed = |reason| match open().step(Event::Received(FromManager::Close(reason))).pop() {
            Some(Effect::End(end)) => end,
            other => panic!("expected an end, got {other:?}"),
        };
        assert_eq!(closed(CloseReason::Removed), End::Removed);
        assert_eq!(closed(CloseReason::Elsewhere("x".into())), End::Elsewhere("x".into()));
        assert!(matches!(closed(CloseReason::TooSlow), End::Again(_)));
        assert!(matches!(closed(CloseReason::Replaced), End::Elsewhere(_)));
        let unwelcome = started().step(Event::Received(orders(9)));
        assert!(matches!(unwelcome[..], [Effect::End(End::Elsewhere(_))]));
        let stopped = open().step(Event::Stop("bye".into()));
        assert_eq!(stopped, [Effect::Send(FromAgent::Goodbye { reason: "bye".into() }), Effect::End(End::Stopped)]);
    }
}
