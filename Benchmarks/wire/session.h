/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a session of its own. With autogroup (sched(7)) nice values only count inside a session, and each session gets
 * the same share, so the session's priority is set. The engine does the same.
 */
#ifndef AUDIOFORK_BENCH_SESSION_H
#define AUDIOFORK_BENCH_SESSION_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Who started this process: it ends with it, since a signal from the terminal does not reach it any more. */
static pid_t session_parent;

static inline void session_begin(void)
{
	session_parent = getppid();
	setsid();
}

/* The priority of the process and its session. Exits where it is not allowed. */
static inline void session_nice(int nice)
{
	if (setpriority(PRIO_PROCESS, 0, nice) < 0) {
		perror("priority");
		exit(1);
	}
	/* Not every kernel has it, and then the process's own priority is enough. */
	int file = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (file >= 0) {
		if (dprintf(file, "%d", nice) < 0)
			perror("priority of the session");
		close(file);
	}
}

/* Call it once a second. */
static inline void session_check(void)
{
	if (getppid() != session_parent)
		exit(0);
}

#endif
