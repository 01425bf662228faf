/* SPDX-License-Identifier: MIT */
/*!
 * \file
 * \brief Layout of a tap's ring file, version 1, and the memory accesses that writer and reader share.
 *
 * One file per generation of a fork's ring, in a tmpfs: the capture module writes it, the engine maps it
 * read-only. The page docs/internals/ring-layout.md has the same numbers in prose. All integers are
 * little-endian (the only byte order Asterisk's packages that we support run in) and naturally aligned.
 *
 *     0                header (struct af_ring_header), then the facts, then zeros
 *     header_bytes     index: index_entries records of AF_RING_ENTRY_BYTES (struct af_ring_entry)
 *     area_offset      samples: area_bytes bytes, s16 in host order, each entry starting at a multiple of 8
 *
 * The writer overwrites the oldest and reads nothing that a reader wrote. For entry number s (from 0):
 *
 *   writer: slot.sequence = 2s+1 and `claimed`; release fence; samples and fields (relaxed 8-byte stores);
 *           slot.sequence = 2s+2 (release); `published` = s+1 (release).
 *   reader: slot.sequence must be 2s+2 (acquire); copy samples and fields (relaxed 8-byte loads); acquire
 *           fence; slot.sequence must still be 2s+2 and claimed - start must be <= area_bytes. Else: lapped.
 *
 * A fork may get a further ring, in a file of its own: a generation (docs/internals/ring-layout.md). Entries are
 * numbered through. The writer fills in the new header and its `magic`, and stores the new generation in the old ring's
 * `continued` (release) behind its last entry.
 *
 * A reader that saw one overwritten word also sees the odd sequence or the new claim, because the fences
 * pair. No plain access touches shared words, so there is no data race in the C11 sense either.
 */
#ifndef AF_RING_H
#define AF_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AF_RING_VERSION 1
#define AF_RING_MAGIC 0x31474e4952464641ull /* "AFFRING1" as bytes in the file */
#define AF_RING_PAGE 4096
#define AF_RING_ENTRY_BYTES 64
#define AF_RING_FACTS_OFFSET 512
/*! Rings that a fork has at a time, at most, and the highest generation. */
#define AF_RING_GENERATIONS_ALIVE 4
#define AF_RING_GENERATION_MAX 99
/*! Upper bounds that a reader holds a file to before it maps it: a fork never needs more. */
#define AF_RING_FACTS_BYTES_MAX (1u << 20)
#define AF_RING_INDEX_ENTRIES_MAX (1ull << 24)
#define AF_RING_AREA_BYTES_MAX (1ull << 32)
/*! Longest entry. Longer frames are split; the pieces keep the arrival of the whole frame. */
#define AF_RING_PIECE_MILLISECONDS_MAX 60
/*! Rates that Asterisk's signed linear formats have; anything outside is not audio. */
#define AF_RATE_HZ_MIN 8000
#define AF_RATE_HZ_MAX 192000

/*! The fixed part of the header. Written once, before any reader knows the file, but for the last words. */
struct af_ring_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;        /*!< offset of the index; a multiple of AF_RING_PAGE */
	uint64_t index_entries;       /*!< a power of two */
	uint64_t area_offset;         /*!< header_bytes + index_entries * AF_RING_ENTRY_BYTES */
	uint64_t area_bytes;          /*!< a power of two, a multiple of AF_RING_PAGE */
	int64_t epoch_monotonic_ns;   /*!< CLOCK_MONOTONIC when AudioFork ran: media time 0 */
	int64_t epoch_realtime_ns;    /*!< CLOCK_REALTIME of the same moment */
	uint32_t facts_offset;        /*!< AF_RING_FACTS_OFFSET */
	uint32_t facts_bytes;         /*!< length of the facts: fields as on the control link */
	uint64_t secret[2];           /*!< random, so that a server can tell this fork from who knows its id; 0: none */
	uint64_t generation;          /*!< 0 in a fork's first ring, 1 in the one that continues it, and so on */
	uint64_t first_sequence;      /*!< number of its first entry: the one behind the last of the generation before */
	uint64_t reserved[20];
	/* From here on words change while the call runs (relaxed or release stores of the single writer). */
	uint64_t published;           /*!< entries completely written */
	uint64_t claimed;             /*!< bytes of the sample area ever claimed; start of the next entry */
	uint64_t closed;              /*!< 0 while capturing, else 1 + nanoseconds from the epoch to the end of capture */
	uint64_t captured[2];         /*!< samples captured per direction (enum af_direction) */
	uint64_t ahead[2];            /*!< of these, samples refused as more than 2 s ahead of the clock */
	uint64_t continued;           /*!< 0, or the generation that has the entries from `published` on */
	uint64_t reserved_words[24];
};

