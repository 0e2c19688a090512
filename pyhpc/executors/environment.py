"""Variables of worker processes, whatever starts them."""

ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The variables. By default (and more so by Dask's) glibc gives memory back to the system as soon
as little is free, to get it anew, page by page, for the next batch: a twentieth of the time. An
allocator of Arrow's own would keep 40 MiB beside it. With the fourth it asks for pages of 2 MiB:
where a host gives them to a virtual machine one by one, those of 4 KiB cost a worker's first shards
up to 80 ms each. Versions of glibc before 2.35 do not know it. Kernels run on as many threads as
they are told to; libraries would start as many as there are cores, in each worker."""
