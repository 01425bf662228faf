/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief What the module needs of Asterisk and Swift cannot express: macros, variadic functions, registration tables.
 *
 * The audio path is not in this file. Asterisk calls the hook of a fork directly: af_hook() in
 * Sources/AudioForkCapture/Hook/Hook.swift. What has nothing to do with Asterisk is in process.c.
 */

/*** MODULEINFO
	<support_level>extended</support_level>
 ***/

#include "af_asterisk.h"

#include "asterisk/astobj2.h"
#include "asterisk/beep.h"
#include "asterisk/bridge_channel.h"
#include "asterisk/format_cache.h"
#include "asterisk/format_cap.h"
#include "asterisk/indications.h"
#include "asterisk/json.h"
#include "asterisk/lock.h"
#include "asterisk/logger.h"
#include "asterisk/manager.h"
#include "asterisk/options.h"
#include "asterisk/stasis.h"
#include "asterisk/stasis_channels.h"
#include "asterisk/strings.h"
#include "asterisk/translate.h"
#include "asterisk/utils.h"
#include "asterisk/xml.h"
#include "asterisk/xmldoc.h"

#include <dlfcn.h>
#include <errno.h>

#if defined(__x86_64__)
/* glibc 2.34 gave these a new version; the old one is still there and is all that older systems have. */
__asm__(".symver pthread_join,pthread_join@GLIBC_2.2.5");
__asm__(".symver dlopen,dlopen@GLIBC_2.2.5");
__asm__(".symver dlclose,dlclose@GLIBC_2.2.5");
#endif

/*
 * The log names the module; a line of this file would tell nobody anything. ast_verb() and ast_debug() name the file,
 * which is why they are spelled out below: one grep for app_audiofork finds every line.
 */
#define LOG_SOURCE AST_MODULE, 0, "AudioFork"

AST_MUTEX_DEFINE_STATIC(table_lock);
AST_MUTEX_DEFINE_STATIC(directory_lock);

static pthread_t control_thread = AST_PTHREADT_NULL;
static pthread_t jobs_thread = AST_PTHREADT_NULL;
static pthread_t commands_thread = AST_PTHREADT_NULL;

void af_log(int level, const char *text)
{
	switch (level) {
	case AF_LEVEL_ERROR:
		ast_log(__LOG_ERROR, LOG_SOURCE, "%s\n", text);
		break;
	case AF_LEVEL_WARNING:
		ast_log(__LOG_WARNING, LOG_SOURCE, "%s\n", text);
		break;
	case AF_LEVEL_NOTICE:
		ast_log(__LOG_NOTICE, LOG_SOURCE, "%s\n", text);
		break;
	case AF_LEVEL_VERBOSE:
		if (VERBOSITY_ATLEAST(3)) {
			__ast_verbose(LOG_SOURCE, 3, "%s\n", text);
		}
		break;
	default:
		if (DEBUG_ATLEAST(1)) {
			ast_log(__LOG_DEBUG, LOG_SOURCE, "%s\n", text);
		}
		break;
	}
}

void af_channel_lock(struct ast_channel *channel) { ast_channel_lock(channel); }
void af_channel_unlock(struct ast_channel *channel) { ast_channel_unlock(channel); }
void af_channel_unref(struct ast_channel *channel) { ast_channel_unref(channel); }

void *af_raw_format(struct ast_channel *channel, unsigned int direction)
{
	return ao2_bump(direction ? ast_channel_rawwriteformat(channel) : ast_channel_rawreadformat(channel));
}

void *af_next_formats(struct ast_channel *channel, void *format)
{
	struct ast_format_cap *native = ast_channel_nativeformats(channel);

	/* A channel driver passes native formats on and nothing else. Where the core has no path from the old raw format
	 * to the new one, it keeps the old one until the first frame. */
	if (!format || !native || (ast_channel_state(channel) == AST_STATE_UP &&
		ast_format_cap_iscompatible_format(native, format) != AST_FORMAT_CMP_NOT_EQUAL)) {
		return NULL;
	}
	return ao2_bump(native);
}

void *af_negotiated_format(struct ast_channel *channel, void *format)
{
	struct ast_format_cap *native = ast_channel_nativeformats(channel);

	if (!format || !native || ast_format_cap_iscompatible_format(native, format) != AST_FORMAT_CMP_NOT_EQUAL) {
		return NULL;
	}
	/* Video may come before audio. */
	return ast_format_cap_get_best_by_type(native, AST_MEDIA_TYPE_AUDIO);
}

