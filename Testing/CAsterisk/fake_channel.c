/* SPDX-License-Identifier: Apache-2.0 */
/* A faked Asterisk for unit tests of the capture module: enough of channels, hooks and datastores to call it as
 * Asterisk does, locks included. */
#include "../../Module/include/af_asterisk.h"
#include "fake_asterisk.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <sys/wait.h>

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
	/* As they come (0) and go (1). */
	struct ast_format *raw[2];
	/* Negotiated, and to be raw with the next frame; NULL: none. */
	struct ast_format *next_codec;
	int hung_up, references, hangup_cause;
	struct ast_audiohook *hooks;
	struct ast_datastore *datastores;
	struct fake_value *variables;
	struct ast_channel *next;
};
struct fake_section {
	char *name;
	struct ast_variable *variables;
	struct fake_section *next;
};
struct ast_config {
	struct fake_section *sections;
};

static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER, table = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t spawned = PTHREAD_COND_INITIALIZER;
static struct ast_channel *channels;
static char *log_text, *event_text, *configuration, *version;
static int numbers, beep_module = 1, references, registrations, failing_registration, engine_link = -1, engines, spawn_failure;
static pthread_t control, jobs;
/* Codecs besides signed linear; a translator is there or is not. */
static struct ast_format codecs[] = {
	{ 8000, "ulaw" }, { 8000, "g729" }, { 8000, "ilbc" }, { 48000, "opus" }, { 8000, "strange" },
};
static int translators[] = { 1, 0, 0, 0, 0 };
static int warnings, format_references;

