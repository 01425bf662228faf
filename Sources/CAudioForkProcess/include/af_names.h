/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief A process that looks host names up for the engine.
 *
 * getaddrinfo(3) needs files directly in /etc that are replaced by rename(2): hosts, resolv.conf. A Landlock rule for
 * them would be one for all of /etc, where Asterisk's passwords are. So the confined engine asks a process that may
 * read there, and that is given nothing but host names.
 */
#ifndef AF_NAMES_H
#define AF_NAMES_H

/* No header of sockets: Swift would take their names for this module's, and files that import Glibc alone lose them. */
#include <stdint.h>

/*! \brief Addresses that an answer holds at most; further ones are left out. */
#define AF_NAMES_ADDRESSES_MAX 64

/*! \brief Words of 32 bits in a struct sockaddr_in6, which is longer than a sockaddr_in. */
#define AF_NAMES_ADDRESS_WORDS 7

/*! \brief Bytes of a host name at most. */
#define AF_NAMES_HOST_MAX 1023

/*! \brief What getaddrinfo(3) found. */
struct af_names_answer {
	int32_t code;  /*!< what getaddrinfo returned */
	int32_t error; /*!< with EAI_SYSTEM: errno */
	uint32_t count;
	/*! A struct sockaddr_in or sockaddr_in6 each. */
	uint32_t addresses[AF_NAMES_ADDRESSES_MAX][AF_NAMES_ADDRESS_WORDS];
};

/*!
 * \brief Starts the process: a child, which ends when the engine's end of the socket is closed.
 *
 * It keeps no descriptor but its end of the socket and the standard ones, and ignores SIGTERM: names are looked up
 * as long as the engine delivers. It starts no programs and serves nobody else. Returns when it serves; one that does
 * not within a second is ended.
 *
 * \param ruleset what it may do (af_landlock_create())
 * \return the engine's end of the socket, or -errno
 * \note for the main thread while it is the only one
 */
int af_names_start(int ruleset);

/*!
 * \brief Has a name looked up, for TCP. Waits for the answer. Any thread.
 * \retval 0 the answer is complete \retval EPIPE the process has ended \retval another errno it could not be asked
 */
int af_names_ask(int server, const char *host, int port, int family, struct af_names_answer *answer);

/*! \brief The address with this index, which is below the answer's count: a struct sockaddr. */
const void *af_names_address(const struct af_names_answer *answer, uint32_t index);

/*! \brief 1 while the process lives. */
int af_names_is_alive(int server);

#endif /* AF_NAMES_H */