void af_format_release(void *format) { ao2_cleanup(format); }
const char *af_format_name(void *format) { return ast_format_get_name(format); }

/*! Signed linear as audiohook.c asks for it. Not referenced. */
static struct ast_format *linear(struct ast_format *format)
{
	return ast_format_cache_get_slin_by_rate(ast_format_get_sample_rate(format));
}

const char *af_format_linear_name(void *format) { return ast_format_get_name(linear(format)); }

/*!
 * Whether there is a path from one of the formats to signed linear at this format's rate. Where there is none
 * ast_translate_path_steps() and ast_translator_build_path() would log it each time.
 */
static int has_path(struct ast_format_cap *from, struct ast_format *to)
{
	struct ast_format_cap *targets = ast_format_cap_alloc(AST_FORMAT_CAP_FLAG_DEFAULT);
	struct ast_format *chosen_from = NULL, *chosen_to = NULL;
	int found = 1;

	if (targets && !ast_format_cap_append(targets, to, 0)) {
		found = !ast_translator_best_choice(targets, from, &chosen_to, &chosen_from);
	}
	ao2_cleanup(chosen_from);
	ao2_cleanup(chosen_to);
	ao2_cleanup(targets);
	return found;
}

int af_format_translates(void *format)
{
	struct ast_format_cap *from;
	int translates = 1;

	if (!format || ast_format_cmp(format, ast_format_none) == AST_FORMAT_CMP_EQUAL ||
		ast_format_cmp(format, linear(format)) == AST_FORMAT_CMP_EQUAL) {
		return 1;
	}
	from = ast_format_cap_alloc(AST_FORMAT_CAP_FLAG_DEFAULT);
	if (from && !ast_format_cap_append(from, format, 0)) {
		translates = has_path(from, linear(format));
	}
	ao2_cleanup(from);
	return translates;
}

int af_formats_translate(void *formats)
{
	return !ast_format_cap_empty(formats) && has_path(formats, ast_format_slin);
}

void af_table_lock(void) { ast_mutex_lock(&table_lock); }
void af_table_unlock(void) { ast_mutex_unlock(&table_lock); }
void af_hook_lock(struct ast_audiohook *hook) { ast_audiohook_lock(hook); }
void af_hook_unlock(struct ast_audiohook *hook) { ast_audiohook_unlock(hook); }
void af_directory_lock(void) { ast_mutex_lock(&directory_lock); }
void af_directory_unlock(void) { ast_mutex_unlock(&directory_lock); }

uint64_t *af_rates_changed(void)
{
	static uint64_t word;

	return &word;
}

static const struct ast_datastore_info datastore_info = {
	.type = "audiofork",
	.destroy = af_datastore_destroyed,
	/* The fork's channel goes on as `to`, whether it was the one that moved or the one moved into. */
	.chan_fixup = af_datastore_moved,
	.chan_breakdown = af_datastore_moved,
};

struct ast_datastore *af_datastore_new(const char *uid) { return ast_datastore_alloc(&datastore_info, uid); }
const struct ast_datastore_info *af_datastore_type(void) { return &datastore_info; }

void af_module_hold(void) { ast_module_ref(AST_MODULE_SELF); }
void af_module_release(void) { ast_module_unref(AST_MODULE_SELF); }
struct ast_module *af_module_self(void) { return AST_MODULE_SELF; }

static void *pin;

void af_module_pin(void)
{
	char path[PATH_MAX];

	if (!pin) {
		snprintf(path, sizeof(path), "%s/%s.so", ast_config_AST_MODULE_DIR, AST_MODULE);
		pin = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	}
}

void af_module_unpin(void)
{
	if (pin) {
		void *handle = pin;

		pin = NULL;
		dlclose(handle);
	}
}

void af_module_hand_over_pin(void) { pin = NULL; }

int af_control_start(void)
{
	return ast_pthread_create_background(&control_thread, NULL, af_control_thread, NULL);
}

void af_control_join(void)
{
	if (control_thread != AST_PTHREADT_NULL) {
		pthread_join(control_thread, NULL);
		control_thread = AST_PTHREADT_NULL;
	}
}

int af_jobs_start(void) { return ast_pthread_create_background(&jobs_thread, NULL, af_jobs_thread, NULL); }

void af_jobs_join(void)
{
	if (jobs_thread != AST_PTHREADT_NULL) {
		pthread_join(jobs_thread, NULL);
		jobs_thread = AST_PTHREADT_NULL;
	}
}