/*! Direction of audio, seen from Asterisk's channel: in = READ = what the party says. */
enum af_direction {
	AF_DIRECTION_IN = 0,
	AF_DIRECTION_OUT = 1,
};

/*! What the entry's `kind` byte says. */
enum af_entry_kind {
	AF_ENTRY_AUDIO = 1,
	AF_ENTRY_DTMF = 2,            /*!< no samples; `detail` is the digit's ASCII code, `ts` its length in ms */
};

/*! Bits of the entry's `flags` byte. */
enum af_entry_flags {
	AF_ENTRY_RUN_START = 1 << 0,  /*!< first entry of a run: run_ns is new, run_index is 0 */
	AF_ENTRY_MORE = 1 << 1,       /*!< a further piece of the same frame follows */
	AF_ENTRY_MUTED = 1 << 2,      /*!< zeros stand where the party's samples were */
	AF_ENTRY_CHANNEL = 1 << 3,    /*!< another channel carries the fork since this entry (masquerade) */
	AF_ENTRY_AHEAD = 1 << 4,      /*!< more than 2 s ahead of the clock: counted, not rendered */
	AF_ENTRY_TIMING = 1 << 5,     /*!< ts and sequence_number come from RTP */
};

/*! One record of the index: exactly one cache line. */
struct af_ring_entry {
	uint64_t sequence;            /*!< 2s+1 while entry s is being written, 2s+2 when it is whole */
	uint64_t start;               /*!< its samples begin at area[start % area_bytes] */
	int64_t run_ns;               /*!< media time of its run's first sample: nanoseconds since the epoch */
	uint64_t run_index;           /*!< index in the run of its first sample; media time = run_ns + run_index / rate */
	int64_t arrival_ns;           /*!< when the frame reached the hook: nanoseconds since the epoch */
	uint64_t captured;            /*!< samples of its direction captured before it */
	uint32_t rate_hz;
	uint16_t samples;
	uint8_t direction;            /*!< enum af_direction */
	uint8_t kind;                 /*!< enum af_entry_kind */
	uint32_t ts;                  /*!< RTP time in milliseconds (frame's `ts`), with AF_ENTRY_TIMING */
	uint16_t sequence_number;     /*!< RTP sequence number, with AF_ENTRY_TIMING */
	uint8_t detail;
	uint8_t flags;                /*!< enum af_entry_flags */
};

_Static_assert(sizeof(struct af_ring_header) == AF_RING_FACTS_OFFSET, "header size");
_Static_assert(offsetof(struct af_ring_header, published) == 256, "offset of the changing words");
_Static_assert(sizeof(struct af_ring_entry) == AF_RING_ENTRY_BYTES, "entry size");

#define AF_RING_OFFSET_PUBLISHED offsetof(struct af_ring_header, published)

/* Shared words. Compiler builtins instead of stdatomic: Swift does not import structs with _Atomic members. */

