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
/*! \brief Hangs up as ast_hangup does: hooks hear of it first, datastores go with the last reference. */
void fake_hangup(struct ast_channel *channel);
/*! \brief Lets every hook of the channel see a frame, and drops those that were told to leave. */
void fake_frame(struct ast_channel *channel, enum ast_audiohook_direction direction, const int16_t *samples, int count);
/*! \brief Hooks on the channel. */
int fake_pins(void);
int fake_hooks(struct ast_channel *channel);
/*! \brief A variable's value, or NULL. The caller frees it. */
char *fake_variable(struct ast_channel *channel, const char *name);

/*! \brief The values of [general] in the next load of audiofork.conf: "key=value" lines; NULL: no such file. */
void fake_configuration(const char *lines);
/*! \brief What ast_get_version() says. */
void fake_version(const char *version);
/*! \brief Everything logged so far, a line each, beginning with the level's number. The caller frees it. */
char *fake_log(void);
/*! \brief References to the module. */
int fake_module_references(void);
/*! \brief Registered applications and CLI tables. */
int fake_registrations(void);
/*! \brief Makes the n-th registration from now fail; 0: none. */
void fake_fail_registration(int n);

/*! \brief The next engine's end of the link, once it has been "spawned"; waits up to `milliseconds`, -1: none came.
 * The test is the engine; it closes the descriptor. */
int fake_engine(int milliseconds);
/*! \brief Engines spawned so far. */
int fake_engines_spawned(void);
/*! \brief Makes spawning fail with this errno; 0: succeeds. */
void fake_fail_spawn(int failure);

#endif /* FAKE_ASTERISK_CONTROL_H */