static void recursive(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

struct ast_channel *fake_channel(const char *name, unsigned int rate)
{
	struct ast_channel *channel = calloc(1, sizeof(*channel));

	recursive(&channel->lock);
	channel->name = strdup(name);
	channel->format.rate = rate;
	channel->format.name = "slin";
	channel->raw[0] = channel->raw[1] = &channel->format;
	channel->references = 1;
	pthread_mutex_lock(&world);
	if (asprintf(&channel->unique_id, "1700000000.%d", ++numbers) < 0) {
		abort();
	}
	channel->next = channels;
	channels = channel;
	pthread_mutex_unlock(&world);
	return channel;
}

static void drop(struct ast_channel *channel)
{
	struct ast_datastore *store;
	struct fake_value *value;

	pthread_mutex_lock(&world);
	if (--channel->references) {
		pthread_mutex_unlock(&world);
		return;
	}
	pthread_mutex_unlock(&world);
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

static int codec_number(const char *name)
{
	int number;

	for (number = 0; number < (int) (sizeof(codecs) / sizeof(*codecs)); number++) {
		if (!strcmp(codecs[number].name, name)) {
			return number;
		}
	}
	abort();
}

void fake_codec(struct ast_channel *channel, const char *in, const char *out)
{
	pthread_mutex_lock(&channel->lock);
	channel->raw[0] = &codecs[codec_number(in)];
	channel->raw[1] = &codecs[codec_number(out)];
	pthread_mutex_unlock(&channel->lock);
}

void fake_next_codec(struct ast_channel *channel, const char *name)
{
	pthread_mutex_lock(&channel->lock);
	channel->next_codec = &codecs[codec_number(name)];
	pthread_mutex_unlock(&channel->lock);
}

void fake_translator(const char *codec, int is_loaded)
{
	__atomic_store_n(&translators[codec_number(codec)], is_loaded, __ATOMIC_RELEASE);
}

int fake_warnings(void) { return __atomic_load_n(&warnings, __ATOMIC_ACQUIRE); }
int fake_format_references(void) { return __atomic_load_n(&format_references, __ATOMIC_ACQUIRE); }

static int translates(struct ast_format *format)
{
	return format < codecs || format >= codecs + sizeof(codecs) / sizeof(*codecs)
		|| __atomic_load_n(&translators[format - codecs], __ATOMIC_ACQUIRE);
}

void fake_busy(struct ast_channel *channel, int busy) { channel->busy = busy; }
void fake_beep_module(int is_loaded) { beep_module = is_loaded; }

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

void fake_hangup(struct ast_channel *channel)
{
	struct ast_channel **place;
	struct ast_audiohook *hook;

	pthread_mutex_lock(&channel->lock);
	channel->hung_up = 1;
	while ((hook = channel->hooks)) {
		channel->hooks = hook->next;
		hook->manipulate_callback(hook, NULL, NULL, 0);
	}
	pthread_mutex_unlock(&channel->lock);
	pthread_mutex_lock(&world);
	for (place = &channels; *place != channel; place = &(*place)->next) { }
	*place = channel->next;
	pthread_mutex_unlock(&world);
	drop(channel);
}

static void hear(struct ast_channel *channel, enum ast_audiohook_direction direction, struct ast_frame frame, const int16_t *samples)
{
	struct ast_audiohook *hook, **place;

	frame.subclass.format = &channel->format;
	frame.data.ptr = (void *) samples;
	pthread_mutex_lock(&channel->lock);
	if (channel->next_codec) {
		channel->raw[0] = channel->raw[1] = channel->next_codec;
		channel->next_codec = NULL;
	}
	if (channel->hooks && !translates(channel->raw[direction])) {
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

void fake_timed_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples, int count,
	long milliseconds)
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
		if (hook->status == AST_AUDIOHOOK_STATUS_RUNNING && hook->flags & AST_AUDIOHOOK_WANTS_DTMF) {
			hook->manipulate_callback(hook, channel, &frame, direction);
		}
	}
	pthread_mutex_unlock(&channel->lock);
}

int fake_references(struct ast_channel *channel)
{
	int count;

	pthread_mutex_lock(&world);
	count = channel->references;
	pthread_mutex_unlock(&world);
	return count;
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

static void replace(char **text, const char *with)
{
	pthread_mutex_lock(&world);
	free(*text);
	*text = with ? strdup(with) : NULL;
	pthread_mutex_unlock(&world);
}

void fake_configuration(const char *lines) { replace(&configuration, lines); }
void fake_version(const char *text) { replace(&version, text); }

char *fake_log(void)
{
	char *copy;

	pthread_mutex_lock(&world);
	copy = strdup(log_text ? log_text : "");
	pthread_mutex_unlock(&world);
	return copy;
}

char *fake_events(void)
{
	char *copy;

	pthread_mutex_lock(&world);
	copy = strdup(event_text ? event_text : "");
	pthread_mutex_unlock(&world);
	return copy;
}

void fake_forget_events(void) { replace(&event_text, NULL); }

int fake_module_references(void) { return __atomic_load_n(&references, __ATOMIC_ACQUIRE); }
int fake_registrations(void) { return registrations; }
void fake_fail_registration(int n) { failing_registration = n; }
void fake_fail_spawn(int failure) { __atomic_store_n(&spawn_failure, failure, __ATOMIC_RELEASE); }

int fake_engine(int milliseconds)
{
	struct timespec until;
	int link;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&world);
	while (engine_link < 0 && !pthread_cond_timedwait(&spawned, &world, &until)) { }
	link = engine_link;
	engine_link = -1;
	pthread_mutex_unlock(&world);
	return link;
}

int fake_engines_spawned(void)
{
	int count;

	pthread_mutex_lock(&world);
	count = engines;
	pthread_mutex_unlock(&world);
	return count;
}

/* What Module/asterisk.c does for a real Asterisk. */

void af_log(int level, const char *text)
{
	char *longer;

	pthread_mutex_lock(&world);
	if (asprintf(&longer, "%s%d %s\n", log_text ? log_text : "", level, text) > 0) {
		free(log_text);
		log_text = longer;
	}
	pthread_mutex_unlock(&world);
}

void af_channel_lock(struct ast_channel *channel) { pthread_mutex_lock(&channel->lock); }
void af_channel_unlock(struct ast_channel *channel) { pthread_mutex_unlock(&channel->lock); }
void af_channel_unref(struct ast_channel *channel) { drop(channel); }
void *af_raw_format(struct ast_channel *channel, unsigned int direction)
{
	/* The channel has to be locked; this is no test of it, but for the thread sanitizer. */
	__atomic_add_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	return channel->raw[direction];
}

void *af_next_formats(struct ast_channel *channel, void *format)
{
	if (channel->next_codec) {
		__atomic_add_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	}
	return channel->next_codec;
}

void *af_negotiated_format(struct ast_channel *channel, void *format) { return af_next_formats(channel, format); }

void af_format_release(void *format)
{
	if (format) {
		__atomic_sub_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	}
}

const char *af_format_name(void *format) { return ((struct ast_format *) format)->name; }

const char *af_format_linear_name(void *format)
{
	return ((struct ast_format *) format)->rate == 48000 ? "slin48" : "slin";
}

int af_formats_translate(void *formats) { return translates(formats); }
int af_format_translates(void *format) { return translates(format); }
void af_table_lock(void) { pthread_mutex_lock(&table); }
void af_table_unlock(void) { pthread_mutex_unlock(&table); }
static const struct ast_datastore_info datastore_type = {
	.type = "audiofork",
	.destroy = af_datastore_destroyed,
	.chan_fixup = af_datastore_moved,
	.chan_breakdown = af_datastore_moved,
};
const struct ast_datastore_info *af_datastore_type(void) { return &datastore_type; }
static int pins;
void af_module_pin(void) { pins = 1; }
void af_module_unpin(void) { pins = 0; }
void af_module_hand_over_pin(void) { pins = 0; }
int fake_pins(void) { return pins; }
void af_module_hold(void) { __atomic_add_fetch(&references, 1, __ATOMIC_ACQ_REL); }
void af_module_release(void) { __atomic_sub_fetch(&references, 1, __ATOMIC_ACQ_REL); }
struct ast_module *af_module_self(void) { return NULL; }
int af_control_start(void) { return pthread_create(&control, NULL, af_control_thread, NULL); }
void af_control_join(void) { pthread_join(control, NULL); }
int af_jobs_start(void) { return pthread_create(&jobs, NULL, af_jobs_thread, NULL); }
void af_jobs_join(void) { pthread_join(jobs, NULL); }
int af_command_start(struct af_command *command) { return pthread_create(&command->thread, NULL, af_command_thread, command); }
void af_command_join(struct af_command *command) { pthread_join(command->thread, NULL); }

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

static void remember_event(const char *kind, const char *name, const char *body)
{
	char *longer;

	pthread_mutex_lock(&world);
	if (asprintf(&longer, "%s%s: %s\n%s\n", event_text ? event_text : "", kind, name, body) > 0) {
		free(event_text);
		event_text = longer;
	}
	pthread_mutex_unlock(&world);
}

void af_event(struct ast_channel *channel, const char *name, const char *body)
{
	remember_event(channel ? "Event" : "Event without channel", name, body);
}

void af_event_stasis(struct ast_channel *channel, void **snapshot, const char *name, const char *body)
{
	if (channel && !*snapshot) {
		*snapshot = malloc(1);
	}
	remember_event(channel ? "UserEvent" : *snapshot ? "UserEvent from snapshot" : "UserEvent lost", name, body);
}

void af_snapshot_release(void *snapshot) { free(snapshot); }

static void remember_beep(struct ast_channel *channel, const char *kind)
{
	/* Nobody plays with a channel's lock held. */
	int error = pthread_mutex_trylock(&channel->lock);

	if (!error) {
		pthread_mutex_unlock(&channel->lock);
	}
	remember_event("Beep", error ? "with the lock" : kind, "");
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

/* Beeps that meet a stop: they are awaited, are being started, may go on, and have been ended. */
enum { MEETING_NONE, MEETING_AWAITED, MEETING_STARTING, MEETING_FREE, MEETING_ENDED };
static int meeting;

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
struct ast_pbx *ast_channel_pbx(const struct ast_channel *channel)
{
	return channel->no_dialplan ? NULL : (struct ast_pbx *) channel;
}

int af_runs_subroutine(struct ast_channel *channel) { return 0; }
const char *af_caller_number(struct ast_channel *channel) { return channel->caller_number; }
const char *af_caller_name(struct ast_channel *channel) { return channel->caller_name; }

int af_command_run(const char *line, char *const *added)
{
	char *const arguments[] = { "/bin/sh", "-c", (char *) line, NULL };
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, added) || waitpid(pid, &status, 0) < 0) {
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int ast_channel_is_bridged(const struct ast_channel *channel) { return channel->bridged; }

static int registration(void)
{
	if (failing_registration && !--failing_registration) {
		return -1;
	}
	registrations++;
	return 0;
}

static struct { const char *words; char *usage; } commands[16];
static int command_count;

int af_cli_add(const char *words, const char *summary, const char *usage)
{
	commands[command_count].words = words;
	commands[command_count++].usage = strdup(usage);
	return 0;
}

static void forget_commands(void)
{
	while (command_count) {
		free(commands[--command_count].usage);
	}
}

int af_cli_register(void)
{
	int failure = registration();

	if (failure) {
		forget_commands();
	}
	return failure;
}

void af_cli_unregister(void)
{
	registrations--;
	forget_commands();
}

void af_cli_print(int descriptor, const char *text) { dprintf(descriptor, "%s\n", text); }
char *af_cli_word(const char *word) { return strdup(word); }

/* The command with the most words that the line begins with, -1: none. */
static int find_command(const char *line)
{
	int number, found = -1;
	size_t best = 0;

	for (number = 0; number < command_count; number++) {
		size_t length = strlen(commands[number].words);

		if (length > best && !strncasecmp(line, commands[number].words, length) && (!line[length] || line[length] == ' ')) {
			best = length;
			found = number;
		}
	}
	return found;
}

char *fake_cli(const char *line)
{
	int number = find_command(line), descriptor, well_formed;
	char *words[64], *memory = strdup(line), *rest = memory, *word, *text;
	FILE *file;
	long length;
	int count = 0;

	if (number < 0) {
		free(memory);
		return NULL;
	}
	while ((word = strsep(&rest, " ")) && count < 63) {
		if (*word) {
			words[count++] = word;
		}
	}
	words[count] = NULL;
	file = tmpfile();
	descriptor = fileno(file);
	{
		struct ast_cli_args arguments = { .fd = descriptor, .argc = count, .argv = (const char * const *) words, .line = line };

		well_formed = af_cli_run(number, &arguments);
	}
	free(memory);
	length = lseek(descriptor, 0, SEEK_END);
	text = calloc(1, length + 1);
	lseek(descriptor, 0, SEEK_SET);
	if (read(descriptor, text, length) != length) {
		text[0] = '\0';
	}
	fclose(file);
	if (!well_formed) {
		free(text);
		return strdup(commands[number].usage);
	}
	return text;
}

char *fake_complete(const char *line, int n)
{
	const char *word = strrchr(line, ' ') ? strrchr(line, ' ') + 1 : line, *at;
	int number = find_command(line), place = 0;

	for (at = line; at < word; at++) {
		place += *at == ' ';
	}
	if (number < 0) {
		return NULL;
	}
	{
		struct ast_cli_args arguments = { .line = line, .word = word, .pos = place, .n = n };

		return af_cli_complete(number, &arguments);
	}
}

/* AMI: one conversation at a time. */

static struct fake_item {
	const char *kind, *name;
	char *help;
	int authority;
	int (*run)(struct mansession *s, const struct message *m);
	struct fake_item *next;
} *items;
static int documented;
static char *answer;

static void remember(const char *kind, const char *name, int authority, int (*run)(struct mansession *, const struct message *), const char *help)
{
	struct fake_item *item = calloc(1, sizeof(*item));

	item->kind = kind;
	item->name = name;
	item->authority = authority;
	item->run = run;
	item->help = help ? strdup(help) : NULL;
	item->next = items;
	items = item;
}

static struct fake_item *find_item(const char *kind, const char *name)
{
	struct fake_item *item = items;

	while (item && (strcmp(item->kind, kind) || strcasecmp(item->name, name))) {
		item = item->next;
	}
	return item;
}

static void forget_item(const char *kind, const char *name)
{
	struct fake_item **place, *item;

	for (place = &items; (item = *place); place = &item->next) {
		if (!strcmp(item->kind, kind) && !strcmp(item->name, name)) {
			*place = item->next;
			free(item->help);
			free(item);
			return;
		}
	}
}

void fake_documented(int is_documented) { documented = is_documented; }
int af_is_documented(const char *kind, const char *name) { return documented; }

char *fake_help(const char *kind, const char *name)
{
	struct fake_item *item = find_item(kind, name);

	return item && item->help ? strdup(item->help) : NULL;
}

int fake_authority(const char *action)
{
	struct fake_item *item = find_item("manager", action);

	return item ? item->authority : -1;
}

int ast_manager_register2(const char *action, int authority, int (*func)(struct mansession *s, const struct message *m),
	struct ast_module *module, const char *synopsis, const char *description)
{
	int failure = registration();

	if (!failure) {
		remember("manager", action, authority, func, description);
	}
	return failure;
}

int ast_manager_unregister(const char *action)
{
	registrations--;
	forget_item("manager", action);
	return 0;
}

const char *astman_get_header(const struct message *m, char *var)
{
	size_t length = strlen(var);
	unsigned int index;

	for (index = 0; index < m->hdrcount; index++) {
		if (!strncasecmp(m->headers[index], var, length) && m->headers[index][length] == ':') {
			const char *value = m->headers[index] + length + 1;

			return value + strspn(value, " ");
		}
	}
	return "";
}

void af_manager_append(struct mansession *session, const char *text)
{
	char *longer;

	if (asprintf(&longer, "%s%s", answer ? answer : "", text) > 0) {
		free(answer);
		answer = longer;
	}
}

static void respond(const struct message *m, const char *response, const char *listflag, const char *message)
{
	const char *id = astman_get_header(m, "ActionID");

	af_manager_append(NULL, "Response: ");
	af_manager_append(NULL, response);
	if (*id) {
		af_manager_append(NULL, "\r\nActionID: ");
		af_manager_append(NULL, id);
	}
	if (listflag) {
		af_manager_append(NULL, "\r\nEventList: ");
		af_manager_append(NULL, listflag);
	}
	af_manager_append(NULL, "\r\nMessage: ");
	af_manager_append(NULL, message);
	af_manager_append(NULL, "\r\n\r\n");
}

void astman_send_error(struct mansession *s, const struct message *m, char *error) { respond(m, "Error", NULL, error); }

void astman_send_listack(struct mansession *s, const struct message *m, char *msg, char *listflag)
{
	respond(m, "Success", listflag, msg);
}

void astman_send_list_complete_start(struct mansession *s, const struct message *m, const char *event_name, int count)
{
	char number[32];

	snprintf(number, sizeof(number), "%d", count);
	af_manager_append(s, "Event: ");
	af_manager_append(s, event_name);
	af_manager_append(s, "\r\nEventList: Complete\r\nListItems: ");
	af_manager_append(s, number);
	af_manager_append(s, "\r\n");
}

void astman_send_list_complete_end(struct mansession *s) { af_manager_append(s, "\r\n"); }

char *fake_action(const char *lines)
{
	struct message message = { 0 };
	struct fake_item *item;
	char *memory = strdup(lines), *rest = memory, *line, *text;

	while ((line = strsep(&rest, "\n")) && message.hdrcount < 128) {
		if (*line) {
			message.headers[message.hdrcount++] = line;
		}
	}
	item = find_item("manager", astman_get_header(&message, "Action"));
	if (item) {
		item->run(NULL, &message);
	}
	free(memory);
	text = answer;
	answer = NULL;
	return text;
}

/* The dialplan function. */

static char *function_value;

int af_function_register(const char *name, const char *synopsis, const char *syntax, const char *description)
{
	int failure = registration();

	if (!failure) {
		remember("function", name, 0, NULL, description);
	}
	return failure;
}

void af_function_unregister(void)
{
	registrations--;
	forget_item("function", "AUDIOFORK");
}

void af_string_set(struct ast_str **string, ssize_t length, const char *text)
{
	free(function_value);
	function_value = strdup(text);
}

char *fake_function(struct ast_channel *channel, const char *arguments, size_t length)
{
	char *copy = strdup(arguments), *buffer = malloc(length + 1);
	int failure;

	buffer[length] = 'x';
	failure = af_function_read(channel, "AUDIOFORK", copy, buffer, length);
	free(copy);
	/* Written behind the end, or something although it failed. */
	if (buffer[length] != 'x' || (failure && *buffer)) {
		abort();
	}
	if (failure) {
		free(buffer);
		return NULL;
	}
	return buffer;
}

char *fake_function_long(struct ast_channel *channel, const char *arguments)
{
	char *copy = strdup(arguments), *value;
	int failure = af_function_read2(channel, "AUDIOFORK", copy, NULL, 0);

	free(copy);
	value = function_value;
	function_value = NULL;
	if (failure) {
		free(value);
		return NULL;
	}
	return value;
}

struct ast_config *af_config_load(const char *name, int *broken)
{
	struct ast_config *config;
	struct fake_section **section;
	struct ast_variable **last;
	char *line, *rest, *lines;

	*broken = 0;
	pthread_mutex_lock(&world);
	if (!configuration) {
		pthread_mutex_unlock(&world);
		return NULL;
	}
	config = calloc(1, sizeof(*config));
	section = &config->sections;
	*section = calloc(1, sizeof(**section));
	(*section)->name = strdup("general");
	last = &(*section)->variables;
	rest = lines = strdup(configuration);
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (*line == '[') {
			section = &(*section)->next;
			*section = calloc(1, sizeof(**section));
			(*section)->name = strndup(line + 1, strcspn(line + 1, "]"));
			last = &(*section)->variables;
			continue;
		}
		if (!value) {
			continue;
		}
		*value++ = '\0';
		*last = calloc(1, sizeof(**last));
		(*last)->name = strdup(line);
		(*last)->value = strdup(value);
		(*last)->file = "";
		last = &(*last)->next;
	}
	free(lines);
	pthread_mutex_unlock(&world);
	return config;
}

int af_lock_file(const char *path)
{
	int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return descriptor < 0 ? -errno : descriptor;
}

int af_is_private_directory(const char *path)
{
	struct stat found;

	return lstat(path, &found) ? -errno
		: S_ISDIR(found.st_mode) && found.st_uid == geteuid() && !(found.st_mode & 077);
}

int af_is_tmpfs(const char *path)
{
	struct statfs found;

	return !statfs(path, &found) && found.f_type == 0x01021994;
}

int af_is_program(const char *path) { return access(path, X_OK) ? errno : 0; }
int af_errno(void) { return errno; }
long af_clock_ticks(void) { return sysconf(_SC_CLK_TCK); }
long af_page_bytes(void) { return sysconf(_SC_PAGESIZE); }

ssize_t af_read_file(const char *path, void *buffer, size_t length)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = descriptor < 0 ? -errno : read(descriptor, buffer, length);

	if (descriptor >= 0) {
		close(descriptor);
	}
	return count;
}
int af_process_open(int pid) { return -1; }
void af_process_kill(int process) { }
void af_process_terminate(int process) { }
const char *af_built_for(void) { return "22.10.1"; }
const char *af_version(void) { return AF_VERSION; }
const char *af_default_engine(void) { return "/bin/true"; }
/* No tmpfs on any machine. */
const char *af_run_directory(void) { return "/proc"; }

