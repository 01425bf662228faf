/* SPDX-License-Identifier: Apache-2.0 */
/* What the floor and the sink agree on: each message of audio says in its first four samples when it was captured. */
#ifndef AUDIOFORK_BENCH_WIRE_H
#define AUDIOFORK_BENCH_WIRE_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t wire_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Microseconds in four samples of 15 bits, the lowest first: positive, so that a sum with silence leaves them alone. */
static inline uint64_t wire_stamp(const int16_t *samples)
{
	return (uint64_t)samples[0] | (uint64_t)samples[1] << 15 | (uint64_t)samples[2] << 30 | (uint64_t)samples[3] << 45;
}

static inline void wire_put_stamp(int16_t *samples, uint64_t microseconds)
{
	for (int i = 0; i < 4; i++)
		samples[i] = (int16_t)(microseconds >> (15 * i) & 0x7fff);
}

#endif
