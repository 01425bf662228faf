/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: their life, names, variables and references. */
#include "fake_world.h"

#include <stdio.h>

static struct ast_channel *channels;
static int numbers;

struct ast_channel *fake_channel(const char *name, unsigned int rate)
{
	struct ast_channel *channel = calloc(1, sizeof(*channel));

	fake_recursive_lock(&channel->lock);
	channel->name = strdup(name);
	channel->format.rate = rate;
	channel->format.name = "slin";
	channel->raw[0] = channel->raw[1] = &channel->format;
	channel->references = 1;
	pthread_mutex_lock(&fake_world);
	if (asprintf(&channel->unique_id, "1700000000.%d", ++numbers) < 0) {
		abort();
	}
	channel->next = channels;
	channels = channel;
	pthread_mutex_unlock(&fake_world);
	return channel;
}

static void drop(struct ast_channel *channel)
{
	struct ast_datastore *store;
	struct fake_value *value;

	pthread_mutex_lock(&fake_world);
	if (--channel->references) {
		pthread_mutex_unlock(&fake_world);
		return;
	}
	pthread_mutex_unlock(&fake_world);
	while ((store = channel->datastores)) {
		channel->datastores = store->next;
		ast_datastore_free(store);
	}
	while ((value = channel->variables)) {
		channel->variables = value->next;
		free(value->name);
		free(value->value);
		free(value);
	}
	pthread_mutex_destroy(&channel->lock);
	free(channel->name);
	free(channel->unique_id);
	free(channel->caller_number);
	free(channel->caller_name);
	free(channel);
}

void fake_rename(struct ast_channel *channel, const char *name)
{
	pthread_mutex_lock(&channel->lock);
	free(channel->name);
	channel->name = strdup(name);
	pthread_mutex_unlock(&channel->lock);
}

void fake_bridge(struct ast_channel *channel, int bridged)
{
	pthread_mutex_lock(&channel->lock);
	channel->bridged = bridged;
	pthread_mutex_unlock(&channel->lock);
}

void fake_busy(struct ast_channel *channel, int busy) { channel->busy = busy; }

void fake_masquerade(struct ast_channel *clone, struct ast_channel *original)
{
	struct ast_datastore *store, **end;
	struct ast_audiohook **last;
	char *text;

	pthread_mutex_lock(&original->lock);
	pthread_mutex_lock(&clone->lock);
	text = clone->name;
	clone->name = original->name;
	original->name = text;
	text = clone->unique_id;
	clone->unique_id = original->unique_id;
	original->unique_id = text;
	for (store = clone->datastores; store; store = store->next) {
		store->info->chan_fixup(store->data, clone, original);
	}
	for (store = original->datastores; store; store = store->next) {
		store->info->chan_breakdown(store->data, clone, original);
	}
	for (end = &original->datastores; *end; end = &(*end)->next) { }
	*end = clone->datastores;
	clone->datastores = NULL;
	for (last = &original->hooks; *last; last = &(*last)->next) { }
	*last = clone->hooks;
	clone->hooks = NULL;
	pthread_mutex_unlock(&clone->lock);
	pthread_mutex_unlock(&original->lock);
}

void fake_rate(struct ast_channel *channel, unsigned int rate)
{
	pthread_mutex_lock(&channel->lock);
	channel->format.rate = rate;
	pthread_mutex_unlock(&channel->lock);
}

void fake_hangup(struct ast_channel *channel)
{
	struct ast_channel **place;
	struct ast_audiohook *hook;

	pthread_mutex_lock(&channel->lock);
	channel->hung_up = 1;
	while ((hook = channel->hooks)) {
		channel->hooks = hook->next;
		pthread_mutex_lock(&hook->lock);
		hook->status = AST_AUDIOHOOK_STATUS_DONE;
		pthread_mutex_unlock(&hook->lock);
		hook->manipulate_callback(hook, NULL, NULL, 0);
	}
	pthread_mutex_unlock(&channel->lock);
	pthread_mutex_lock(&fake_world);
	for (place = &channels; *place != channel; place = &(*place)->next) { }
	*place = channel->next;
	pthread_mutex_unlock(&fake_world);
	drop(channel);
}

int fake_references(struct ast_channel *channel)
{
	int count;

	pthread_mutex_lock(&fake_world);
	count = channel->references;
	pthread_mutex_unlock(&fake_world);
	return count;
}

void fake_dialplan(struct ast_channel *channel, int executes) { channel->no_dialplan = !executes; }

void fake_caller(struct ast_channel *channel, const char *number, const char *name)
{
	free(channel->caller_number);
	free(channel->caller_name);
	channel->caller_number = number ? strdup(number) : NULL;
	channel->caller_name = name ? strdup(name) : NULL;
}

