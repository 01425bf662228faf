/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "af_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every machine but alpha, which has no Swift. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

/*! LANDLOCK_CREATE_RULESET_VERSION and LANDLOCK_RULE_PATH_BENEATH. */
enum { ask_level = 1, rule_path_beneath = 1 };

/*! struct landlock_ruleset_attr of level 6. A kernel of a lower level takes it while what it does not know is 0. */
struct ruleset {
	uint64_t accesses;
	uint64_t network;
	uint64_t scopes;
};

/*! struct landlock_path_beneath_attr. */
struct rule {
	uint64_t accesses;
	int32_t path;
} __attribute__((packed));

int af_landlock_level(void)
{
	long level = syscall(SYS_landlock_create_ruleset, NULL, (size_t) 0, ask_level);

	return level > 0 ? (int) level : 0;
}

int af_landlock_create(uint64_t accesses, uint64_t scopes)
{
	const struct ruleset ruleset = { .accesses = accesses, .scopes = scopes };
	/* Closed on exec. */
	long descriptor = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);

	return descriptor < 0 ? -errno : (int) descriptor;
}

int af_open_path(const char *path) { return open(path, O_PATH | O_CLOEXEC); }

int af_landlock_allow(int ruleset, int path, uint64_t accesses)
{
	const struct rule rule = { .accesses = accesses, .path = path };

	return syscall(SYS_landlock_add_rule, ruleset, rule_path_beneath, &rule, 0) ? errno : 0;
}

int af_landlock_enforce(int ruleset)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		return errno;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) ? errno : 0;
}

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#ifdef MACHINE
static int filter(const struct sock_filter *instructions, size_t count)
{
	const struct sock_fprog program = { .len = count, .filter = (struct sock_filter *) instructions };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? errno : 0;
}
#endif

int af_refuse_programs_and_servers(void)
{
#ifdef MACHINE
	static const struct sock_filter instructions[] = {
		/* As below: no system calls of another machine, nor of x32. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter(instructions, sizeof(instructions) / sizeof(instructions[0]));
#else
	return ENOSYS;
#endif
}

int af_refuse_local_sockets(void)
{
#ifdef MACHINE
	/* The lower half of the first argument: both machines are little-endian. */
	static const struct sock_filter instructions[] = {
		/* System calls of another machine (int 0x80 on x86) have other numbers: none of them. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* Those of x32 have this bit. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter(instructions, sizeof(instructions) / sizeof(instructions[0]));
#else
	return ENOSYS;
#endif
}
