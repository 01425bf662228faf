/* SPDX-License-Identifier: Apache-2.0 */
/* AMI: one conversation at a time. */
#include "fake_world.h"

#include <stdio.h>

static char *answer;

int fake_authority(const char *action)
{
	struct fake_item *item = fake_find_item("manager", action);

	return item ? item->authority : -1;
}

int ast_manager_register2(const char *action, int authority, int (*func)(struct mansession *s, const struct message *m),
	struct ast_module *module, const char *synopsis, const char *description)
{
	int failure = fake_register();

	if (!failure) {
		fake_remember_item("manager", action, authority, func, description);
	}
	return failure;
}

int ast_manager_unregister(const char *action)
{
	fake_unregister();
	fake_forget_item("manager", action);
	return 0;
}

const char *astman_get_header(const struct message *m, char *var)
{
	size_t length = strlen(var);
	unsigned int index;

	for (index = 0; index < m->hdrcount; index++) {
		if (!strncasecmp(m->headers[index], var, length) && m->headers[index][length] == ':') {
			const char *value = m->headers[index] + length + 1;

			return value + strspn(value, " ");
		}
	}
	return "";
}

void af_manager_append(struct mansession *session, const char *text)
{
	char *longer;

	if (asprintf(&longer, "%s%s", answer ? answer : "", text) > 0) {
		free(answer);
		answer = longer;
	}
}

static void respond(const struct message *m, const char *response, const char *listflag, const char *message)
{
	const char *id = astman_get_header(m, "ActionID");

	af_manager_append(NULL, "Response: ");
	af_manager_append(NULL, response);
	if (*id) {
		af_manager_append(NULL, "\r\nActionID: ");
		af_manager_append(NULL, id);
	}
	if (listflag) {
		af_manager_append(NULL, "\r\nEventList: ");
		af_manager_append(NULL, listflag);
	}
	af_manager_append(NULL, "\r\nMessage: ");
	af_manager_append(NULL, message);
	af_manager_append(NULL, "\r\n\r\n");
}

void astman_send_error(struct mansession *s, const struct message *m, char *error) { respond(m, "Error", NULL, error); }

void astman_send_listack(struct mansession *s, const struct message *m, char *msg, char *listflag)
{
	respond(m, "Success", listflag, msg);
}

void astman_send_list_complete_start(struct mansession *s, const struct message *m, const char *event_name, int count)
{
	char number[32];

	snprintf(number, sizeof(number), "%d", count);
	af_manager_append(s, "Event: ");
	af_manager_append(s, event_name);
	af_manager_append(s, "\r\nEventList: Complete\r\nListItems: ");
	af_manager_append(s, number);
	af_manager_append(s, "\r\n");
}

void astman_send_list_complete_end(struct mansession *s) { af_manager_append(s, "\r\n"); }

char *fake_action(const char *lines)
{
	struct message message = { 0 };
	struct fake_item *item;
	char *memory = strdup(lines), *rest = memory, *line, *text;

	while ((line = strsep(&rest, "\n")) && message.hdrcount < 128) {
		if (*line) {
			message.headers[message.hdrcount++] = line;
		}
	}
	item = fake_find_item("manager", astman_get_header(&message, "Action"));
	if (item) {
		item->run(NULL, &message);
	}
	free(memory);
	text = answer;
	answer = NULL;
	return text;
}
