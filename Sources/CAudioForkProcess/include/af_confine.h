/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief System calls with which the engine gives rights up: landlock(7) and seccomp(2). Which rights, Swift decides.
 */
#ifndef AF_CONFINE_H
#define AF_CONFINE_H

#include <stdint.h>

/*!
 * \brief Accesses to files as Landlock names them: the bits of a ruleset and of its rules.
 *
 * Declared here, because the C library's headers may be older than the kernel. The numbers are the kernel's interface.
 */
enum af_access {
	AF_ACCESS_EXECUTE = 1 << 0,
	AF_ACCESS_WRITE_FILE = 1 << 1,
	AF_ACCESS_READ_FILE = 1 << 2,
	AF_ACCESS_READ_FOLDER = 1 << 3,
	AF_ACCESS_REMOVE_FOLDER = 1 << 4,
	AF_ACCESS_REMOVE_FILE = 1 << 5,
	AF_ACCESS_MAKE_FILE = 1 << 8,
	AF_ACCESS_ALL_1 = (1 << 13) - 1, /*!< every bit that level 1 knows */
	AF_ACCESS_REFER = 1 << 13,       /*!< level 2: rename or link into another folder */
	AF_ACCESS_TRUNCATE = 1 << 14,    /*!< level 3 */
	AF_ACCESS_DEVICE = 1 << 15,      /*!< level 5: ioctl(2) on a device */
};

/*! \brief What a ruleset of level 6 keeps from going to processes outside of it. */
enum af_scope {
	AF_SCOPE_ABSTRACT_SOCKETS = 1 << 0,
	AF_SCOPE_SIGNALS = 1 << 1,
};

/*! \brief The level (ABI) of Landlock that the kernel has; 0: none, or switched off. */
int af_landlock_level(void);

/*!
 * \brief Makes a ruleset: `accesses` that no rule allows are refused.
 * \param scopes enum af_scope; 0 below level 6
 * \retval its descriptor, or -errno
 */
int af_landlock_create(uint64_t accesses, uint64_t scopes);

/*! \brief A descriptor of a file or folder for af_landlock_allow(); no right to read it is needed. \retval -1 none */
int af_open_path(const char *path);

/*!
 * \brief Allows accesses to a file, or to all that a folder holds.
 * \param path a descriptor of it
 * \retval 0 or an errno
 */
int af_landlock_allow(int ruleset, int path, uint64_t accesses);

/*! \brief Applies the ruleset to this thread and to threads and processes that it makes. \retval 0 or an errno */
int af_landlock_enforce(int ruleset);

/*!
 * \brief Refuses new local sockets (AF_UNIX) and io_uring to this thread and to threads that it makes.
 *
 * Landlock does not limit connect(2) to a socket's path: with a local socket the process could give Asterisk commands
 * over its control socket. socketpair(2) stays allowed.
 *
 * \retval 0 or an errno; ENOSYS where we do not know the machine's system calls
 */
int af_refuse_local_sockets(void);

/*!
 * \brief Refuses execve(2), listen(2) and io_uring to this thread and to threads that it makes. Call it after
 * af_landlock_enforce(), which gives up new privileges.
 * \retval 0 or an errno; ENOSYS where we do not know the machine's system calls
 */
int af_refuse_programs_and_servers(void);

#endif /* AF_CONFINE_H */
