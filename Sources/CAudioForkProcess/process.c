/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "af_process.h"

#include "descriptors.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int af_is_link(int descriptor)
{
	int type = 0;
	socklen_t length = sizeof(type);

	return descriptor >= 3 && getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

void af_close_above(int last)
{
	int descriptor, limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned int) last + 1, ~0u, 0u) == 0) {
		return;
	}
#endif
	/* Kernels before 5.9. */
	limit = (int) sysconf(_SC_OPEN_MAX);
	for (descriptor = last + 1; descriptor < limit; descriptor++) {
		close(descriptor);
	}
}

void af_process_keep_secrets(void)
{
	const struct rlimit none = { 0, 0 };

	/* Either one is enough. A process with the privilege to raise the limit again still gets no core file. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void af_process_prepare(int link)
{
	struct rlimit files;

	af_close_above(link);
	setsid();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Until it is handled: an engine that is just starting serves a dying Asterisk like any other. */
	signal(SIGTERM, SIG_IGN);
}

/*! What this thread works on. */
static __thread const char *blamed;

static const int crashes[] = { SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT };
#define CRASHES (sizeof(crashes) / sizeof(crashes[0]))
static struct sigaction before[CRASHES];

/* Async-signal-safe throughout (signal-safety(7)). */
static void note_crash(int number, siginfo_t *info, void *context)
{
	size_t i;
	int file;

	(void) context;
	if (blamed && (file = open(blamed, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)) >= 0) {
		if (write(file, "x", 1) < 0) {
			/* A full tmpfs: this one is not counted. */
		}
		close(file);
	}
	for (i = 0; i < CRASHES; i++) {
		if (crashes[i] == number) {
			sigaction(number, &before[i], NULL);
		}
	}
	/* What the process did to itself it does again now, without us. What it was sent it is not sent again. */
	if (info->si_code == SI_USER) {
		raise(number);
	}
}

void af_crash_watch(void)
{
	struct sigaction action;
	size_t i;

	sigemptyset(&action.sa_mask);
	action.sa_flags = SA_SIGINFO;
	action.sa_sigaction = note_crash;
	for (i = 0; i < CRASHES; i++) {
		struct sigaction old;

		if (sigaction(crashes[i], &action, &old) == 0
			&& !((old.sa_flags & SA_SIGINFO) && old.sa_sigaction == note_crash)) {
			before[i] = old;
		}
	}
}

const char *af_crash_blame(const char *path)
{
	const char *last = blamed;

	blamed = path;
	return last;
}
