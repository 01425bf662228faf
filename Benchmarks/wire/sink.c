/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench-sink [--every MS] [CERTIFICATE KEY]
 *
 * Receives WebSocket and AudioSocket clients (told apart by their first byte) on a free port of 127.0.0.1, answers
 * pings and counts audio messages. Measures the time from capture (stamp, wire.h) to arrival. Without stamps it
 * measures lateness against the earliest message of the connection, at one message per 20 ms. With a certificate it
 * takes TLS. Prints "port N". SIGUSR1 begins to count anew; SIGUSR2 prints one line:
 *
 *   connections N messages N bytes N p50 US p99 US p999 US max US late N gap50 US gap999 US gapmax US
 *     missing N repeated N unstamped N opened N
 *
 * late: messages that took longer than 100 ms. gap: the time between two messages of a connection, gapmax also of a gap
 * that has not ended yet. missing, repeated: messages whose numbers (wire.h) were left out, or came again. unstamped:
 * messages without a number. opened: all connections since the sink began. --every has it look at its connections once
 * in so many milliseconds, and not whenever something comes: several messages are then taken at once, which leaves more
 * of the machine to the sender, and each counts as arrived when it was looked at.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upgrade.h"
#include "wire.h"

enum { BUFFER = 16384, SLOTS = 400000, LATE_US = 100000, PERIOD_US = 20000, EVENTS = 256, SETTLED_NS = 500000000 };

struct connection {
	int descriptor;
	int is_open;
	/* AudioSocket instead of a WebSocket: kind, length in two bytes, payload. */
	int is_audiosocket;
	SSL *tls;
	/* Since the last SIGUSR1: which one, how many messages, and the least of arrival less number, us. */
	uint64_t round, number;
	int64_t earliest;
	/* When its last message came, us, and the number that the next one should carry; 0: none came. */
	uint64_t last, expected;
	struct connection *next, *previous;
	/* What the last look left of a frame that is not whole yet; from the first such frame on, room for BUFFER bytes. */
	size_t count;
	unsigned char *rest;
};

/* What is being looked at: of one connection at a time, so that it stays in the cache. The last byte ends a string. */
static unsigned char bytes[BUFFER];
static size_t filled;

static SSL_CTX *context;
static int queue, every_ms;
/* When a connection last arrived or opened. Until all are open, --every is ignored: they wait for each other. */
static uint64_t last_change;
static struct connection *all;
static uint64_t connections, opened, messages, byte_count, late, longest, longest_gap, missing, repeated, unstamped;
static uint64_t current_round = 1;
/* Messages by latency, and gaps between messages, in steps of 10 us up to 4 s. */
static uint32_t slots[SLOTS], gaps[SLOTS];

static void reset(void)
{
	messages = byte_count = late = longest = longest_gap = missing = repeated = unstamped = 0;
	current_round++;
	memset(slots, 0, sizeof slots);
	memset(gaps, 0, sizeof gaps);
}

static unsigned long long percentile(const uint32_t *counts, double share)
{
	uint64_t total = 0, sum = 0;
	for (int i = 0; i < SLOTS; i++)
		total += counts[i];
	for (int i = 0; i < SLOTS; i++) {
		sum += counts[i];
		if (sum && (double)sum >= share * (double)total)
			return (unsigned long long)i * 10 + 10;
	}
	return 0;
}

static void count_in(uint32_t *counts, uint64_t us)
{
	counts[us / 10 < SLOTS ? us / 10 : SLOTS - 1]++;
}

static void report(void)
{
	uint64_t gap = longest_gap, now = wire_now() / 1000;
	for (struct connection *it = all; it; it = it->next)
		if (it->last && now - it->last > gap)
			gap = now - it->last;
	printf("connections %llu messages %llu bytes %llu p50 %llu p99 %llu p999 %llu max %llu late %llu",
		(unsigned long long)connections, (unsigned long long)messages, (unsigned long long)byte_count,
		percentile(slots, 0.5), percentile(slots, 0.99), percentile(slots, 0.999), (unsigned long long)longest,
		(unsigned long long)late);
	printf(" gap50 %llu gap999 %llu gapmax %llu missing %llu repeated %llu unstamped %llu opened %llu\n",
		percentile(gaps, 0.5), percentile(gaps, 0.999), (unsigned long long)gap, (unsigned long long)missing,
		(unsigned long long)repeated, (unsigned long long)unstamped, (unsigned long long)opened);
	fflush(stdout);
}

static void leave(struct connection *it)
{
	if (it->is_open)
		connections--;
	*(it->previous ? &it->previous->next : &all) = it->next;
	if (it->next)
		it->next->previous = it->previous;
	if (it->tls)
		SSL_free(it->tls);
	close(it->descriptor);
	free(it->rest);
	free(it);
}