int af_commands_start(void)
{
	return ast_pthread_create_background(&commands_thread, NULL, af_commands_thread, NULL);
}

void af_commands_join(void)
{
	if (commands_thread != AST_PTHREADT_NULL) {
		pthread_join(commands_thread, NULL);
		commands_thread = AST_PTHREADT_NULL;
	}
}

int af_command_spawn(const char *line, char *const *added, int *pid)
{
	int failure;

	/* ast_safe_system() but for the environment, fork() and the wait. Meanwhile Asterisk leaves children to those who
	 * wait for them. */
	ast_replace_sigchld();
	failure = af_spawn_shell(line, added, ast_opt_high_priority, pid);
	if (failure) {
		ast_unreplace_sigchld();
	}
	return failure;
}

int af_command_ended(int pid, int *status)
{
	int ended = af_child_ended(pid, status);

	if (ended) {
		ast_unreplace_sigchld();
	}
	return ended;
}

const char *af_caller_number(struct ast_channel *channel)
{
	const struct ast_party_number *number = &ast_channel_caller(channel)->id.number;

	return number->valid ? number->str : NULL;
}

const char *af_caller_name(struct ast_channel *channel)
{
	const struct ast_party_name *name = &ast_channel_caller(channel)->id.name;

	return name->valid ? name->str : NULL;
}

int af_runs_subroutine(struct ast_channel *channel)
{
	return ast_test_flag(ast_channel_flags(channel), AST_FLAG_SUBROUTINE_EXEC) != 0;
}

char *af_read(struct ast_channel *channel, const char *text, int is_function)
{
	struct ast_str *buffer = ast_str_create(1024);
	int inhibited = ast_thread_inhibit_escalations_swap(1);
	const char *value = NULL;
	char *result = NULL;

	if (buffer && is_function) {
		value = ast_func_read2(channel, text, &buffer, 0) ? NULL : ast_str_buffer(buffer);
	} else if (buffer) {
		value = ast_str_retrieve_variable(&buffer, 0, channel, NULL, text);
	}
	/* libc's: Swift frees it */
	if (value && (result = ast_std_malloc(strlen(value) + 1))) {
		strcpy(result, value);
	}
	ast_free(buffer);
	if (!inhibited) {
		ast_thread_inhibit_escalations_swap(0);
	}
	return result;
}

char *af_evaluate_given(struct ast_channel *channel, const char *text)
{
	struct ast_str *buffer = ast_str_create(1024);
	char *result;

	if (!buffer) {
		return NULL;
	}
	ast_str_substitute_variables(&buffer, 0, channel, text);
	/* libc's: Swift frees it */
	result = ast_std_malloc(ast_str_strlen(buffer) + 1);
	if (result) {
		strcpy(result, ast_str_buffer(buffer));
	}
	ast_free(buffer);
	return result;
}

char *af_evaluate(struct ast_channel *channel, const char *text)
{
	int inhibited = ast_thread_inhibit_escalations_swap(0);
	char *result = af_evaluate_given(channel, text);

	if (inhibited > 0) {
		ast_thread_inhibit_escalations();
	}
	return result;
}

void af_event(struct ast_channel *channel, const char *name, const char *body)
{
	struct ast_channel *channels[] = { channel };

	/* The channel's name, and the variables that manager.conf's channelvars adds, are read under its lock. */
	if (channel) {
		ast_channel_lock(channel);
	}
	__ast_manager_event_multichan(EVENT_FLAG_CALL, name, channel ? 1 : 0, channels, __FILE__, __LINE__, __func__,
		"%s", body);
	if (channel) {
		ast_channel_unlock(channel);
	}
}

/*! The lines of an event as a JSON object, and its name as Asterisk's UserEvent() has it. */
static struct ast_json *event_json(const char *name, const char *body)
{
	struct ast_json *json = ast_json_object_create();
	char *lines = ast_strdup(body), *rest = lines, *line;

	if (json) {
		ast_json_object_set(json, "eventname", ast_json_string_create(name));
	}
	while (json && rest && (line = strsep(&rest, "\n"))) {
		char *value = strstr(line, ": ");

		if (!value) {
			continue;
		}
		*value = '\0';
		value += 2;
		value[strcspn(value, "\r")] = '\0';
		ast_json_object_set(json, line, ast_json_string_create(AST_JSON_UTF8_VALIDATE(value)));
	}
	ast_free(lines);
	return json;
}

