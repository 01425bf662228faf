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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
/* P_PIDFD of waitid(): Linux 5.4. */
#define AF_P_PIDFD ((idtype_t) 3)
#ifndef SYS_close_range
#define SYS_close_range 436
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

int af_is_nameless(int descriptor)
{
	struct statx found;

	/* Not fstat(): that one needs glibc 2.33. */
	return statx(descriptor, "", AT_EMPTY_PATH, STATX_NLINK, &found) || !found.stx_nlink;
}

int af_is_missing(const char *path) { return access(path, F_OK) && errno == ENOENT; }

unsigned long long af_free_bytes(const char *path)
{
	struct statfs found;

	return statfs(path, &found) ? 0 : (unsigned long long) found.f_bavail * (unsigned long long) found.f_bsize;
}

unsigned long long af_memory_bytes(void)
{
	const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && bytes > 0 ? (unsigned long long) pages * (unsigned long long) bytes : 0;
}

int af_is_program(const char *path)
{
	struct statx found;

	if (statx(AT_FDCWD, path, 0, STATX_TYPE, &found) || access(path, X_OK)) {
		return errno;
	}
	return S_ISDIR(found.stx_mode) ? EISDIR : S_ISREG(found.stx_mode) ? 0 : EACCES;
}

int af_process_descriptor(int pid) { return (int) syscall(SYS_pidfd_open, pid, 0); }

/*! Field 22 of /proc/PID/stat: the process's start time in clock ticks since boot. 0: there is no such process. */
static uint64_t start_time(int pid)
{
	char path[32], text[1024];
	const char *field;
	uint64_t ticks = 0;
	ssize_t count;
	int number;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	count = af_read_file(path, text, sizeof(text) - 1);
	if (count <= 0) {
		return 0;
	}
	text[count] = '\0';
	/* The second field is the program's name in parentheses, and may contain blanks and parentheses. */
	field = strrchr(text, ')');
	for (number = 2; field && number < 22; number++) {
		field = strchr(field + 1, ' ');
	}
	while (field && *++field >= '0' && *field <= '9') {
		ticks = ticks * 10 + *field - '0';
	}
	return ticks;
}

/*!
 * Whether the pid is still the child's. A child that has ended keeps its pid until its status is taken. Where /proc
 * hides the engine, which is not dumpable, an unreadable start time means nothing; a child of ours still has its own
 * pid.
 */
static int has_its_pid(const struct af_process *process)
{
	uint64_t started = process->started ? start_time(process->pid) : 0;
	siginfo_t found;

	if (!process->started || started) {
		return started && process->started == started;
	}
	return !waitid(P_PID, process->pid, &found, WEXITED | WNOHANG | WNOWAIT);
}

int af_process_open(int pid, struct af_process *process)
{
	process->pid = pid;
	process->started = start_time(pid);
	process->descriptor = af_process_descriptor(pid);
	return process->descriptor < 0 ? errno : 0;
}

int af_process_signal(const struct af_process *process, int number)
{
	if (process->descriptor >= 0) {
		if (!syscall(SYS_pidfd_send_signal, process->descriptor, number, NULL, 0)) {
			return 0;
		}
		if (errno == ESRCH) {
			return ESRCH;
		}
	}
	if (!has_its_pid(process)) {
		return ESRCH;
	}
	return kill(process->pid, number) ? errno : 0;
}

int af_process_reap(const struct af_process *process)
{
	siginfo_t found;
	int status;

	if (process->descriptor >= 0) {
		found.si_pid = 0;
		if (!waitid(AF_P_PIDFD, process->descriptor, &found, WEXITED | WNOHANG)) {
			return found.si_pid != 0;
		}
		if (errno == ECHILD) {
			return 1; /* Asterisk's SIGCHLD handler was first. */
		}
	}
	return !has_its_pid(process) || af_child_ended(process->pid, &status);
}

void af_process_close(struct af_process *process)
{
	if (process->descriptor >= 0) {
		close(process->descriptor);
	}
	process->descriptor = -1;
}

/*! A file without a name that holds these bytes, above the descriptors that the engine gets. \retval -1 see errno */
static int memory_file(const void *bytes, size_t length)
{
	/* MFD_CLOEXEC | MFD_NOEXEC_SEAL: without the second, vm.memfd_noexec = 2 refuses it. It is known since 6.3. */
	int low = (int) syscall(SYS_memfd_create, "audiofork-rules", 1U | 8U);
	size_t written = 0;
	int file;

	if (low < 0 && errno == EINVAL) {
		low = (int) syscall(SYS_memfd_create, "audiofork-rules", 1U);
	}
	if (low < 0) {
		return -1;
	}
	file = fcntl(low, F_DUPFD_CLOEXEC, AF_LINK_DESCRIPTOR + 1);
	close(low);
	while (file >= 0 && written < length) {
		ssize_t count = write(file, (const char *) bytes + written, length - written);

		if (count <= 0) {
			close(file);
			return -1;
		}
		written += count;
	}
	return file;
}

