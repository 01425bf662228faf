/* SPDX-License-Identifier: MIT */
/*!
 * \file
 * \brief The control link between capture module and engine, and the fields that it shares with a ring's facts.
 *
 * The link is a stream socketpair. It carries state, not commands: the module's fork table is the truth, its
 * rows are sent when they change and all of them again to every new engine. A message is
 *
 *     u32 length of what follows | u16 type | u16 zero | fields
 *
 * and a field is
 *
 *     u16 key | u16 zero | u32 length | bytes
 *
 * little-endian, unpadded. Numbers are 8 bytes. Text is UTF-8 without a terminator. Unknown keys and unknown
 * types are skipped, so both sides may be one release apart. docs/internals/control-link.md says it in prose.
 */
#ifndef AF_LINK_H
#define AF_LINK_H

#define AF_LINK_VERSION 1
/*! The engine's end of the link. */
#define AF_LINK_DESCRIPTOR 3
/*! A longer message is a broken peer: the link is closed. */
#define AF_LINK_MESSAGE_BYTES_MAX 262144

enum af_link_type {
	/* module to engine */
	AF_LINK_HELLO = 1,        /*!< AF_FIELD_VERSION, AF_FIELD_PROTOCOL */
	AF_LINK_FORK = 2,         /*!< AF_FIELD_ID, AF_FIELD_STATE "live" or "closed": a row of the table; the rest is in the ring */
	AF_LINK_TABLE_END = 3,    /*!< the whole table has been sent: a fork that was not in it is of no interest to anybody */
	AF_LINK_FORGET = 4,       /*!< AF_FIELD_ID: the row is gone; the engine drops the fork and its files */
	AF_LINK_SEND_TEXT = 5,    /*!< AF_FIELD_ID, AF_FIELD_TEXT: one text message for the fork's server, now or never */
	/* engine to module */
	AF_LINK_READY = 65,       /*!< AF_FIELD_VERSION, AF_FIELD_PROTOCOL, AF_FIELD_PID, AF_FIELD_LOOPS: it serves from now on */
	AF_LINK_STATE = 66,       /*!< AF_FIELD_ID, AF_FIELD_STATE, AF_FIELD_REASON, counters; at each change, and once a second while counters move */
	AF_LINK_ENDED = 67,       /*!< AF_FIELD_ID, AF_FIELD_REASON, counters: all that could be delivered was, the files are gone */
	AF_LINK_LOG = 68,         /*!< AF_FIELD_LEVEL, AF_FIELD_TEXT, AF_FIELD_ID where it is about a fork */
	AF_LINK_GAP = 69,         /*!< AF_FIELD_ID, AF_FIELD_DIRECTION, AF_FIELD_START, AF_FIELD_COUNT, AF_FIELD_POSITION, AF_FIELD_REASON */
	AF_LINK_HEARTBEAT = 71,   /*!< every second while there are forks, as long as no event loop hangs in one job */
	AF_LINK_TEXT = 70,        /*!< AF_FIELD_ID, AF_FIELD_TEXT, AF_FIELD_LENGTH, AF_FIELD_DROPPED: a text message of the fork's server */
};

enum af_field {
	AF_FIELD_ID = 1,          /*!< the fork's id; the names of its files begin with it */
	AF_FIELD_URL = 2,         /*!< as given, user information included; in a ring's facts repeated, in failover order */
	AF_FIELD_OPTIONS = 3,     /*!< the option string, as given; both sides parse it with AudioForkOptions */
	AF_FIELD_CHANNEL = 4,     /*!< the channel's name when the fork began */
	AF_FIELD_UNIQUEID = 5,
	AF_FIELD_LINKEDID = 6,
	AF_FIELD_RATE = 7,        /*!< number: rate of the channel's native format when the fork began, Hz */
	AF_FIELD_DRAIN = 8,       /*!< number: seconds allowed for delivery after the end of capture */
	AF_FIELD_SETTING = 9,     /*!< "key=value" of the fork's profile, variables evaluated; repeated. Options override it */
	AF_FIELD_OPTION = 10,     /*!< a letter and its argument, evaluated: instead of AF_FIELD_OPTIONS, repeated in order. Of H one header, of s one parameter whose value is verbatim */
	AF_FIELD_VERSION = 16,    /*!< product version of the sender */
	AF_FIELD_PROTOCOL = 17,   /*!< number: AF_LINK_VERSION of the sender */
	AF_FIELD_PID = 18,        /*!< number */
	AF_FIELD_STATE = 19,      /*!< module: live, closed; engine: connecting, streaming, waiting, draining */
	AF_FIELD_REASON = 20,     /*!< why the fork is in this state or ended: a word, a colon and text */
	AF_FIELD_LEVEL = 21,      /*!< number: enum af_level */
	AF_FIELD_TEXT = 22,
	AF_FIELD_POSITION = 32,   /*!< number: sample frames sent at the wire rate, fill included */
	AF_FIELD_FILL = 33,       /*!< number: of these, sample frames of fill (summed over the directions) */
	AF_FIELD_LOST = 34,       /*!< number: captured samples reported as gaps */
	AF_FIELD_GAPS = 35,       /*!< number */
	AF_FIELD_RECONNECTS = 36, /*!< number: connections after the first */
	AF_FIELD_BYTES = 37,      /*!< number: audio bytes written to sockets, repeats included */
	AF_FIELD_LAG = 38,        /*!< number: milliseconds of captured audio not yet written */
	AF_FIELD_CONFIRMED = 39,  /*!< number: position up to which delivery is confirmed */
	AF_FIELD_CAPTURED = 40,   /*!< number: captured samples, summed over the directions */
	AF_FIELD_UNDELIVERED = 41, /*!< number: milliseconds of captured audio that are not confirmed */
	AF_FIELD_SKEW = 42,       /*!< number, two's complement: milliseconds by which "in" is placed later than "out" beyond media time */
	AF_FIELD_DROPPED = 43,    /*!< number: text messages of the server dropped so far, over all of the fork's life */
	AF_FIELD_LENGTH = 44,     /*!< number: bytes of the whole text, of which AF_FIELD_TEXT may be the beginning */
	AF_FIELD_DIRECTION = 45,  /*!< in, out */
	AF_FIELD_START = 46,      /*!< number: index of a gap's first sample among the captured ones of its direction */
	AF_FIELD_COUNT = 47,      /*!< number: samples in the gap */
	AF_FIELD_LOOPS = 48,      /*!< number: event loops of the engine */
	AF_FIELD_CONFIRMATION = 49, /*!< what AF_FIELD_CONFIRMED stands on: tcp, pong, app */
	AF_FIELD_DELIVERED = 50,  /*!< number: captured samples whose delivery is confirmed, summed over the directions */
	AF_FIELD_LOSING = 51,     /*!< number: 1 while audio that was not sent is being overwritten in the ring */
	AF_FIELD_ACCOUNTED_IN = 52, /*!< number: captured samples of "in" that the confirmed part of the stream has passed, gaps included */
	AF_FIELD_ACCOUNTED_OUT = 53, /*!< the same of "out" */
};

/*! Levels of AF_LINK_LOG, in Asterisk's words. */
enum af_level {
	AF_LEVEL_DEBUG = 0,
	AF_LEVEL_VERBOSE = 1,
	AF_LEVEL_NOTICE = 2,
	AF_LEVEL_WARNING = 3,
	AF_LEVEL_ERROR = 4,
};

#endif /* AF_LINK_H */