void af_event_stasis(struct ast_channel *channel, void **snapshot, const char *name, const char *body)
{
	struct ast_json *json = event_json(name, body);

	if (!json) {
		return;
	}
	if (channel) {
		ast_channel_lock(channel);
		ao2_cleanup(*snapshot);
		*snapshot = ast_channel_snapshot_create(channel);
		ast_multi_object_blob_single_channel_publish(channel, ast_multi_user_event_type(), json);
		ast_channel_unlock(channel);
	} else if (*snapshot && ast_multi_user_event_type()) {
		struct ast_multi_object_blob *multi = ast_multi_object_blob_create(json);
		struct stasis_message *message = NULL;

		if (multi) {
			/* steals the reference */
			ast_multi_object_blob_add(multi, STASIS_UMOS_CHANNEL, ao2_bump(*snapshot));
			message = stasis_message_create(ast_multi_user_event_type(), multi);
			ao2_ref(multi, -1);
		}
		if (message) {
			/* The channel's own topic is gone with it: whoever listens to all channels hears of it. */
			stasis_publish(ast_channel_topic_all(), message);
			ao2_ref(message, -1);
		}
	}
	ast_json_unref(json);
}

void af_snapshot_release(void *snapshot) { ao2_cleanup(snapshot); }

int af_beep(struct ast_channel *channel)
{
	struct ast_bridge_channel *bridge_channel;
	int failed;

	ast_channel_lock(channel);
	bridge_channel = ast_channel_get_bridge_channel(channel);
	if (!bridge_channel) {
		/*
		 * Not interruptible: what is written meanwhile is left out, and not the beep. Not into a file that is being
		 * played: its timer would be the generator's, and the end of the beep would be its own.
		 */
		failed = ast_channel_generator(channel) || ast_channel_stream(channel)
			|| ast_playtones_start(channel, 0, "!1000/300", 0);
		ast_channel_unlock(channel);
		return failed ? -1 : 0;
	}
	ast_channel_unlock(channel);
	failed = ast_bridge_channel_queue_playfile(bridge_channel, NULL, "beep", NULL);
	ao2_ref(bridge_channel, -1);
	return failed ? -1 : 0;
}

int af_beeps_start(struct ast_channel *channel, unsigned int seconds, char *id, size_t size)
{
	return ast_beep_start(channel, seconds, id, size);
}

int af_beeps_stop(struct ast_channel *channel, const char *id) { return ast_beep_stop(channel, id); }

/* The commands' texts stand in Swift; the entries are Asterisk's, which writes to them. */
#define CLI_COMMANDS_MAX 16

static struct ast_cli_entry cli_entries[CLI_COMMANDS_MAX];
static struct { const char *words; char *usage; } cli_texts[CLI_COMMANDS_MAX];
static int cli_count;

static char *cli_handler(struct ast_cli_entry *entry, int command, struct ast_cli_args *arguments)
{
	int number = (int) (entry - cli_entries);

	switch (command) {
	case CLI_INIT:
		entry->command = (char *) cli_texts[number].words;
		entry->usage = cli_texts[number].usage;
		return NULL;
	case CLI_GENERATE:
		return af_cli_complete(number, arguments);
	default:
		return af_cli_run(number, arguments) ? CLI_SUCCESS : CLI_SHOWUSAGE;
	}
}

int af_cli_add(const char *words, const char *summary, const char *usage)
{
	struct ast_cli_entry entry = AST_CLI_DEFINE(cli_handler, summary);

	if (cli_count == CLI_COMMANDS_MAX || !(cli_texts[cli_count].usage = ast_strdup(usage))) {
		return -1;
	}
	cli_texts[cli_count].words = words;
	memcpy(&cli_entries[cli_count++], &entry, sizeof(entry));
	return 0;
}

int af_cli_register(void)
{
	if (ast_cli_register_multiple(cli_entries, cli_count)) {
		af_cli_unregister();
		return -1;
	}
	return 0;
}

void af_cli_unregister(void)
{
	ast_cli_unregister_multiple(cli_entries, cli_count);
	while (cli_count) {
		ast_free(cli_texts[--cli_count].usage);
	}
}

void af_cli_print(int descriptor, const char *text) { ast_cli(descriptor, "%s\n", text); }
char *af_cli_word(const char *word) { return ast_strdup(word); }

