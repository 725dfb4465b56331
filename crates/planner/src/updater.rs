//! Updates: which tasks are out of date, and how slots are replaced a few at a time, watched, halted and taken back.

use crate::{
    addresses::drop_taken_ports,
    commands::endpoint_after,
    defaults::{PROGRESS_DEADLINE, STOP_GRACE, UPDATE_MONITOR, UPDATE_PARALLELISM, duration},
    global::{Home, home},
    orchestrate::{Seen, Work},
    restart::start_behind,
    slots::{SlotKey, is_live, is_wanted},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use swarm_state::{Rollout, Service, Task};
use swarm_types::{FailureAction, HealthConfig, SharedSpec, TaskId, TaskState, Timestamp, UpdateOrder, UpdateState, UpdateStatus, Version};

/// The engine's defaults of a health check.
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_RETRIES: u32 = 3;

/// How a task's template stands to the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same in all that matters.
    Clean,
    /// Only the placement differs: the task may stay on a node that fits the new one.
    Placement,
    /// Different.
    Dirty,
}

impl Verdict {
    pub(crate) fn of(old: &SharedSpec, new: &SharedSpec) -> Self {
        let ports = |spec: &SharedSpec| spec.endpoint.clone().unwrap_or_default();
        if ports(old) != ports(new) {
            return Self::Dirty;
        }
        if old.template == new.template {
            return Self::Clean;
        }
        let mut moved = old.template.clone();
        moved.placement.clone_from(&new.template.placement);
        if moved == new.template { Self::Placement } else { Self::Dirty }
    }
}

impl Work<'_, '_> {
    /// Whether the task was made by an update that is being taken back.
    pub(crate) fn is_taken_back(&self, task: &Task) -> bool {
        is_rolling_back(&self.service()) && task.by_update && self.is_dirty(task)
    }

    /// Whether the task is not what the service asks for now.
    pub(crate) fn is_dirty(&self, task: &Task) -> bool {
        let current = self.service().current.template;
        if task.spec == current {
            return false;
        }
        let (Some(old), Some(new)) = (self.pass.template(task.spec), self.pass.template(current)) else { return true };
        let verdict = *self.verdicts.borrow_mut().entry(task.spec).or_insert_with(|| Verdict::of(&old.spec, &new.spec));
        match verdict {
            Verdict::Clean => false,
            Verdict::Dirty => true,
            Verdict::Placement => !self.pass.node(task.node_id).is_some_and(|node| new.fits(node)),
        }
    }
}

/// How an update goes, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    parallelism: usize,
    delay: Duration,
    monitor: Duration,
    failure_action: FailureAction,
    max_failure_ratio: f32,
    start_first: bool,
    /// How long a new task may take until it runs.
    progress: Duration,
}

impl Settings {
    fn of(service: &Service) -> Self {
        let spec = &service.current.spec;
        let config = if is_rolling_back(service) { &spec.rollback_config } else { &spec.update_config };
        let config = config.clone();
        let parallelism = config.as_ref().map_or(UPDATE_PARALLELISM, |c| c.parallelism);
        let config = config.unwrap_or_default();
        let delay = duration(Some(config.delay)).unwrap_or_default();
        let container = spec.task_template.container_spec.as_ref();
        let health = health_span(container.and_then(|c| c.healthcheck.as_ref()));
        // Docker's client writes the default out as soon as any update flag is given, so it tells nothing.
        let chosen = duration(config.monitor).filter(|m| !m.is_zero() && *m != UPDATE_MONITOR);
        let monitor = chosen.unwrap_or_else(|| UPDATE_MONITOR.max(health));
        let grace = duration(container.and_then(|c| c.stop_grace_period)).unwrap_or(STOP_GRACE);
        Self {
            parallelism: if parallelism == 0 { usize::MAX } else { usize::try_from(parallelism).unwrap_or(usize::MAX) },
            delay,
            // A monitor shorter than the delay would miss what happens while the update rests.
            monitor: if delay >= monitor { delay + Duration::from_secs(1) } else { monitor },
            failure_action: config.failure_action.unwrap_or_default(),
            max_failure_ratio: config.max_failure_ratio,
            start_first: config.order == Some(UpdateOrder::StartFirst),
            progress: PROGRESS_DEADLINE.saturating_add(health).saturating_add(grace),
        }
    }
}

