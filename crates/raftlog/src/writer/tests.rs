use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::backend::StoredRecords;

/// A backend that writes down what it is asked to do, and fails at one of the operations.
#[derive(Default)]
struct Recorder {
    done: Mutex<Vec<String>>,
    fails_at: Option<&'static str>,
    purge_steps: AtomicUsize,
}

impl Recorder {
    fn record(&self, operation: String) -> Result<(), LogError> {
        let fails = self.fails_at == Some(operation.as_str());
        self.done.lock().unwrap().push(operation);
        if fails {
            return Err(LogError::Damaged { doing: "test", path: PathBuf::new(), reason: "as told".to_owned() });
        }
        Ok(())
    }
}

impl LogBackend for Arc<Recorder> {
    fn path(&self) -> &Path {
        Path::new("recorder")
    }

    fn append(&self, records: &[StoredRecord]) -> Result<(), LogError> {
        let indexes: Vec<_> = records.iter().map(|record| record.index).collect();
        self.record(format!("append {indexes:?}"))
    }

    fn truncate(&self, from: u64) -> Result<(), LogError> {
        self.record(format!("truncate {from}"))
    }

    fn purge(&self, upto: u64) -> Result<PurgeStep, LogError> {
        self.record(format!("purge {upto}"))?;
        match self.purge_steps.fetch_add(1, Ordering::Relaxed) {
            0..2 => Ok(PurgeStep::More),
            _ => Ok(PurgeStep::Done),
        }
    }

    fn read(&self, _: Range<u64>, _: usize) -> Result<StoredRecords, LogError> {
        Ok(StoredRecords::default())
    }

    fn put_meta(&self, key: MetaKey, _: &[u8]) -> Result<(), LogError> {
        self.record(format!("put {key}"))
    }

    fn get_meta(&self, _: MetaKey) -> Result<Option<Vec<u8>>, LogError> {
        Ok(None)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.record("sync".to_owned())
    }
}

fn append(number: u64) -> Write {
    let records = vec![StoredRecord { index: number, bytes: vec![1] }];
    Write::Append { number, records }
}

fn meta(key: MetaKey) -> Write {
    let sealed = Vec::new();
    Write::Meta { key, sealed }
}

fn purge(upto: u64) -> Write {
    let sealed = Vec::new();
    Write::Purge { upto, sealed }
}

/// What came of a run: operations on the backend, answers in order, last append stored, failure.
struct Ran {
    operations: String,
    answers: Vec<&'static str>,
    written: u64,
    failure: Option<Arc<LogError>>,
}

/// Runs a writer over requests that all wait when it starts, until it closes.
fn run(fails_at: Option<&'static str>, requests: Vec<(Write, bool)>) -> Ran {
    let recorder = Arc::new(Recorder { fails_at, ..Recorder::default() });
    let backend: Box<dyn LogBackend> = Box::new(Arc::clone(&recorder));
    let (sender, received) = mpsc::channel(WRITES_QUEUED_MAX);
    let (status_sent, status) = watch::channel(LogStatus::Open);
    let written = Arc::new(AtomicU64::new(0));
    let answers = Arc::new(Mutex::new(Vec::new()));
    for (write, durable) in requests {
        let answers = Arc::clone(&answers);
        let done: Done = Box::new(move |result| {
            let answer = match result.as_ref().map_err(Arc::as_ref) {
                Ok(()) => "done",
                Err(LogError::Stopped { .. }) => "stopped",
                Err(_) => "failed",
            };
            answers.lock().unwrap().push(answer);
        });
        let done = Some(done);
        let request = Request { write, durable, done };
        assert!(sender.try_send(request).is_ok());
    }
    drop(sender);
    let writer = Writer {
        backend: Arc::new(RwLock::new(Some(backend))),
        sealer: Sealer::new(&[1; 32]),
        requests: received,
        written: Arc::clone(&written),
        status: status_sent,
        purge_upto: None,
        failed: None,
        path: PathBuf::new(),
    };
    writer.run();
    let LogStatus::Closed(failure) = status.borrow().clone() else {
        panic!("not closed");
    };
    let operations = recorder.done.lock().unwrap().join(", ");
    let answers = answers.lock().unwrap().clone();
    let written = written.load(Ordering::Relaxed);
    Ran { operations, answers, written, failure }
}

#[test]
fn what_waits_is_written_in_order_and_synced_once() {
    let ran = run(
        None,
        vec![
            (append(1), true),
            (meta(MetaKey::Committed), false),
            (append(2), true),
            (Write::Truncate { from: 2 }, true),
            (append(3), true),
            (meta(MetaKey::Vote), true),
        ],
    );
    assert_eq!(ran.operations, "append [1], put committed, append [2], truncate 2, append [3], put vote, sync, sync");
    assert_eq!(ran.answers, ["done"; 6]);
    assert_eq!(ran.written, 3);
}

#[test]
fn what_need_not_be_durable_is_synced_when_the_log_closes() {
    let ran = run(None, vec![(meta(MetaKey::Committed), false)]);
    assert_eq!(ran.operations, "put committed, sync");
}

#[test]
fn purged_entries_are_deleted_after_the_purge_is_durable() {
    // The channel is closed when the deletions would start; the next start does them.
    let ran = run(None, vec![(purge(7), true), (append(8), true)]);
    assert_eq!(ran.operations, "put purged, append [8], sync, sync");

    let recorder = Arc::new(Recorder::default());
    let (sender, received) = mpsc::channel(1);
    let mut writer = Writer {
        backend: Arc::new(RwLock::new(Some(Box::new(Arc::clone(&recorder))))),
        sealer: Sealer::new(&[1; 32]),
        requests: received,
        written: Arc::default(),
        status: watch::channel(LogStatus::Open).0,
        purge_upto: Some(7),
        failed: None,
        path: PathBuf::new(),
    };
    for _ in 0..2 {
        // A step, then a look whether something waits.
        writer.purge_step(7);
        assert_eq!(writer.purge_upto, Some(7));
    }
    let (write, durable, done) = (append(9), true, None);
    assert!(sender.try_send(Request { write, durable, done }).is_ok());
    let request = writer.next().unwrap();
    writer.perform(vec![request]);
    writer.purge_step(7);
    assert_eq!(writer.purge_upto, None);
    assert_eq!(recorder.done.lock().unwrap().join(", "), "purge 7, purge 7, append [9], sync, purge 7");
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_everybody_is_told() {
    let mut requests = vec![(append(1), true), (append(2), true)];
    // Beyond what is joined in one group.
    requests.extend((3..WRITES_QUEUED_MAX as u64).map(|number| (append(number), true)));
    let large = StoredRecord { index: 0, bytes: vec![0; GROUP_BYTES_MAX] };
    requests[1].0 = Write::Append { number: 2, records: vec![large] };
    let count = requests.len();
    let ran = run(Some("sync"), requests);
    assert_eq!(ran.operations, "append [1], append [0], sync");
    assert_eq!(ran.answers[..2], ["failed", "failed"]);
    assert_eq!(ran.answers[2..], vec!["stopped"; count - 2]);
    assert_eq!(ran.written, 0, "nothing leaves the memory");
    assert!(ran.failure.is_some_and(|error| error.needs_rebuild()));
}

#[test]
fn a_failed_write_fails_all_that_were_joined_with_it() {
    let requests = vec![(append(1), true), (append(2), true), (meta(MetaKey::Vote), true)];
    let ran = run(Some("append [2]"), requests);
    assert_eq!(ran.operations, "append [1], append [2]");
    assert_eq!(ran.answers, ["failed"; 3]);
}
