/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench-discard CONNECTIONS:PORT...
 *
 * The least that a receiver can do: opens so many WebSocket connections to each of these ports of 127.0.0.1, reads what
 * comes and drops it, in one thread, 64 KiB at a time, in a session of its own like the engine. A connection that ends
 * is opened again after 100 ms. Runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "session.h"
#include "wire.h"

enum { EVENTS = 256, ONCE = 65536, PAUSE_MS = 100 };

struct connection {
	/* -1 while it waits for being opened again. */
	int descriptor;
	int port;
	uint64_t due;
};

static int queue;

static int open_connection(struct connection *it)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)it->port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
	/* On a loopback the connection stands, or does not, by the time that connect() returns. */
	it->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (it->descriptor < 0)
		return 0;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
	if (connect(it->descriptor, (struct sockaddr *)&address, sizeof address) < 0
		|| send(it->descriptor, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1
		|| epoll_ctl(queue, EPOLL_CTL_ADD, it->descriptor, &event) < 0)
		return 0;
	return 1;
}

static void leave(struct connection *it)
{
	if (it->descriptor >= 0)
		close(it->descriptor);
	it->descriptor = -1;
	it->due = wire_now() + PAUSE_MS * 1000000u;
}

int main(int count, char **words)
{
	int total = 0, next = 0;
	for (int i = 1; i < count; i++)
		total += atoi(words[i]);
	if (total < 1) {
		fprintf(stderr, "usage: bench-discard CONNECTIONS:PORT...\n");
		return 2;
	}
	session_begin();
	static char dropped[ONCE];
	struct connection *all = calloc((size_t)total, sizeof *all);
	queue = epoll_create1(EPOLL_CLOEXEC);
	if (!all || queue < 0)
		return 1;
	for (int i = 1; i < count; i++) {
		const char *port = strchr(words[i], ':');
		for (int number = atoi(words[i]); number > 0 && next < total; number--)
			all[next++] = (struct connection){.descriptor = -1, .port = port ? atoi(port + 1) : 0};
	}
	for (;;) {
		session_check();
		uint64_t now = wire_now();
		for (int i = 0; i < total; i++)
			if (all[i].descriptor < 0 && now >= all[i].due && !open_connection(all + i))
				leave(all + i);
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(queue, events, EVENTS, PAUSE_MS / 4);
		for (int i = 0; i < ready; i++) {
			struct connection *it = events[i].data.ptr;
			ssize_t got = recv(it->descriptor, dropped, sizeof dropped, MSG_DONTWAIT);
			if (got == 0 || (got < 0 && errno != EAGAIN))
				leave(it);
		}
	}
}
