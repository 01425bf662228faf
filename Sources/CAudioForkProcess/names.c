/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "af_names.h"

#include "af_confine.h"
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*! More than the engine ever asks for at once (LookUpLanes). */
enum { threads_max = 64, stack_bytes = 256 * 1024 };

/*! How long the engine waits for the process to say that it serves. */
enum { start_ms = 1000 };

/*! A question as it travels, with the socket for its answer. */
struct question {
	int32_t family;
	int32_t port;
	char host[AF_NAMES_HOST_MAX + 1];
};

/*! A question that a thread answers. */
struct work {
	struct question question;
	int reply;
};

_Static_assert(sizeof(struct sockaddr_in6) == AF_NAMES_ADDRESS_WORDS * 4, "an address has room");

static atomic_int threads;

static void look_up(const struct question *question, struct af_names_answer *answer)
{
	const struct addrinfo hints = { .ai_family = question->family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL, *next;
	char port[16];

	snprintf(port, sizeof(port), "%d", (int) question->port);
	answer->code = getaddrinfo(question->host, port, &hints, &found);
	answer->error = answer->code == EAI_SYSTEM ? errno : 0;
	for (next = answer->code ? NULL : found; next && answer->count < AF_NAMES_ADDRESSES_MAX; next = next->ai_next) {
		if (next->ai_addr && next->ai_addrlen <= sizeof(answer->addresses[0])) {
			memcpy(answer->addresses[answer->count++], next->ai_addr, next->ai_addrlen);
		}
	}
	if (!answer->code && found) {
		freeaddrinfo(found);
	}
}

static void reply(int socket, const struct af_names_answer *answer)
{
	const char *bytes = (const char *) answer;
	size_t sent = 0;

	while (sent < sizeof(*answer)) {
		ssize_t count = send(socket, bytes + sent, sizeof(*answer) - sent, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR) {
			continue;
		}
		if (count <= 0) {
			break;
		}
		sent += count;
	}
	close(socket);
}

static void *answer_question(void *given)
{
	struct work *work = given;
	struct af_names_answer answer;

	memset(&answer, 0, sizeof(answer));
	look_up(&work->question, &answer);
	reply(work->reply, &answer);
	free(work);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

/*! Answers a question on a thread of its own, or at once that there is no memory for it. */
static void begin(const struct question *question, int socket)
{
	struct work *work = NULL;
	pthread_attr_t attributes;
	pthread_t thread;
	int failure = EAGAIN;

	if (atomic_fetch_add(&threads, 1) < threads_max && (work = malloc(sizeof(*work)))) {
		work->question = *question;
		work->question.host[AF_NAMES_HOST_MAX] = '\0';
		work->reply = socket;
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attributes, stack_bytes);
		failure = pthread_create(&thread, &attributes, answer_question, work);
		pthread_attr_destroy(&attributes);
	}
	if (failure) {
		struct af_names_answer answer;

		memset(&answer, 0, sizeof(answer));
		answer.code = EAI_MEMORY;
		reply(socket, &answer);
		free(work);
		atomic_fetch_sub(&threads, 1);
	}
}

/*! Takes questions until the engine has ended. */
static void serve(int socket)
{
	while (1) {
		struct question question;
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec data = { .iov_base = &question, .iov_len = sizeof(question) };
		struct msghdr message = {
			.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
		};
		struct cmsghdr *header;
		ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
		int answers;

		if (count < 0 && errno == EINTR) {
			continue;
		}
		if (count <= 0) {
			_exit(0);
		}
		header = CMSG_FIRSTHDR(&message);
		if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS
			|| header->cmsg_len != CMSG_LEN(sizeof(int))) {
			continue;
		}
		memcpy(&answers, CMSG_DATA(header), sizeof(int));
		if (count == sizeof(question)) {
			begin(&question, answers);
		} else {
			close(answers);
		}
	}
}

