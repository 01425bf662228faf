/* SPDX-License-Identifier: Apache-2.0 */
/* The dialplan function. */
#include "fake_world.h"

static char *function_value;

int af_function_register(const char *name, const char *synopsis, const char *syntax, const char *description)
{
	int failure = fake_register();

	if (!failure) {
		fake_remember_item("function", name, 0, NULL, description);
	}
	return failure;
}

void af_function_unregister(void)
{
	fake_unregister();
	fake_forget_item("function", "AUDIOFORK");
}

void af_string_set(struct ast_str **string, ssize_t length, const char *text)
{
	free(function_value);
	function_value = strdup(text);
}

char *fake_function(struct ast_channel *channel, const char *arguments, size_t length)
{
	char *copy = strdup(arguments), *buffer = malloc(length + 1);
	int failure;

	buffer[length] = 'x';
	failure = af_function_read(channel, "AUDIOFORK", copy, buffer, length);
	free(copy);
	/* Fail if the module wrote past the end, or wrote a value and returned an error. */
	if (buffer[length] != 'x' || (failure && *buffer)) {
		abort();
	}
	if (failure) {
		free(buffer);
		return NULL;
	}
	return buffer;
}

char *fake_function_long(struct ast_channel *channel, const char *arguments)
{
	char *copy = strdup(arguments), *value;
	int failure = af_function_read2(channel, "AUDIOFORK", copy, NULL, 0);

	free(copy);
	value = function_value;
	function_value = NULL;
	if (failure) {
		free(value);
		return NULL;
	}
	return value;
}
