/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief Asterisk as the capture module's Swift sees it: the headers, and what only C can say about them.
 *
 * Ordinary functions, enums and structs of Asterisk are called from Swift directly. Here stand the macros, the
 * variadic functions, the registration tables, and the one struct that embeds a struct of Asterisk's.
 */
#ifndef AF_ASTERISK_H
#define AF_ASTERISK_H

#include "asterisk.h"

#include "asterisk/app.h"
#include "asterisk/ast_version.h"
#include "asterisk/audiohook.h"
#include "asterisk/causes.h"
#include "asterisk/channel.h"
#include "asterisk/cli.h"
#include "asterisk/config.h"
#include "asterisk/datastore.h"
#include "asterisk/file.h"
#include "asterisk/format.h"
#include "asterisk/frame.h"
#include "asterisk/manager.h"
#include "asterisk/module.h"
#include "asterisk/paths.h"
#include "asterisk/pbx.h"
#include "asterisk/strings.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "af_link.h"
#include "af_module_process.h"
#include "af_tap.h"
#include "af_version.h"

/*! Room for a fork's counters, which Swift names (Sources/AudioForkSurface/Counter.swift). */
enum { AF_COUNTERS_MAX = 32 };

/*! Lists of the fork table: all rows, those that the engine does not know, those to look at. */
enum af_fork_list { AF_LIST_ROWS, AF_LIST_UNSENT, AF_LIST_LOOKS, AF_LISTS };

/*! A fork's place in one of these lists. */
struct af_fork_place {
	struct af_fork *next;
	struct af_fork *previous;
	uint8_t is_taken;            /*!< the fork is in the list */
};

/*! A ring that another one has continued, as long as the engine needs it. */
struct af_old_ring {
	uint64_t bytes;              /*!< what it counts in buffer_total */
	uint64_t captured[2];        /*!< per direction, samples captured up to its end */
};

/*!
 * \brief One fork. Two owners: the channel's datastore and the fork table; the last one frees it.
 *
 * The callback touches `hook`, `tap` and `only_bridged`. Everything behind them is guarded by the table's lock, but for
 * the strings, which never change while the fork lives.
 */
