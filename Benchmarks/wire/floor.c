/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench-floor PORT CONNECTIONS
 *
 * The least that a sender can do: no calls, no rings, no alignment, no confirmation, no second thread. It opens so many
 * WebSocket connections to 127.0.0.1:PORT and sends on each a message of 20 ms of audio (8 kHz, 16 bits) every 20 ms,
 * each with one system call, in ticks of 5 ms. Prints "ready" when all connections stand; runs until it is killed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { SAMPLES = 160, PAYLOAD = SAMPLES * 2, HEADER = 8, GROUPS = 4, TICK_NS = 5000000 };

static uint32_t seed = 2463534242u;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static int open_connection(int port, int number)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int one = 1;
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
		perror("bench-floor: connection");
		exit(1);
	}
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	char text[256];
	int length = snprintf(text, sizeof text,
		"GET /%d HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", number);
	if (write(descriptor, text, (size_t)length) != length || read(descriptor, text, sizeof text) <= 0) {
		perror("bench-floor: upgrade");
		exit(1);
	}
	return descriptor;
}

static void send_message(int descriptor, const int16_t *audio, uint32_t number)
{
	unsigned char message[HEADER + PAYLOAD];
	uint32_t key = next_random();
	message[0] = 0x82;
	message[1] = 0x80 | 126;
	message[2] = PAYLOAD >> 8;
	message[3] = PAYLOAD & 0xff;
	memcpy(message + 4, &key, 4);
	int16_t samples[SAMPLES];
	memcpy(samples, audio, sizeof samples);
	wire_put_stamp(samples, wire_now() / 1000);
	wire_put_number(samples, number);
	for (int i = 0; i < PAYLOAD / 4; i++) {
		uint32_t word;
		memcpy(&word, (unsigned char *)samples + 4 * i, 4);
		word ^= key;
		memcpy(message + HEADER + 4 * i, &word, 4);
	}
	/* A full buffer would be a sink that is too slow; the messages that are missing there tell. */
	if (send(descriptor, message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

int main(int count, char **words)
{
	if (count != 3) {
		fprintf(stderr, "usage: bench-floor PORT CONNECTIONS\n");
		return 2;
	}
	int connections = atoi(words[2]);
	int *descriptors = calloc((size_t)(connections > 0 ? connections : 1), sizeof *descriptors);
	int16_t audio[SAMPLES];
	for (int i = 0; i < SAMPLES; i++)
		audio[i] = (int16_t)next_random();
	for (int i = 0; descriptors && i < connections; i++)
		descriptors[i] = open_connection(atoi(words[1]), i);
	puts("ready");
	fflush(stdout);
	uint64_t due = wire_now() / TICK_NS * TICK_NS;
	for (unsigned tick = 0;; tick++) {
		due += TICK_NS;
		struct timespec until = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		for (int i = (int)(tick % GROUPS); descriptors && i < connections; i += GROUPS)
			send_message(descriptors[i], audio, tick / GROUPS);
	}
}
