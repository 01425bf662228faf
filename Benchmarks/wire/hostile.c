/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench-hostile texts|pings|json|bytes|handshakes
 *
 * A WebSocket server on a free port of 127.0.0.1 that does harm to its clients. It runs at nice 19, in a session of its
 * own: what harms them is what it sends, and not the processor time that it takes.
 *
 *   texts       empty text messages, as fast as they are taken
 *   pings       empty pings, likewise
 *   json        text messages of 1 MB of JSON, all of it \u0041, likewise, behind audiofork.v1's "resume"
 *   bytes       a text message byte by byte, one each 2 ms
 *   handshakes  the answer to the upgrade byte by byte, one each 2 ms, then the end of the connection
 *
 * It reads what comes and drops it. Prints "port N"; SIGUSR2 prints one line:
 *
 *   accepted N opened N open N bytes N
 *
 * connections accepted and upgraded so far, upgraded ones that stand, and bytes sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "session.h"
#include "upgrade.h"
#include "wire.h"

enum { BUFFER = 8192, EVENTS = 256, FLOOD = 65536, JSON = 1000000, STEP_NS = 2000000 };
enum kind { TEXTS, PINGS, JSON_TEXTS, BYTES, HANDSHAKES };

struct connection {
	int descriptor;
	/* The answer to the upgrade was sent whole. */
	int is_open;
	/* The request so far, then the answer. */
	char text[BUFFER];
	size_t count;
	size_t answered, answer;
	/* Where in `load` the next byte is. */
	size_t at;
	struct connection *next, *previous;
};

static const char *const names[] = {"texts", "pings", "json", "bytes", "handshakes"};
static const char resume[] = "{\"type\":\"resume\",\"position\":0}";

static enum kind kind;
static int queue;
static struct connection *all;
static uint64_t accepted, opened, open_now, byte_count;
/* What is sent again and again once the connection stands: whole frames. */
static unsigned char *load;
static size_t load_size;

/* A frame of text, shorter than 126 bytes or longer than 65535; returns its size. */
static size_t put_text(unsigned char *into, const char *text, size_t count)
{
	size_t header = 2;
	into[0] = 0x81;
	into[1] = count < 126 ? (unsigned char)count : 127;
	if (count >= 126)
		for (; header < 10; header++)
			into[header] = (unsigned char)((uint64_t)count >> (8 * (9 - header)));
	memcpy(into + header, text, count);
	return header + count;
}

static void make_load(void)
{
	load = malloc(JSON + 64);
	char *text = malloc(JSON);
	if (!load || !text)
		exit(1);
	switch (kind) {
	case TEXTS:
	case PINGS:
		for (load_size = 0; load_size < FLOOD; load_size += 2) {
			load[load_size] = kind == TEXTS ? 0x81 : 0x89;
			load[load_size + 1] = 0;
		}
		break;
	case JSON_TEXTS: {
		size_t count = (size_t)sprintf(text, "{\"type\":\"x\",\"v\":\"");
		while (count + 8 < JSON) {
			memcpy(text + count, "\\u0041", 6);
			count += 6;
		}
		memcpy(text + count, "\"}", 2);
		load_size = put_text(load, text, count + 2);
		break;
	}
	default:
		memset(text, 'a', 100);
		load_size = put_text(load, text, 100);
	}
	free(text);
}

static void watch(struct connection *it, int change, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = it};
	epoll_ctl(queue, change, it->descriptor, &event);
}

static void leave(struct connection *it)
{
	if (it->is_open)
		open_now--;
	*(it->previous ? &it->previous->next : &all) = it->next;
	if (it->next)
		it->next->previous = it->previous;
	close(it->descriptor);
	free(it);
}

