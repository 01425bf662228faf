/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the floor and the sink agree on: the first four samples of each message say when it was captured, the next two
 * hold its number. Each has 15 bits, so it is positive, and a sum with silence leaves it alone.
 */
#ifndef AUDIOFORK_BENCH_WIRE_H
#define AUDIOFORK_BENCH_WIRE_H

#include <stdint.h>
#include <time.h>

enum { WIRE_SAMPLES = 6 };

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t wire_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Microseconds, the lowest bits first. */
static inline uint64_t wire_stamp(const int16_t *samples)
{
	return (uint64_t)samples[0] | (uint64_t)samples[1] << 15 | (uint64_t)samples[2] << 30 | (uint64_t)samples[3] << 45;
}

static inline void wire_put_stamp(int16_t *samples, uint64_t microseconds)
{
	for (int i = 0; i < 4; i++)
		samples[i] = (int16_t)(microseconds >> (15 * i) & 0x7fff);
}

/* From 0 on. */
static inline uint32_t wire_number(const int16_t *samples)
{
	return (uint32_t)samples[4] | (uint32_t)samples[5] << 15;
}

static inline void wire_put_number(int16_t *samples, uint32_t number)
{
	samples[4] = (int16_t)(number & 0x7fff);
	samples[5] = (int16_t)(number >> 15 & 0x7fff);
}

#endif
