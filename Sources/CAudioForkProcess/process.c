/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "af_process.h"

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

static void close_above(int link)
{
	int descriptor, limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned int) link + 1, ~0u, 0u) == 0) {
		return;
	}
#endif
	/* Kernels before 5.9. */
	limit = (int) sysconf(_SC_OPEN_MAX);
	for (descriptor = link + 1; descriptor < limit; descriptor++) {
		close(descriptor);
	}
}

void af_process_prepare(int link)
{
	struct rlimit files;

	close_above(link);
	setsid();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}
