/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief What the engine does to its own process before anything else: system calls that Swift cannot make, because
 * they are variadic or newer than its import of the C library.
 */
#ifndef AF_PROCESS_H
#define AF_PROCESS_H

/*!
 * \brief Whether the descriptor is a connected stream socket, as the module gives one.
 * \retval 1 it is
 * \retval 0 it is not
 */
int af_is_link(int descriptor);

/*!
 * \brief Keeps the process's memory out of core files and away from other processes of its user.
 *
 * Sets the limit on core files to 0 and makes the process not dumpable (prctl(2)): only root may trace it or read
 * /proc/PID/mem, fd, environ and maps. Its memory holds URLs with passwords, headers with tokens, and audio.
 *
 * \note /proc/PID/stat, statm, status and cmdline stay readable for everybody
 */
void af_process_keep_secrets(void);

/*!
 * \brief Makes the process independent of the one that spawned it.
 *
 * Closes every descriptor above the link, begins a session of its own, gives up gaining privileges, raises the limit
 * on descriptors as far as it goes, ignores SIGPIPE, SIGHUP, and SIGTERM until it is handled. What of it fails is left
 * as it was: none of it is needed for the engine to work.
 *
 * \note for the main thread while it is the only one: threads inherit the rest
 */
void af_process_prepare(int link);

/*!
 * \brief Has a crash (SIGILL and its like) leave a word about what its thread was working on.
 *
 * One byte is appended to the file that the thread has named with af_crash_blame(); then the process ends as it would
 * have ended without. So the next process can tell what has ended this one, and how often.
 */
void af_crash_watch(void);

/*!
 * \brief Names the file that gets a byte if this thread crashes.
 *
 * \param path stays valid until the next call; NULL: the thread works on nothing in particular
 * \return what it was before
 */
const char *af_crash_blame(const char *path);

#endif /* AF_PROCESS_H */