static char shared_memory[256] = "/dev/shm";

void fake_shared_memory(const char *path) { snprintf(shared_memory, sizeof(shared_memory), "%s", path); }
const char *af_shared_memory(void) { return shared_memory; }

int af_spawn_engine(const char *path, const char *directory, int link, int *pid)
{
	int fails = __atomic_load_n(&spawn_failure, __ATOMIC_ACQUIRE);

	if (fails) {
		return fails;
	}
	pthread_mutex_lock(&world);
	if (engine_link >= 0) {
		close(engine_link);
	}
	engine_link = dup(link);
	engines++;
	*pid = 1;
	pthread_cond_signal(&spawned);
	pthread_mutex_unlock(&world);
	return 0;
}

/* Asterisk itself. */

int ast_audiohook_init(struct ast_audiohook *hook, enum ast_audiohook_type type, const char *source, enum ast_audiohook_init_flags flags)
{
	memset(hook, 0, sizeof(*hook));
	recursive(&hook->lock);
	hook->type = type;
	hook->source = source;
	return 0;
}

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

struct ast_datastore *af_datastore_new(const char *uid)
{
	struct ast_datastore *store = calloc(1, sizeof(*store));

	store->info = &datastore_type;
	store->uid = strdup(uid);
	return store;
}

int ast_datastore_free(struct ast_datastore *store)
{
	if (meet(MEETING_STARTING, MEETING_FREE)) {
		wait_while_meeting(MEETING_FREE, 300);
		__atomic_store_n(&meeting, MEETING_NONE, __ATOMIC_RELEASE);
	}
	if (store->data) {
		store->info->destroy(store->data);
	}
	free((void *) store->uid);
	free(store);
	return 0;
}

