//! The rayon pools that kernels run on, one per number of threads that was asked for; a single thread
//! is the caller's own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

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
    if threads == 1 {
        return SINGLE.with(|single| {
            let pool = single.as_ref().map_err(|error| no_pool(1, error))?;
            Ok(py.detach(|| pool.install(work)))
        });
    }
    let pool = pool(threads)?;
    Ok(py.detach(|| pool.install(work)))
}

thread_local! {
    /// This thread as a pool of its own: a call on one thread is not handed to another one, which
    /// costs more than a small crystal does.
    static SINGLE: Result<ThreadPool, ThreadPoolBuildError> =
        ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
}

fn no_pool(threads: usize, error: &ThreadPoolBuildError) -> PyErr {
    PyRuntimeError::new_err(format!("no pool of {threads} threads: {error}"))
}

fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    // A panic while the lock is held can't leave the map half-written.
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&threads) {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|k| format!("pyhpc-{k}"))
        .build()
        .map_err(|error| no_pool(threads, &error))?;
    let pool = Arc::new(pool);
    pools.insert(threads, pool.clone());
    Ok(pool)
}
