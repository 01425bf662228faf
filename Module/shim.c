/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief What Swift cannot say: macros, variadic functions, registration tables. Everything else is in Swift.
 *
 * Includes its own declarations by way of the same header that Swift imports.
 */

/*** MODULEINFO
	<support_level>extended</support_level>
 ***/

#include "af_asterisk.h"

#include "asterisk/lock.h"
#include "asterisk/logger.h"
#include "asterisk/utils.h"
#include "asterisk/xml.h"
#include "asterisk/xmldoc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
/* glibc 2.34 gave these a new version; the old one is still there and is all that older systems have. */
__asm__(".symver pthread_join,pthread_join@GLIBC_2.2.5");
#endif

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* The log names the module; a line of this file would tell nobody anything. */
#define LOG_SOURCE AST_MODULE, 0, "AudioFork"

AST_MUTEX_DEFINE_STATIC(table_lock);

static pthread_t control_thread = AST_PTHREADT_NULL;

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
		ast_verb(3, "%s\n", text);
		break;
	default:
		ast_debug(1, "%s\n", text);
		break;
	}
}

void af_channel_lock(struct ast_channel *channel) { ast_channel_lock(channel); }
void af_channel_unlock(struct ast_channel *channel) { ast_channel_unlock(channel); }
void af_channel_unref(struct ast_channel *channel) { ast_channel_unref(channel); }

void af_table_lock(void) { ast_mutex_lock(&table_lock); }
void af_table_unlock(void) { ast_mutex_unlock(&table_lock); }

static const struct ast_datastore_info datastore_info = {
	.type = "audiofork",
	.destroy = af_datastore_destroyed,
};

struct ast_datastore *af_datastore_new(const char *uid) { return ast_datastore_alloc(&datastore_info, uid); }
const struct ast_datastore_info *af_datastore_type(void) { return &datastore_info; }

void af_module_hold(void) { ast_module_ref(AST_MODULE_SELF); }
void af_module_release(void) { ast_module_unref(AST_MODULE_SELF); }
struct ast_module *af_module_self(void) { return AST_MODULE_SELF; }

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

void af_string_set(struct ast_str **string, ssize_t length, const char *text) { ast_str_set(string, length, "%s", text); }

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
			ast_log(__LOG_ERROR, LOG_SOURCE, "%s cannot be read: %s; let Asterisk's user read it\n", path, strerror(errno));
			*broken = 1;
		}
	}
	return config == CONFIG_STATUS_FILEMISSING || *broken ? NULL : config;
}

int af_errno(void) { return errno; }
long af_clock_ticks(void) { return sysconf(_SC_CLK_TCK); }
long af_page_bytes(void) { return sysconf(_SC_PAGESIZE); }

ssize_t af_read_file(const char *path, void *buffer, size_t length)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count;

	if (descriptor < 0) {
		return -errno;
	}
	count = read(descriptor, buffer, length);
	close(descriptor);
	return count;
}

int af_lock_file(const char *path)
{
	int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (descriptor < 0) {
		return -errno;
	}
	if (flock(descriptor, LOCK_EX | LOCK_NB)) {
		int failure = errno;

		close(descriptor);
		return -failure;
	}
	return descriptor;
}

int af_is_private_directory(const char *path)
{
	struct statx found;

	/* statx and not lstat: the latter is a symbol of glibc 2.33 */
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MODE | STATX_UID, &found)) {
		return -errno;
	}
	return S_ISDIR(found.stx_mode) && found.stx_uid == geteuid() && !(found.stx_mode & 077);
}

int af_is_tmpfs(const char *path)
{
	struct statfs found;

	return !statfs(path, &found) && (found.f_type == TMPFS_MAGIC || found.f_type == RAMFS_MAGIC);
}

int af_is_program(const char *path)
{
	struct statx found;

	if (statx(AT_FDCWD, path, 0, STATX_TYPE, &found) || access(path, X_OK)) {
		return errno;
	}
	return S_ISDIR(found.stx_mode) ? EISDIR : S_ISREG(found.stx_mode) ? 0 : EACCES;
}

int af_process_open(int pid) { return (int) syscall(SYS_pidfd_open, pid, 0); }
void af_process_kill(int process) { syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0); }

int af_spawn_engine(const char *path, const char *directory, int link, int *pid)
{
	char *const arguments[] = {
		(char *) "audiofork", (char *) "engine", (char *) "--link", (char *) "3",
		(char *) "--directory", (char *) directory, NULL
	};
	/* Nothing of Asterisk's environment; and a crash is to end at once, not to be unwound and printed. */
	char *const environment[] = {
		(char *) "PATH=/usr/local/bin:/usr/bin:/bin", (char *) "LANG=C.UTF-8",
		(char *) "SWIFT_BACKTRACE=enable=no", NULL
	};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	struct sched_param priority = { 0 };
	sigset_t all, none;
	int failure;

	sigfillset(&all);
	sigemptyset(&none);
	if ((failure = posix_spawn_file_actions_init(&actions))) {
		return failure;
	}
	if ((failure = posix_spawnattr_init(&attributes))) {
		posix_spawn_file_actions_destroy(&actions);
		return failure;
	}
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
	posix_spawn_file_actions_adddup2(&actions, 0, 2);
	posix_spawn_file_actions_adddup2(&actions, link, AF_LINK_DESCRIPTOR);
	/* Asterisk blocks and handles signals, and runs SCHED_RR under -p: the engine must inherit none of that. */
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
	posix_spawnattr_setschedparam(&attributes, &priority);
	posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDULER);
	failure = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failure;
}

const char *af_built_for(void) { return AF_ASTERISK_VERSION; }
const char *af_version(void) { return AF_VERSION; }
const char *af_default_engine(void) { return AF_ENGINE; }
const char *af_run_directory(void) { return ast_config_AST_RUN_DIR; }

static int load_module(void) { return af_load() ? AST_MODULE_LOAD_DECLINE : AST_MODULE_LOAD_SUCCESS; }
static int unload_module(void) { return af_unload(); }
static int reload_module(void) { return af_reload(); }

AST_MODULE_INFO(ASTERISK_GPL_KEY, AST_MODFLAG_LOAD_ORDER, "Forks a call's audio to a WebSocket server",
	.support_level = AST_MODULE_SUPPORT_EXTENDED,
	.load = load_module,
	.unload = unload_module,
	.reload = reload_module,
	.load_pri = AST_MODPRI_DEFAULT,
);