static inline uint64_t af_word_load_relaxed(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline uint64_t af_word_load_acquire(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void af_word_store_relaxed(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void af_word_store_release(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/*! \brief Sets the word from 0 to `value`. \retval 1 done \retval 0 it was not 0, and stays as it is */
static inline int af_word_claim(uint64_t *word, uint64_t value)
{
	uint64_t expected = 0;

	return __atomic_compare_exchange_n(word, &expected, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline uint64_t af_word_increment(uint64_t *word) { return __atomic_add_fetch(word, 1, __ATOMIC_RELAXED); }
static inline void af_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void af_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

/*! \brief Begins to fetch this memory into the cache, for reading. Harms nothing, whatever is there. */
static inline void af_prefetch(const void *at, uint64_t bytes)
{
	uint64_t line;

	for (line = 0; line < bytes; line += 64) {
		__builtin_prefetch((const uint8_t *) at + line, 0, 3);
	}
}

/*! Pointers to the changing words of a mapped ring. */
static inline uint64_t *af_ring_published(void *ring) { return &((struct af_ring_header *) ring)->published; }
static inline uint64_t *af_ring_claimed(void *ring) { return &((struct af_ring_header *) ring)->claimed; }
static inline uint64_t *af_ring_closed(void *ring) { return &((struct af_ring_header *) ring)->closed; }
static inline uint64_t *af_ring_continued(void *ring) { return &((struct af_ring_header *) ring)->continued; }
static inline uint64_t *af_ring_captured(void *ring, uint32_t direction)
{
	return &((struct af_ring_header *) ring)->captured[direction & 1];
}

static inline uint64_t *af_ring_ahead(void *ring, uint32_t direction)
{
	return &((struct af_ring_header *) ring)->ahead[direction & 1];
}

/*!
 * \brief Bytes of the sample area that an entry of so many samples takes: whole 8-byte words.
 */
static inline uint64_t af_ring_span(uint32_t samples) { return ((uint64_t) samples * 2 + 7) & ~7ull; }

/*!
 * \brief Stores an entry's fields in its slot, the sequence word aside.
 * \note Writer only, between its two stores of `sequence`.
 */
static inline void af_ring_store_fields(void *slot, const struct af_ring_entry *entry)
{
	uint64_t words[8];
	uint64_t *target = (uint64_t *) slot;
	int i;

	memcpy(words, entry, sizeof(words));
	for (i = 1; i < 8; i++) {
		af_word_store_relaxed(&target[i], words[i]);
	}
}

/*! \brief Copies a slot's fields out, the sequence word included. The caller checks it before and after. */
static inline struct af_ring_entry af_ring_load_fields(const void *slot)
{
	uint64_t words[8];
	const uint64_t *source = (const uint64_t *) slot;
	struct af_ring_entry entry;
	int i;

	for (i = 0; i < 8; i++) {
		words[i] = af_word_load_relaxed(&source[i]);
	}
	memcpy(&entry, words, sizeof(entry));
	return entry;
}

/*!
 * \brief Stores samples in the area at `start`, wrapping at its end.
 * \param area_mask area_bytes - 1
 * \param source samples, any alignment; NULL stores zeros
 */
static inline void af_ring_store_samples(uint8_t *area, uint64_t area_mask, uint64_t start, const void *source,
	uint32_t samples)
{
	uint64_t bytes = (uint64_t) samples * 2;
	uint64_t at;

	for (at = 0; at < bytes; at += 8) {
		uint64_t word = 0;

		if (source) {
			memcpy(&word, (const uint8_t *) source + at, bytes - at < 8 ? (size_t) (bytes - at) : 8);
		}
		af_word_store_relaxed((uint64_t *) (area + ((start + at) & area_mask)), word);
	}
}

/*! \brief Copies an entry's samples out of the area; `target` has room for `samples` of two bytes. */
static inline void af_ring_load_samples(const uint8_t *area, uint64_t area_mask, uint64_t start, void *target,
	uint32_t samples)
{
	uint64_t bytes = (uint64_t) samples * 2;
	uint64_t at;

	for (at = 0; at < bytes; at += 8) {
		uint64_t word = af_word_load_relaxed((const uint64_t *) (area + ((start + at) & area_mask)));

		memcpy((uint8_t *) target + at, &word, bytes - at < 8 ? (size_t) (bytes - at) : 8);
	}
}

#endif /* AF_RING_H */