struct af_fork {
	struct ast_audiohook hook;   /*!< first: the callback's hook is the fork */
	uint8_t spare[128];          /*!< 16.30, 18.16 and 20.1 grew the struct above within their series */
	struct af_tap tap;
	struct af_fork_place places[AF_LISTS];
	struct af_fork *bucket_next; /*!< the next row whose id is in the same bucket */
	uint32_t id_hash;
	uint32_t owners;
	uint8_t hook_alive;          /*!< ast_audiohook_destroy() has not run yet */
	uint8_t hook_ending;         /*!< the hook has been told to leave at its next frame */
	uint8_t leave_asked;         /*!< a job waits that takes the hook of an ended fork off its channel */
	uint8_t ended;               /*!< the engine has ended the fork */
	uint8_t is_held;             /*!< the running engine is not told of the fork: it may not open its files */
	uint8_t hook_off;            /*!< in no list: nothing can be captured; changes with the channel locked too */
	uint8_t untranslated;        /*!< directions whose codec Asterisk only passes through, bits as in tap.directions */
	uint8_t codec_lines;         /*!< lines in the log about changes of the above */
	uint8_t looks_missed;        /*!< looks in a row that found no channel while the hook was off */
	uint64_t looked_at[2];       /*!< per direction, what was captured at the last look; the jobs thread's */
	uint32_t first_engine;       /*!< number of the first engine that may open its files; never changes */
	int64_t released_at_ns;      /*!< CLOCK_MONOTONIC of the end of is_held, 0: it never was */
	uint32_t rate_hz;            /*!< of the channel's raw formats when the fork began */
	uint8_t only_bridged;        /*!< option b; never changes, read by the callback */
	uint8_t wants_digits;        /*!< servers are told of DTMF: by the dialect, not with digits = no; never changes */
	uint8_t beeps_at_stop;       /*!< option P; never changes */
	uint8_t hangs_up;            /*!< on_failure = hangup; 0 again once the call has been told to end */
	uint32_t drain_seconds;      /*!< never changes */
	uint32_t buffer_seconds;     /*!< never changes */
	uint32_t beep_seconds;       /*!< option B; 0: none; never changes */
	uint64_t ring_bytes;         /*!< what the ring counts in buffer_total; 0 when it is unmapped */
	uint32_t generation;         /*!< of the ring: 0 for the first one */
	uint32_t old_count;          /*!< used places of old_rings */
	struct af_old_ring old_rings[AF_RING_GENERATIONS_ALIVE - 1]; /*!< the oldest first */
	int64_t ring_retry_ns;       /*!< CLOCK_MONOTONIC before which no further ring is tried */
	uint8_t ring_complained;     /*!< the log has a line about a ring that could not be made */
	int64_t reported_at_ns;      /*!< CLOCK_MONOTONIC of the engine's last report of the counters, 0 before */
	int64_t closed_at_ns;        /*!< CLOCK_MONOTONIC when the end of capture was noticed, 0 before */
	char *id;                    /*!< never changes, as the strings down to command */
	char *url;                   /*!< the first one, without secrets */
	char *direction;
	char *format;
	char *verification;          /*!< none, verified or insecure */
	char *text_variable;         /*!< option x; empty: none */
	char *command;               /*!< run when the fork has ended; evaluated; empty: none */
	char *caller_number;         /*!< the caller's when the fork began; for the command */
	char *caller_name;
	char *beep_id;               /*!< of option B's beeps; NULL: none, or ended */
	char *channel;               /*!< name, uniqueid and linkedid as last seen; change with a masquerade */
	char *uniqueid;
	char *linkedid;
	char *endpoint;              /*!< the URL in use, without secrets; empty before the engine said */
	char *reason;
	char *codec_problem;         /*!< which translator `untranslated` lacks; NULL: none */
	char *response;              /*!< the server's last text, cut */
	char *transcript;            /*!< the last final utterance that the server has recognized, cut */
	uint8_t state;               /*!< the engine's last word about it: a ForkStateName, 0 before */
	uint8_t confirmation;        /*!< of the confirmed position: a ConfirmationLevel, 0 before the first connection */
	uint64_t counters[AF_COUNTERS_MAX]; /*!< as the engine reported them last: by a Counter's raw value */
};

enum af_fork_offset {
	AF_FORK_TAP_OFFSET = offsetof(struct af_fork, tap),
	AF_FORK_COUNTERS_OFFSET = offsetof(struct af_fork, counters),
	AF_FORK_PLACES_OFFSET = offsetof(struct af_fork, places),
	AF_FORK_OLD_RINGS_OFFSET = offsetof(struct af_fork, old_rings),
};

/*! \brief Writes one line to Asterisk's log. \param level enum af_level \note takes no lock of ours */
void af_log(int level, const char *text);

void af_channel_lock(struct ast_channel *channel);
void af_channel_unlock(struct ast_channel *channel);
void af_channel_unref(struct ast_channel *channel);

/*!
 * \brief The format in which audio comes from the channel's device (direction 0) or goes to it (1), referenced.
 * \retval NULL it has none \note the channel is locked
 */
void *af_raw_format(struct ast_channel *channel, unsigned int direction);
/*!
 * \brief Formats of which one may take the place of this raw one with the next frame, referenced: the native ones of a
 * channel that is not answered yet, or from which this one was negotiated away.
 * \retval NULL the raw format is the one in use \note the channel is locked
 */
void *af_next_formats(struct ast_channel *channel, void *format);
/*!
 * \brief The native format that takes the place of this raw one with the next frame, referenced; the first one if there
 * are several.
 * \retval NULL the raw format is a native one, or NULL \note the channel is locked
 */
void *af_negotiated_format(struct ast_channel *channel, void *format);
/*! \brief 1 if Asterisk can translate one of these formats to signed linear. \note as af_format_translates() */
int af_formats_translate(void *formats);
/*! \brief Gives a format or formats up. NULL is none. */
void af_format_release(void *format);
/*! \brief The format's name, and that of signed linear at its rate: they live as long as the format. */
const char *af_format_name(void *format);
const char *af_format_linear_name(void *format);
/*!
 * \brief 1 if Asterisk can translate the format to signed linear at its rate, or if it is NULL: not known yet.
 * \note logs nothing; waits for the translators' lock, so that no channel may be locked
 */