/// How long a health check that the spec names may take until it has found a container bad. What an image brings along is
/// not known here.
fn health_span(health: Option<&HealthConfig>) -> Duration {
    let Some(health) = health.filter(|h| h.test.first().is_none_or(|word| word != "NONE")) else { return Duration::ZERO };
    let or = |span, default| duration(Some(span)).filter(|s| !s.is_zero()).unwrap_or(default);
    let retries = u32::try_from(health.retries).ok().filter(|n| *n > 0).unwrap_or(HEALTH_RETRIES);
    let rounds = or(health.interval, HEALTH_INTERVAL).saturating_mul(retries);
    or(health.start_period, Duration::ZERO).saturating_add(rounds).saturating_add(or(health.timeout, HEALTH_TIMEOUT))
}

fn is_rolling_back(service: &Service) -> bool {
    service.update.as_ref().is_some_and(|u| u.state == UpdateState::RollbackStarted)
}

fn is_paused(service: &Service) -> bool {
    service.update.as_ref().is_some_and(|u| matches!(u.state, UpdateState::Paused | UpdateState::RollbackPaused))
}

/// Whether the running update made the task.
fn is_own(task: &Task, service: &Service, rollout: &Rollout) -> bool {
    task.by_update && task.spec == service.current.template && task.created_at >= rollout.started
}

/// Counts the slot's tasks that failed the running update, and halts or takes back the update when they are too many.
pub(crate) fn watch(work: &mut Work<'_, '_>, key: SlotKey) {
    if work.service().rollout.is_none() {
        return;
    }
    for task in work.tasks(key).iter() {
        let service = work.service();
        let Some(rollout) = service.rollout.as_ref().filter(|_| !is_paused(&service)) else { return };
        let settings = Settings::of(&service);
        if settings.failure_action == FailureAction::Continue {
            return;
        }
        let early = task.running_since.is_none_or(|since| task.updated_at.since(since) <= settings.monitor);
        let ended = is_wanted(task) && matches!(task.status.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected);
        if !is_own(task, &service, rollout) || rollout.failed.contains(&task.id) {
            continue;
        }
        if ended && early {
            fail(work, &service, task.id, &ended_early(task.id), settings);
        } else if is_late(task, settings, work.pass.now) {
            fail(work, &service, task.id, &too_slow(task, settings), settings);
        }
    }
}

/// Docker's words for what speaks against an update.
fn ended_early(task: TaskId) -> String {
    format!("due to failure or early termination of task {task}")
}

/// Whether the task has had its time to get running and does not run.
fn is_late(task: &Task, settings: Settings, now: Timestamp) -> bool {
    is_live(task) && task.status.state < TaskState::Running && now >= task.created_at.after(settings.progress)
}

/// Why an update does not wait for such a task any longer.
fn too_slow(task: &Task, settings: Settings) -> String {
    let why = if task.status.err.is_empty() { &task.status.message } else { &task.status.err };
    format!("because task {} did not run within {} s; it is {}: {why}", task.id, settings.progress.as_secs(), task.status.state)
}

fn fail(work: &mut Work<'_, '_>, service: &Service, task: TaskId, because: &str, settings: Settings) {
    let mut rollout = service.rollout.clone().unwrap_or_default();
    rollout.failed.push(task);
    #[expect(clippy::cast_precision_loss, reason = "a ratio of slots needs no more digits")]
    let ratio = rollout.failed.len() as f32 / rollout.slots_total.max(1) as f32;
    if ratio <= settings.max_failure_ratio {
        return work.edit_service(|service| service.rollout = Some(rollout));
    }
    give_up(work, because, settings);
}

