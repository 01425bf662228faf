/* SPDX-License-Identifier: Apache-2.0 */
/* The log and the events, as texts. */
#include "fake_world.h"

#include <stdio.h>

static char *log_text, *event_text;

char *fake_log(void)
{
	char *copy;

	pthread_mutex_lock(&fake_world);
	copy = strdup(log_text ? log_text : "");
	pthread_mutex_unlock(&fake_world);
	return copy;
}

char *fake_events(void)
{
	char *copy;

	pthread_mutex_lock(&fake_world);
	copy = strdup(event_text ? event_text : "");
	pthread_mutex_unlock(&fake_world);
	return copy;
}

void fake_forget_events(void) { fake_replace_text(&event_text, NULL); }

void af_log(int level, const char *text)
{
	char *longer;

	pthread_mutex_lock(&fake_world);
	if (asprintf(&longer, "%s%d %s\n", log_text ? log_text : "", level, text) > 0) {
		free(log_text);
		log_text = longer;
	}
	pthread_mutex_unlock(&fake_world);
}

void fake_remember_event(const char *kind, const char *name, const char *body)
{
	char *longer;

	pthread_mutex_lock(&fake_world);
	if (asprintf(&longer, "%s%s: %s\n%s\n", event_text ? event_text : "", kind, name, body) > 0) {
		free(event_text);
		event_text = longer;
	}
	pthread_mutex_unlock(&fake_world);
}

void af_event(struct ast_channel *channel, const char *name, const char *body)
{
	fake_remember_event(channel ? "Event" : "Event without channel", name, body);
}

void af_event_stasis(struct ast_channel *channel, void **snapshot, const char *name, const char *body)
{
	if (channel && !*snapshot) {
		*snapshot = malloc(1);
	}
	fake_remember_event(channel ? "UserEvent" : *snapshot ? "UserEvent from snapshot" : "UserEvent lost", name, body);
}

void af_snapshot_release(void *snapshot) { free(snapshot); }
