/* SPDX-License-Identifier: GPL-2.0-or-later */
/*!
 * \file
 * \brief System calls that Swift cannot make, or not with the symbols of older C libraries. Nothing of Asterisk.
 */
#include "af_module_process.h"

#include "af_link.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

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
void af_process_terminate(int process) { syscall(SYS_pidfd_send_signal, process, SIGTERM, NULL, 0); }

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

void af_exec_shell(const char *line, char *const *added)
{
	char *const arguments[] = { (char *) "/bin/sh", (char *) "-c", (char *) line, NULL };
	size_t count = 0, inherited;
	char **all;

	while (environ[count]) {
		count++;
	}
	inherited = count;
	while (added[count - inherited]) {
		count++;
	}
	all = alloca((count + 1) * sizeof(*all));
	for (count = 0; *added; added++) {
		all[count++] = *added;
	}
	/* Of two entries with one name the shell may take either. */
	for (inherited = 0; environ[inherited]; inherited++) {
		if (strncmp(environ[inherited], "AUDIOFORK_", 10)) {
			all[count++] = environ[inherited];
		}
	}
	all[count] = NULL;
	execve("/bin/sh", arguments, all);
}
