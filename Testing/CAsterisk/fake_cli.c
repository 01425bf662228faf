/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the CLI. */
#include "fake_world.h"

#include <stdio.h>

static struct { const char *words; char *usage; } commands[16];
static int command_count;

int af_cli_add(const char *words, const char *summary, const char *usage)
{
	commands[command_count].words = words;
	commands[command_count++].usage = strdup(usage);
	return 0;
}

static void forget_commands(void)
{
	while (command_count) {
		free(commands[--command_count].usage);
	}
}

int af_cli_register(void)
{
	int failure = fake_register();

	if (failure) {
		forget_commands();
	}
	return failure;
}

void af_cli_unregister(void)
{
	fake_unregister();
	forget_commands();
}

void af_cli_print(int descriptor, const char *text) { dprintf(descriptor, "%s\n", text); }
char *af_cli_word(const char *word) { return strdup(word); }

/* The command with the most words that the line begins with, -1: none. */
static int find_command(const char *line)
{
	int number, found = -1;
	size_t best = 0;

	for (number = 0; number < command_count; number++) {
		size_t length = strlen(commands[number].words);

		if (length > best && !strncasecmp(line, commands[number].words, length)
			&& (!line[length] || line[length] == ' ')) {
			best = length;
			found = number;
		}
	}
	return found;
}

char *fake_cli(const char *line)
{
	int number = find_command(line), descriptor, well_formed;
	char *words[64], *memory = strdup(line), *rest = memory, *word, *text;
	FILE *file;
	long length;
	int count = 0;

	if (number < 0) {
		free(memory);
		return NULL;
	}
	while ((word = strsep(&rest, " ")) && count < 63) {
		if (*word) {
			words[count++] = word;
		}
	}
	words[count] = NULL;
	file = tmpfile();
	descriptor = fileno(file);
	{
		struct ast_cli_args arguments = {
			.fd = descriptor, .argc = count, .argv = (const char * const *) words, .line = line,
		};

		well_formed = af_cli_run(number, &arguments);
	}
	free(memory);
	length = lseek(descriptor, 0, SEEK_END);
	text = calloc(1, length + 1);
	lseek(descriptor, 0, SEEK_SET);
	if (read(descriptor, text, length) != length) {
		text[0] = '\0';
	}
	fclose(file);
	if (!well_formed) {
		free(text);
		return strdup(commands[number].usage);
	}
	return text;
}

char *fake_complete(const char *line, int n)
{
	const char *word = strrchr(line, ' ') ? strrchr(line, ' ') + 1 : line, *at;
	int number = find_command(line), place = 0;

	for (at = line; at < word; at++) {
		place += *at == ' ';
	}
	if (number < 0) {
		return NULL;
	}
	{
		struct ast_cli_args arguments = { .line = line, .word = word, .pos = place, .n = n };

		return af_cli_complete(number, &arguments);
	}
}