int af_format_translates(void *format);

/*! \brief The lock of the fork table. \note a leaf: no channel is locked while it is held; hooks may be */
void af_table_lock(void);
void af_table_unlock(void);

/*! \brief The lock of a hook, which Asterisk holds while it calls back. \note behind the table's lock */
void af_hook_lock(struct ast_audiohook *hook);
void af_hook_unlock(struct ast_audiohook *hook);
/*! \brief The lock of the instance's directory: one thread at a time makes it again. \note no other lock is held */
void af_directory_lock(void);
void af_directory_unlock(void);
/*! \brief A word that every tap sets to 1 when a rate that it captures changes. */
uint64_t *af_rates_changed(void);

/*! \brief A datastore of this module's type, its uid set. \retval NULL no memory */
struct ast_datastore *af_datastore_new(const char *uid);
/*! \brief The type of these datastores. */
const struct ast_datastore_info *af_datastore_type(void);

/*! \brief One more or one less reason not to unload the module. */
void af_module_hold(void);
void af_module_release(void);
struct ast_module *af_module_self(void);
/*!
 * \brief Makes the module's code outlive `module unload -h`, which unmaps it whatever unload_module() says.
 * \note one reference of our own to the shared object; calling it again changes nothing
 */
void af_module_pin(void);
/*! \brief Gives that reference back. Asterisk must hold its own, or the caller's code is unmapped. */
void af_module_unpin(void);
/*! \brief Hands that reference to Asterisk, which has given its own away. */
void af_module_hand_over_pin(void);

/*! \brief Starts the control thread; \retval 0 or an errno. */
int af_control_start(void);
/*! \brief Waits for the control thread's end. */
void af_control_join(void);
/*! \brief Starts the jobs thread; \retval 0 or an errno. */
int af_jobs_start(void);
/*! \brief Waits for the jobs thread's end. */
void af_jobs_join(void);

/*! \brief Starts the commands thread; \retval 0 or an errno. */
int af_commands_start(void);
/*! \brief Waits for the commands thread's end. */
void af_commands_join(void);
/*!
 * \brief af_spawn_shell(). Asterisk leaves all children to those who wait for them until af_command_ended() has
 * returned 1 for each command.
 */
int af_command_spawn(const char *line, char *const *added, int *pid);
/*! \brief af_child_ended() of such a command. */
int af_command_ended(int pid, int *status);

/*! \brief The caller's number or name. \retval NULL none \note the channel is locked */
const char *af_caller_number(struct ast_channel *channel);
const char *af_caller_name(struct ast_channel *channel);
/*! \brief 1 while a subroutine of the dialplan (Gosub, Macro) runs on the channel. \note the channel is locked */
int af_runs_subroutine(struct ast_channel *channel);

/*!
 * \brief The text with its variables, functions and expressions evaluated on the channel, as the dialplan does it.
 *
 * For text of the configuration: a thread of AMI, which may not use functions that reach beyond Asterisk, may do so
 * in here. The channel must not be locked; functions lock it as they need it.
 * \retval NULL no memory; free() else
 */
char *af_evaluate(struct ast_channel *channel, const char *text);
/*!
 * \brief The value of a variable, or of a function with its arguments in parentheses (ast_str_retrieve_variable(),
 * ast_func_read2()). Nothing in the text or in the value is evaluated. Functions that reach beyond Asterisk fail,
 * whatever this thread may do. The channel must not be locked.
 * \retval NULL no value or no memory; free() else
 */
char *af_read(struct ast_channel *channel, const char *text, int is_function);
/*! \brief As af_evaluate(), for text of whoever runs this thread: what that may not do fails. */
char *af_evaluate_given(struct ast_channel *channel, const char *text);

/*!
 * \brief Raises an AMI event of class "call". \param channel the channel, referenced and not locked; NULL: gone
 * \param body whole lines, each with CR LF
 */