static int put(struct connection *it, const void *bytes, size_t count)
{
	if (it->tls)
		return SSL_write(it->tls, bytes, (int)count) == (int)count;
	return send(it->descriptor, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

/* Answers the request that opens the connection; its bytes are dropped. */
static int upgrade(struct connection *it)
{
	bytes[filled] = 0;
	char *text = (char *)bytes;
	char *end = strstr(text, "\r\n\r\n");
	if (!end)
		return filled < BUFFER - 1;
	char answer[256];
	int length = upgrade_answer(text, end, 0, answer, sizeof answer);
	if (!length)
		return 0;
	size_t used = (size_t)(end + 4 - text);
	memmove(bytes, bytes + used, filled - used);
	filled -= used;
	it->is_open = 1;
	connections++;
	opened++;
	last_change = wire_now();
	return put(it, answer, (size_t)length);
}

static void note_latency(uint64_t latency)
{
	if (latency > longest)
		longest = latency;
	if (latency > LATE_US)
		late++;
	count_in(slots, latency);
}

/* How long the connection was silent before this message. */
static void note_gap(struct connection *it, uint64_t now)
{
	uint64_t gap = now - it->last;
	if (it->last) {
		count_in(gaps, gap);
		if (gap > longest_gap)
			longest_gap = gap;
	}
	it->last = now;
}

/* Whether it is the message that follows the connection's last one. */
static void note_number(struct connection *it, uint32_t number)
{
	if (it->expected && number > it->expected)
		missing += number - it->expected;
	else if (it->expected && number < it->expected)
		repeated++;
	it->expected = (uint64_t)number + 1;
}

/* How late a message was against the others of its connection. */
static uint64_t lateness(struct connection *it, uint64_t now)
{
	if (it->round != current_round) {
		it->round = current_round;
		it->number = 0;
		it->earliest = INT64_MAX;
	}
	int64_t offset = (int64_t)now - (int64_t)(it->number++ * PERIOD_US);
	if (offset < it->earliest)
		it->earliest = offset;
	return (uint64_t)(offset - it->earliest);
}

static void count_audio(struct connection *it, const unsigned char *payload, const unsigned char *key, size_t count)
{
	unsigned char plain[2 * WIRE_SAMPLES];
	int16_t samples[WIRE_SAMPLES];
	uint64_t now = wire_now() / 1000, late_by = lateness(it, now);
	int is_stamped = 0;
	messages++;
	byte_count += count;
	note_gap(it, now);
	if (count >= sizeof plain) {
		for (size_t i = 0; i < sizeof plain; i++)
			plain[i] = payload[i] ^ key[i & 3];
		memcpy(samples, plain, sizeof samples);
		uint64_t stamp = wire_stamp(samples);
		/* Real speech, and other formats, carry no stamp that anybody could read. */
		is_stamped = stamp <= now && now - stamp <= 60000000u;
		if (is_stamped) {
			late_by = now - stamp;
			note_number(it, wire_number(samples));
		}
	}
	if (!is_stamped)
		unstamped++;
	note_latency(late_by);
}

/* Takes whole frames off the front. False where the peer is to be left. */
static int take_frames(struct connection *it)
{
	size_t at = 0;
	for (;;) {
		const unsigned char *frame = bytes + at;
		size_t left = filled - at, header = 6, length;
		if (left < 2)
			break;
		length = frame[1] & 0x7f;
		if (length == 126) {
			header = 8;
			if (left < header)
				break;
			length = (size_t)frame[2] << 8 | frame[3];
		} else if (length == 127) {
			return 0;
		}
		if (header + length > BUFFER)
			return 0;
		if (left < header + length)
			break;
		const unsigned char *key = frame + header - 4;
		switch (frame[0] & 0x0f) {
		case 2:
			count_audio(it, frame + header, key, length);
			break;
		case 9: {
			unsigned char pong[2 + 125];
			pong[0] = 0x8a;
			pong[1] = (unsigned char)length;
			for (size_t i = 0; i < length && i < 125; i++)
				pong[2 + i] = frame[header + i] ^ key[i & 3];
			if (length > 125 || !put(it, pong, 2 + length))
				return 0;
			break;
		}
		case 8:
			return 0;
		}
		at += header + length;
	}
	memmove(bytes, bytes + at, filled - at);
	filled -= at;
	return 1;
}

/* The same of AudioSocket. */
static void take_packets(struct connection *it)
{
	size_t at = 0;
	while (filled - at >= 3) {
		const unsigned char *packet = bytes + at;
		size_t length = (size_t)packet[1] << 8 | packet[2];
		if (filled - at < 3 + length)
			break;
		if (packet[0] == 0x10) {
			static const unsigned char no_key[4];
			count_audio(it, packet + 3, no_key, length);
		}
		at += 3 + length;
	}
	memmove(bytes, bytes + at, filled - at);
	filled -= at;
}

/* 1: some bytes, 0: none at the moment, -1: the end. */
static int get(struct connection *it)
{
	/* One byte of room for the string's end while the request is read. */
	size_t room = BUFFER - 1 - filled;
	ssize_t count;
	if (it->tls) {
		count = SSL_read(it->tls, bytes + filled, (int)room);
		if (count <= 0) {
			int why = SSL_get_error(it->tls, (int)count);
			return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
		}
	} else {
		count = recv(it->descriptor, bytes + filled, room, 0);
		if (count <= 0)
			return count < 0 && errno == EAGAIN ? 0 : -1;
	}
	filled += (size_t)count;
	return 1;
}

/* What came, behind what was left; false where the peer is to be left. */
static int take(struct connection *it)
{
	if (!it->is_open && bytes[0] == 1) {
		it->is_open = it->is_audiosocket = 1;
		connections++;
		opened++;
	}
	if (!it->is_open && !upgrade(it))
		return 0;
	if (it->is_audiosocket)
		take_packets(it);
	else if (it->is_open && !take_frames(it))
		return 0;
	return 1;
}

static int serve(struct connection *it)
{
	do {
		filled = it->count;
		if (filled)
			memcpy(bytes, it->rest, filled);
		int got = get(it);
		if (got <= 0)
			return got == 0;
		if (!take(it))
			return 0;
		it->count = filled;
		if (filled) {
			if (!it->rest && !(it->rest = malloc(BUFFER)))
				return 0;
			memcpy(it->rest, bytes, filled);
		}
		/* A plain socket has no more than it says; TLS may keep what it has decrypted. */
	} while (it->tls);
	return 1;
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
		last_change = wire_now();
		it->descriptor = descriptor;
		it->next = all;
		if (all)
			all->previous = it;
		all = it;
		if (context) {
			it->tls = SSL_new(context);
			SSL_set_fd(it->tls, descriptor);
			SSL_set_accept_state(it->tls);
		}
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = it};
		epoll_ctl(queue, EPOLL_CTL_ADD, descriptor, &event);
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
		perror("bench-sink: listen");
		exit(1);
	}
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

/* Until the next whole `every_ms`, or an order. */
static void pause_until_look(int orders)
{
	struct pollfd order = {.fd = orders, .events = POLLIN};
	uint64_t now_ms = wire_now() / 1000000u;
	poll(&order, 1, every_ms - (int)(now_ms % (uint64_t)every_ms));
}

/* One round over what is ready, EVENTS at most: how many there were. Orders are only noted. */
static int look(const int *listener, const int *orders, int wait_ms, int *resets, int *reports)
{
	struct epoll_event events[EVENTS];
	int found = epoll_wait(queue, events, EVENTS, wait_ms);
	for (int i = 0; i < found; i++) {
		if (events[i].data.ptr == listener) {
			accept_all(*listener);
		} else if (events[i].data.ptr == orders) {
			struct signalfd_siginfo order;
			while (read(*orders, &order, sizeof order) == sizeof order)
				++*(order.ssi_signo == SIGUSR1 ? resets : reports);
		} else if (!serve(events[i].data.ptr)) {
			leave(events[i].data.ptr);
		}
	}
	return found;
}

int main(int count, char **words)
{
	if (count >= 3 && !strcmp(words[1], "--every")) {
		every_ms = atoi(words[2]);
		count -= 2;
		words += 2;
	}
	if (count == 3) {
		context = SSL_CTX_new(TLS_server_method());
		if (!context || SSL_CTX_use_certificate_chain_file(context, words[1]) != 1
			|| SSL_CTX_use_PrivateKey_file(context, words[2], SSL_FILETYPE_PEM) != 1) {
			fprintf(stderr, "bench-sink: certificate or key cannot be used\n");
			return 1;
		}
	} else if (count != 1) {
		fprintf(stderr, "usage: bench-sink [--every MS] [CERTIFICATE KEY]\n");
		return 2;
	}
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	int orders = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	queue = epoll_create1(EPOLL_CLOEXEC);
	int listener = make_listener();
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
	epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
	event.data.ptr = &orders;
	epoll_ctl(queue, EPOLL_CTL_ADD, orders, &event);
	for (;;) {
		int waits = every_ms > 0 && wire_now() - last_change > SETTLED_NS;
		int resets = 0, reports = 0;
		if (waits)
			pause_until_look(orders);
		int found = look(&listener, &orders, waits ? 0 : every_ms > 0 ? every_ms : -1, &resets, &reports);
		/* What came before an order belongs before it. */
		while (waits && found > 0)
			found = look(&listener, &orders, 0, &resets, &reports);
		if (resets)
			reset();
		if (reports)
			report();
	}
}