/*! Has ps, top and pgrep show this process by a name of its own, and not by the engine's arguments. */
static void rename_process(void)
{
	static const char name[] = "audiofork-names";
	char line[4096];
	int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = file >= 0 ? read(file, line, sizeof(line)) : -1;

	prctl(PR_SET_NAME, name);
	if (file >= 0) {
		close(file);
	}
	/* The arguments are one piece of memory, which begins where this points to. */
	if (length > (ssize_t) sizeof(name)) {
		memset(program_invocation_name, 0, length);
		memcpy(program_invocation_name, name, sizeof(name));
	}
}

/*! The child's side of af_names_start(). */
static void become_server(int socket, int ruleset)
{
	rename_process();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (af_landlock_enforce(ruleset) || dup2(socket, 3) < 0) {
		_exit(1);
	}
	/* A machine whose system calls we do not know, or a kernel without filters, leaves it as Landlock has it. */
	(void) af_refuse_programs_and_servers();
	af_close_above(3);
	/* af_names_start() waits for it. */
	if (send(3, "", 1, MSG_NOSIGNAL) != 1) {
		_exit(1);
	}
	serve(3);
}

/*! Waits until the process says that it serves. Returns 0 or an errno. */
static int wait_until_it_serves(int socket)
{
	struct pollfd ready = { .fd = socket, .events = POLLIN };
	char byte;
	ssize_t count;
	int polled;

	do {
		polled = poll(&ready, 1, start_ms);
	} while (polled < 0 && errno == EINTR);
	if (polled <= 0) {
		return polled ? errno : ETIMEDOUT;
	}
	count = recv(socket, &byte, 1, MSG_DONTWAIT);
	return count == 1 ? 0 : count ? errno : EPIPE;
}

int af_names_start(int ruleset)
{
	int pair[2], failure;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		return -errno;
	}
	child = fork();
	if (!child) {
		become_server(pair[1], ruleset);
	}
	failure = errno;
	close(pair[1]);
	if (child >= 0) {
		failure = wait_until_it_serves(pair[0]);
		if (!failure) {
			return pair[0];
		}
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
		}
	}
	close(pair[0]);
	return -failure;
}

static int ask(int server, const struct question *question, int socket)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = { .iov_base = (void *) question, .iov_len = sizeof(*question) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header = &control.header;
	ssize_t count;

	memset(&control, 0, sizeof(control));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &socket, sizeof(int));
	do {
		count = sendmsg(server, &message, MSG_NOSIGNAL);
	} while (count < 0 && errno == EINTR);
	return count < 0 ? (errno == ECONNRESET ? EPIPE : errno) : 0;
}

int af_names_ask(int server, const char *host, int port, int family, struct af_names_answer *answer)
{
	struct question question;
	size_t length = strlen(host), received = 0;
	int pair[2], failure;

	memset(answer, 0, sizeof(*answer));
	if (length > AF_NAMES_HOST_MAX) {
		answer->code = EAI_NONAME;
		return 0;
	}
	memset(&question, 0, sizeof(question));
	memcpy(question.host, host, length);
	question.family = family;
	question.port = port;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		return errno;
	}
	failure = ask(server, &question, pair[1]);
	close(pair[1]);
	while (!failure && received < sizeof(*answer)) {
		ssize_t count = recv(pair[0], (char *) answer + received, sizeof(*answer) - received, 0);

		if (count > 0) {
			received += count;
		} else if (!count) {
			failure = EPIPE;
		} else if (errno != EINTR) {
			failure = errno == ECONNRESET ? EPIPE : errno;
		}
	}
	close(pair[0]);
	if (answer->count > AF_NAMES_ADDRESSES_MAX) {
		answer->count = AF_NAMES_ADDRESSES_MAX;
	}
	return failure;
}

const void *af_names_address(const struct af_names_answer *answer, uint32_t index)
{
	return answer->addresses[index];
}

int af_names_is_alive(int server)
{
	struct pollfd socket = { .fd = server };

	/* Only an event says that it has ended, and not a call that a signal interrupted. */
	return poll(&socket, 1, 0) <= 0;
}