/// Takes the update back if it is to be, and otherwise leaves it where it is until the operator changes something.
fn give_up(work: &mut Work<'_, '_>, because: &str, settings: Settings) {
    let (now, state) = (work.pass.now, work.pass.state);
    work.edit_service(|service| {
        service.rollout = None;
        let rolling_back = is_rolling_back(service);
        let previous = if settings.failure_action == FailureAction::Rollback && !rolling_back { service.previous.take() } else { None };
        match previous {
            Some(previous) => {
                service.endpoint = endpoint_after(&service.endpoint, &previous.spec);
                drop_taken_ports(state, service.id, &mut service.endpoint);
                service.current = previous;
                service.spec_version = Version::default();
                set_status(service, UpdateState::RollbackStarted, format!("update rolled back {because}"), now);
            }
            None if rolling_back => set_status(service, UpdateState::RollbackPaused, format!("rollback paused {because}"), now),
            None => set_status(service, UpdateState::Paused, format!("update paused {because}"), now),
        }
    });
    let service = work.service();
    if is_rolling_back(&service) {
        // The failed task's slot is one of them: the rollback is not done before something runs there again.
        let settings = Settings::of(&service);
        let dirty = look_at(work, all_slots(work), settings).iter().filter(|l| l.dirty).count();
        begin(work, dirty);
    }
}

fn set_status(service: &mut Service, state: UpdateState, message: String, now: Timestamp) {
    let status = service.update.get_or_insert_with(UpdateStatus::default);
    status.state = state;
    status.message = message;
    match state {
        UpdateState::Updating | UpdateState::RollbackStarted => {
            status.started_at.get_or_insert(now);
        }
        UpdateState::Completed | UpdateState::RollbackCompleted => status.completed_at = Some(now),
        UpdateState::Paused | UpdateState::RollbackPaused => {}
    }
}

/// What a slot is to an update.
struct Look {
    key: SlotKey,
    /// It is not yet as it should be.
    dirty: bool,
    /// It has no task of the present template at all, so it still has to be begun.
    untouched: bool,
    /// A task of this update is on its way to running.
    waiting: bool,
    /// Why it is not waited for any longer, if a task of this update does not get to run.
    stuck: Option<String>,
    /// Until when the worker that did it rests.
    rests_until: Option<Timestamp>,
    runs: bool,
    /// When the task on its way is waited for no longer.
    late_at: Option<Timestamp>,
    /// When a task of this update was made or got running.
    moved_at: Option<Timestamp>,
}

impl Look {
    /// Whether the update still has to do with the slot.
    fn is_left(&self) -> bool {
        self.waiting || self.dirty && self.stuck.is_none()
    }
}

/// Begins, moves on and ends the service's update.
pub(crate) fn roll(work: &mut Work<'_, '_>, seen: &BTreeSet<SlotKey>) -> Seen {
    let service = work.service();
    if is_paused(&service) {
        return Seen::All;
    }
    let settings = Settings::of(&service);
    let is_under_way = service.update.as_ref().is_some_and(|u| matches!(u.state, UpdateState::Updating | UpdateState::RollbackStarted));
    // Without an update under way only what was looked at can have become dirty.
    let mut looks = if is_under_way { look_at(work, all_slots(work), settings) } else { look_at(work, seen.clone(), settings) };
    if !is_under_way && looks.iter().any(|l| l.dirty) {
        looks = look_at(work, all_slots(work), settings);
    }
    if service.rollout.is_none() {
        let dirty = looks.iter().filter(|l| l.dirty).count();
        if dirty == 0 {
            if is_under_way {
                complete(work);
            }
            return Seen::All;
        }
        begin(work, dirty);
        // Tasks of an earlier update with the same template are no part of this one.
        looks = look_at(work, looks.into_iter().map(|l| l.key), settings);
    }
    for l in looks.iter().filter(|l| l.dirty && !l.untouched) {
        if work.is_full() {
            return Seen::Slots;
        }
        retire(work, l.key, settings.start_first);
    }
    let seen = take_slots(work, &looks, settings);
    let looks = look_at(work, looks.into_iter().map(|l| l.key), settings);
    for (key, at) in looks.iter().filter_map(|l| Some((l.key, l.late_at?))) {
        work.pass.marks.due(at, work.id, Some(key));
    }
    let is_open = looks.iter().any(Look::is_left);
    let undone = looks.iter().find(|l| l.dirty && l.stuck.is_some()).and_then(|l| l.stuck.clone());
    match undone.filter(|_| !is_open).or_else(|| no_progress(work, &looks, settings)) {
        // However many failures are tolerated: an old task that has to stay leaves the update undone.
        Some(because) => give_up(work, &because, settings),
        None => finish(work, is_open, settings),
    }
    seen
}

