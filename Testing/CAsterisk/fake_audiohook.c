/* SPDX-License-Identifier: Apache-2.0 */
/* Audiohooks, and the frames that they get. */
#include "fake_world.h"

static int warnings;

int fake_warnings(void) { return __atomic_load_n(&warnings, __ATOMIC_ACQUIRE); }

static void hear(struct ast_channel *channel, enum ast_audiohook_direction direction, struct ast_frame frame,
	const int16_t *samples)
{
	struct ast_audiohook *hook, **place;

	frame.subclass.format = &channel->format;
	frame.data.ptr = (void *) samples;
	pthread_mutex_lock(&channel->lock);
	if (channel->next_codec) {
		channel->raw[0] = channel->raw[1] = channel->next_codec;
		channel->next_codec = NULL;
	}
	if (channel->hooks && !fake_translates(channel->raw[direction])) {
		/* Asterisk tries because there is a hook, warns, and calls none. */
		__atomic_add_fetch(&warnings, 1, __ATOMIC_ACQ_REL);
		pthread_mutex_unlock(&channel->lock);
		return;
	}
	for (place = &channel->hooks; (hook = *place); ) {
		pthread_mutex_lock(&hook->lock);
		if (hook->status != AST_AUDIOHOOK_STATUS_RUNNING) {
			*place = hook->next;
			hook->status = AST_AUDIOHOOK_STATUS_DONE;
			pthread_mutex_unlock(&hook->lock);
			hook->manipulate_callback(hook, channel, NULL, direction);
			continue;
		}
		hook->manipulate_callback(hook, channel, &frame, direction);
		pthread_mutex_unlock(&hook->lock);
		place = &hook->next;
	}
	pthread_mutex_unlock(&channel->lock);
}

void fake_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples, int count)
{
	struct ast_frame frame = { .frametype = AST_FRAME_VOICE, .datalen = count * 2, .samples = count };

	hear(channel, direction, frame, samples);
}

void fake_timed_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples,
	int count, long milliseconds)
{
	struct ast_frame frame = {
		.frametype = AST_FRAME_VOICE, .datalen = count * 2, .samples = count, .flags = AST_FRFLAG_HAS_TIMING_INFO,
		.ts = milliseconds, .len = count / 8,
	};

	hear(channel, direction, frame, samples);
}

void fake_digit(struct ast_channel *channel, enum ast_audiohook_direction direction, char digit, long milliseconds)
{
	struct ast_frame frame = { .frametype = AST_FRAME_DTMF_END, .subclass.integer = digit, .len = milliseconds };
	struct ast_audiohook *hook;

	pthread_mutex_lock(&channel->lock);
	for (hook = channel->hooks; hook; hook = hook->next) {
		pthread_mutex_lock(&hook->lock);
		if (hook->status == AST_AUDIOHOOK_STATUS_RUNNING && hook->flags & AST_AUDIOHOOK_WANTS_DTMF) {
			hook->manipulate_callback(hook, channel, &frame, direction);
		}
		pthread_mutex_unlock(&hook->lock);
	}
	pthread_mutex_unlock(&channel->lock);
}

int fake_hooks(struct ast_channel *channel)
{
	struct ast_audiohook *hook;
	int count = 0;

	pthread_mutex_lock(&channel->lock);
	for (hook = channel->hooks; hook; hook = hook->next) {
		count++;
	}
	pthread_mutex_unlock(&channel->lock);
	return count;
}

int ast_audiohook_init(struct ast_audiohook *hook, enum ast_audiohook_type type, const char *source,
	enum ast_audiohook_init_flags flags)
{
	memset(hook, 0, sizeof(*hook));
	fake_recursive_lock(&hook->lock);
	hook->type = type;
	hook->source = source;
	return 0;
}

void af_hook_lock(struct ast_audiohook *hook) { pthread_mutex_lock(&hook->lock); }
void af_hook_unlock(struct ast_audiohook *hook) { pthread_mutex_unlock(&hook->lock); }

int ast_audiohook_destroy(struct ast_audiohook *hook) { return pthread_mutex_destroy(&hook->lock); }

int ast_audiohook_attach(struct ast_channel *channel, struct ast_audiohook *hook)
{
	struct ast_audiohook **place;

	if (channel->hung_up) {
		return -1;
	}
	for (place = &channel->hooks; *place; place = &(*place)->next) { }
	hook->next = NULL;
	*place = hook;
	/* A hook that is done stays done, here as there. */
	ast_audiohook_update_status(hook, AST_AUDIOHOOK_STATUS_RUNNING);
	return 0;
}

int ast_audiohook_remove(struct ast_channel *channel, struct ast_audiohook *hook)
{
	struct ast_audiohook **place;

	for (place = &channel->hooks; *place; place = &(*place)->next) {
		if (*place == hook) {
			*place = hook->next;
			break;
		}
	}
	ast_audiohook_update_status(hook, AST_AUDIOHOOK_STATUS_DONE);
	return 0;
}

void ast_audiohook_update_status(struct ast_audiohook *hook, enum ast_audiohook_status status)
{
	pthread_mutex_lock(&hook->lock);
	if (hook->status != AST_AUDIOHOOK_STATUS_DONE) {
		hook->status = status;
	}
	pthread_mutex_unlock(&hook->lock);
}
