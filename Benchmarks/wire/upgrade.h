/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to the request that opens a WebSocket (RFC 6455, section 4.2.2), for the servers of this folder. */
#ifndef AUDIOFORK_BENCH_UPGRADE_H
#define AUDIOFORK_BENCH_UPGRADE_H

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

/* Returns the value of a header, or NULL. `name`: its name between "\r\n" and ":". */
static inline const char *upgrade_header(const char *request, const char *end, const char *name)
{
	const char *found = strcasestr(request, name);
	if (!found || found > end)
		return NULL;
	found += strlen(name);
	return found + strspn(found, " ");
}

/*
 * Returns the length of the answer, written to `answer`, which has `room` bytes; 0 if the request has no key. `end`:
 * where the empty line of the request begins. `takes_protocol`: whether the first sub-protocol offered is accepted.
 */
static inline int upgrade_answer(const char *request, const char *end, int takes_protocol, char *answer, size_t room)
{
	const char *key = upgrade_header(request, end, "\r\nSec-WebSocket-Key:");
	if (!key)
		return 0;
	const char *protocol = takes_protocol ? upgrade_header(request, end, "\r\nSec-WebSocket-Protocol:") : NULL;
	char joined[128];
	unsigned char digest[SHA_DIGEST_LENGTH], encoded[64];
	snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r\n "), key);
	SHA1((unsigned char *)joined, strlen(joined), digest);
	EVP_EncodeBlock(encoded, digest, sizeof digest);
	int length = snprintf(answer, room,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		"%s%.*s%s\r\n",
		encoded, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? (int)strcspn(protocol, "\r\n ,") : 0,
		protocol ? protocol : "", protocol ? "\r\n" : "");
	return length > 0 && (size_t)length < room ? length : 0;
}

#endif
