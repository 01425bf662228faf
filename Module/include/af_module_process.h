/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief Files and processes, as the module needs them: process.c. Nothing of Asterisk.
 */
#ifndef AF_MODULE_PROCESS_H
#define AF_MODULE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/*! \brief Opens or creates the file `path` and takes an exclusive flock on it. \retval its descriptor, or -errno */
int af_lock_file(const char *path);
/*! \brief 1 if `path` is a directory of our user without rights for others, 0 if it is not; -errno if there is none. */
int af_is_private_directory(const char *path);
/*! \brief 1 if the file system of `path` is a tmpfs or a ramfs. */
int af_is_tmpfs(const char *path);
/*! \brief 1 if the open file has lost its name: it was removed. */
int af_is_nameless(int descriptor);
/*! \brief 1 if there is no file of this name. */
int af_is_missing(const char *path);
/*! \brief Bytes that are free in the file system of `path`; 0 if it does not say. */
unsigned long long af_free_bytes(const char *path);
/*! \brief Bytes of the machine's memory; 0 if unknown. */
unsigned long long af_memory_bytes(void);
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

/*! \brief A child. Another process that gets its pid later is never taken for it. */
struct af_process {
	int pid;
	int descriptor;      /*!< its pidfd; -1: the kernel gave none */
	uint64_t started;    /*!< when it was started, as /proc/PID/stat has it (field 22); 0: unknown */
};

/*!
 * \brief Identifies a child. Call it right after the child's start.
 * \retval 0 or an errno: there is no pidfd, and `started` has to do (Linux before 5.3, a seccomp filter, no descriptor)
 */
int af_process_open(int pid, struct af_process *process);
/*! \brief Sends a signal. Without a pidfd the start time is compared first. \retval 0 or an errno */
int af_process_signal(const struct af_process *process, int number);
/*! \brief Looks whether the child has ended, takes its status if it has, and does not wait. \retval 1 it has */
int af_process_reap(const struct af_process *process);
/*! \brief Closes the pidfd. */
void af_process_close(struct af_process *process);
/*! \brief A pidfd of a child, which is readable when it has ended. \retval -1 the kernel gives none */
int af_process_descriptor(int pid);

/*!
 * \brief Spawns the engine with the socket `link` as its descriptor 3.
 * \param rules what the engine confines itself to, which becomes its standard input; of length 0: it does not
 * \param rules_failure why it does not get them: 0 or an errno
 * \retval 0 or an errno
 */
int af_spawn_engine(
	const char *path, const char *directory, int link, const void *rules, size_t length, int *pid, int *rules_failure);

/*!
 * \brief Runs a line in /bin/sh, as Asterisk runs the commands of its own, and does not wait for it.
 *
 * The shell has signals, descriptors and a priority as after ast_safe_fork() and ast_close_fds_above_n(). Asterisk's
 * memory is not copied.
 *
 * \param added "NAME=value" strings, ended by NULL, for its environment, which has no other AUDIOFORK_ variables
 * \param has_priority 1 if Asterisk's threads run in real time (-p): the shell does not
 * \retval 0 or an errno
 */
int af_spawn_shell(const char *line, char *const *added, int has_priority, int *pid);
/*!
 * \brief Looks whether a child has ended, and does not wait for it.
 * \retval 1 it has; *status is its exit status, or -1 where it had none or somebody else has taken it \retval 0 it runs
 */
int af_child_ended(int pid, int *status);
/*! \brief Names the calling thread, for ps and top. At most 15 bytes. */
void af_name_thread(const char *name);

#endif /* AF_MODULE_PROCESS_H */
