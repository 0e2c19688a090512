//! The rayon pools that kernels run on. A thread that calls works in its pool itself, as one of the
//! number of threads that it asked for first.
//!
//! A caller that waits for a pool of others costs more than the hand-over. Linux often wakes the
//! second worker while the caller has yet to fall asleep, finds no idle core, and puts it behind the
//! first one, where it stays for some milliseconds: 1.2 times the speed on two cores, in place of
//! 1.9, for a batch that takes 17 ms on one.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

static POOLS: LazyLock<Mutex<HashMap<usize, Arc<ThreadPool>>>> = LazyLock::new(Mutex::default);

/// Threads that a kernel uses unless told: `SLURM_CPUS_PER_TASK`, else the CPUs that this process
/// may run on (its affinity mask and cgroup quota), never the node's core count.
#[pyfunction]
pub fn default_threads() -> usize {
    let slurm = std::env::var("SLURM_CPUS_PER_TASK")
        .ok()
        .and_then(|text| text.parse().ok());
    let available = || std::thread::available_parallelism().map_or(1, |n| n.get());
    slurm.filter(|n| *n > 0).unwrap_or_else(available)
}

/// Detaches from the interpreter and runs `work` on `threads` threads.
pub fn run<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let threads = threads.unwrap_or_else(default_threads);
    if threads == 0 {
        return Err(PyValueError::new_err("threads must be at least 1"));
    }
    OWN.with(|own| match own.get_or_init(|| Own::new(threads)) {
        Some(own) if own.threads == threads => Ok(py.detach(|| own.pool.install(work))),
        _ => {
            let pool = shared(threads)?;
            Ok(py.detach(|| pool.install(work)))
        }
    })
}

thread_local! {
    static OWN: OnceCell<Option<Own>> = const { OnceCell::new() };
}

/// A pool to which the thread that made it belongs. A thread can be in one only.
struct Own {
    threads: usize,
    pool: ThreadPool,
    _crew: Option<Crew>,
}

impl Own {
    /// None where another caller has such a pool with further threads: callers side by side share
    /// pools, so that there are not as many threads for each of them.
    fn new(threads: usize) -> Option<Self> {
        let crew = if threads > 1 {
            Some(Crew::claim()?)
        } else {
            None
        };
        let pool = builder(threads).use_current_thread().build().ok()?;
        Some(Self {
            threads,
            pool,
            _crew: crew,
        })
    }
}

static CREW_TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to have threads beside one's own, of one caller at a time.
struct Crew;

impl Crew {
    fn claim() -> Option<Self> {
        (!CREW_TAKEN.swap(true, Ordering::AcqRel)).then(|| Self)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        CREW_TAKEN.store(false, Ordering::Release);
    }
}

fn builder(threads: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|k| format!("pyhpc-{k}"))
}

/// A pool of threads that are nobody's.
fn shared(threads: usize) -> PyResult<Arc<ThreadPool>> {
    // A panic while the lock is held can't leave the map half-written.
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&threads) {
        return Ok(pool.clone());
    }
    let pool = builder(threads).build().map_err(|error| {
        PyRuntimeError::new_err(format!("no pool of {threads} threads: {error}"))
    })?;
    let pool = Arc::new(pool);
    pools.insert(threads, pool.clone());
    Ok(pool)
}