void af_manager_append(struct mansession *session, const char *text) { astman_append(session, "%s", text); }

/* The core writes to the struct and grew it within series: a release newer than our headers needs what lies behind. */
static struct {
	struct ast_custom_function function;
	char spare[256];
} fork_function;

static char *fork_function_texts[3];

static void free_function_texts(void)
{
	size_t index;

	for (index = 0; index < ARRAY_LEN(fork_function_texts); index++) {
		ast_free(fork_function_texts[index]);
		fork_function_texts[index] = NULL;
	}
}

int af_function_register(const char *name, const char *synopsis, const char *syntax, const char *description)
{
	struct ast_custom_function *function = &fork_function.function;

	memset(&fork_function, 0, sizeof(fork_function));
	function->name = name;
	function->read = af_function_read;
	function->read2 = af_function_read2;
	if (synopsis) {
		if (!(fork_function_texts[0] = ast_strdup(synopsis)) || !(fork_function_texts[1] = ast_strdup(syntax)) ||
			!(fork_function_texts[2] = ast_strdup(description))) {
			free_function_texts();
			return -1;
		}
		/* constant for everybody but the macros of string fields, which need a pool */
		memcpy((void *) &function->synopsis, &fork_function_texts[0], sizeof(char *));
		memcpy((void *) &function->syntax, &fork_function_texts[1], sizeof(char *));
		memcpy((void *) &function->desc, &fork_function_texts[2], sizeof(char *));
	}
	if (ast_custom_function_register(function)) {
		free_function_texts();
		return -1;
	}
	return 0;
}

void af_function_unregister(void)
{
	ast_custom_function_unregister(&fork_function.function);
	free_function_texts();
}

void af_string_set(struct ast_str **string, ssize_t length, const char *text)
{
	ast_str_set(string, length, "%s", text);
}

int af_is_documented(const char *kind, const char *name)
{
#ifdef AST_XML_DOCS
	struct ast_xml_xpath_results *found = ast_xmldoc_query("/docs/%s[@name='%s']", kind, name);

	if (found) {
		ast_xml_xpath_results_free(found);
		return 1;
	}
#endif
	return 0;
}

struct ast_config *af_config_load(const char *name, int *broken)
{
	struct ast_flags flags = { 0 };
	struct ast_config *config = ast_config_load2(name, AST_MODULE, flags);

	*broken = config == CONFIG_STATUS_FILEINVALID;
	if (config == CONFIG_STATUS_FILEMISSING) {
		/* Asterisk says the same of a file that it may not read. */
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", ast_config_AST_CONFIG_DIR, name);
		if (!access(path, F_OK) && access(path, R_OK)) {
			ast_log(__LOG_ERROR, LOG_SOURCE, "%s cannot be read: %s; let Asterisk's user read it\n",
				path, strerror(errno));
			*broken = 1;
		}
	}
	return config == CONFIG_STATUS_FILEMISSING || *broken ? NULL : config;
}

const char *af_built_for(void) { return AF_ASTERISK_VERSION; }
const char *af_version(void) { return AF_VERSION; }
const char *af_default_engine(void) { return AF_ENGINE; }
const char *af_run_directory(void) { return ast_config_AST_RUN_DIR; }
const char *af_shared_memory(void) { return "/dev/shm"; }

const char *af_private_folder(unsigned int number)
{
	const char *const folders[] = {
		ast_config_AST_CONFIG_DIR, ast_config_AST_SPOOL_DIR, ast_config_AST_MONITOR_DIR,
		ast_config_AST_RECORDING_DIR, ast_config_AST_VAR_DIR, ast_config_AST_DATA_DIR, ast_config_AST_KEY_DIR,
		ast_config_AST_LOG_DIR
	};

	return number < ARRAY_LEN(folders) ? folders[number] : NULL;
}

static int load_module(void) { return af_load() ? AST_MODULE_LOAD_DECLINE : AST_MODULE_LOAD_SUCCESS; }
static int unload_module(void) { return af_unload(); }
static int reload_module(void) { return af_reload(); }

AST_MODULE_INFO(ASTERISK_GPL_KEY, AST_MODFLAG_LOAD_ORDER, "Forks a call's audio to a WebSocket server",
	.support_level = AST_MODULE_SUPPORT_EXTENDED,
	.load = load_module,
	.unload = unload_module,
	.reload = reload_module,
	.load_pri = AST_MODPRI_DEFAULT,
	.optional_modules = "func_periodic_hook",
);
