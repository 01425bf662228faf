/* SPDX-License-Identifier: MIT */
/*!
 * \file
 * \brief What C reads of the control link between capture module and engine. Its messages are in Sources/AudioForkLink.
 */
#ifndef AF_LINK_H
#define AF_LINK_H

/*! The engine's end of the link. */
#define AF_LINK_DESCRIPTOR 3

/*! Levels of a line for the log, in Asterisk's words; the link carries them as numbers. */
enum af_level {
	AF_LEVEL_DEBUG = 0,
	AF_LEVEL_VERBOSE = 1,
	AF_LEVEL_NOTICE = 2,
	AF_LEVEL_WARNING = 3,
	AF_LEVEL_ERROR = 4,
};

#endif /* AF_LINK_H */