char *fake_variable(struct ast_channel *channel, const char *name)
{
	struct fake_value *value;
	char *found = NULL;

	pthread_mutex_lock(&channel->lock);
	for (value = channel->variables; value && !found; value = value->next) {
		found = strcmp(value->name, name) ? NULL : strdup(value->value);
	}
	pthread_mutex_unlock(&channel->lock);
	return found;
}

void af_channel_lock(struct ast_channel *channel) { pthread_mutex_lock(&channel->lock); }
void af_channel_unlock(struct ast_channel *channel) { pthread_mutex_unlock(&channel->lock); }
void af_channel_unref(struct ast_channel *channel) { drop(channel); }

/* Variables of the channel, and ${FILE(path)}; nothing nested. */
char *af_evaluate(struct ast_channel *channel, const char *text)
{
	char *result = calloc(1, 16384), *end;
	const char *at;

	while ((at = strstr(text, "${")) && (end = strchr(at, '}'))) {
		char *name = strndup(at + 2, end - at - 2), *value;

		strncat(result, text, at - text);
		if (!strncmp(name, "FILE(", 5)) {
			FILE *file;

			name[strlen(name) - 1] = '\0';
			value = calloc(1, 4096);
			if ((file = fopen(name + 5, "r"))) {
				value[fread(value, 1, 4095, file)] = '\0';
				fclose(file);
			}
		} else {
			value = fake_variable(channel, name);
		}
		strcat(result, value ? value : "");
		free(value);
		free(name);
		text = end + 1;
	}
	strcat(result, text);
	return result;
}

/* Variables, CALLERID(name) and CALLERID(num); another function answers with its call. */
char *af_read(struct ast_channel *channel, const char *text, int is_function)
{
	const char *known = !strcmp(text, "CALLERID(name)") ? channel->caller_name
		: !strcmp(text, "CALLERID(num)") ? channel->caller_number : text;

	return is_function ? (known ? strdup(known) : NULL) : fake_variable(channel, text);
}

char *af_evaluate_given(struct ast_channel *channel, const char *text) { return af_evaluate(channel, text); }

struct ast_pbx *ast_channel_pbx(const struct ast_channel *channel)
{
	return channel->no_dialplan ? NULL : (struct ast_pbx *) channel;
}

int af_runs_subroutine(struct ast_channel *channel) { return 0; }
const char *af_caller_number(struct ast_channel *channel) { return channel->caller_number; }
const char *af_caller_name(struct ast_channel *channel) { return channel->caller_name; }
int ast_channel_is_bridged(const struct ast_channel *channel) { return channel->bridged; }

const char *ast_channel_name(const struct ast_channel *channel) { return channel->name; }
const char *ast_channel_uniqueid(const struct ast_channel *channel) { return channel->unique_id; }
const char *ast_channel_linkedid(const struct ast_channel *channel) { return "1700000000.0"; }

void ast_channel_softhangup_withcause_locked(struct ast_channel *channel, int cause)
{
	pthread_mutex_lock(&channel->lock);
	channel->hangup_cause = cause;
	pthread_mutex_unlock(&channel->lock);
}

int fake_hangup_cause(struct ast_channel *channel)
{
	int cause;

	pthread_mutex_lock(&channel->lock);
	cause = channel->hangup_cause;
	pthread_mutex_unlock(&channel->lock);
	return cause;
}

int ast_channel_softhangup_internal_flag(struct ast_channel *channel)
{
	return channel->hung_up ? AST_SOFTHANGUP_DEV : 0;
}

struct ast_channel *ast_channel_get_by_name(const char *name)
{
	struct ast_channel *channel;

	pthread_mutex_lock(&fake_world);
	channel = channels;
	while (channel && strcasecmp(channel->name, name) && strcmp(channel->unique_id, name)) {
		channel = channel->next;
	}
	if (channel) {
		channel->references++;
	}
	pthread_mutex_unlock(&fake_world);
	return channel;
}

int pbx_builtin_setvar_helper(struct ast_channel *channel, const char *name, const char *text)
{
	struct fake_value *value = calloc(1, sizeof(*value));

	value->name = strdup(name);
	value->value = strdup(text);
	pthread_mutex_lock(&channel->lock);
	value->next = channel->variables;
	channel->variables = value;
	pthread_mutex_unlock(&channel->lock);
	return 0;
}

char *ast_complete_channels(const char *line, const char *word, int pos, int state, int rpos)
{
	struct ast_channel *channel;
	char *found = NULL;

	if (pos != rpos) {
		return NULL;
	}
	pthread_mutex_lock(&fake_world);
	for (channel = channels; channel && !found; channel = channel->next) {
		if (!strncasecmp(channel->name, word, strlen(word)) && !state--) {
			found = strdup(channel->name);
		}
	}
	pthread_mutex_unlock(&fake_world);
	return found;
}