/* Sends at most `count` bytes: how many were taken, or -1 where the peer is to be left. */
static ssize_t put(struct connection *it, const void *bytes, size_t count)
{
	ssize_t sent = send(it->descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -1;
	byte_count += (uint64_t)sent;
	return sent;
}

static void stands(struct connection *it)
{
	it->is_open = 1;
	opened++;
	open_now++;
}

/* Sends the answer, at most `most` bytes of it; 0 where the peer is to be left. */
static int answer(struct connection *it, size_t most)
{
	size_t rest = it->answer - it->answered;
	ssize_t sent = put(it, it->text + it->answered, rest < most ? rest : most);
	if (sent < 0)
		return 0;
	it->answered += (size_t)sent;
	if (it->answered == it->answer)
		stands(it);
	return 1;
}

/* Reads the request, or whatever comes behind it; 0 where the peer is to be left. */
static int take(struct connection *it)
{
	static char dropped[FLOOD];
	if (it->answer) {
		ssize_t count = recv(it->descriptor, dropped, sizeof dropped, MSG_DONTWAIT);
		return count > 0 || (count < 0 && errno == EAGAIN);
	}
	ssize_t count = recv(it->descriptor, it->text + it->count, BUFFER - 1 - it->count, MSG_DONTWAIT);
	if (count <= 0)
		return count < 0 && errno == EAGAIN;
	it->count += (size_t)count;
	it->text[it->count] = 0;
	const char *end = strstr(it->text, "\r\n\r\n");
	if (!end)
		return it->count < BUFFER - 1;
	char made[512];
	it->answer = (size_t)upgrade_answer(it->text, end, 1, made, sizeof made - sizeof resume - 2);
	if (!it->answer)
		return 0;
	if (kind == JSON_TEXTS) {
		made[it->answer++] = (char)0x81;
		made[it->answer++] = sizeof resume - 1;
		memcpy(made + it->answer, resume, sizeof resume - 1);
		it->answer += sizeof resume - 1;
	}
	memcpy(it->text, made, it->answer);
	if (kind == HANDSHAKES)
		return 1;
	if (kind != BYTES)
		watch(it, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	return answer(it, it->answer);
}

/* One more piece of the flood. */
static int flood(struct connection *it)
{
	if (!it->is_open)
		return answer(it, it->answer);
	ssize_t sent = put(it, load + it->at, load_size - it->at);
	if (sent > 0)
		it->at = (it->at + (size_t)sent) % load_size;
	return sent >= 0;
}

/* One more byte. */
static int step(struct connection *it)
{
	if (kind == HANDSHAKES) {
		if (it->is_open)
			return 0;
		return !it->answer || answer(it, 1);
	}
	if (!it->is_open)
		return !it->answer || answer(it, it->answer);
	ssize_t sent = put(it, load + it->at, 1);
	if (sent > 0)
		it->at = (it->at + 1) % load_size;
	return sent >= 0;
}

static void step_all(void)
{
	struct connection *next;
	for (struct connection *it = all; it; it = next) {
		next = it->next;
		if (!step(it))
			leave(it);
	}
}

static void accept_all(int listener)
{
	for (;;) {
		int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (descriptor < 0)
			return;
		struct connection *it = calloc(1, sizeof *it);
		if (!it) {
			close(descriptor);
			return;
		}
		int one = 1;
		setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		accepted++;
		it->descriptor = descriptor;
		it->next = all;
		if (all)
			all->previous = it;
		all = it;
		watch(it, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static int make_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0
		|| getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
		perror("bench-hostile: listen");
		exit(1);
	}
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

static void report(int orders)
{
	struct signalfd_siginfo order;
	while (read(orders, &order, sizeof order) == sizeof order) {
		printf("accepted %llu opened %llu open %llu bytes %llu\n", (unsigned long long)accepted,
			(unsigned long long)opened, (unsigned long long)open_now, (unsigned long long)byte_count);
		fflush(stdout);
	}
}

/* Milliseconds until the next step, or a second where there are none. */
static int until_step(uint64_t due)
{
	if (kind != BYTES && kind != HANDSHAKES)
		return 1000;
	uint64_t now = wire_now();
	return now >= due ? 0 : (int)((due - now) / 1000000u) + 1;
}

int main(int count, char **words)
{
	size_t found = sizeof names / sizeof *names;
	for (size_t i = 0; count == 2 && i < sizeof names / sizeof *names; i++)
		if (!strcmp(words[1], names[i]))
			found = i;
	if (found == sizeof names / sizeof *names) {
		fprintf(stderr, "usage: bench-hostile texts|pings|json|bytes|handshakes\n");
		return 2;
	}
	kind = (enum kind)found;
	session_begin();
	session_nice(19);
	make_load();
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int orders = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	queue = epoll_create1(EPOLL_CLOEXEC);
	int listener = make_listener();
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
	epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
	event.data.ptr = &orders;
	epoll_ctl(queue, EPOLL_CTL_ADD, orders, &event);
	uint64_t due = wire_now() + STEP_NS;
	for (;;) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(queue, events, EVENTS, until_step(due));
		for (int i = 0; i < ready; i++) {
			struct connection *it = events[i].data.ptr;
			if (events[i].data.ptr == &listener)
				accept_all(listener);
			else if (events[i].data.ptr == &orders)
				report(orders);
			else if ((events[i].events & ~(uint32_t)EPOLLOUT && !take(it)) ||
				 (events[i].events & EPOLLOUT && !flood(it)))
				leave(it);
		}
		session_check();
		uint64_t now = wire_now();
		if (until_step(due) == 0) {
			step_all();
			/* What was late is not made up for. */
			due = now > due + STEP_NS ? now + STEP_NS : due + STEP_NS;
		}
	}
}
