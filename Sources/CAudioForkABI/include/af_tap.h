/* SPDX-License-Identifier: MIT */
/*!
 * \file
 * \brief A tap's writer: its private state, and the system calls that set a ring file up.
 *
 * The state is plain memory that the hook's callback may touch: no Swift object, no pointer that needs counting.
 * The audio path calls af_now_ns(), which stays in the vDSO, and the conversions; nothing else here.
 */
#ifndef AF_TAP_H
#define AF_TAP_H

#include "af_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*! Where one direction stands on the fork's timeline (docs/internals/timeline.md). */
struct af_direction_state {
	int64_t run_ns;            /*!< media time of the current run's first sample */
	uint64_t run_samples;      /*!< samples in the run so far: E = run_ns + run_samples / rate_hz */
	uint64_t captured;         /*!< samples handed to the hook so far */
	int64_t next_ts;           /*!< RTP time expected next, milliseconds */
	uint32_t rate_hz;          /*!< 0 before the first frame */
	uint8_t knows_ts;          /*!< next_ts is valid */
	uint8_t stalled;           /*!< we are late, not the source; on until late <= 80 ms */
	uint8_t reserved[2];
};

/*! The end of capture, in two steps, so that nobody unmaps a ring into which the mark is still to be written. */
enum af_tap_closed {
	AF_TAP_OPEN = 0,
	AF_TAP_CLOSING = 1,        /*!< nothing is captured any more */
	AF_TAP_CLOSED = 2,         /*!< the ring says so too: nobody will touch the mapping again */
};

struct af_tap {
	uint8_t *ring;             /*!< mapping; NULL before set-up */
	uint64_t map_bytes;
	uint8_t *index;
	uint8_t *area;
	uint64_t index_mask;
	uint64_t area_mask;
	uint64_t sequence;         /*!< number of the next entry */
	uint64_t head;             /*!< bytes claimed so far */
	int64_t epoch_ns;          /*!< CLOCK_MONOTONIC of the epoch */
	uint64_t directions;       /*!< bit 0: in, bit 1: out */
	uint64_t muted;            /*!< shared word: bits as in `directions`; written under the table's lock */
	uint64_t unmuted_ns[2];    /*!< shared words: CLOCK_MONOTONIC at which a direction's last mute ended; 0: never */
	uint64_t closed;           /*!< shared word: enum af_tap_closed */
	uint64_t rates_hz[2];      /*!< shared words: the rate captured last, per direction; 0 before the first frame */
	uint64_t *rates_changed;   /*!< shared word of all taps, set to 1 when a rate changes; NULL: none */
	uint64_t is_locked;        /*!< the mapping is locked into memory; not the callback's */
	const void *channel_seen;  /*!< compared only, never followed */
	struct af_direction_state in;
	struct af_direction_state out;
};

/*! \brief CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t af_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) ((uint64_t) now.tv_sec * 1000000000ull + (uint64_t) now.tv_nsec);
}

/*! \brief CLOCK_REALTIME in nanoseconds since 1970. */
static inline int64_t af_wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) ((uint64_t) now.tv_sec * 1000000000ull + (uint64_t) now.tv_nsec);
}

/*!
 * \brief (2^64 - 1) / `divisor`, rounded down; `divisor` is not 0.
 *
 * The compiler knows the quotients of Asterisk's sampling rates. Another rate costs 64 steps.
 */
static inline uint64_t af_reciprocal(uint32_t divisor)
{
	uint64_t quotient = 0, rest = 0;
	int bit;

	switch (divisor) {
	case 8000: return UINT64_MAX / 8000;
	case 12000: return UINT64_MAX / 12000;
	case 16000: return UINT64_MAX / 16000;
	case 24000: return UINT64_MAX / 24000;
	case 32000: return UINT64_MAX / 32000;
	case 44100: return UINT64_MAX / 44100;
	case 48000: return UINT64_MAX / 48000;
	case 96000: return UINT64_MAX / 96000;
	case 192000: return UINT64_MAX / 192000;
	}
	for (bit = 0; bit < 64; bit++) {
		rest = rest << 1 | 1;
		quotient <<= 1;
		if (rest >= divisor) {
			rest -= divisor;
			quotient |= 1;
		}
	}
	return quotient;
}

