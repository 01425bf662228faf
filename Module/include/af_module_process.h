/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief Files and processes, as the module needs them: process.c. Nothing of Asterisk.
 */
#ifndef AF_MODULE_PROCESS_H
#define AF_MODULE_PROCESS_H

#include <sys/types.h>

/*! \brief Opens or creates the file `path` and takes an exclusive flock on it. \retval its descriptor, or -errno */
int af_lock_file(const char *path);
/*! \brief 1 if `path` is a directory of our user without rights for others, 0 if it is not; -errno if there is none. */
int af_is_private_directory(const char *path);
/*! \brief 1 if the file system of `path` is a tmpfs or a ramfs. */
int af_is_tmpfs(const char *path);
/*! \brief 0 if `path` is a file that may be executed, else an errno. */
int af_is_program(const char *path);
/*! \brief The calling thread's errno. */
int af_errno(void);
/*! \brief Ticks in a second of CPU time: the unit of /proc/PID/stat. */
long af_clock_ticks(void);
/*! \brief Bytes in a page of memory: the unit of /proc/PID/statm. */
long af_page_bytes(void);
/*! \brief Reads the beginning of a file into a buffer. \retval bytes read, or -errno */
ssize_t af_read_file(const char *path, void *buffer, size_t length);

/*! \brief Opens a pidfd of the process. \retval -1 the kernel has none, or the process has ended */
int af_process_open(int pid);
/*! \brief Sends SIGKILL to the process of this pidfd. */
void af_process_kill(int process);
/*! \brief Sends SIGTERM to the process of this pidfd. */
void af_process_terminate(int process);

/*! \brief Spawns the engine with the socket `link` as its descriptor 3. \retval 0 or an errno */
int af_spawn_engine(const char *path, const char *directory, int link, int *pid);

/*!
 * \brief Replaces the process by /bin/sh with a line to run. Returns only if that fails.
 *
 * \param added "NAME=value" strings, ended by NULL, for its environment, which has no other AUDIOFORK_ variables
 * \note for the child of a process with threads: takes no lock and allocates nothing
 */
void af_exec_shell(const char *line, char *const *added);

#endif /* AF_MODULE_PROCESS_H */
