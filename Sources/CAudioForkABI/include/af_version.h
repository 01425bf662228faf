/* SPDX-License-Identifier: MIT */
/*!
 * \file
 * \brief The product's version: the one place where it stands. Module and engine both say it.
 */
#ifndef AF_VERSION_H
#define AF_VERSION_H

#define AF_VERSION "0.1.0"

#endif /* AF_VERSION_H */
