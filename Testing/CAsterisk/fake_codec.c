/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of channels, and translators. */
#include "fake_world.h"

/* Codecs besides signed linear; a translator is there or is not. */
static struct ast_format codecs[] = {
	{ 8000, "ulaw" }, { 8000, "g729" }, { 8000, "ilbc" }, { 48000, "opus" }, { 8000, "strange" },
};
static int translators[] = { 1, 0, 0, 0, 0 };
static int format_references;

static int codec_number(const char *name)
{
	int number;

	for (number = 0; number < (int) (sizeof(codecs) / sizeof(*codecs)); number++) {
		if (!strcmp(codecs[number].name, name)) {
			return number;
		}
	}
	abort();
}

void fake_codec(struct ast_channel *channel, const char *in, const char *out)
{
	pthread_mutex_lock(&channel->lock);
	channel->raw[0] = &codecs[codec_number(in)];
	channel->raw[1] = &codecs[codec_number(out)];
	pthread_mutex_unlock(&channel->lock);
}

void fake_next_codec(struct ast_channel *channel, const char *name)
{
	pthread_mutex_lock(&channel->lock);
	channel->next_codec = &codecs[codec_number(name)];
	pthread_mutex_unlock(&channel->lock);
}

void fake_translator(const char *codec, int is_loaded)
{
	__atomic_store_n(&translators[codec_number(codec)], is_loaded, __ATOMIC_RELEASE);
}

int fake_format_references(void) { return __atomic_load_n(&format_references, __ATOMIC_ACQUIRE); }

int fake_translates(struct ast_format *format)
{
	return format < codecs || format >= codecs + sizeof(codecs) / sizeof(*codecs)
		|| __atomic_load_n(&translators[format - codecs], __ATOMIC_ACQUIRE);
}

void *af_raw_format(struct ast_channel *channel, unsigned int direction)
{
	/* The channel has to be locked; this is no test of it, but for the thread sanitizer. */
	__atomic_add_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	return channel->raw[direction];
}

void *af_next_formats(struct ast_channel *channel, void *format)
{
	if (channel->next_codec) {
		__atomic_add_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	}
	return channel->next_codec;
}

void *af_negotiated_format(struct ast_channel *channel, void *format) { return af_next_formats(channel, format); }

void af_format_release(void *format)
{
	if (format) {
		__atomic_sub_fetch(&format_references, 1, __ATOMIC_ACQ_REL);
	}
}

const char *af_format_name(void *format) { return ((struct ast_format *) format)->name; }

const char *af_format_linear_name(void *format)
{
	return ((struct ast_format *) format)->rate == 48000 ? "slin48" : "slin";
}

int af_formats_translate(void *formats) { return fake_translates(formats); }
int af_format_translates(void *format) { return fake_translates(format); }
struct ast_format *ast_channel_rawreadformat(struct ast_channel *channel) { return channel->raw[0]; }
struct ast_format *ast_channel_rawwriteformat(struct ast_channel *channel) { return channel->raw[1]; }
unsigned int ast_format_get_sample_rate(const struct ast_format *format) { return format->rate; }