int af_spawn_engine(
	const char *path, const char *directory, int link, const void *rules, size_t length, int *pid, int *rules_failure)
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
	int failure, file;

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
	file = length ? memory_file(rules, length) : -1;
	*rules_failure = length && file < 0 ? errno : 0;
	if (file >= 0) {
		posix_spawn_file_actions_adddup2(&actions, file, 0);
	}
	posix_spawn_file_actions_adddup2(&actions, link, AF_LINK_DESCRIPTOR);
	/* Asterisk blocks and handles signals, and runs SCHED_RR under -p: the engine must inherit none of that. */
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
	posix_spawnattr_setschedparam(&attributes, &priority);
	posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDULER);
	failure = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
	if (file >= 0) {
		close(file);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failure;
}

void af_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

/*! Closes every descriptor above this one. For a child that shares its parent's memory: system calls alone. */
static void close_above(int last)
{
	union {
		char bytes[4096];
		struct linux_entry {
			uint64_t inode;
			int64_t offset;
			unsigned short length;
			unsigned char type;
			char name[];
		} first;
	} entries;
	long count, at;
	int folder;

	/* The kernel has it since 5.9. */
	if (!syscall(SYS_close_range, last + 1, ~0U, 0)) {
		return;
	}
	folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	while (folder >= 0 && (count = syscall(SYS_getdents64, folder, entries.bytes, sizeof(entries.bytes))) > 0) {
		for (at = 0; at < count; ) {
			const struct linux_entry *entry = (const void *) (entries.bytes + at);
			const char *digit = entry->name;
			int descriptor = 0;

			while (*digit >= '0' && *digit <= '9') {
				descriptor = descriptor * 10 + *digit++ - '0';
			}
			if (descriptor > last && descriptor != folder) {
				close(descriptor);
			}
			at += entry->length;
		}
	}
	close(folder);
}

/*!
 * What a child does that shares its parent's memory until it runs the shell: system calls, and its own stack. It reads
 * Asterisk's environment here and not in Asterisk: Set(ENV(x)=y) in a dialplan may change that at the same moment, and
 * the child alone would crash.
 */
static void run_shell(const char *line, char *const *added, int has_priority)
{
	char *const arguments[] = { (char *) "/bin/sh", (char *) "-c", (char *) line, NULL };
	static const int to_default[] = { SIGHUP, SIGCHLD, SIGINT, SIGURG, SIGTERM, SIGPIPE, SIGXFSZ };
	const struct sched_param priority = { 0 };
	struct sigaction action;
	sigset_t none;
	size_t count = 0, inherited, index;
	char **environment;
	int number;

	/* No handler of Asterisk's may run in here. */
	for (number = 1; number < NSIG; number++) {
		if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL) {
			signal(number, SIG_DFL);
		}
	}
	for (index = 0; index < sizeof(to_default) / sizeof(*to_default); index++) {
		signal(to_default[index], SIG_DFL);
	}
	if (has_priority) {
		sched_setscheduler(0, SCHED_OTHER, &priority);
	}
	close_above(STDERR_FILENO);
	while (environ[count]) {
		count++;
	}
	inherited = count;
	while (added[count - inherited]) {
		count++;
	}
	environment = alloca((count + 1) * sizeof(*environment));
	for (count = 0; added[count]; count++) {
		environment[count] = added[count];
	}
	/* Of two entries with one name the shell may take either. */
	for (index = 0; index < inherited && environ[index]; index++) {
		if (strncmp(environ[index], "AUDIOFORK_", 10)) {
			environment[count++] = environ[index];
		}
	}
	environment[count] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(arguments[0], arguments, environment);
}

/*!
 * Not posix_spawn(): closing all descriptors is one of its actions since glibc 2.34 alone, and Asterisk opens its own
 * without O_CLOEXEC. Not fork() either: that write-protects Asterisk's whole heap, and every thread of it, those that
 * carry audio too, then stumbles over each page that it writes to.
 */
int af_spawn_shell(const char *line, char *const *added, int has_priority, int *pid)
{
	sigset_t all, before;
	int child, failure;

	/* sigprocmask() is this thread's alone on Linux; pthread_sigmask() has moved to another library since. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	child = vfork();
	if (!child) {
		run_shell(line, added, has_priority);
		_exit(1);
	}
	failure = child < 0 ? errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	*pid = child;
	return failure;
}

int af_child_ended(int pid, int *status)
{
	int found = 0, result;

	do {
		result = waitpid(pid, &found, WNOHANG);
	} while (result < 0 && errno == EINTR);
	if (!result) {
		return 0;
	}
	*status = result == pid && WIFEXITED(found) ? WEXITSTATUS(found) : -1;
	return 1;
}