int ast_channel_datastore_add(struct ast_channel *channel, struct ast_datastore *store)
{
	store->next = channel->datastores;
	channel->datastores = store;
	return 0;
}

int ast_channel_datastore_remove(struct ast_channel *channel, struct ast_datastore *store)
{
	struct ast_datastore **place;

	for (place = &channel->datastores; *place; place = &(*place)->next) {
		if (*place == store) {
			*place = store->next;
			return 0;
		}
	}
	return -1;
}

struct ast_datastore *ast_channel_datastore_find(struct ast_channel *channel, const struct ast_datastore_info *info, const char *uid)
{
	struct ast_datastore *store = channel->datastores;

	while (store && (store->info != info || (uid && strcmp(store->uid, uid)))) {
		store = store->next;
	}
	return store;
}

const char *ast_channel_name(const struct ast_channel *channel) { return channel->name; }
const char *ast_channel_uniqueid(const struct ast_channel *channel) { return channel->unique_id; }
const char *ast_channel_linkedid(const struct ast_channel *channel) { return "1700000000.0"; }
struct ast_format *ast_channel_rawreadformat(struct ast_channel *channel) { return channel->raw[0]; }
struct ast_format *ast_channel_rawwriteformat(struct ast_channel *channel) { return channel->raw[1]; }
unsigned int ast_format_get_sample_rate(const struct ast_format *format) { return format->rate; }
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

