/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief What a test does to the faked Asterisk, and what it can see of it.
 */
#ifndef FAKE_ASTERISK_CONTROL_H
#define FAKE_ASTERISK_CONTROL_H

#include "asterisk.h"

/*! \brief A channel at this rate; `fake_hangup` ends it. */
struct ast_channel *fake_channel(const char *name, unsigned int rate);
/*! \brief Has the frames to come at another rate, in both directions, as a bridge of many parties does. */
void fake_rate(struct ast_channel *channel, unsigned int rate);
/*! \brief Hangs up as ast_hangup does: hooks hear of it first, datastores go with the last reference. */
void fake_hangup(struct ast_channel *channel);
/*! \brief With what cause the channel was told to hang up; 0: it was not. */
int fake_hangup_cause(struct ast_channel *channel);
/*! \brief One digit for those hooks that want digits. */
void fake_digit(struct ast_channel *channel, enum ast_audiohook_direction direction, char digit, long milliseconds);
/*! \brief Lets every hook of the channel see a frame, and drops those that were told to leave. */
void fake_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples, int count);
/*! \brief As fake_frame(), with this RTP time. */
void fake_timed_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples,
	int count, long milliseconds);
/*! \brief References to the channel; 1 while nobody but Asterisk has it. */
int fake_references(struct ast_channel *channel);
/*! \brief Hooks on the channel. */
int fake_pins(void);
int fake_hooks(struct ast_channel *channel);
/*! \brief A variable's value, or NULL. The caller frees it. */
char *fake_variable(struct ast_channel *channel, const char *name);

/*! \brief Moves what is on `clone` to `original`, as a masquerade does; names and unique ids change places. */
void fake_masquerade(struct ast_channel *clone, struct ast_channel *original);
/*! \brief Gives the channel another name and tells nobody. */
void fake_rename(struct ast_channel *channel, const char *name);
/*!
 * \brief Gives the channel these codecs: ulaw, g729, ilbc, opus or strange. Frames come at the rate that it began with.
 */
void fake_codec(struct ast_channel *channel, const char *in, const char *out);
/*! \brief Has a codec negotiated for both directions, which Asterisk goes over to with the next frame. */
void fake_next_codec(struct ast_channel *channel, const char *name);
/*! \brief Whether there is a translator from this codec to signed linear; in the beginning from ulaw alone. */
void fake_translator(const char *codec, int is_loaded);
/*! \brief How often Asterisk has warned of a frame that it could not translate for a hook. */
int fake_warnings(void);
/*! \brief References to formats that have not been given up. */
int fake_format_references(void);
/*! \brief Puts the channel into a bridge, or takes it out. */
void fake_bridge(struct ast_channel *channel, int bridged);
/*! \brief The channel executes a dialplan, as it does from the start, or does not. */
void fake_dialplan(struct ast_channel *channel, int executes);
/*! \brief The caller's number and name; NULL: unknown. */
void fake_caller(struct ast_channel *channel, const char *number, const char *name);
/*! \brief Something is being played to the channel, or is not. */
void fake_busy(struct ast_channel *channel, int busy);
/*! \brief Whether func_periodic_hook.so is loaded. */
void fake_beep_module(int is_loaded);
/*!
 * \brief Makes the next start of beeps last until StopAudioFork has taken the fork off its channel and is about to free
 * its datastore. That then waits until the beeps are ended, 300 ms at most.
 */
void fake_beeps_meet_stop(void);
/*! \brief Every event and beep so far, "Event: name" and its lines. The caller frees it. */
char *fake_events(void);
void fake_forget_events(void);

/*! \brief audiofork.conf at the next load: "key=value" lines of [general], then sections; NULL: no such file. */
void fake_configuration(const char *lines);
/*! \brief The folder that stands for /dev/shm. */
void fake_shared_memory(const char *path);
/*! \brief What ast_get_version() says. */
void fake_version(const char *version);
/*! \brief Everything logged so far, a line each, beginning with the level's number. The caller frees it. */
char *fake_log(void);
/*! \brief References to the module. */
int fake_module_references(void);
/*! \brief Registered applications, functions, CLI tables and AMI actions. */
int fake_registrations(void);
/*! \brief Makes the n-th registration from now fail; 0: none. */
void fake_fail_registration(int n);

/*! \brief Whether Asterisk has loaded XML that documents the module. */
void fake_documented(int is_documented);
/*!
 * \brief The help text that an "application", "function" or "manager" action was registered with, or NULL.
 * The caller frees it.
 */
char *fake_help(const char *kind, const char *name);

/*! \brief Runs a CLI command. Returns what it prints, or its usage; NULL: no such command. The caller frees it. */
char *fake_cli(const char *line);
/*! \brief The n-th completion of the line's last word, which may be empty; NULL: no more. The caller frees it. */
char *fake_complete(const char *line, int n);
/*! \brief Sends an AMI action, "Name: value" lines. Returns the answer; NULL: no such action. The caller frees it. */
char *fake_action(const char *lines);
/*! \brief The privileges that an action was registered with; -1: no such action. */
int fake_authority(const char *action);
/*!
 * \brief ${AUDIOFORK(arguments)} into a buffer of this length. Returns the value, NULL for a failure.
 * The caller frees it.
 */
char *fake_function(struct ast_channel *channel, const char *arguments, size_t length);
/*! \brief As above, through read2, for long values. */
char *fake_function_long(struct ast_channel *channel, const char *arguments);

/*! \brief The next engine's end of the link, once it has been "spawned"; waits up to `milliseconds`, -1: none came.
 * The test is the engine; it closes the descriptor. */
int fake_engine(int milliseconds);
/*! \brief Engines spawned so far. */
int fake_engines_spawned(void);
/*! \brief Copies what the engine that was spawned last was told to confine itself to. \return its length */
size_t fake_engine_rules(void *buffer, size_t size);
/*! \brief The folder that Asterisk keeps for itself, from the next load on; /etc/asterisk unless changed. */
void fake_private_folder(const char *path);
/*! \brief Makes spawning fail with this errno; 0: succeeds. */
void fake_fail_spawn(int failure);
/*! \brief With which errno engines spawned from now on get no pidfd; 0: they get one. */
void fake_fail_pidfd(int failure);
/*! \brief How often an engine was sent SIGKILL, and another signal. */
int fake_engine_kills(void);
int fake_engine_terminations(void);
/*! \brief For so many looks the engines that were killed still live. */
void fake_engines_live(int looks);
int fake_engines_living(void);
/*! \brief 0: Asterisk serves, 1: it is shutting down, 2: it is about to exit. */
void fake_shutdown(int phase);

#endif /* FAKE_ASTERISK_CONTROL_H */