/*!
 * \brief `value` / `divisor`, rounded down, without a division instruction.
 * \param reciprocal af_reciprocal(divisor)
 */
static inline uint64_t af_quotient(uint64_t value, uint32_t divisor, uint64_t reciprocal)
{
	/* The product falls short of value / divisor by less than 1, so that the quotient is this or the next one. */
	const uint64_t quotient = (uint64_t) ((unsigned __int128) value * reciprocal >> 64);

	return quotient + (value - quotient * divisor >= divisor);
}

/*!
 * \brief Duration of `samples` at `rate_hz`, nanoseconds, rounded down; 0 for rate 0.
 * \note in the audio path: no trap, no division (scripts/ci/check-module)
 */
static inline uint64_t af_nanoseconds(uint64_t samples, uint32_t rate_hz)
{
	uint64_t reciprocal, seconds, rest;

	if (!rate_hz) {
		return 0;
	}
	reciprocal = af_reciprocal(rate_hz);
	seconds = af_quotient(samples, rate_hz, reciprocal);
	rest = samples - seconds * rate_hz;
	return seconds * 1000000000ull + af_quotient(rest * 1000000000ull, rate_hz, reciprocal);
}

/*! \brief Whole milliseconds in so many nanoseconds. */
static inline int64_t af_milliseconds(int64_t nanoseconds) { return nanoseconds / 1000000; }

/*! \brief The largest piece a frame is split into: AF_RING_PIECE_MILLISECONDS_MAX at its rate, in samples. */
static inline uint32_t af_piece_samples(uint32_t rate_hz) { return rate_hz / 1000 * AF_RING_PIECE_MILLISECONDS_MAX; }

/*!
 * \brief Creates a file of exactly `bytes` bytes, all of them allocated, and maps it, faulted in.
 *
 * posix_fallocate makes a full tmpfs an error here instead of a SIGBUS in mid-call. The mapping is left out of core
 * files.
 *
 * \retval the mapping, and *failure = 0
 * \retval NULL, *failure = errno, and nothing is left behind
 * \note blocks; never under a channel lock
 */
static inline void *af_map_new_file(const char *path, uint64_t bytes, int *failure)
{
	void *mapping;
	int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (descriptor < 0) {
		*failure = errno;
		return NULL;
	}
	do {
		/* fallocate(2) may be interrupted by a signal, SA_RESTART or not; Asterisk wakes threads with SIGURG. */
		*failure = posix_fallocate(descriptor, 0, (off_t) bytes);
	} while (*failure == EINTR);
	if (*failure) {
		close(descriptor);
		unlink(path);
		return NULL;
	}
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0);
	if (mapping == MAP_FAILED) {
		*failure = errno;
		close(descriptor);
		unlink(path);
		return NULL;
	}
	/*
	 * Not in core files: the header holds passwords and tokens, the rest is what people say. By default Linux dumps a
	 * shared mapping whose file has been removed, and the engine removes a ring before the module unmaps it.
	 */
	madvise(mapping, bytes, MADV_DONTDUMP);
	close(descriptor);
	return mapping;
}

/*!
 * \brief Locks a mapping into memory, so that its pages are never swapped out.
 * \retval 0, or an errno: EPERM, ENOMEM or EAGAIN where RLIMIT_MEMLOCK forbids it
 * \note blocks; the end of the mapping unlocks it
 */
static inline int af_lock_mapping(const void *mapping, uint64_t bytes) { return mlock(mapping, bytes) ? errno : 0; }

#endif /* AF_TAP_H */