int ast_channel_softhangup_internal_flag(struct ast_channel *channel) { return channel->hung_up ? AST_SOFTHANGUP_DEV : 0; }

struct ast_channel *ast_channel_get_by_name(const char *name)
{
	struct ast_channel *channel;

	pthread_mutex_lock(&world);
	for (channel = channels; channel && strcasecmp(channel->name, name) && strcmp(channel->unique_id, name); channel = channel->next) { }
	if (channel) {
		channel->references++;
	}
	pthread_mutex_unlock(&world);
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

const char *ast_get_version(void) { return version ? version : "22.10.1~dfsg-1"; }

char *ast_category_browse(struct ast_config *config, const char *prev_name)
{
	struct fake_section *section = config->sections;

	if (!prev_name) {
		return section->name;
	}
	while (section->name != prev_name) {
		section = section->next;
	}
	return section->next ? section->next->name : NULL;
}

struct ast_variable *ast_variable_browse(const struct ast_config *config, const char *category)
{
	struct fake_section *section = config->sections;

	while (section && section->name != category) {
		section = section->next;
	}
	return section ? section->variables : NULL;
}

void ast_config_destroy(struct ast_config *config)
{
	struct fake_section *section;
	struct ast_variable *variable;

	while ((section = config->sections)) {
		while ((variable = section->variables)) {
			section->variables = variable->next;
			free((void *) variable->name);
			free((void *) variable->value);
			free(variable);
		}
		config->sections = section->next;
		free(section->name);
		free(section);
	}
	free(config);
}

int ast_register_application2(const char *app, int (*execute)(struct ast_channel *, const char *), const char *synopsis,
	const char *description, void *mod)
{
	int failure = registration();

	if (!failure) {
		remember("application", app, 0, NULL, description);
	}
	return failure;
}

int ast_unregister_application(const char *app)
{
	registrations--;
	forget_item("application", app);
	return 0;
}

char *ast_complete_channels(const char *line, const char *word, int pos, int state, int rpos)
{
	struct ast_channel *channel;
	char *found = NULL;

	if (pos != rpos) {
		return NULL;
	}
	pthread_mutex_lock(&world);
	for (channel = channels; channel && !found; channel = channel->next) {
		if (!strncasecmp(channel->name, word, strlen(word)) && !state--) {
			found = strdup(channel->name);
		}
	}
	pthread_mutex_unlock(&world);
	return found;
}