void af_event(struct ast_channel *channel, const char *name, const char *body);
/*!
 * \brief Raises the event as a Stasis user event on the channel, or for everybody where the channel is gone.
 * \param snapshot the channel's last snapshot: replaced while the channel lives, used when it is gone
 */
void af_event_stasis(struct ast_channel *channel, void **snapshot, const char *name, const char *body);
/*! \brief Gives a snapshot up. NULL is none. */
void af_snapshot_release(void *snapshot);

/*!
 * \brief Lets a beep be played on a channel by its own thread, from another thread. Does not wait.
 * \retval 0 it will be played; -1 something else is being played
 */
int af_beep(struct ast_channel *channel);
/*! \brief Starts beeps each `seconds`; writes their id. \retval 0 or -1 */
int af_beeps_start(struct ast_channel *channel, unsigned int seconds, char *id, size_t size);
int af_beeps_stop(struct ast_channel *channel, const char *id);

/*!
 * \brief One more command for af_cli_register(). \param words,summary live as long as the module; usage is copied
 * \retval 0 or -1
 */
int af_cli_add(const char *words, const char *summary, const char *usage);
/*! \brief Registers the commands; \retval 0, or -1 and all are forgotten. */
int af_cli_register(void);
/*! \brief Takes the commands back, registered or only added. */
void af_cli_unregister(void);
void af_cli_print(int descriptor, const char *text);
/*! \brief A copy of a completed word, for Asterisk to free. */
char *af_cli_word(const char *word);

/*! \brief Sends text to an AMI client as it is. */
void af_manager_append(struct mansession *session, const char *text);

/*!
 * \brief Registers the dialplan function that af_function_read() and af_function_read2() are.
 * \param name lives as long as the module; the other texts are copied, NULL where Asterisk's XML has them
 */
int af_function_register(const char *name, const char *synopsis, const char *syntax, const char *description);
void af_function_unregister(void);
/*! \brief ast_str_set() of one text. */
void af_string_set(struct ast_str **string, ssize_t length, const char *text);

/*! \brief 1 if the XML that Asterisk has loaded has such an "application", "function" or "manager" entry. */
int af_is_documented(const char *kind, const char *name);

/*!
 * \brief Loads a configuration file. \param broken set to 1 when the file exists and does not parse
 * \retval NULL no such file, or broken
 */
struct ast_config *af_config_load(const char *name, int *broken);

/*! \brief The release of Asterisk that this module was built for. */
const char *af_built_for(void);
/*! \brief Our own version. */
const char *af_version(void);
/*! \brief Asterisk's run directory, astrundir in asterisk.conf. */
const char *af_run_directory(void);
/*!
 * \brief Asterisk's own folders that the engine must not read, by number: configuration, voicemail, recordings.
 * \retval NULL there is none with this number
 */
const char *af_private_folder(unsigned int number);
/*! \brief The tmpfs that every Linux has, into which every user may write. */
const char *af_shared_memory(void);
/*! \brief Where `make install` puts the engine. */
const char *af_default_engine(void);

/* Implemented in Swift. */
int af_load(void);
int af_unload(void);
int af_reload(void);
int af_exec_start(struct ast_channel *channel, const char *arguments);
int af_exec_stop(struct ast_channel *channel, const char *arguments);
int af_hook(struct ast_audiohook *hook, struct ast_channel *channel, struct ast_frame *frame,
	enum ast_audiohook_direction direction);
void af_datastore_destroyed(void *fork);
/*! \brief Runs a command by its number in the order of af_cli_add(). \retval 0 the line has another form */
int af_cli_run(int number, const struct ast_cli_args *arguments);
char *af_cli_complete(int number, const struct ast_cli_args *arguments);
int af_function_read(struct ast_channel *channel, const char *name, char *arguments, char *buffer, size_t length);
int af_function_read2(struct ast_channel *channel, const char *name, char *arguments, struct ast_str **string,
	ssize_t length);
void af_datastore_moved(void *fork, struct ast_channel *from, struct ast_channel *to);
void *af_control_thread(void *unused);
void *af_jobs_thread(void *unused);
void *af_commands_thread(void *unused);

#endif /* AF_ASTERISK_H */