/// Why an update is given up in which nothing moves, whatever the reason: tasks that fail again and again before they run,
/// or wait for each other. As long as slots are left, the update has to make a task, or one of its tasks to get running,
/// within twice the time that one task has.
fn no_progress(work: &mut Work<'_, '_>, looks: &[Look], settings: Settings) -> Option<String> {
    let started = work.service().rollout.as_ref()?.started;
    let first = looks.iter().find(|l| l.is_left())?;
    let patience = settings.progress.saturating_mul(2).saturating_add(settings.delay);
    let until = looks.iter().filter_map(|l| l.moved_at).fold(started, Timestamp::max).after(patience);
    if work.pass.now < until {
        work.pass.marks.due(until, work.id, None);
        return None;
    }
    let tasks = work.tasks(first.key);
    let status = &tasks.iter().rev().find(|t| !t.status.err.is_empty()).or(tasks.last())?.status;
    let why = if status.err.is_empty() { &status.message } else { &status.err };
    Some(format!("because it made no progress within {} s: {why}", patience.as_secs()))
}

fn all_slots(work: &Work<'_, '_>) -> BTreeSet<SlotKey> {
    let stored = work.view.into_iter().flat_map(|v| v.slots()).map(|(key, _)| key);
    stored.chain(work.pass.touched(work.id)).collect()
}

/// What the slots are to an update; those that hold nothing that counts, or are where nothing may be replaced, are left out.
fn look_at(work: &Work<'_, '_>, keys: impl IntoIterator<Item = SlotKey>, settings: Settings) -> Vec<Look> {
    let service = work.service();
    keys.into_iter().filter_map(|key| look(work, key, &service, settings)).collect()
}

fn look(work: &Work<'_, '_>, key: SlotKey, service: &Service, settings: Settings) -> Option<Look> {
    if !work.is_taken(key) || work.is_global && home(work, key) != Home::Open {
        return None;
    }
    let tasks = work.tasks(key);
    let is_current = |task: &Task| task.spec == service.current.template;
    let is_dirty = |task: &Task| !is_current(task) && work.is_dirty(task);
    let mut look = Look {
        key,
        dirty: false,
        untouched: false,
        waiting: false,
        stuck: None,
        rests_until: None,
        runs: false,
        late_at: None,
        moved_at: None,
    };
    let (mut wanted, mut dirty) = (0, 0);
    for task in tasks.iter() {
        if is_wanted(task) {
            wanted += 1;
            dirty += usize::from(is_dirty(task));
            look.runs |= task.status.state == TaskState::Running;
        }
        if !task.by_update || !is_current(task) {
            continue;
        }
        // Also one that an update began which this one took over.
        if is_late(task, settings, work.pass.now) {
            look.stuck = Some(too_slow(task, settings));
        } else if is_live(task) && task.status.state < TaskState::Running {
            look.waiting = true;
            look.late_at = Some(task.created_at.after(settings.progress));
        }
        if service.rollout.as_ref().is_some_and(|rollout| is_own(task, service, rollout)) {
            let ended = task.status.state.is_terminal().then_some(task.updated_at);
            let rest = task.running_since.or(ended).map(|done| done.after(settings.delay));
            look.moved_at = look.moved_at.max(task.running_since).max(Some(task.created_at));
            look.rests_until = look.rests_until.max(rest.filter(|until| work.pass.now < *until));
        }
    }
    let ended_dirty = wanted == 0 && tasks.last().is_some_and(|t| is_dirty(t));
    look.dirty = wanted > 1 || dirty > 0 || ended_dirty;
    look.untouched = dirty == wanted && (dirty > 0 || ended_dirty);
    // What this update put beside an old task, or what followed that, has failed for good: another try would only fail again.
    let own = |task: &&Arc<Task>| is_current(task) && service.rollout.as_ref().is_some_and(|rollout| task.created_at >= rollout.started);
    if let Some(failed) = tasks.last().filter(|t| look.untouched && !is_wanted(t)).filter(own) {
        look.untouched = false;
        look.stuck = Some(ended_early(failed.id));
    }
    Some(look)
}

