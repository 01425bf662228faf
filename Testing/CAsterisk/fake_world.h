/* SPDX-License-Identifier: Apache-2.0 */
/* A faked Asterisk for unit tests of the capture module: enough of channels, hooks and datastores to call it as
 * Asterisk does, locks included. This header holds what its parts share; tests see fake_asterisk.h. */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include "../../Module/include/af_asterisk.h"
#include "fake_asterisk.h"

#pragma GCC visibility push(hidden)

struct fake_value {
	char *name, *value;
	struct fake_value *next;
};
struct ast_channel {
	pthread_mutex_t lock;
	char *name, *unique_id;
	struct ast_format format;
	int bridged, busy, no_dialplan;
	char *caller_number, *caller_name;
	/* Raw formats: in (0), out (1). */
	struct ast_format *raw[2];
	/* Negotiated format, used from the next frame on; NULL: none. */
	struct ast_format *next_codec;
	int hung_up, references, hangup_cause;
	struct ast_audiohook *hooks;
	struct ast_datastore *datastores;
	struct fake_value *variables;
	struct ast_channel *next;
};
/* Something that the module has registered. */
struct fake_item {
	const char *kind, *name;
	char *help;
	int authority;
	int (*run)(struct mansession *s, const struct message *m);
	struct fake_item *next;
};

/* Held for the list of channels, their references, and the texts that tests read. */
extern pthread_mutex_t fake_world;
void fake_recursive_lock(pthread_mutex_t *lock);
/* Sets the text to a copy of `with`, or to NULL. */
void fake_replace_text(char **text, const char *with);

/* Whether there is a translator from the format to signed linear. */
int fake_translates(struct ast_format *format);
void fake_remember_event(const char *kind, const char *name, const char *body);
/* Called when a datastore is freed: lets beeps that meet the stop go on, and waits for their end. */
void fake_beeps_await_datastore(void);

/* Counts a registration. Returns -1 for the one that is to fail. */
int fake_register(void);
void fake_unregister(void);
void fake_remember_item(const char *kind, const char *name, int authority,
	int (*run)(struct mansession *, const struct message *), const char *help);
struct fake_item *fake_find_item(const char *kind, const char *name);
void fake_forget_item(const char *kind, const char *name);

#pragma GCC visibility pop

#endif
