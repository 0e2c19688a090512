//! What this machine can do at most on one thread, and on two at a time: double-precision FMAs in
//! registers, and reads from each level of memory. Prints JSON, rates by number of threads; under
//! `cargo test` it runs for a moment only.
//!
//! The loops are written in assembly so that they are what they say on any compiler.

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::cell::RefCell;
    use std::hint::black_box;
    use std::sync::Barrier;
    use std::time::Instant;

    /// Independent accumulators: more than latency times throughput of any core's FMA units.
    const ACCUMULATORS: u64 = 12;

    /// Runs `turns` times one FMA on each of 12 vectors of 4 doubles.
    #[target_feature(enable = "avx2,fma")]
    fn fma_256(turns: u64) {
        // SAFETY: touches nothing but registers that are declared.
        unsafe {
            asm!(
                "2:",
                "vfmadd231pd ymm0, ymm12, ymm13",
                "vfmadd231pd ymm1, ymm12, ymm13",
                "vfmadd231pd ymm2, ymm12, ymm13",
                "vfmadd231pd ymm3, ymm12, ymm13",
                "vfmadd231pd ymm4, ymm12, ymm13",
                "vfmadd231pd ymm5, ymm12, ymm13",
                "vfmadd231pd ymm6, ymm12, ymm13",
                "vfmadd231pd ymm7, ymm12, ymm13",
                "vfmadd231pd ymm8, ymm12, ymm13",
                "vfmadd231pd ymm9, ymm12, ymm13",
                "vfmadd231pd ymm10, ymm12, ymm13",
                "vfmadd231pd ymm11, ymm12, ymm13",
                "dec {turns}",
                "jnz 2b",
                turns = inout(reg) turns => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
                out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
                out("ymm10") _, out("ymm11") _,
                in("ymm12") zero_256(), in("ymm13") zero_256(),
                options(nomem, nostack),
            );
        }
    }

    #[target_feature(enable = "avx2")]
    fn zero_256() -> std::arch::x86_64::__m256d {
        std::arch::x86_64::_mm256_setzero_pd()
    }

    /// Runs `turns` times one FMA on each of 12 vectors of 8 doubles.
    ///
    /// # Safety
    ///
    /// The processor must have AVX-512F.
    unsafe fn fma_512(turns: u64) {
        // SAFETY: touches nothing but registers that are declared; zmm0 contains xmm0 and so on.
        unsafe {
            asm!(
                "vpxorq zmm12, zmm12, zmm12",
                "vpxorq zmm13, zmm13, zmm13",
                "2:",
                "vfmadd231pd zmm0, zmm12, zmm13",
                "vfmadd231pd zmm1, zmm12, zmm13",
                "vfmadd231pd zmm2, zmm12, zmm13",
                "vfmadd231pd zmm3, zmm12, zmm13",
                "vfmadd231pd zmm4, zmm12, zmm13",
                "vfmadd231pd zmm5, zmm12, zmm13",
                "vfmadd231pd zmm6, zmm12, zmm13",
                "vfmadd231pd zmm7, zmm12, zmm13",
                "vfmadd231pd zmm8, zmm12, zmm13",
                "vfmadd231pd zmm9, zmm12, zmm13",
                "vfmadd231pd zmm10, zmm12, zmm13",
                "vfmadd231pd zmm11, zmm12, zmm13",
                "dec {turns}",
                "jnz 2b",
                "vzeroupper",
                turns = inout(reg) turns => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
                out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
                out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
                out("xmm14") _, out("xmm15") _,
                options(nomem, nostack),
            );
        }
    }

    /// Reads a buffer, whose length is a multiple of 256 bytes, `turns` times.
    #[target_feature(enable = "avx2")]
    fn read(buffer: &[u64], turns: u64) {
        for _ in 0..turns {
            // SAFETY: reads within the buffer only: 256 bytes per turn of the inner loop.
            unsafe {
                asm!(
                    "2:",
                    "vmovupd ymm0, [{at}]",
                    "vmovupd ymm1, [{at} + 32]",
                    "vmovupd ymm2, [{at} + 64]",
                    "vmovupd ymm3, [{at} + 96]",
                    "vmovupd ymm4, [{at} + 128]",
                    "vmovupd ymm5, [{at} + 160]",
                    "vmovupd ymm6, [{at} + 192]",
                    "vmovupd ymm7, [{at} + 224]",
                    "add {at}, 256",
                    "cmp {at}, {end}",
                    "jb 2b",
                    at = inout(reg) buffer.as_ptr() => _,
                    end = in(reg) buffer.as_ptr_range().end,
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
                    out("ymm5") _, out("ymm6") _, out("ymm7") _,
                    options(readonly, nostack),
                );
            }
        }
    }

    /// Work per nanosecond of threads that run side by side, the best of many short runs: other
    /// work can only slow it down.
    fn best(threads: usize, runs: usize, work: f64, run: impl Fn() + Sync) -> f64 {
        let start = Barrier::new(threads);
        let times = || -> Vec<(Instant, Instant)> {
            let timed = |_| {
                start.wait();
                let began = Instant::now();
                run();
                (began, Instant::now())
            };
            (0..runs).map(timed).collect()
        };
        let of_threads: Vec<_> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(times)).collect();
            let own = times();
            let joined = others.into_iter().flat_map(|other| other.join());
            std::iter::once(own).chain(joined).collect()
        });
        (0..runs)
            .filter_map(|k| {
                let began = of_threads.iter().map(|times| times[k].0).min()?;
                let ended = of_threads.iter().map(|times| times[k].1).max()?;
                Some(threads as f64 * work / (ended - began).as_nanos() as f64)
            })
            .fold(0.0, f64::max)
    }

    /// The rates of so many threads, as fields of a JSON object.
    pub fn measure(threads: usize, runs: usize, turns: u64) -> String {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return String::new();
        }
        let flops = |lanes: u64| (2 * lanes * ACCUMULATORS * turns) as f64;
        // SAFETY: the features were detected.
        let avx2 = best(threads, runs, flops(4), || unsafe {
            fma_256(black_box(turns));
        });
        let mut fields = vec![format!("\"AVX2 FMA, GFLOP/s\": {avx2:.1}")];
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature was detected.
            let avx512 = best(threads, runs, flops(8), || unsafe {
                fma_512(black_box(turns));
            });
            fields.push(format!("\"AVX-512 FMA, GFLOP/s\": {avx512:.1}"));
        }
        for (level, kib) in [
            ("16 KiB", 16),
            ("256 KiB", 256),
            ("8 MiB", 8 << 10),
            ("256 MiB", 256 << 10),
        ] {
            let bytes = (kib as u64) << 10;
            let turns = (64 * turns / bytes).max(1);
            thread_local! {
                static BUFFER: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
            }
            let rate = best(threads, runs, (bytes * turns) as f64, || {
                BUFFER.with_borrow_mut(|buffer| {
                    buffer.resize(kib * 128, 1);
                    // SAFETY: the feature was detected.
                    unsafe { read(black_box(buffer), turns) };
                });
            });
            fields.push(format!("\"reads from {level}, GB/s\": {rate:.1}"));
        }
        fields.join(", ")
    }
}

fn main() {
    // As criterion does: anything but `cargo bench` is a test that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (runs, turns) = if is_bench { (100, 500_000) } else { (1, 1_000) };
    #[cfg(target_arch = "x86_64")]
    let rates = [1, 2].map(|threads| x86::measure(threads, runs, turns));
    #[cfg(not(target_arch = "x86_64"))]
    let rates = ["", ""];
    println!("{{\"1\": {{{}}}, \"2\": {{{}}}}}", rates[0], rates[1]);
}