fn begin(work: &mut Work<'_, '_>, slots: usize) {
    let now = work.pass.now;
    work.edit_service(|service| {
        if !is_rolling_back(service) {
            service.update = None;
            set_status(service, UpdateState::Updating, "update in progress".to_owned(), now);
        }
        service.rollout = Some(Rollout { started: now, slots_total: slots as u64, ..Rollout::default() });
    });
}

fn complete(work: &mut Work<'_, '_>) {
    let now = work.pass.now;
    work.edit_service(|service| {
        service.rollout = None;
        let (state, message) = if is_rolling_back(service) {
            (UpdateState::RollbackCompleted, "rollback completed")
        } else {
            (UpdateState::Completed, "update completed")
        };
        set_status(service, state, message.to_owned(), now);
    });
}

/// A slot that has a task of the present template besides others: the others go, with start-first only once it runs.
fn retire(work: &mut Work<'_, '_>, key: SlotKey, start_first: bool) {
    let tasks = work.tasks(key);
    let clean = tasks.iter().filter(|t| is_live(t) && !work.is_dirty(t));
    let Some(kept) = clean.max_by_key(|t| (t.status.state, t.desired_state, t.created_at)).cloned() else { return };
    if start_first && kept.status.state != TaskState::Running {
        return;
    }
    for task in tasks.iter().filter(|t| is_wanted(t) && t.id != kept.id) {
        work.stop(key, task.id, true);
    }
    let behind = if kept.desired_state == TaskState::Ready { kept.start_behind.or_else(|| start_behind(work, key)) } else { None };
    if kept.replaced || behind != kept.start_behind {
        work.edit(key, kept.id, |task| {
            task.replaced = false;
            task.start_behind = behind;
        });
    }
}

/// Begins as many further slots as the parallelism allows: those that do not run anyway first.
fn take_slots(work: &mut Work<'_, '_>, looks: &[Look], settings: Settings) -> Seen {
    let mut busy = 0;
    for l in looks.iter().filter(|l| l.waiting || l.rests_until.is_some()) {
        busy += 1;
        if let Some(until) = l.rests_until {
            work.pass.marks.due(until, work.id, None);
        }
    }
    let mut untouched: Vec<(bool, SlotKey)> = looks.iter().filter(|l| l.untouched).map(|l| (l.runs, l.key)).collect();
    untouched.sort_unstable();
    for (_, key) in untouched.into_iter().take(settings.parallelism.saturating_sub(busy)) {
        if work.is_full() {
            return Seen::Slots;
        }
        let tasks = work.tasks(key);
        let furthest = tasks.iter().filter(|t| is_live(t) && settings.start_first).max_by_key(|t| (t.status.state, t.created_at));
        for task in tasks.iter().filter(|t| is_wanted(t)) {
            if furthest.is_some_and(|f| f.id == task.id) {
                // It stays until the new one runs, but will go: where it is there is room for the new one.
                work.edit(key, task.id, |task| task.replaced = true);
            } else {
                work.stop(key, task.id, true);
            }
        }
        let behind = start_behind(work, key);
        work.create(key, |task| {
            task.by_update = true;
            task.start_behind = behind;
        });
    }
    Seen::All
}

/// Ends the update when no slot is open any more and the last one was watched for long enough.
fn finish(work: &mut Work<'_, '_>, open: bool, settings: Settings) {
    let Some(rollout) = work.service().rollout.clone() else { return };
    let now = work.pass.now;
    if open {
        if !rollout.last_slot_done.is_zero() {
            set_last_slot_done(work, Timestamp::default());
        }
    } else if rollout.last_slot_done.is_zero() {
        set_last_slot_done(work, now);
        work.pass.marks.due(now.after(settings.monitor), work.id, None);
    } else if now >= rollout.last_slot_done.after(settings.monitor) {
        complete(work);
    } else {
        work.pass.marks.due(rollout.last_slot_done.after(settings.monitor), work.id, None);
    }
}

fn set_last_slot_done(work: &mut Work<'_, '_>, at: Timestamp) {
    work.edit_service(|service| {
        if let Some(rollout) = &mut service.rollout {
            rollout.last_slot_done = at;
        }
    });
}
