/* SPDX-License-Identifier: Apache-2.0 */
/* Beeps, and how they meet a stop. */
#include "fake_world.h"

#include <stdio.h>

static int beep_module = 1;
/* States of the test "beeps meet a stop": none, awaited, starting, released, ended. */
enum { MEETING_NONE, MEETING_AWAITED, MEETING_STARTING, MEETING_FREE, MEETING_ENDED };
static int meeting;

void fake_beep_module(int is_loaded) { beep_module = is_loaded; }

static void remember_beep(struct ast_channel *channel, const char *kind)
{
	/* No sound may be played while the channel is locked. */
	int error = pthread_mutex_trylock(&channel->lock);

	if (!error) {
		pthread_mutex_unlock(&channel->lock);
	}
	fake_remember_event("Beep", error ? "with the lock" : kind, "");
}

int ast_stream_and_wait(struct ast_channel *channel, const char *file, const char *digits)
{
	remember_beep(channel, "played");
	return 0;
}

int af_beep(struct ast_channel *channel)
{
	if (channel->busy) {
		return -1;
	}
	remember_beep(channel, "queued");
	return 0;
}

void fake_beeps_meet_stop(void) { __atomic_store_n(&meeting, MEETING_AWAITED, __ATOMIC_RELEASE); }

/* Changes the meeting's state if it is this one. */
static int meet(int from, int to)
{
	return __atomic_compare_exchange_n(&meeting, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void wait_while_meeting(int state, int milliseconds)
{
	while (milliseconds-- && __atomic_load_n(&meeting, __ATOMIC_ACQUIRE) == state) {
		usleep(1000);
	}
}

void fake_beeps_await_datastore(void)
{
	if (meet(MEETING_STARTING, MEETING_FREE)) {
		wait_while_meeting(MEETING_FREE, 300);
		__atomic_store_n(&meeting, MEETING_NONE, __ATOMIC_RELEASE);
	}
}

int af_beeps_start(struct ast_channel *channel, unsigned int seconds, char *id, size_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "each %u", seconds);
	snprintf(id, size, "7");
	remember_beep(channel, text);
	if (meet(MEETING_AWAITED, MEETING_STARTING)) {
		wait_while_meeting(MEETING_STARTING, 2000);
	}
	return 0;
}

int af_beeps_stop(struct ast_channel *channel, const char *id)
{
	remember_beep(channel, "no more");
	meet(MEETING_FREE, MEETING_ENDED);
	return 0;
}

int ast_module_check(const char *name) { return beep_module; }
