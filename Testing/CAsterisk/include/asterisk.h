/* SPDX-License-Identifier: Apache-2.0 */
/* Stands where Asterisk's own header stands: just what the capture module uses of it, for tests without Asterisk. */
#ifndef FAKE_ASTERISK_H
#define FAKE_ASTERISK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

struct ast_channel;
struct ast_config;
struct ast_module;
struct ast_format {
	unsigned int rate;
	const char *name;
};

enum ast_frame_type {
	AST_FRAME_DTMF_END = 1,
	AST_FRAME_VOICE = 2,
	AST_FRAME_NULL = 5,
};
enum {
	AST_FRFLAG_HAS_TIMING_INFO = (1 << 0),
};
struct ast_frame_subclass {
	int integer;
	struct ast_format *format;
};
struct ast_frame {
	enum ast_frame_type frametype;
	struct ast_frame_subclass subclass;
	int datalen;
	int samples;
	union { void *ptr; uint32_t uint32; char pad[8]; } data;
	unsigned int flags;
	long ts;
	long len;
	int seqno;
};

enum ast_audiohook_type { AST_AUDIOHOOK_TYPE_SPY = 0, AST_AUDIOHOOK_TYPE_WHISPER, AST_AUDIOHOOK_TYPE_MANIPULATE };
enum ast_audiohook_status {
	AST_AUDIOHOOK_STATUS_NEW = 0, AST_AUDIOHOOK_STATUS_RUNNING, AST_AUDIOHOOK_STATUS_SHUTDOWN,
	AST_AUDIOHOOK_STATUS_DONE,
};
enum ast_audiohook_direction {
	AST_AUDIOHOOK_DIRECTION_READ = 0, AST_AUDIOHOOK_DIRECTION_WRITE, AST_AUDIOHOOK_DIRECTION_BOTH,
};
enum ast_audiohook_flags { AST_AUDIOHOOK_WANTS_DTMF = (1 << 2) };
enum ast_audiohook_init_flags { AST_AUDIOHOOK_MANIPULATE_ALL_RATES = (1 << 0) };
struct ast_audiohook;
typedef int (*ast_audiohook_manipulate_callback)(struct ast_audiohook *audiohook, struct ast_channel *chan,
	struct ast_frame *frame, enum ast_audiohook_direction direction);
struct ast_audiohook {
	pthread_mutex_t lock;
	enum ast_audiohook_type type;
	enum ast_audiohook_status status;
	const char *source;
	unsigned int flags;
	ast_audiohook_manipulate_callback manipulate_callback;
	struct ast_audiohook *next;
};
int ast_audiohook_init(struct ast_audiohook *audiohook, enum ast_audiohook_type type, const char *source,
	enum ast_audiohook_init_flags flags);
int ast_audiohook_destroy(struct ast_audiohook *audiohook);
int ast_audiohook_attach(struct ast_channel *chan, struct ast_audiohook *audiohook);
int ast_audiohook_remove(struct ast_channel *chan, struct ast_audiohook *audiohook);
void ast_audiohook_update_status(struct ast_audiohook *audiohook, enum ast_audiohook_status status);

struct ast_datastore_info {
	const char *type;
	void (*destroy)(void *data);
	void (*chan_fixup)(void *data, struct ast_channel *old_chan, struct ast_channel *new_chan);
	void (*chan_breakdown)(void *data, struct ast_channel *old_chan, struct ast_channel *new_chan);
};
struct ast_datastore {
	const char *uid;
	void *data;
	const struct ast_datastore_info *info;
	struct ast_datastore *next;
};
int ast_datastore_free(struct ast_datastore *datastore);
int ast_channel_datastore_add(struct ast_channel *chan, struct ast_datastore *datastore);
int ast_channel_datastore_remove(struct ast_channel *chan, struct ast_datastore *datastore);
struct ast_datastore *ast_channel_datastore_find(struct ast_channel *chan, const struct ast_datastore_info *info,
	const char *uid);

const char *ast_channel_name(const struct ast_channel *chan);
const char *ast_channel_uniqueid(const struct ast_channel *chan);
const char *ast_channel_linkedid(const struct ast_channel *chan);
struct ast_format *ast_channel_rawreadformat(struct ast_channel *chan);
struct ast_format *ast_channel_rawwriteformat(struct ast_channel *chan);
unsigned int ast_format_get_sample_rate(const struct ast_format *format);
enum { AST_SOFTHANGUP_DEV = (1 << 0), AST_SOFTHANGUP_ASYNCGOTO = (1 << 1) };
int ast_channel_softhangup_internal_flag(struct ast_channel *chan);
#define AST_CAUSE_NETWORK_OUT_OF_ORDER 38
void ast_channel_softhangup_withcause_locked(struct ast_channel *chan, int causecode);
struct ast_channel *ast_channel_get_by_name(const char *name);
int pbx_builtin_setvar_helper(struct ast_channel *chan, const char *name, const char *value);

const char *ast_get_version(void);
int ast_shutting_down(void);
int ast_shutdown_final(void);
int ast_module_check(const char *name);
struct ast_pbx;
struct ast_pbx *ast_channel_pbx(const struct ast_channel *chan);
int ast_stream_and_wait(struct ast_channel *chan, const char *file, const char *digits);
int ast_channel_is_bridged(const struct ast_channel *chan);

struct ast_variable {
	const char *name;
	const char *value;
	const char *file;
	struct ast_variable *next;
};
char *ast_category_browse(struct ast_config *config, const char *prev_name);
struct ast_variable *ast_variable_browse(const struct ast_config *config, const char *category);
void ast_config_destroy(struct ast_config *config);

int ast_register_application2(const char *app, int (*execute)(struct ast_channel *, const char *), const char *synopsis,
	const char *description, void *mod);
int ast_unregister_application(const char *app);

enum ast_cli_command { CLI_INIT = -2, CLI_GENERATE = -3, CLI_HANDLER = -4 };
struct ast_cli_args {
	const int fd;
	const int argc;
	const char * const *argv;
	const char *line;
	const char *word;
	const int pos;
	const int n;
};
struct ast_str {
	size_t length;
};
struct mansession;
struct message {
	unsigned int hdrcount;
	const char *headers[128];
};
#define EVENT_FLAG_SYSTEM (1 << 0)
#define EVENT_FLAG_CALL (1 << 1)
#define EVENT_FLAG_REPORTING (1 << 9)
int ast_manager_register2(const char *action, int authority, int (*func)(struct mansession *s, const struct message *m),
	struct ast_module *module, const char *synopsis, const char *description);
int ast_manager_unregister(const char *action);
const char *astman_get_header(const struct message *m, char *var);
void astman_send_error(struct mansession *s, const struct message *m, char *error);
void astman_send_listack(struct mansession *s, const struct message *m, char *msg, char *listflag);
void astman_send_list_complete_start(struct mansession *s, const struct message *m, const char *event_name, int count);
void astman_send_list_complete_end(struct mansession *s);
char *ast_complete_channels(const char *line, const char *word, int pos, int state, int rpos);

#endif /* FAKE_ASTERISK_H */
