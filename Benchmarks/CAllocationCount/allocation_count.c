/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before glibc's allocator in the program that it is linked into, and counts for each thread: what a benchmark
 * allocates is no other thread's.
 */
#include "allocation_count.h"

#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static __thread uint64_t count;

uint64_t af_allocation_count(void)
{
	return count;
}

void *malloc(size_t size)
{
	count++;
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count++;
	return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
	count++;
	return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
	count++;
	return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count++;
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	count++;
	*memory = __libc_memalign(alignment, size);
	return *memory ? 0 : ENOMEM;
}
